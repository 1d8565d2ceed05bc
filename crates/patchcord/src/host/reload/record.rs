//! Outcomes of the attempts to make versions serve.

use std::{sync::Arc, time::SystemTime};

use serde::{Deserialize, Serialize, Serializer};

/// One attempt to make a version of a script serve.
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
    /// Number of the version. A rejected version leaves its number to the next one.
    pub number: u64,
    /// Number of the batch: everything that took effect together has the same number, counted over the host. `None` for
    /// a rejected version.
    pub batch: Option<u64>,
    /// Time of the decision.
    #[serde(serialize_with = "seconds")]
    pub time: SystemTime,
    /// Hash that identifies the text: twelve hexadecimal digits.
    pub hash: Arc<str>,
    /// Files that were read.
    pub files: Vec<Arc<str>>,
    /// Outcome of the attempt.
    pub outcome: Outcome,
}

/// Outcome of an attempt to make a version serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The version was the first to serve its namespace, or the first after the file was gone.
    Loaded,
    /// The version replaced another one.
    Replaced,
    /// The version serves some clients, and has not served all of them so far.
    Staged,
    /// The version never served.
    Rejected,
    /// The version served before, and serves again in place of a later one.
    RolledBack,
}

fn seconds<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    to.serialize_f64(since.unwrap_or_default().as_secs_f64())
}
