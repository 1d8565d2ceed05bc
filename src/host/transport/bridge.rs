//! Stream that socketioxide receives for each client, as if the client had a WebSocket: the side of a [`Wire`] that
//! socketioxide uses. Its task reads the network, too.

use std::{
    cell::Cell,
    io,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::yield_now,
    time::{Instant, Sleep, sleep_until},
};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, OpCode};

use super::{
    TIME_IN_A_ROW,
    client_frames::{self, Content, First},
    connects::GATE,
    wire::Wire,
};

/// Maximum bytes of one read from the network.
const AT_ONCE: usize = 16 * 1024;
/// Number of bytes whose answers leave together. The answers leave sooner if nothing more has been read.
const ANSWERED_AT_ONCE: usize = 1024;

thread_local! {
    /// Buffer for the current read.
    static READ: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Side of a [`Wire`] that socketioxide uses.
pub(super) struct Bridge {
    wire: Arc<Wire>,
    /// Bytes on their way to socketioxide.
    handing: Vec<u8>,
    /// Number of those that have left.
    handed: usize,
    /// Bytes that were read from the network, and wait: for the rest of a frame, for a CONNECT, or for socketioxide to
    /// handle what came before them.
    received: Vec<u8>,
    /// Message of which parts have come.
    message: Option<(Content, Vec<u8>)>,
    /// Time at which packets in a row began; `None` if the client must wait for more.
    busy_since: Option<std::time::Instant>,
    /// Time at which packets no longer wait for a CONNECT.
    gate: Option<Pin<Box<Sleep>>>,
    /// `true` after socketioxide was informed that the client has disconnected.
    has_ended: bool,
}

impl Bridge {
    pub(super) const fn new(wire: Arc<Wire>) -> Self {
        Self {
            wire,
            handing: Vec::new(),
            handed: 0,
            received: Vec::new(),
            message: None,
            busy_since: None,
            gate: None,
            has_ended: false,
        }
    }

    /// Passes on what waits for socketioxide, and meanwhile handles what comes from the client.
    fn poll_inbox(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.hand_on(buffer) {
                return Poll::Ready(Ok(()));
            }
            self.wire.write_waiting();
            if self.busy_since.is_some() && self.is_due() {
                // It wakes this task after tokio has looked for what other tasks wait for.
                return pin!(yield_now()).poll(context).map(Ok);
            }
            ready!(self.poll_gate(context));
            if !self.received.is_empty() {
                let waiting = self.received.len();
                self.handle_received();
                if self.received.len() < waiting {
                    continue;
                }
            }
            ready!(self.poll_network(context))?;
        }
    }

    /// Passes on what waits for socketioxide. Returns `false` if nothing does.
    fn hand_on(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        if self.handing.is_empty() {
            match self.wire.lock().take_inbox() {
                Some(inbox) => self.handing = inbox,
                None => return false,
            }
        }
        let rest = self.handing.get(self.handed..).unwrap_or_default();
        let (now, later) = rest.split_at(rest.len().min(buffer.remaining()));
        buffer.put_slice(now);
        match later.is_empty() {
            true => (self.handing, self.handed) = (Vec::new(), 0),
            false => self.handed += now.len(),
        }
        true
    }

    /// Returns ready if packets may pass; otherwise wakes the task when they may.
    fn poll_gate(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let wire = &self.wire;
        let must_wait = || {
            let mut state = wire.lock();
            let must_wait = state.connects.hold_packets() && !state.is_over();
            if must_wait {
                state.wait(context);
            }
            must_wait
        };
        if must_wait() {
            let end = || Instant::now() + GATE;
            let gate = self
                .gate
                .get_or_insert_with(|| Box::pin(sleep_until(end())));
            ready!(gate.as_mut().poll(context));
            while !self.wire.lock().end_gate() {
                gate.as_mut().reset(end());
                ready!(gate.as_mut().poll(context));
            }
        }
        self.gate = None;
        Poll::Ready(())
    }

    /// Reads all available bytes, and handles the packets in them.
    fn poll_network(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = READ.take();
        bytes.resize(AT_ONCE, 0);
        let mut read = ReadBuf::new(&mut bytes);
        let polled = {
            let mut state = self.wire.lock();
            state.wait(context);
            if state.is_over() {
                Some(Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())))
            } else if state.has_mail() {
                // It came before this task could be woken.
                None
            } else if !state.read.is_empty() {
                self.received = std::mem::take(&mut state.read);
                None
            } else {
                // Without a WebSocket, the client polls: a request wakes this task.
                Some(state.io.as_mut().map_or(Poll::Pending, |io| {
                    Pin::new(io).poll_read(context, &mut read)
                }))
            }
        };
        let read_nothing = read.filled().is_empty();
        // The rest of a frame is handled with its beginning.
        let done = match self.received.is_empty() {
            true => self.handle(read.filled_mut()),
            false => 0,
        };
        let rest = read.filled().get(done..).unwrap_or_default();
        self.received.extend_from_slice(rest);
        READ.set(bytes);
        match polled {
            None => Poll::Ready(Ok(())),
            Some(Poll::Ready(Ok(()))) if read_nothing => self.ended(),
            // For Node, too, a connection that is reset is closed.
            Some(Poll::Ready(Err(_))) if !self.wire.is_over() => self.ended(),
            Some(polled) => polled,
        }
    }

    /// Handles the frames that have waited.
    fn handle_received(&mut self) {
        let mut received = std::mem::take(&mut self.received);
        let done = self.handle(&mut received);
        if done < received.len() {
            received.drain(..done);
            self.received = received;
        }
    }

    /// Handles frames, as long as nothing must be done first. Returns the number of bytes that are done.
    fn handle(&mut self, bytes: &mut [u8]) -> usize {
        let limit = self.wire.options().max_payload;
        let (mut done, mut unanswered) = (0, 0);
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            if !self.wire.lock().is_free() {
                break;
            }
            let length = match client_frames::first(rest, limit) {
                First::Incomplete => break,
                First::Data(part, payload, length) => {
                    let (begins, is_last) = (part.begins, part.is_last);
                    self.data(begins, is_last, payload, limit);
                    length
                }
                First::Control(length) => {
                    let frame = rest.get(..length).unwrap_or_default();
                    self.wire.receive_control(frame);
                    length
                }
                First::TooLarge => {
                    self.wire.too_large();
                    break;
                }
                First::Broken => {
                    self.wire.broken_frame();
                    break;
                }
            };
            done += length;
            unanswered += length;
            if unanswered >= ANSWERED_AT_ONCE {
                self.wire.write_waiting();
                unanswered = 0;
            }
            if self.is_due() {
                break;
            }
        }
        done
    }

    /// Returns `true` if other tasks are due on this thread.
    fn is_due(&mut self) -> bool {
        let since = self.busy_since.get_or_insert_with(std::time::Instant::now);
        since.elapsed() > TIME_IN_A_ROW
    }

    /// Handles a data frame.
    fn data(&mut self, begins: Option<Content>, is_last: bool, payload: &[u8], limit: usize) {
        match (begins, &mut self.message) {
            (Some(content), None) if is_last => self.receive(content, payload),
            (Some(content), None) => self.message = Some((content, payload.to_vec())),
            (None, Some((_, message))) if message.len() + payload.len() > limit => {
                self.wire.too_large();
            }
            (None, Some((_, message))) => {
                self.wire.count_frame();
                message.extend_from_slice(payload);
                if is_last && let Some((content, message)) = self.message.take() {
                    self.receive(content, &message);
                }
            }
            (Some(_), Some(_)) | (None, None) => self.wire.broken_frame(),
        }
    }

    fn receive(&self, content: Content, message: &[u8]) {
        match content {
            Content::Text => self.wire.receive_text(message),
            Content::Binary => self.wire.receive_binary(Bytes::copy_from_slice(message)),
        }
    }

    /// Reports to socketioxide that a client which disconnects without a close frame has closed its transport, as in
    /// Node. The end of a frame that never came is an error.
    fn ended(&mut self) -> Poll<io::Result<()>> {
        let is_first = !std::mem::replace(&mut self.has_ended, true);
        if is_first && self.received.is_empty() && self.message.is_none() {
            client_frames::push(&mut self.handing, OpCode::Control(Control::Close), &[]);
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
    }
}

impl AsyncRead for Bridge {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = self.poll_inbox(context, buffer);
        if polled.is_pending() {
            self.busy_since = None;
        }
        polled
    }
}

impl AsyncWrite for Bridge {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.wire.write(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.wire.end();
    }
}
