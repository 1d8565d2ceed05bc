//! What a wire has beyond others when its client begins with polling.
//!
//! While it polls, the crate is handed what it is sent. When a WebSocket has taken over, the first thing that is sent has
//! the host write from then on: the crate is handed a mark as the last of all, and what the host sends waits until the
//! crate writes that. The mark itself is not sent.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::poll_queue::PollQueue;

/// A session that begins with polling.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// Attachments since the last packet that is a text.
    pub(super) attachments: AtomicUsize,
    /// What the client was sent since it last polled.
    pub(super) unpolled: PollQueue,
    /// Tells a request that the gate is open.
    pub(super) open: Notify,
    end: OnceLock<End>,
    handing: Mutex<Handing>,
    /// The crate has its mark, and is handed nothing more.
    direct: AtomicBool,
}

/// Held while the crate is handed something, so that nothing comes behind its mark.
#[derive(Debug, Default)]
pub(super) struct Handing {
    /// A WebSocket has taken over.
    pub(super) is_upgraded: bool,
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

    /// Ends it.
    pub(super) fn end(&self) {
        if let Some(end) = self.end.get() {
            (end.0)();
        }
    }

    /// Whether the host writes.
    pub(super) fn is_direct(&self) -> bool {
        self.direct.load(Ordering::Acquire)
    }

    /// The crate has its mark.
    pub(super) fn becomes_direct(&self) {
        self.direct.store(true, Ordering::Release);
    }

    pub(super) fn handing(&self) -> MutexGuard<'_, Handing> {
        self.handing.lock()
    }
}
