//! What a client that began with polling is sent: by the crate while it polls, and by the host when a WebSocket has taken
//! over. See [`Session`](crate::host::transport::session::Session).

use tokio::time::timeout;

use super::Wire;
use crate::host::transport::{connects::GATE, payload};

impl Wire {
    /// A WebSocket has taken over from polling.
    pub(in crate::host::transport) fn upgraded(&self) {
        if let Some(session) = &self.session {
            session.handing().is_upgraded = true;
        }
    }

    /// Hands something to the crate, or gives `None` where the host writes, which it begins with if it can: `mark` hands
    /// [`MARK`](crate::host::transport::ws_frames::MARK) to the crate, if that takes it.
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
            // The crate may write it before this thread goes on.
            self.lock().backlog.waits_for_mark(true);
            match mark() {
                true => session.becomes_direct(),
                false => self.lock().backlog.waits_for_mark(false),
            }
        }
        (!session.is_direct()).then(hand)
    }

    /// The crate is about to be handed an event or an ack of so many bytes for a client that polls. `false` when the client
    /// is gone, or is cut off now because too much waits for it.
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
        // Before scripts hear of its end.
        self.announce_slow(waiting);
        self.end_session();
        false
    }

    /// A poll is answered with this.
    pub(in crate::host::transport) fn polled(&self, body: &[u8]) {
        if let Some(session) = &self.session {
            session.unpolled.pop(payload::events_and_acks(body));
        }
    }

    /// Waits until every CONNECT that was handed on is answered, or for as long as frames wait behind one.
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

    /// Ends the session, if it began with polling.
    pub(super) fn end_session(&self) {
        if let Some(session) = &self.session {
            session.end();
        }
    }
}
