//! What a wire has beyond others when its client begins with polling.
//!
//! While it polls, the crate is handed what it is sent. When a WebSocket has taken over, the first thing that is sent has
//! the host write from then on: the crate is handed a mark as the last of all, and what the host sends waits until the
//! crate writes that. The mark itself is not sent.

use std::sync::{
    Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

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
    /// Held while the crate is handed something, so that nothing comes behind its mark.
    way: Mutex<Way>,
    /// The crate has its mark, and is handed nothing more.
    direct: AtomicBool,
}

/// By which way the client is sent something.
#[derive(Debug, Default)]
struct Way {
    /// A WebSocket has taken over.
    upgraded: bool,
    /// CONNECTs that are accepted, and whose answers the crate was perhaps not handed yet.
    accepted: usize,
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

    /// Whether the host writes.
    pub(super) fn is_direct(&self) -> bool {
        self.direct.load(Ordering::Acquire)
    }

    fn way(&self) -> MutexGuard<'_, Way> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wire {
    /// A WebSocket has taken over from polling.
    pub(super) fn upgraded(&self) {
        if let Some(session) = &self.session {
            session.way().upgraded = true;
        }
    }

    /// A CONNECT is accepted, and the crate is about to be handed the answer.
    pub(super) fn accepts(&self) {
        if let Some(session) = &self.session {
            let mut way = session.way();
            if !session.is_direct() {
                way.accepted += 1;
                return;
            }
        }
        self.owes(1);
    }

    /// The crate was handed the answer to a CONNECT.
    pub(super) fn accepted(&self) {
        if let Some(session) = &self.session {
            let mut way = session.way();
            way.accepted = way.accepted.saturating_sub(1);
        }
    }

    /// Hands something to the crate, or gives `None` where the host writes, which it begins with if it can: `mark` hands
    /// [`MARK`](super::frames::MARK) to the crate, if that takes it.
    pub(super) fn hand<T>(
        &self,
        mark: impl FnOnce() -> bool,
        hand: impl FnOnce() -> T,
    ) -> Option<T> {
        let session = self
            .session
            .as_ref()
            .filter(|session| !session.is_direct())?;
        let way = session.way();
        if way.upgraded && way.accepted == 0 && !session.is_direct() {
            // The crate may write it before this thread goes on.
            self.lock().backlog.waits_for_mark(true);
            match mark() {
                true => session.direct.store(true, Ordering::Release),
                false => self.lock().backlog.waits_for_mark(false),
            }
        }
        (!session.is_direct()).then(hand)
    }

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
