//! Memory of the host between two loads: the last attempts, the versions that served before, and the outcomes.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Instant, SystemTime},
};

use serde::{Serialize, Serializer};

use super::snapshot::Texts;
use crate::{
    connection::Namespace,
    event::Kept,
    script::{self, SourceFile, Version},
};

/// Maximum earlier versions of a script that are kept for a rollback.
const KEPT_VERSIONS: usize = 8;
/// Maximum records in the history of a script.
const KEPT_RECORDS: usize = 32;

/// All scripts, by the paths of their namespaces.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    pub(super) by_namespace: BTreeMap<String, Script>,
    /// Time since when a file of a failing script is empty, missing, or changes while it is read.
    pub(super) written_since: Option<Instant>,
    /// Files that did not serve at the last load, because another file serves their namespace.
    pub(super) colliding: BTreeSet<String>,
    /// Texts that the last load read.
    pub(super) texts: Texts,
    /// Error of the last load, if it could not read the scripts.
    pub(super) unreadable: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) entry: String,
    /// Files that the last attempt to load the script read, whatever its outcome.
    pub(super) tried: Vec<SourceFile>,
    /// The script was valid, and was rejected because of others: the next batch tries it again.
    pub(super) held_back: bool,
    /// Highest number of a version that served.
    pub(super) number: u64,
    pub(super) missing_since: Option<Instant>,
    pub(super) namespace: Option<Arc<Namespace>>,
    /// Versions that served before the current one, the latest at the end.
    pub(super) previous: VecDeque<Arc<Version>>,
    pub(super) history: VecDeque<Record>,
}

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The version was the first to serve its namespace, or the first after the file was gone.
    Loaded,
    /// The version replaced another one.
    Replaced,
    /// The version never served.
    Rejected,
    /// The version served before, and serves again in place of a later one.
    RolledBack,
}

fn seconds<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    to.serialize_f64(since.unwrap_or_default().as_secs_f64())
}

impl Script {
    /// Returns the version that serves.
    pub(super) fn serves(&self) -> Option<Arc<Version>> {
        self.namespace
            .as_ref()
            .and_then(|namespace| namespace.version())
    }

    pub(super) fn kept(&self) -> Kept {
        Kept::new(&self.entry, self.serves().map(|version| version.number()))
    }

    /// Records that `version` serves now, and that `before` served until then.
    pub(super) fn serving(
        &mut self,
        version: &Arc<Version>,
        before: Option<Arc<Version>>,
        outcome: Outcome,
    ) {
        self.number = self.number.max(version.number());
        match (outcome, before) {
            (Outcome::RolledBack, _) => drop(self.previous.pop_back()),
            (_, Some(before)) => {
                self.previous.push_back(before);
                if self.previous.len() > KEPT_VERSIONS {
                    self.previous.pop_front();
                }
            }
            (_, None) => self.previous.clear(),
        }
        self.note(version.number(), version.files(), outcome);
    }

    /// Records that the last attempt was rejected.
    pub(super) fn rejected(&mut self) {
        let files = std::mem::take(&mut self.tried);
        self.note(self.number + 1, &files, Outcome::Rejected);
        self.tried = files;
    }

    fn note(&mut self, number: u64, files: &[SourceFile], outcome: Outcome) {
        self.history.push_back(Record {
            number,
            time: SystemTime::now(),
            hash: script::hash(files),
            files: files.iter().map(|file| file.name.clone()).collect(),
            outcome,
        });
        if self.history.len() > KEPT_RECORDS {
            self.history.pop_front();
        }
    }
}
