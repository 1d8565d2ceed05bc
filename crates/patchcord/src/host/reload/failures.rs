//! Counts failed calls of scripts, to find versions that fail where the previous version did not.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::diagnostic::Diagnostic;

/// Minimum number of connections on which a version must fail for an automatic rollback.
pub(super) const MIN_CONNECTIONS: usize = 5;
/// Minimum share of these connections among all connections of the namespace: one in this many.
pub(super) const MIN_SHARE: usize = 20;
/// Maximum age of a failure that counts for an automatic rollback.
const FAILURE_WINDOW: Duration = Duration::from_secs(30);
/// Maximum number of distinct places of errors that are tracked for a version; failures at further places do not count.
const MAX_PLACES: usize = 256;

/// Failures of a version of a script: their places, and the connections on which it failed.
#[derive(Debug, Default)]
pub(super) struct Failures {
    version: u64,
    /// Places where the previous version failed.
    known: BTreeSet<Fault>,
    /// Places where this version failed.
    seen: BTreeSet<Fault>,
    /// Sockets on which this version failed at places where the previous version did not, with the time of the last
    /// failure.
    sockets: HashMap<Arc<str>, Instant>,
}

impl Failures {
    /// Forgets the connections on which the version failed.
    pub(super) fn forget_sockets(&mut self) {
        self.sockets.clear();
    }

    /// Returns `true` if the version has failed at a place.
    pub(super) fn has_seen(&self, fault: &Fault) -> bool {
        self.seen.contains(fault)
    }

    /// Adds a failure of a version. Returns the number of connections on which the version has recently failed at
    /// places where the previous version did not; 0 if this failure does not count.
    pub(super) fn add(&mut self, version: u64, fault: Fault, socket: &Arc<str>) -> usize {
        if self.version != version {
            *self = Self {
                version,
                known: std::mem::take(&mut self.seen),
                ..Self::default()
            };
        }
        let is_new = !self.known.contains(&fault);
        if self.seen.len() < MAX_PLACES {
            self.seen.insert(fault);
        } else if !self.seen.contains(&fault) {
            return 0;
        }
        if !is_new {
            return 0;
        }
        let now = Instant::now();
        self.sockets.insert(socket.clone(), now);
        self.sockets
            .retain(|_, last| now.duration_since(*last) <= FAILURE_WINDOW);
        self.sockets.len()
    }
}

/// Place of an error: the file and the text of the line. It does not contain the line number, because the number
/// changes with every edit above the line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fault {
    file: Arc<str>,
    line: String,
}

impl Fault {
    pub(super) fn new(diagnostic: &Diagnostic) -> Self {
        let place = diagnostic.place.as_ref();
        let text = place.and_then(|place| place.source.as_ref()?.lines().nth(place.line - 1));
        Self {
            file: place.map_or_else(|| "".into(), |place| place.file.clone()),
            line: text.unwrap_or(&diagnostic.message).trim().to_owned(),
        }
    }
}
