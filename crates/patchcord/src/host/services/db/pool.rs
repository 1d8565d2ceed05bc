//! Connections that calls share.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// Bounded number of connections. A call holds a permit while it uses or opens a connection. Calls that wait for a
/// permit get it in the order in which they came.
#[derive(Debug)]
pub(super) struct Pool<C> {
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<C>>,
}

impl<C> Pool<C> {
    pub(super) fn new(size: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(size.min(Semaphore::MAX_PERMITS))),
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Waits for a permit. Returns `None` if there is none before the deadline.
    pub(super) async fn permit(&self, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        let permit = timeout_at(deadline, self.permits.clone().acquire_owned());
        permit.await.ok()?.ok()
    }

    /// Removes and returns the connection that was used last, among those that `is_usable` accepts. The others are closed.
    pub(super) fn take(&self, is_usable: impl Fn(&C) -> bool) -> Option<C> {
        loop {
            let connection = self.idle.lock().pop()?;
            if is_usable(&connection) {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for the next call.
    pub(super) fn keep(&self, connection: C) {
        self.idle.lock().push(connection);
    }
}
