//! What happened so far, in numbers: for metrics, and for what is ignored as in Node and would otherwise leave no trace.

use std::sync::atomic::{AtomicU64, Ordering};

use super::HostEvent;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a host counts, from its start.
///
/// ```
/// use patchcord::testing::TestHost;
///
/// let host = TestHost::new("fn on_connection(socket) { }");
/// host.connect("/")?.emit("nobody listens", ());
/// assert_eq!(host.counters().events.get(), 1);
/// assert_eq!(host.counters().unheard.get(), 1);
/// # Ok::<(), patchcord::testing::Refused>(())
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Counters {
    /// Sockets that entered a namespace.
    pub connected: Counter,
    /// Sockets that left one.
    pub left: Counter,
    /// Events that clients sent.
    pub events: Counter,
    /// Those of them that nobody listened to; they are ignored, as in Node.
    pub unheard: Counter,
    /// What scripts sent to sockets that had left; it is ignored, as in Node.
    pub ignored: Counter,
    /// Events and packets that did not arrive: see [`HostEvent::Lost`].
    pub lost: Counter,
    /// Calls of scripts that failed.
    pub failed: Counter,
    /// Clients that were cut off because they did not read.
    pub slow_consumers: Counter,
    /// Versions that replaced one that was serving.
    pub replaced: Counter,
    /// Batches of changes that were refused.
    pub rejected: Counter,
    /// Versions that were rolled back.
    pub rolled_back: Counter,
}

impl Counters {
    /// All of them, by their names in metrics, with what each means.
    pub fn all(&self) -> [(&'static str, &'static str, u64); 11] {
        [
            (
                "connected",
                "sockets that entered a namespace",
                &self.connected,
            ),
            ("left", "sockets that left a namespace", &self.left),
            ("events", "events that clients sent", &self.events),
            ("unheard", "events that nobody listened to", &self.unheard),
            (
                "ignored",
                "what was sent to sockets that had left",
                &self.ignored,
            ),
            ("lost", "events and packets that did not arrive", &self.lost),
            ("failed", "calls of scripts that failed", &self.failed),
            (
                "slow_consumers",
                "clients that were cut off because they did not read",
                &self.slow_consumers,
            ),
            (
                "replaced",
                "versions that replaced one that was serving",
                &self.replaced,
            ),
            (
                "rejected",
                "batches of changes that were refused",
                &self.rejected,
            ),
            (
                "rolled_back",
                "versions that were rolled back",
                &self.rolled_back,
            ),
        ]
        .map(|(name, meaning, counter)| (name, meaning, counter.get()))
    }

    /// Counts what is announced.
    pub fn announced(&self, event: &HostEvent) {
        match event {
            HostEvent::Lost { .. } => self.lost.add(),
            HostEvent::HandlerFailed { .. } => self.failed.add(),
            HostEvent::SlowConsumer { .. } => self.slow_consumers.add(),
            HostEvent::Replaced { .. } => self.replaced.add(),
            HostEvent::Rejected { .. } => self.rejected.add(),
            HostEvent::RolledBack { .. } => self.rolled_back.add(),
            _ => {}
        }
    }
}
