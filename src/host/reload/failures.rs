//! Where calls of scripts fail, and whether a version fails where the one before it did not.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::diagnostic::Diagnostic;

/// A version is rolled back by itself when it fails on so many connections,
pub(super) const MIN_CONNECTIONS: usize = 5;
/// which are at least one in so many of its namespace,
pub(super) const ONE_IN: usize = 20;
/// within this time.
const WITHIN: Duration = Duration::from_secs(30);
/// So many places of errors are told apart; further ones count for no version.
const MAX_PLACES: usize = 256;

/// Where calls of a script fail, and on which connections.
#[derive(Debug, Default)]
pub(super) struct Failures {
    version: u64,
    /// Where the version before failed.
    known: BTreeSet<Fault>,
    /// Where this one does, too.
    seen: BTreeSet<Fault>,
    /// The connections on which it failed elsewhere, and when it did last.
    sockets: HashMap<Arc<str>, Instant>,
}

impl Failures {
    /// Forgets on which connections it fails.
    pub(super) fn forget_sockets(&mut self) {
        self.sockets.clear();
    }

    /// Adds a failure of a version, and gives on how many connections it fails where the one before did not.
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
            .retain(|_, last| now.duration_since(*last) <= WITHIN);
        self.sockets.len()
    }
}

/// The place of an error: the file and the text of the line, for its number changes with every edit above it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fault {
    file: Arc<str>,
    line: String,
}

impl Fault {
    pub(super) fn of(diagnostic: &Diagnostic) -> Self {
        let place = diagnostic.place.as_ref();
        let text = place.and_then(|place| place.source.as_ref()?.lines().nth(place.line - 1));
        Self {
            file: place.map_or_else(|| "".into(), |place| place.file.clone()),
            line: text.unwrap_or(&diagnostic.message).trim().to_owned(),
        }
    }
}
