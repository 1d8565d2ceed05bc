//! Lifecycle of a host: the tasks that a close waits for, and the gate between connects and reloads.

use std::sync::Arc;

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Lifecycle of a host: the signal to close, and the work that must end before the host may end.
#[derive(Debug, Clone)]
pub(crate) struct Lifecycle {
    /// Cancelled when the host closes.
    pub(super) closing: CancellationToken,
    /// Work of connections that was handed over to other tasks or threads.
    pub(super) work: TaskTracker,
    /// Tasks that write the send queues of clients.
    pub(super) writes: TaskTracker,
    gate: Gate,
}

/// Gate between connects and reloads: clients pass while they connect; a reload closes the gate while it decides.
type Gate = Arc<RwLock<()>>;

/// Pass of a client that is connecting: no reload decides while the client holds it.
pub(super) type Pass = OwnedRwLockReadGuard<()>;

/// Closed gate: no client is connecting while a reload holds it.
pub(super) type ClosedGate = OwnedRwLockWriteGuard<()>;

impl Lifecycle {
    pub(super) fn new() -> Self {
        let ended = || {
            let tracker = TaskTracker::new();
            // On a closed tracker, `wait` waits for the present tasks to end, although more may come later.
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

    /// Returns a pass to connect, unless a reload is being decided.
    pub(super) fn try_pass(&self) -> Option<Pass> {
        self.gate.clone().try_read_owned().ok()
    }

    /// Waits for a pass to connect.
    pub(super) async fn pass(&self) -> Pass {
        self.gate.clone().read_owned().await
    }

    /// Closes the gate as soon as no client is connecting.
    pub(super) async fn close_gate(&self) -> ClosedGate {
        self.gate.clone().write_owned().await
    }
}
