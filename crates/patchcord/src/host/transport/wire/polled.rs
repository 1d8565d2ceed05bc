//! Polling transport of a wire: at most one request that waits for packets, and one that delivers packets.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{task::yield_now, time::timeout};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::{State, Wire};
use crate::host::transport::{
    TIME_IN_A_ROW,
    connects::CONNECT_HOLD,
    protocol::{ATTACHMENT, CLOSE, NOOP, SEPARATOR},
};

/// Request that waits for packets. If it is dropped before it has a result, its client is gone, and the session ends.
struct Waiting<'a> {
    wire: &'a Arc<Wire>,
    is_over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.wire.lock();
        // The session continues if a WebSocket has replaced polling in the meantime.
        if !self.is_over && state.polling.is_some() {
            state.abort_now(Some("transport error"));
        }
    }
}

/// Request that delivers packets.
pub(in crate::host::transport) struct Posting(Arc<Wire>);

impl Drop for Posting {
    fn drop(&mut self) {
        if let Some(polling) = &mut self.0.lock().polling {
            polling.is_posted = false;
        }
    }
}

/// Attempt of a client to upgrade to a WebSocket.
pub(in crate::host::transport) struct Probing(Arc<Wire>);

impl Drop for Probing {
    fn drop(&mut self) {
        if let Some(polling) = &mut self.0.lock().polling {
            (polling.is_upgrading, polling.is_probed) = (false, false);
        }
    }
}

impl Wire {
    /// Waits for packets, and returns them as a payload. If another request already waits, ends the session, as Node
    /// does, and returns `None`.
    pub(in crate::host::transport) async fn poll(self: &Arc<Self>) -> Option<Vec<u8>> {
        let is_free = match &mut self.lock().polling {
            Some(polling) => !std::mem::replace(&mut polling.is_polled, true),
            None => true,
        };
        if !is_free {
            self.abort("transport error");
            return None;
        }
        let mut waiting = Waiting {
            wire: self,
            is_over: false,
        };
        let payload = poll_fn(|context| self.lock().poll_payload(context)).await;
        waiting.is_over = true;
        Some(payload)
    }

    /// Begins to receive packets from a request. If another request already delivers packets, or a WebSocket has
    /// replaced polling, ends the session, as Node does, and returns `None`.
    pub(in crate::host::transport) fn begin_post(self: &Arc<Self>) -> Option<Posting> {
        let is_free = match &mut self.lock().polling {
            Some(polling) => !std::mem::replace(&mut polling.is_posted, true),
            None => false,
        };
        if !is_free {
            self.abort("transport error");
        }
        is_free.then(|| Posting(self.clone()))
    }

    /// Handles the packets of a request, one after the other.
    pub(in crate::host::transport) async fn take_payload(self: &Arc<Self>, payload: &[u8]) {
        let mut since = Instant::now();
        for packet in payload.split(|byte| *byte == SEPARATOR) {
            if since.elapsed() > TIME_IN_A_ROW {
                yield_now().await;
                since = Instant::now();
            }
            match packet.split_first() {
                Some((&ATTACHMENT, encoded)) => match BASE64_STANDARD.decode(encoded) {
                    Ok(attachment) => self.receive_binary(attachment.into()),
                    Err(_) => self.malformed("an attachment that is not base64"),
                },
                _ => self.receive_text(packet),
            }
            // The reader of a WebSocket does the same before it reads further.
            self.write_waiting();
            self.handled(State::poll_handled).await;
            if self.lock().is_over() {
                return;
            }
        }
    }

    /// Waits until `poll` is ready, which means that socketioxide has handled everything and that no packets are held
    /// behind a CONNECT.
    pub(in crate::host::transport) async fn handled(
        &self,
        poll: fn(&mut State, &Context<'_>) -> Poll<()>,
    ) {
        let handled = || poll_fn(|context| poll(&mut self.lock(), context));
        while timeout(CONNECT_HOLD, handled()).await.is_err() {
            let mut state = self.lock();
            if state.is_idle() && state.end_connect_hold() {
                return;
            }
        }
    }

    /// Begins an upgrade. Returns `None` if the client already has a WebSocket, or if another upgrade is in progress.
    pub(in crate::host::transport) fn begin_upgrade(self: &Arc<Self>) -> Option<Probing> {
        let mut state = self.lock();
        let polling = state.polling.as_mut()?;
        let is_free = !std::mem::replace(&mut polling.is_upgrading, true);
        is_free.then(|| Probing(self.clone()))
    }

    /// Ends the request that waits for packets, because the client's WebSocket works. If this happened earlier, the
    /// client would keep sending new polls.
    pub(in crate::host::transport) fn release_poll(&self) {
        let mut state = self.lock();
        if let Some(polling) = &mut state.polling {
            polling.is_probed = true;
        }
        state.wake_poll();
    }

    /// Replaces polling with a WebSocket. Returns `false` if the session has ended.
    pub(in crate::host::transport) fn upgrade(self: &Arc<Self>, io: TokioIo<Upgraded>) -> bool {
        let mut state = self.lock();
        if state.is_over() {
            return false;
        }
        state.wake_poll();
        state.wake_poster();
        state.polling = None;
        state.io = Some(io);
        drop(state);
        self.write_waiting();
        true
    }
}

impl State {
    pub(super) fn wake_poll(&mut self) {
        let poll = self
            .polling
            .as_mut()
            .and_then(|polling| polling.poll.take());
        if let Some(waker) = poll {
            waker.wake();
        }
    }

    pub(super) fn wake_poster(&mut self) {
        let post = self
            .polling
            .as_mut()
            .and_then(|polling| polling.post.take());
        if let Some(waker) = post {
            waker.wake();
        }
    }

    /// Returns the payload of the response to a poll, as soon as there is one.
    fn poll_payload(&mut self, context: &Context<'_>) -> Poll<Vec<u8>> {
        let is_over = self.is_over();
        let payload = match &mut self.polling {
            None => NOOP.to_vec(),
            Some(_) if !self.queue.is_empty() && self.held == 0 => {
                let payload = self.payload();
                self.ticket = None;
                if self.ending {
                    self.abort_now(None);
                }
                payload
            }
            Some(polling) if is_over && polling.is_closed => NOOP.to_vec(),
            Some(_) if is_over => vec![CLOSE],
            Some(polling) if polling.is_probed => NOOP.to_vec(),
            Some(polling) => {
                polling.poll = Some(context.waker().clone());
                return Poll::Pending;
            }
        };
        if let Some(polling) = &mut self.polling {
            polling.is_polled = false;
        }
        Poll::Ready(payload)
    }

    /// Removes everything that waits for the client, and returns it as a payload.
    fn payload(&mut self) -> Vec<u8> {
        let mut payload = Vec::new();
        self.queue.take_packets(usize::MAX, |opcode, packet| {
            if !payload.is_empty() {
                payload.push(SEPARATOR);
            }
            match opcode {
                OpCode::Data(Data::Binary) => {
                    payload.push(ATTACHMENT);
                    payload.extend_from_slice(BASE64_STANDARD.encode(packet).as_bytes());
                }
                _ => payload.extend_from_slice(packet),
            }
        });
        payload
    }

    fn poll_handled(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.is_over() || self.is_idle() && !self.connects.hold_packets() {
            return Poll::Ready(());
        }
        match &mut self.polling {
            Some(polling) => {
                polling.post = Some(context.waker().clone());
                Poll::Pending
            }
            // A WebSocket has replaced polling, and its reader waits instead.
            None => Poll::Ready(()),
        }
    }
}
