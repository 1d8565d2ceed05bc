//! Lifecycle of a host: the tasks that a close waits for, and the gate between connects and reloads.

use std::sync::Arc;

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::connection::Clock;

/// Reason that clients and scripts receive when the host closes.
pub(super) const SHUTTING_DOWN: &str = "server shutting down";

/// Lifecycle of a host: the signal to close, the work that a close waits for, and the gate.
#[derive(Debug, Clone)]
pub(crate) struct Lifecycle {
    /// Token that is cancelled when the host closes.
    pub(super) closing: CancellationToken,
    /// Tracker of the work of connections that was handed over to other tasks or threads.
    pub(super) work: TaskTracker,
    /// Tracker of the tasks that write the send queues of clients.
    pub(super) writes: TaskTracker,
    /// Clock by which schedules run.
    pub(super) clock: Clock,
    gate: Gate,
}

/// Gate between connects and reloads: a client that connects holds a pass, and a reload closes the gate while it
/// decides whether to take effect.
type Gate = Arc<RwLock<()>>;

/// Pass of a client that is connecting. While a client holds one, no reload takes effect.
pub(super) type Pass = OwnedRwLockReadGuard<()>;

/// Guard of the closed gate. No client can connect while a reload holds it.
pub(super) type ClosedGate = OwnedRwLockWriteGuard<()>;

impl Lifecycle {
    pub(super) fn new(clock: Clock) -> Self {
        let ended = || {
            let tracker = TaskTracker::new();
            // `TaskTracker::wait` returns only for a closed tracker. A closed tracker still accepts tasks.
            tracker.close();
            tracker
        };
        Self {
            closing: CancellationToken::new(),
            work: ended(),
            writes: ended(),
            clock,
            gate: Gate::default(),
        }
    }

    /// Returns a pass to connect; `None` while the gate is closed.
    pub(super) fn try_pass(&self) -> Option<Pass> {
        self.gate.clone().try_read_owned().ok()
    }

    /// Waits for a pass to connect.
    pub(super) async fn pass(&self) -> Pass {
        self.gate.clone().read_owned().await
    }

    /// Waits until no client is connecting, and closes the gate.
    pub(super) async fn close_gate(&self) -> ClosedGate {
        self.gate.clone().write_owned().await
    }
}
