//! Memory of the host between two loads: the last attempts, the versions that served before, and the outcomes.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{
    pending::Pending,
    record::{Outcome, Record},
    snapshot::Texts,
    staged_batch::StagedBatch,
    store::{Stored, StoredFile, StoredVersion},
};
use crate::{
    connection::Namespace,
    diagnostic::Diagnostic,
    event::{HostEvent, UnchangedScript},
    host::scripting::Scripting,
    script::{self, LoadError, Loader, SourceFile, Version},
};

/// Maximum compiled versions of a script, the one that serves included. Others are compiled again for a rollback.
const KEPT_COMPILED: usize = 9;
/// Maximum records of rejected versions among these, so that versions that served are not pushed out by mistakes.
const KEPT_REJECTED: usize = 16;

/// Maximum entries in the memory of a script.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Versions that are kept for a rollback, the one that serves included.
    versions: usize,
    records: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            versions: KEPT_COMPILED,
            records: 32,
        }
    }
}

impl Bounds {
    /// Maxima of a host that keeps its versions on disk.
    pub(super) const ON_DISK: Self = Self {
        versions: 100,
        records: 128,
    };
}

/// All scripts, by the paths of their namespaces.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    pub(super) by_namespace: BTreeMap<String, Script>,
    /// Saves that have not taken effect: each is looked at again with every later change.
    pub(super) pending: Vec<Pending>,
    /// What was announced as left alone, with the reasons.
    pub(super) ignored: BTreeMap<String, String>,
    /// Number of the last batch that took effect.
    pub(super) batch: u64,
    /// Batches that were rolled back: a rollback passes over their versions.
    pub(super) undone: BTreeSet<u64>,
    pub(super) bounds: Bounds,
    /// Versions on disk, if there are any.
    pub(super) stored: Stored,
    /// Versions that some clients have before all others.
    pub(super) staged: Option<StagedBatch>,
    /// Saves wait until the host is resumed.
    pub(super) is_paused: bool,
    /// Files that did not serve at the last load, because another file serves their namespace.
    pub(super) colliding: BTreeSet<String>,
    /// Texts that the last load read.
    pub(super) texts: Texts,
    /// Error of the last load, if it could not read the scripts.
    pub(super) unreadable: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    pub(super) entry: String,
    /// Files that the last attempt to load the script read, whatever its outcome.
    pub(super) tried: Vec<SourceFile>,
    /// The last attempt was rejected.
    pub(super) is_rejected: bool,
    /// Version that serves, and whose files were saved again after a rejected save; not announced so far.
    pub(super) undone_save: Option<Arc<Version>>,
    /// Number of the version that served before the host was started again, until a version serves.
    pub(super) served_last: Option<u64>,
    /// Highest number of a version that served.
    pub(super) number: u64,
    pub(super) missing_since: Option<Instant>,
    pub(super) namespace: Option<Arc<Namespace>>,
    /// Versions that serve or have served, in the order in which they first did.
    pub(super) versions: VecDeque<Served>,
    pub(super) history: VecDeque<Record>,
}

/// Version that serves or has served.
#[derive(Debug, Clone)]
pub(super) struct Served {
    pub(super) number: u64,
    /// Number of the batch with which it first served.
    pub(super) batch: u64,
    /// Number of the version that it replaced then.
    pub(super) before: Option<u64>,
    pub(super) entry: Arc<str>,
    /// Texts that it is compiled from.
    pub(super) files: Vec<SourceFile>,
    pub(super) compiled: Option<Arc<Version>>,
}

/// Texts of one version, as the source of scripts that it is compiled from.
#[derive(Debug)]
struct TextsOf<'a>(&'a [SourceFile]);

impl Loader for TextsOf<'_> {
    fn list(&self) -> Result<Vec<String>, LoadError> {
        let there = self.0.iter().filter(|file| file.text.is_some());
        Ok(there.map(|file| file.name.to_string()).collect())
    }

    fn read(&self, name: &str) -> Result<String, LoadError> {
        let file = self.0.iter().find(|file| &*file.name == name);
        let text = file.and_then(|file| file.text.as_deref());
        text.map(str::to_owned)
            .ok_or_else(|| LoadError::NotFound(name.to_owned()))
    }
}

