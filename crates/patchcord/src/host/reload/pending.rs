//! Saves that have not taken effect yet, kept from one load to the next.

use std::{collections::BTreeSet, time::Instant};

/// Save that has not taken effect yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending {
    /// Paths of the namespaces of its scripts.
    pub(super) paths: BTreeSet<String>,
    /// Time since which an editor seems to be in the middle of the save; `None` if it was rejected.
    pub(super) written_since: Option<Instant>,
}
