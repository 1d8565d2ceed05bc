//! Records of the attempts to make versions serve, with their outcomes.

use std::{sync::Arc, time::SystemTime};

use serde::{Deserialize, Serialize, Serializer};

/// Record of one attempt to make a version of a script serve. Returned by [`Host::history`](crate::Host::history).
///
/// ```
/// use patchcord::{host::Outcome, testing::TestHost};
///
/// let mut host = TestHost::new("fn on_connection(socket) { }");
/// host.edit("main.rhai", "fn on_connection(socket) { socket.emti(); }");
/// let outcomes: Vec<_> = host.history("/").iter().map(|record| record.outcome).collect();
/// assert_eq!(outcomes, [Outcome::Loaded, Outcome::Rejected]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Record {
    /// Number of the version. The next version after a rejected one has the same number.
    pub number: u64,
    /// Number of the batch. Versions that took effect together have the same number; batches are counted over all
    /// namespaces. `None` for a version that was rejected or is only staged.
    pub batch: Option<u64>,
    /// Time of the decision; serialized as seconds since 1970.
    #[serde(serialize_with = "seconds")]
    pub time: SystemTime,
    /// Hash of the names and texts of all files: twelve hexadecimal digits.
    pub hash: Arc<str>,
    /// Names of the files that were read, the entry file first.
    pub files: Vec<Arc<str>>,
    /// Outcome of the attempt.
    pub outcome: Outcome,
}

/// Outcome of an attempt to make a version serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The version was the first to serve its namespace, or the first since its file was missing.
    Loaded,
    /// The version replaced another one.
    Replaced,
    /// The version is staged: it serves some clients, and has not served all of them yet.
    Staged,
    /// The version was rejected, and never served.
    Rejected,
    /// The version served before, and serves again in place of a later one.
    RolledBack,
}

fn seconds<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    to.serialize_f64(since.unwrap_or_default().as_secs_f64())
}
