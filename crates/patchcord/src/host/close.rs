//! `Host::close`, with its time limits, and the state that the next process reads from the store.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::time::{Instant, sleep_until, timeout};

use super::Host;

impl Host {
    /// Closes the host: disconnects every client and rejects new ones. Scripts receive the reason
    /// `server shutting down`. Returns when all script calls have ended and all queued data was sent, or after
    /// [`TransportOptions::drain_timeout`](super::TransportOptions::drain_timeout) at the latest. A closed host cannot serve again.
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
        let present = state.present();
        let handed_over = AtomicBool::new(false);
        let _ = timeout(most, state.close(&present, &handed_over)).await;
        if !handed_over.load(Ordering::Relaxed) {
            let _ = timeout(most, state.hand_over(&present)).await;
        }
        state.namespaces.clear();
        if let Some(stored) = &state.stored {
            // A store of the application may hang.
            let _ = timeout(most, stored.close()).await;
        }
    }

    /// Reads what an earlier process has left in the store, and forgets it when its time is over.
    pub(super) async fn inherit(&self) {
        let Some(stored) = self.state.stored.clone() else {
            return;
        };
        let read = move || {
            stored.read_inherited();
        };
        // It does not panic.
        let _ = tokio::task::spawn_blocking(read).await;
        let time = self.state.options.clients.recovery.unwrap_or_default();
        let dispatcher = Arc::downgrade(&self.state.dispatcher);
        tokio::spawn(async move {
            sleep_until(Instant::now() + time).await;
            if let Some(dispatcher) = dispatcher.upgrade() {
                dispatcher.forget_inherited();
            }
        });
    }
}
