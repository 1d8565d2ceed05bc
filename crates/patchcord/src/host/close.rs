//! End of a host, and the beginning of the next one: clients are told, scripts run to their end, and what they leave to
//! the next process is written to the store.

use std::{sync::Arc, time::Duration};

use rhai::Dynamic;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Host, lifecycle::SHUTTING_DOWN, state::HostState, store::StoredData};
use crate::connection::{Link, Namespace, Visit, Work};

/// Maximum number of slices in which clients are told that the server ends.
const SLICES: u32 = 50;

/// Plain data that each namespace leaves to the next process, by its path.
type Left = Vec<(Arc<str>, Dynamic)>;

impl Host {
    /// Closes the host: disconnects every client and rejects new ones. Scripts receive the reason
    /// `server shutting down`. Returns when all script calls have ended and all queued data was sent, or after
    /// [`TransportOptions::drain_timeout`] at the latest. A closed host cannot serve again.
    ///
    /// ```no_run
    /// # async fn run(
    /// #     host: patchcord::Host,
    /// #     listener: tokio::net::TcpListener,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// let app = host.service(axum::Router::new())?;
    /// axum::serve(listener, app)
    ///     .with_graceful_shutdown(async move {
    ///         // Without a signal handler it ends now.
    ///         let _ = tokio::signal::ctrl_c().await;
    ///         host.close().await;
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close(&self) {
        let state = &self.state;
        state.lifecycle.closing.cancel();
        // Data that is not sent within this time is lost when the process ends.
        let most = state.options.transport.drain_timeout + state.options.transport.drain_spread;
        let left = timeout(most, state.close()).await.unwrap_or_default();
        if let Some(stored) = &state.stored {
            // A store of the application may hang.
            let _ = timeout(most, state.hand_over(stored, left)).await;
        }
    }

    /// Reads what an earlier process has left in the store, and forgets it when its time is over.
    pub(super) async fn inherit(&self) {
        let Some(stored) = self.state.stored.clone() else {
            return;
        };
        let reader = stored.clone();
        let read = move || {
            reader.read_inherited();
        };
        // It does not panic.
        let _ = tokio::task::spawn_blocking(read).await;
        let time = self.state.options.clients.recovery.unwrap_or_default();
        let stored = Arc::downgrade(&stored);
        tokio::spawn(async move {
            sleep_until(Instant::now() + time).await;
            if let Some(stored) = stored.upgrade() {
                stored.forget_inherited();
            }
        });
    }
}

impl HostState {
    /// Disconnects all clients, and waits until all calls have ended. Returns what the namespaces leave to the next
    /// process.
    async fn close(&self) -> Left {
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
        let left = self.pack(&namespaces).await;
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
        self.namespaces.clear();
        drop(gate);
        permit.forget();
        left
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
                let says_farewell = link.as_ref().is_some_and(|link| link.says_farewell());
                let leaving = connection.clone();
                connection.post_elsewhere(match says_farewell {
                    true => Work::Visit(Visit::new(move || leaving.say_farewell(SHUTTING_DOWN))),
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

    /// Returns what the namespaces leave to the next process, if clients may come back to it.
    async fn pack(&self, namespaces: &[Arc<Namespace>]) -> Left {
        let recovery = self.server.recovery.as_ref();
        if !recovery.is_some_and(|recovery| recovery.is_handed_over()) {
            return Vec::new();
        }
        let (dispatcher, namespaces) = (self.dispatcher.clone(), namespaces.to_vec());
        let pack = move || {
            let packed = namespaces.iter();
            let packed = packed.map(|one| (one.path().clone(), dispatcher.pack(one)));
            packed.collect()
        };
        tokio::task::spawn_blocking(pack).await.unwrap_or_default()
    }

    /// Writes what is left to the next process, and then everything else that is not saved yet.
    async fn hand_over(&self, stored: &Arc<StoredData>, left: Left) {
        if let Some(time) = self.options.clients.recovery.filter(|_| !left.is_empty()) {
            let stored = stored.clone();
            let write = move || stored.hand_over(left, time);
            // It does not panic.
            let _ = tokio::task::spawn_blocking(write).await;
        }
        stored.close().await;
    }
}
