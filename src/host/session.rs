//! What a wire has beyond others when its client begins with polling.

use std::sync::{OnceLock, atomic::AtomicUsize};

use tokio::sync::Notify;

use super::{
    unpolled::Unpolled,
    wire::{GATE, Wire},
};

/// A session that begins with polling.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// Attachments since the last packet that is a text.
    pub(super) attachments: AtomicUsize,
    /// What the client was sent since it last polled.
    pub(super) unpolled: Unpolled,
    /// Tells a request that the gate is open.
    pub(super) open: Notify,
    end: OnceLock<End>,
}

/// How it is ended.
struct End(Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("End")
    }
}

impl Session {
    /// Says how it is ended while the client polls.
    pub(super) fn ends_by(&self, end: impl Fn() + Send + Sync + 'static) {
        // It has one id, by which it is ended.
        let _ = self.end.set(End(Box::new(end)));
    }
}

impl Wire {
    /// Waits until every CONNECT that was handed on is answered, or for as long as frames wait behind one.
    pub(super) async fn connects_answered(&self) {
        let Some(session) = &self.session else {
            return;
        };
        let answered = async {
            loop {
                let open = session.open.notified();
                if self.lock().connects == 0 {
                    return;
                }
                open.await;
            }
        };
        tokio::pin!(answered);
        while tokio::time::timeout(GATE, &mut answered).await.is_err() {
            if self.lock().give_up() {
                return;
            }
        }
    }

    /// Ends the session, if it began with polling.
    pub(super) fn end_session(&self) {
        if let Some(end) = self.session.as_ref().and_then(|session| session.end.get()) {
            (end.0)();
        }
    }
}
