//! Sends to a client that began with polling: through socketioxide while the client polls, and by the host itself after
//! a WebSocket has replaced polling. See [`Session`](crate::host::transport::session::Session).

use tokio::time::timeout;

use super::Wire;
use crate::host::transport::{connects::GATE, payload};

impl Wire {
    /// Records that a WebSocket has replaced polling.
    pub(in crate::host::transport) fn upgraded(&self) {
        if let Some(session) = &self.session {
            session.handing().is_upgraded = true;
        }
    }

    /// Passes something to socketioxide, or returns `None` if the host itself writes to the client. Tries first to make
    /// the host the writer: `mark` passes the barrier, [`MARK`](crate::host::transport::ws_frames::MARK), to
    /// socketioxide, and returns `false` if socketioxide does not accept it.
    pub(in crate::host) fn hand<T>(
        &self,
        mark: impl FnOnce() -> bool,
        hand: impl FnOnce() -> T,
    ) -> Option<T> {
        let session = self
            .session
            .as_ref()
            .filter(|session| !session.is_direct())?;
        let handing = session.handing();
        if handing.is_upgraded && !session.is_direct() && !self.lock().connects.owe_answers() {
            // socketioxide may write the barrier before this thread continues.
            self.lock().backlog.waits_for_mark(true);
            match mark() {
                true => session.becomes_direct(),
                false => self.lock().backlog.waits_for_mark(false),
            }
        }
        (!session.is_direct()).then(hand)
    }

    /// Counts an event or an ack of `bytes` bytes for a client that polls, just before socketioxide receives it.
    /// Returns `false` if the client has disconnected, or if this call disconnects it because too much waits for it.
    pub(in crate::host) fn hands(&self, bytes: usize) -> bool {
        let Some(session) = self.session.as_ref().filter(|_| !self.lock().dead) else {
            return false;
        };
        let waiting = session.unpolled.push(bytes);
        if waiting.is_within(self.context.max_backlog()) {
            return true;
        }
        session.unpolled.clear();
        self.kill();
        // Announced before scripts learn of the client's disconnect.
        self.announce_slow(waiting);
        self.end_session();
        false
    }

    /// Removes the packets in the answer to a poll from the queue.
    pub(in crate::host::transport) fn polled(&self, body: &[u8]) {
        if let Some(session) = &self.session {
            session.unpolled.pop(payload::events_and_acks(body));
        }
    }

    /// Waits until every CONNECT that was passed on is answered, or until frames no longer have to wait behind one.
    pub(in crate::host::transport) async fn connects_answered(&self) {
        let Some(session) = &self.session else {
            return;
        };
        let answered = async {
            loop {
                let open = session.open.notified();
                if !self.lock().connects.hold_frames() {
                    return;
                }
                open.await;
            }
        };
        tokio::pin!(answered);
        while timeout(GATE, &mut answered).await.is_err() {
            if self.lock().connects.give_up() {
                return;
            }
        }
    }

    /// Ends the session, if the connection began with polling.
    pub(super) fn end_session(&self) {
        if let Some(session) = &self.session {
            session.end();
        }
    }
}
