//! Graceful shutdown of a host, step by step: closes the sessions of its clients, waits for the hooks of their disconnects,
//! and writes the state for the next process to the store.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rhai::Map;
use tokio::time::{Instant, sleep_until};

use super::HostState;
use crate::{
    connection::{Link, Namespace, Visit, Work},
    host::lifecycle::SHUTTING_DOWN,
};

/// Maximum number of slices in which the sessions of clients are closed.
const SLICES: u32 = 50;

/// Keys that are present in each namespace, with their metas, by its path.
pub(in crate::host) type Present = HashMap<Arc<str>, Map>;

impl HostState {
    /// Returns the keys that are present in each namespace, with their metas.
    pub(in crate::host) fn present(&self) -> Present {
        let namespaces = self.namespaces.all().into_iter();
        namespaces
            .map(|one| (one.path().clone(), one.present_metas()))
            .collect()
    }

    /// Disconnects all clients, and waits until all calls have ended. Sets `handed_over` when the state for the next
    /// process is written.
    pub(in crate::host) async fn close(&self, present: &Present, handed_over: &AtomicBool) {
        // A running reload finishes first. Clients that are connecting still run `on_connection`, so that every script
        // that has seen a client also sees its disconnect.
        let permit = self.reloader.permit().await;
        let gate = self.lifecycle.close_gate().await;
        let namespaces = self.namespaces.all();
        // Nobody becomes absent because the server ends.
        namespaces.iter().for_each(|one| one.end_presence());
        let links = self.disconnect_all(&namespaces).await;
        for namespace in &namespaces {
            namespace.emptied().await;
        }
        self.lifecycle.work.wait().await;
        self.hand_over(present).await;
        handed_over.store(true, Ordering::Relaxed);
        namespaces.iter().for_each(|one| one.close_context());
        self.lifecycle.work.wait().await;
        // Such as a statement that `on_disconnect` has sent to a database.
        self.services.idle().await;
        self.namespaces.close().await;
        // socketioxide drops its namespaces before their sockets. The two then reference each other, so each socket is
        // disconnected explicitly.
        for link in links {
            link.disconnect();
        }
        // After this, clients that read have received everything that was sent to them.
        self.lifecycle.writes.wait().await;
        drop(gate);
        permit.forget();
    }

    /// Disconnects all clients, in slices.
    async fn disconnect_all(&self, namespaces: &[Arc<Namespace>]) -> Vec<Arc<dyn Link>> {
        let connections = namespaces.iter().flat_map(|one| one.connections());
        let connections: Vec<_> = connections.collect();
        let slice = connections.len().div_ceil(SLICES as usize).max(1);
        let pause = self.options.transport.drain_spread / SLICES;
        let mut links = Vec::new();
        for slice in connections.chunks(slice) {
            for connection in slice {
                connection.hold_until_left(Box::new(self.lifecycle.work.token()));
                let link = connection.link();
                let can_shut_down = link.as_ref().is_some_and(|link| link.can_shut_down());
                let leaving = connection.clone();
                connection.post_elsewhere(match can_shut_down {
                    true => Work::Visit(Visit::new(move || leaving.shut_down(SHUTTING_DOWN))),
                    false => Work::Disconnect(SHUTTING_DOWN),
                });
                links.extend(link);
            }
            if pause > Duration::ZERO {
                sleep_until(Instant::now() + pause).await;
            }
        }
        links
    }

    /// Writes to the store what the namespaces leave to the next process, if clients may come back to it.
    pub(in crate::host) async fn hand_over(&self, present: &Present) {
        let recovery = self.server.recovery.as_ref();
        let is_handed_over = recovery.is_some_and(|recovery| recovery.is_handed_over());
        let time = self.options.clients.recovery.filter(|_| is_handed_over);
        let (Some(stored), Some(time)) = (self.stored.clone(), time) else {
            return;
        };
        let namespaces = self.namespaces.all();
        namespaces.iter().for_each(|one| one.stop_unit());
        self.lifecycle.work.wait().await;
        let (dispatcher, present) = (self.dispatcher.clone(), present.clone());
        let write = move || {
            for namespace in namespaces {
                let path = namespace.path();
                let present = present.get(path).cloned().unwrap_or_default();
                // One namespace must not take the others with it.
                let pack = AssertUnwindSafe(|| dispatcher.pack(&namespace, present));
                stored.hand_over(path, catch_unwind(pack).unwrap_or_default(), time);
            }
            for path in stored.unused_paths() {
                stored.hand_over(&path, Map::new(), time);
            }
        };
        // It does not panic.
        let _ = tokio::task::spawn_blocking(write).await;
    }
}