impl Served {
    /// Creates the entry of a version that some clients have, and that no batch has.
    pub(super) fn staged(version: &Arc<Version>) -> Self {
        Self {
            number: version.number(),
            batch: 0,
            before: None,
            entry: version.entry().clone(),
            files: version.files().to_vec(),
            compiled: Some(version.clone()),
        }
    }

    /// Returns the version as it is written to disk.
    fn stored(&self, namespace: &str, outcome: Outcome) -> StoredVersion {
        StoredVersion {
            namespace: namespace.to_owned(),
            script: self.entry.clone(),
            version: self.number,
            outcome,
            before: self.before,
            since: self.batch,
            files: self.files.iter().map(StoredFile::new).collect(),
        }
    }

    /// Returns the version, compiled from its texts if it is not in memory.
    ///
    /// # Errors
    /// The diagnostics, if the texts no longer compile.
    pub(super) fn version(&self, scripting: &Scripting) -> Result<Arc<Version>, Vec<Diagnostic>> {
        match &self.compiled {
            Some(version) => Ok(version.clone()),
            None => scripting
                .compile(&TextsOf(&self.files), &self.entry, self.number, None)
                .map(Arc::new)
                .map_err(|rejected| rejected.diagnostics),
        }
    }
}

impl Scripts {
    /// Records that a version serves a namespace with a batch, and which version it replaced. Returns the number of the
    /// batch: that from before the start, if the version served then.
    pub(super) fn serving(
        &mut self,
        (path, version): (&str, &Arc<Version>),
        replaced: Option<u64>,
        (batch, time): (u64, SystemTime),
        outcome: Outcome,
    ) -> u64 {
        let Some(script) = self.by_namespace.get_mut(path) else {
            return batch;
        };
        let served_last = script.served_last.take();
        let known = script.versions.iter_mut();
        let known = known.into_iter().find(|one| one.number == version.number());
        let served = match known {
            Some(known) => {
                known.compiled = Some(version.clone());
                known.clone()
            }
            None => Served {
                number: version.number(),
                batch,
                before: replaced.or(served_last),
                entry: version.entry().clone(),
                files: version.files().to_vec(),
                compiled: Some(version.clone()),
            },
        };
        if outcome == Outcome::Loaded && served.batch != batch {
            return script.last_batch().unwrap_or(batch);
        }
        self.batch = batch;
        self.stored
            .note(batch, time, || served.stored(path, outcome));
        script.serving(served, (batch, time), outcome, self.bounds);
        batch
    }

    /// Returns a copy that no store belongs to, for what only looks at it.
    pub(super) fn copy(&self) -> Self {
        Self {
            by_namespace: self.by_namespace.clone(),
            pending: self.pending.clone(),
            ignored: self.ignored.clone(),
            batch: self.batch,
            undone: self.undone.clone(),
            bounds: self.bounds,
            stored: Stored::default(),
            staged: None,
            is_paused: self.is_paused,
            colliding: self.colliding.clone(),
            texts: Texts::default(),
            unreadable: self.unreadable.clone(),
        }
    }

    /// Returns the events of scripts whose files are again those of the version that serves, after a rejected save.
    pub(super) fn take_undone_saves(&mut self) -> Vec<HostEvent> {
        let scripts = self.by_namespace.iter_mut();
        let undone = scripts.filter_map(|(path, script)| {
            Some(HostEvent::Unchanged {
                namespace: path.as_str().into(),
                version: script.undone_save.take()?.number(),
                script: script.entry.as_str().into(),
            })
        });
        undone.collect()
    }

    /// Forgets batches that were rolled back, and of which no version is kept.
    pub(super) fn forget_undone(&mut self) {
        let versions = self.by_namespace.values().flat_map(|one| &one.versions);
        let kept: BTreeSet<_> = versions.map(|served| served.batch).collect();
        self.undone.retain(|batch| kept.contains(batch));
    }
}

impl Script {
    /// Returns the version that serves.
    pub(super) fn serves(&self) -> Option<Arc<Version>> {
        self.namespace
            .as_ref()
            .and_then(|namespace| namespace.version())
    }

