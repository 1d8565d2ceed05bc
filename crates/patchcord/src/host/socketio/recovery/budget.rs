//! Limits of recovery for the whole host: the time, the memory of all logs, and the number of kept connections.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::host::options::Options;

/// Maximum interval at which expired connections and events are freed.
const MAX_SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// Minimum of the same interval.
const MIN_SWEEP_INTERVAL: Duration = Duration::from_millis(50);

/// Kept connections and logged events of one namespace.
pub(super) trait Shelf: Send + Sync {
    /// Ends a kept connection, if it is still kept with this number.
    fn end(&self, pid: &str, number: u64);

    /// Returns the memory of the log, in bytes.
    fn bytes(&self) -> usize;

    /// Frees the oldest events: at least `bytes`, and all events from before `before`. Returns the number of bytes
    /// freed.
    fn give_up(&self, bytes: usize, before: Option<Instant>) -> usize;
}

/// Limits of recovery, and what counts toward them.
pub(in crate::host) struct Recovery {
    options: Arc<Options>,
    /// Time for which a connection is kept.
    time: Duration,
    /// Memory of all logs, in bytes.
    bytes: AtomicUsize,
    kept: Mutex<Kept>,
    shelves: Mutex<Vec<Weak<dyn Shelf>>>,
    sweeps: AtomicBool,
    /// `true` if the next process takes over the kept connections.
    is_handed_over: bool,
    closing: CancellationToken,
}

#[derive(Default)]
struct Kept {
    last: u64,
    /// Kept connections, the oldest first.
    by_number: BTreeMap<u64, KeptOne>,
}

struct KeptOne {
    until: Instant,
    shelf: Weak<dyn Shelf>,
    pid: Arc<str>,
}

impl std::fmt::Debug for Recovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recovery").finish_non_exhaustive()
    }
}

impl Recovery {
    /// Returns the limits; `None` if recovery is off.
    pub(in crate::host) fn new(
        options: &Arc<Options>,
        is_handed_over: bool,
        closing: CancellationToken,
    ) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            is_handed_over,
            time: options.clients.recovery?,
            options: options.clone(),
            bytes: AtomicUsize::new(0),
            kept: Mutex::default(),
            shelves: Mutex::default(),
            sweeps: AtomicBool::new(false),
            closing,
        }))
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Returns `true` if the next process takes over the kept connections.
    pub(in crate::host) const fn is_handed_over(&self) -> bool {
        self.is_handed_over
    }

    /// Returns `true` if nothing is kept any more, because the host is closing, and no other process takes it over.
    pub(super) fn gives_up(&self) -> bool {
        !self.is_handed_over && self.closing.is_cancelled()
    }

    /// Adds a namespace.
    pub(super) fn add(&self, shelf: Weak<dyn Shelf>) {
        let mut shelves = self.shelves.lock();
        shelves.retain(|one| one.strong_count() > 0);
        shelves.push(shelf);
    }

    /// Starts to free expired connections and events, at intervals. Called on a Tokio runtime.
    pub(in crate::host::socketio) fn start_sweeping(self: &Arc<Self>) {
        if self.sweeps.swap(true, Ordering::Relaxed) {
            return;
        }
        let (recovery, closing) = (Arc::downgrade(self), self.closing.clone());
        let interval = self.time / 4;
        let interval = interval.clamp(MIN_SWEEP_INTERVAL, MAX_SWEEP_INTERVAL);
        tokio::spawn(async move {
            while timeout(interval, closing.cancelled()).await.is_err() {
                match recovery.upgrade() {
                    Some(recovery) => recovery.sweep(Instant::now()),
                    None => return,
                }
            }
            // Kept connections refer to what keeps them.
            if let Some(recovery) = recovery.upgrade().filter(|one| !one.is_handed_over) {
                end(std::mem::take(&mut recovery.kept.lock().by_number));
            }
        });
    }

    /// Returns the number of the next kept connection, and the time until which it is kept.
    pub(super) fn next(&self) -> (u64, Instant) {
        let mut kept = self.kept.lock();
        kept.last += 1;
        (kept.last, Instant::now() + self.time)
    }

    /// Counts a kept connection. Ends the oldest ones if there are too many. Called without a lock.
    pub(super) fn keep(
        &self,
        (number, until): (u64, Instant),
        shelf: Weak<dyn Shelf>,
        pid: &Arc<str>,
    ) {
        let mut kept = self.kept.lock();
        let one = KeptOne {
            until,
            shelf,
            pid: pid.clone(),
        };
        kept.by_number.insert(number, one);
        let mut oldest = Vec::new();
        while kept.by_number.len() > self.options.clients.max_kept() {
            oldest.extend(kept.by_number.pop_first());
        }
        drop(kept);
        end(oldest);
    }

    /// Stops counting a connection, because its client has come back.
    pub(super) fn forget(&self, number: u64) {
        self.kept.lock().by_number.remove(&number);
    }

    /// Counts memory of a log. Frees the oldest events of the largest logs if there is too much. Called without a lock.
    pub(super) fn add_bytes(&self, bytes: usize) {
        let total = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if total > self.options.clients.recovery_log {
            self.trim();
        }
    }

    pub(super) fn remove_bytes(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Frees events until a sixteenth of the maximum is free, so that this happens rarely.
    fn trim(&self) {
        let max = self.options.clients.recovery_log;
        let shelves: Vec<_> = {
            let shelves = self.shelves.lock();
            shelves.iter().filter_map(Weak::upgrade).collect()
        };
        loop {
            let total = self.bytes.load(Ordering::Relaxed);
            let excess = total.saturating_sub(max - max / 16);
            let largest = shelves.iter().max_by_key(|shelf| shelf.bytes());
            match largest {
                Some(shelf) if excess > 0 && shelf.give_up(excess, None) > 0 => {}
                _ => return,
            }
        }
    }

    fn sweep(&self, now: Instant) {
        let mut expired = Vec::new();
        {
            let mut kept = self.kept.lock();
            while let Some(first) = kept.by_number.first_entry()
                && first.get().until <= now
            {
                expired.push(first.remove_entry());
            }
        }
        end(expired);
        // A connection may have been dead for this long before it was kept.
        let transport = &self.options.transport;
        let unnoticed = transport.ping_interval + transport.ping_timeout;
        let Some(before) = now.checked_sub(self.time + unnoticed) else {
            return;
        };
        let shelves = self.shelves.lock().clone();
        for shelf in shelves.iter().filter_map(Weak::upgrade) {
            shelf.give_up(0, Some(before));
        }
    }
}

fn end(kept: impl IntoIterator<Item = (u64, KeptOne)>) {
    for (number, one) in kept {
        if let Some(shelf) = one.shelf.upgrade() {
            shelf.end(&one.pid, number);
        }
    }
}
