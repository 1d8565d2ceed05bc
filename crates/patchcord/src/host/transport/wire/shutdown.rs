//! Close of a session in a graceful shutdown. As in Node, the transport of the client closes, so it connects again by
//! itself. Nothing that it has sent before it notices the close is lost.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use parking_lot::MutexGuard;
use tokio::{
    io::AsyncWrite,
    time::{Instant, sleep_until},
};

use super::{State, Wire};
use crate::host::{
    lifecycle::SHUTTING_DOWN,
    transport::{
        protocol::{CLOSE, PING},
        server_frames,
    },
};

/// Maximum time for a client to answer the end of its session; if less, a quarter of
/// [`TransportOptions::drain_timeout`](crate::host::options::TransportOptions::drain_timeout).
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for which requests of a polling client may still arrive after it has received the close.
const POLLING_GRACE: Duration = Duration::from_millis(250);

/// Packet of no type that Engine.IO has. The official client closes its transport as soon as it reads it, and keeps what
/// it sends from then on until it is connected again. When it reads a close frame, its transport is closed a little later,
/// and what it sends meanwhile is lost.
const UNKNOWN_PACKET: &[u8] = b"!";

impl Wire {
    /// Ends the session for a reason in Node's wording, once each socket of the session has called this method: sends
    /// what waits, and then the end. Until the client answers, its events are still handled. With recovery, the end
    /// follows the answer to a ping: by then, the client knows that it has received everything before.
    pub(in crate::host) fn shut_down(self: &Arc<Self>, reason: &'static str) {
        let mut state = self.lock();
        if state.is_over() || state.is_shutting_down {
            return;
        }
        state.shut_down_sockets += 1;
        if state.shut_down_sockets == 1 {
            state.reason = state.reason.or(Some(reason));
            let wire = self.clone();
            let time = CLOSE_TIMEOUT.min(self.options().transport.drain_timeout / 4);
            tokio::spawn(async move {
                sleep_until(Instant::now() + time).await;
                // What waits for the client is still written.
                wire.network_ended(true);
            });
        }
        if state.shut_down_sockets < state.sockets.live().count() {
            return;
        }
        state.is_shutting_down = true;
        let polls = state.polling.is_some();
        let has_sockets = state.sockets.live().next().is_some();
        match !polls && has_sockets && self.options().clients.recovery.is_some() {
            false => self.send_end(state),
            true => {
                state.awaits_pong = true;
                state.unanswered_pings += 1;
                state.push_text(&[PING]);
                // An error is ignored, because the reader also notices a broken connection.
                let _ = self.flush_now(state);
            }
        }
        if polls {
            tokio::spawn(self.clone().end_polling());
        }
    }

    /// Counts the answer to a ping, and sends the end of the session after the last one. Returns `false` if the session
    /// goes on.
    pub(super) fn receive_pong(self: &Arc<Self>) -> bool {
        let mut state = self.lock();
        state.unanswered_pings = state.unanswered_pings.saturating_sub(1);
        if !state.awaits_pong || state.unanswered_pings > 0 {
            return false;
        }
        state.awaits_pong = false;
        state.push_text(UNKNOWN_PACKET);
        self.send_end(state);
        true
    }

    fn send_end(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        state.push_text(&[CLOSE]);
        if state.polling.is_none() {
            state.has_closed = true;
            state.queue.push_slice(&server_frames::CLOSE);
        }
        // An error is ignored, because the reader also notices a broken connection.
        let _ = self.flush_now(state);
        self.lock().shut_down_write();
    }

    /// Answers no CONNECT any more, because the server ends: a client that is refused would not come back. Its transport
    /// closes instead.
    pub(in crate::host) fn refuse_connects(self: &Arc<Self>) {
        let mut state = self.lock();
        state.refuses_connects = true;
        let has_sockets = state.sockets.live().next().is_some();
        drop(state);
        if !has_sockets {
            self.shut_down(SHUTTING_DOWN);
        }
    }

    /// Ends the session of a polling client, once the client has received the close, and its last requests have arrived.
    async fn end_polling(self: Arc<Self>) {
        while !self.lock().queue.is_empty() && !self.is_over() {
            sleep_until(Instant::now() + POLLING_GRACE / 10).await;
        }
        sleep_until(Instant::now() + POLLING_GRACE).await;
        self.lock().abort_now(None);
    }
}

impl State {
    /// Returns `true` if nothing can be sent to the client any more.
    pub(super) const fn is_write_closed(&self) -> bool {
        self.dead || self.is_shutting_down
    }

    /// Ends the host's side of the network connection, once everything is written. A client loses
    /// what it sends between a close frame and the end of the connection.
    pub(super) fn shut_down_write(&mut self) {
        let is_written =
            self.is_shutting_down && !self.awaits_pong && self.has_left() && !self.draining;
        if let Some(io) = self.io.as_mut().filter(|_| is_written) {
            let mut context = Context::from_waker(Waker::noop());
            // An error means that the connection has already ended.
            let _ = Pin::new(io).poll_shutdown(&mut context);
        }
    }
}