    /// Returns whether a version serves, or will serve again once its file compiles.
    pub(super) fn is_present(&self) -> bool {
        !self.tried.is_empty() || self.serves().is_some()
    }

    pub(super) fn kept(&self) -> UnchangedScript {
        UnchangedScript::new(&self.entry, self.serves().map(|version| version.number()))
    }

    /// Returns the entry of the version that serves.
    pub(super) fn served(&self) -> Option<&Served> {
        self.numbered(self.serves()?.number())
    }

    /// Returns the version of a number, unless the host has forgotten it.
    pub(super) fn numbered(&self, number: u64) -> Option<&Served> {
        self.versions.iter().find(|served| served.number == number)
    }

    /// Returns the version that served before the current one, without those that were rolled back.
    pub(super) fn before(&self, undone: &BTreeSet<u64>) -> Option<&Served> {
        let mut before = self.served()?;
        // A bound, because what is read from disk may lead in a circle.
        for _ in &self.versions {
            before = self.numbered(before.before?)?;
            if !undone.contains(&before.batch) {
                return Some(before);
            }
        }
        None
    }

    /// Returns the number of the last batch that made a version serve.
    pub(super) fn last_batch(&self) -> Option<u64> {
        self.history.iter().rev().find_map(|record| record.batch)
    }

    /// Records that a version serves now, with a batch.
    pub(super) fn serving(
        &mut self,
        served: Served,
        (batch, time): (u64, SystemTime),
        outcome: Outcome,
        bounds: Bounds,
    ) {
        self.number = self.number.max(served.number);
        self.is_rejected = false;
        if outcome != Outcome::RolledBack && served.before.is_none() {
            self.versions.clear();
        }
        let record = Record {
            number: served.number,
            batch: Some(batch),
            time,
            hash: script::hash(&served.files),
            files: served.files.iter().map(|file| file.name.clone()).collect(),
            outcome,
        };
        if self.numbered(served.number).is_none() {
            let number = served.number;
            self.versions.push_back(served);
            self.forget_old(number, bounds);
        }
        self.note(record, bounds);
    }

    /// Forgets the oldest version if there are too many, and first those that no rollback from `serving` leads to.
    fn forget_old(&mut self, serving: u64, bounds: Bounds) {
        let compiled = self.versions.iter().rev();
        let compiled = compiled.filter(|served| served.compiled.is_some());
        if let Some(number) = compiled.map(|served| served.number).nth(KEPT_COMPILED) {
            let old = self.versions.iter_mut().find(|one| one.number == number);
            old.into_iter().for_each(|old| old.compiled = None);
        }
        if self.versions.len() <= bounds.versions {
            return;
        }
        let mut reached = BTreeSet::new();
        let mut next = Some(serving);
        while let Some(served) = next.and_then(|number| self.numbered(number)) {
            // What is read from disk may lead in a circle.
            let is_new = reached.insert(served.number);
            next = served.before.filter(|_| is_new);
        }
        let mut versions = self.versions.iter();
        let index = versions.position(|served| !reached.contains(&served.number));
        self.versions.remove(index.unwrap_or_default());
    }

    /// Records that the last attempt was rejected.
    pub(super) fn rejected(&mut self, bounds: Bounds) {
        self.is_rejected = true;
        let record = Record {
            number: self.number + 1,
            batch: None,
            time: SystemTime::now(),
            hash: script::hash(&self.tried),
            files: self.tried.iter().map(|file| file.name.clone()).collect(),
            outcome: Outcome::Rejected,
        };
        self.note(record, bounds);
    }

    fn note(&mut self, record: Record, bounds: Bounds) {
        self.history.push_back(record);
        let is_rejected = |record: &Record| record.outcome == Outcome::Rejected;
        let rejected = self.history.iter().filter(|record| is_rejected(record));
        let oldest = match rejected.count() > KEPT_REJECTED {
            true => self.history.iter().position(is_rejected),
            false => (self.history.len() > bounds.records).then_some(0),
        };
        if let Some(oldest) = oldest {
            self.history.remove(oldest);
        }
    }
}
