//! State that a wire has in addition if its client begins with polling.
//!
//! While the client polls, the host passes what it sends to socketioxide. After a WebSocket has replaced polling, the
//! host writes by itself, beginning with the first thing that is sent: the host passes a barrier to socketioxide as the
//! last packet of all, and holds what it sends until socketioxide writes the barrier. The barrier itself is not sent to
//! the client.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::poll_queue::PollQueue;

/// Session that begins with polling.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// Number of attachments since the last text packet.
    pub(super) attachments: AtomicUsize,
    /// Sizes of what the client was sent since it last polled.
    pub(super) unpolled: PollQueue,
    /// Notifies a waiting request that the gate is open.
    pub(super) open: Notify,
    end: OnceLock<End>,
    handing: Mutex<Handing>,
    /// `true` after socketioxide has received its barrier: the host passes it nothing more.
    direct: AtomicBool,
}

/// Lock that is held while the host passes something to socketioxide, so that nothing comes behind the barrier.
#[derive(Debug, Default)]
pub(super) struct Handing {
    /// `true` after a WebSocket has replaced polling.
    pub(super) is_upgraded: bool,
}

/// Function that ends a session.
struct End(Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("End")
    }
}

impl Session {
    /// Sets the function that ends the session while the client polls.
    pub(super) fn ends_by(&self, end: impl Fn() + Send + Sync + 'static) {
        // A session has only one id, by which it is ended.
        let _ = self.end.set(End(Box::new(end)));
    }

    /// Ends the session.
    pub(super) fn end(&self) {
        if let Some(end) = self.end.get() {
            (end.0)();
        }
    }

    /// Returns `true` if the host writes to the client by itself.
    pub(super) fn is_direct(&self) -> bool {
        self.direct.load(Ordering::Acquire)
    }

    /// Records that socketioxide has its barrier.
    pub(super) fn becomes_direct(&self) {
        self.direct.store(true, Ordering::Release);
    }

    pub(super) fn handing(&self) -> MutexGuard<'_, Handing> {
        self.handing.lock()
    }
}
