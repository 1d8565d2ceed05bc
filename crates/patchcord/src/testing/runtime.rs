//! Runtime of an in-memory host: one thread, and a clock that advances only when a test advances it.
//!
//! Invariant: when a step returns, everything that results from it has happened.

use std::{sync::Arc, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    task::yield_now,
    time::{Instant, sleep_until},
};

use super::network::Network;
use crate::host::Host;

/// Error of a connection attempt: the namespace rejected the client, for this reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("connection refused: {0}")]
#[non_exhaustive]
pub struct Refused(pub String);

/// Runtime that drives a host and its tasks.
#[derive(Debug, Clone)]
pub(super) struct TestRuntime(Arc<Driven>);

#[derive(Debug)]
struct Driven {
    host: Host,
    network: Network,
    runtime: Runtime,
}

impl Drop for Driven {
    /// Frees the remaining clients, because they hold their connections, which hold the network.
    fn drop(&mut self) {
        let _runtime = self.runtime.enter();
        self.network.clear();
    }
}

impl TestRuntime {
    /// Creates the runtime of a host and its clients.
    pub(super) fn new(host: Host, network: Network) -> Self {
        let runtime = runtime();
        {
            let _runtime = runtime.enter();
            // Starts the clock of schedules.
            let _start = host.services().clock.now();
        }
        Self(Arc::new(Driven {
            host,
            network,
            runtime,
        }))
    }

    /// Runs a future to completion, and then everything that results from it.
    pub(super) fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.0.runtime.block_on(async {
            let done = future.await;
            self.wait_idle().await;
            done
        })
    }

    /// Does the same for a future that waits for a thread of the host, while the clock is stopped.
    pub(super) fn wait_at_rest<T>(&self, future: impl Future<Output = T>) -> T {
        self.wait_for(async {
            let busy = async {
                loop {
                    yield_now().await;
                }
            };
            tokio::select! {
                biased;
                done = future => done,
                never = busy => never,
            }
        })
    }

    /// Advances the clock, from one timer to the next, and runs everything that becomes due. The clock does not wait for
    /// threads for slow calls, which tests of scripts do not use.
    pub(super) fn skip(&self, time: Duration) {
        if !time.is_zero() {
            // The clock of an idle runtime goes to the next timer by itself.
            self.wait_for(async { sleep_until(Instant::now() + time).await });
        }
    }

    /// Runs `act`, and then everything that results from it.
    pub(super) fn run<T>(&self, act: impl FnOnce() -> T) -> T {
        let done = {
            let _runtime = self.0.runtime.enter();
            act()
        };
        self.0.runtime.block_on(self.wait_idle());
        done
    }

    /// Waits until the host is idle. Keeps the runtime busy meanwhile, because the clock of an idle runtime would
    /// advance by itself while threads of the host are still working.
    pub(super) async fn wait_idle(&self) {
        let busy = async {
            loop {
                yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = self.0.host.wait_idle() => {}
            () = busy => {}
        }
    }
}

#[allow(
    clippy::expect_used,
    reason = "a test can do nothing without a runtime"
)]
fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread")
}
