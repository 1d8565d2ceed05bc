//! What the whole host waits for: the end of its work, and of what keeps clients from connecting.

use std::sync::Arc;

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Whether a host serves or closes, and what must have ended before it may.
#[derive(Debug, Clone)]
pub(crate) struct Lifecycle {
    /// Cancelled when the host closes.
    pub(super) closing: CancellationToken,
    /// Work of connections that was handed over to other tasks or threads.
    pub(super) work: TaskTracker,
    /// Tasks that write what waits for clients.
    pub(super) writes: TaskTracker,
    gate: Gate,
}

/// Clients pass while they connect; a reload closes it while it decides.
type Gate = Arc<RwLock<()>>;

/// A client that is connecting: no reload decides while it is.
pub(super) type Pass = OwnedRwLockReadGuard<()>;

/// The gate is closed: no client is connecting.
pub(super) type ClosedGate = OwnedRwLockWriteGuard<()>;

impl Lifecycle {
    pub(super) fn new() -> Self {
        let ended = || {
            let tracker = TaskTracker::new();
            // Whoever waits for it waits for what there is, while more may come.
            tracker.close();
            tracker
        };
        Self {
            closing: CancellationToken::new(),
            work: ended(),
            writes: ended(),
            gate: Gate::default(),
        }
    }

    /// The leave to connect, if no reload is being decided.
    pub(super) fn try_pass(&self) -> Option<Pass> {
        self.gate.clone().try_read_owned().ok()
    }

    /// The same as soon as it can be had.
    pub(super) async fn pass(&self) -> Pass {
        self.gate.clone().read_owned().await
    }

    /// Closes the gate as soon as nobody is connecting.
    pub(super) async fn close_gate(&self) -> ClosedGate {
        self.gate.clone().write_owned().await
    }
}
