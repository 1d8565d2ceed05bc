//! What the host remembers of the scripts between two loads: what was tried, what served before, and what came of it.

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

/// So many versions of a script are kept for rolling back.
const KEPT_VERSIONS: usize = 8;
/// So much is remembered of the history of a script.
const KEPT_RECORDS: usize = 32;

/// Every script, by the path of its namespace.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    pub(super) by_namespace: BTreeMap<String, Script>,
    /// Since when a file of a script that fails is empty, missing, or changes while it is read.
    pub(super) written_since: Option<Instant>,
    /// The files that did not serve at the last load because another one serves their namespace.
    pub(super) colliding: BTreeSet<String>,
    /// What the last load has read.
    pub(super) texts: Texts,
    /// Why they could not be read at the last load.
    pub(super) unreadable: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) entry: String,
    /// What the last attempt to load it read, whatever came of it.
    pub(super) tried: Vec<SourceFile>,
    /// It was fine itself, and rejected because of others: the next batch tries it again.
    pub(super) held_back: bool,
    /// The highest number of a version that served.
    pub(super) number: u64,
    pub(super) missing_since: Option<Instant>,
    pub(super) namespace: Option<Arc<Namespace>>,
    /// The versions that served before the one that serves, the last one at the end.
    pub(super) previous: VecDeque<Arc<Version>>,
    pub(super) history: VecDeque<Record>,
}

/// One attempt to have a version of a script serve.
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
    /// The number of the version; one that was rejected leaves its number to the next.
    pub number: u64,
    /// When it was decided.
    #[serde(serialize_with = "seconds")]
    pub time: SystemTime,
    /// What the text is known by: twelve hexadecimal digits.
    pub hash: Arc<str>,
    /// The files that were read.
    pub files: Vec<Arc<str>>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// It was the first to serve its namespace, or the first after the file was gone.
    Loaded,
    /// It took the place of another one.
    Replaced,
    /// It never served.
    Rejected,
    /// It served before, and serves again in the place of a later one.
    RolledBack,
}

fn seconds<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    to.serialize_f64(since.unwrap_or_default().as_secs_f64())
}

impl Script {
    /// The version that serves.
    pub(super) fn serves(&self) -> Option<Arc<Version>> {
        self.namespace
            .as_ref()
            .and_then(|namespace| namespace.version())
    }

    pub(super) fn kept(&self) -> Kept {
        Kept::new(&self.entry, self.serves().map(|version| version.number()))
    }

    /// Notes that `version` serves now, and `before` did until then.
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

    /// Notes that what was tried is rejected.
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
