//! End of a session because the server ends. The client learns of it as in Node: its transport closes, so it connects
//! again by itself. Nothing that it has sent before it learned of the end is lost.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{State, Wire};
use crate::host::transport::{protocol::CLOSE, server_frames};

/// Maximum time for a client to answer the end of its session; if less, a quarter of
/// [`TransportOptions::drain_timeout`](crate::host::options::TransportOptions::drain_timeout).
const FAREWELL: Duration = Duration::from_secs(2);
/// Time for which requests of a polling client may still arrive after it has learned of the end.
const LAST_REQUESTS: Duration = Duration::from_millis(250);

impl Wire {
    /// Ends the session for a reason in Node's wording, once each socket of the session has called this method: sends
    /// what waits, and then the end. Until the client answers, its events are still handled.
    pub(in crate::host) fn say_farewell(self: &Arc<Self>, reason: &'static str) {
        let mut state = self.lock();
        if state.is_over() || state.has_said_farewell {
            return;
        }
        state.farewells += 1;
        if state.farewells == 1 {
            state.reason = state.reason.or(Some(reason));
            let wire = self.clone();
            let time = FAREWELL.min(self.options().transport.drain_timeout / 4);
            tokio::spawn(async move {
                sleep_until(Instant::now() + time).await;
                // What waits for the client is still written.
                wire.network_ended(true);
            });
        }
        if state.farewells < state.sockets.live().count() {
            return;
        }
        state.has_said_farewell = true;
        let polls = state.polling.is_some();
        state.push_text(&[CLOSE]);
        if !polls {
            state.has_closed = true;
            state.queue.push_slice(&server_frames::CLOSE);
        }
        // An error is ignored, because the reader also notices a broken connection.
        let _ = self.flush_now(state);
        if polls {
            tokio::spawn(self.clone().end_polling());
        }
    }

    /// Ends the session of a polling client, once the client has learned of the end, and its last requests have arrived.
    async fn end_polling(self: Arc<Self>) {
        while !self.lock().queue.is_empty() && !self.is_over() {
            sleep_until(Instant::now() + LAST_REQUESTS / 10).await;
        }
        sleep_until(Instant::now() + LAST_REQUESTS).await;
        self.lock().abort_now(None);
    }
}

impl State {
    /// Returns `true` if nothing can be sent to the client any more.
    pub(super) const fn is_mute(&self) -> bool {
        self.dead || self.has_said_farewell
    }
}
