//! State of the scripts between two loads: the last attempts with their outcomes, and the versions that have served.

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
    script::{self, SourceFile, Version},
};

/// Maximum number of versions of a script that stay compiled, including the one that serves. Other versions are
/// compiled again for a rollback.
const KEPT_COMPILED: usize = 9;
/// Maximum number of records of rejected versions of a script, so that rejected saves do not displace the versions that
/// have served.
const KEPT_REJECTED: usize = 16;

/// Maximum numbers of versions and records of one script.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Maximum number of versions that are kept for a rollback, including the one that serves.
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
    /// Bounds of a host that keeps its versions on disk.
    pub(super) const ON_DISK: Self = Self {
        versions: 100,
        records: 128,
    };
}

/// State of all scripts.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    pub(super) by_namespace: BTreeMap<String, Script>,
    /// Saves that have not taken effect yet. Every later load tries each of them again.
    pub(super) pending: Vec<Pending>,
    /// Ignored files, with the reasons; they were already announced.
    pub(super) ignored: BTreeMap<String, String>,
    /// Number of the last batch that took effect.
    pub(super) batch: u64,
    /// Numbers of the batches that were rolled back. A later rollback skips their versions.
    pub(super) undone: BTreeSet<u64>,
    pub(super) bounds: Bounds,
    /// State of the versions on disk.
    pub(super) stored: Stored,
    /// Batch that is staged, if there is one.
    pub(super) staged: Option<StagedBatch>,
    /// `true` while the host is paused, and saves wait until it is resumed.
    pub(super) is_paused: bool,
    /// Names of the files that did not serve at the last load, because another file serves their namespace.
    pub(super) colliding: BTreeSet<String>,
    /// Texts that the last load has read.
    pub(super) texts: Texts,
    /// Error of the last load, if it could not read the scripts.
    pub(super) unreadable: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Script {
    pub(super) entry: String,
    /// Files that the last attempt to load the script has read, whether it succeeded or not.
    pub(super) tried: Vec<SourceFile>,
    /// `true` if the last attempt was rejected.
    pub(super) is_rejected: bool,
    /// Version that serves, if a save has restored its files after a rejected save, and this has not been announced
    /// yet.
    pub(super) undone_save: Option<Arc<Version>>,
    /// Number of the version that served before the restart of the host; `None` once a version serves.
    pub(super) served_last: Option<u64>,
    /// Highest number of a version that has served or was staged.
    pub(super) number: u64,
    pub(super) missing_since: Option<Instant>,
    pub(super) namespace: Option<Arc<Namespace>>,
    /// Versions that serve or have served, in the order in which they first served.
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
    /// Files from which it is compiled, with their texts.
    pub(super) files: Vec<SourceFile>,
    pub(super) compiled: Option<Arc<Version>>,
}

impl Served {
    /// Creates the entry of a staged version, which has no batch yet.
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

    /// Returns the version in the form that is written to disk.
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

    /// Returns the version. Compiles it from its texts if it is not in memory.
    ///
    /// # Errors
    /// Returns the diagnostics if the texts no longer compile.
    pub(super) fn version(&self, scripting: &Scripting) -> Result<Arc<Version>, Vec<Diagnostic>> {
        match &self.compiled {
            Some(version) => Ok(version.clone()),
            None => scripting
                .compile_again(&self.files, &self.entry, self.number)
                .map_err(|rejected| rejected.diagnostics),
        }
    }
}

impl Scripts {
    /// Records that a version serves a namespace from a batch on, and which version it replaced. Returns the number of
    /// the batch, or, if the same version served before a restart, the number of its last batch before the restart.
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

    /// Returns a copy for a preview, without the store, so that changes of the copy are not written to disk.
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

    /// Returns the events for scripts whose files are again those of the version that serves, after a rejected save.
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

    /// Forgets the batches that were rolled back, and of which no version is kept.
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

    /// Returns `true` if a version serves, or will serve again as soon as its file compiles.
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

    /// Returns the version with a number, unless the host has forgotten it.
    pub(super) fn numbered(&self, number: u64) -> Option<&Served> {
        self.versions.iter().find(|served| served.number == number)
    }

    /// Returns the version that served before the current one. Skips versions that were rolled back.
    pub(super) fn before(&self, undone: &BTreeSet<u64>) -> Option<&Served> {
        let mut before = self.served()?;
        // The loop is bounded, because the links between versions come from disk, and may form a cycle.
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

    /// Records that a version serves from a batch on.
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

    /// Forgets the oldest version if there are too many. Versions that no rollback from `serving` can reach are
    /// forgotten first.
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
            // The links between versions come from disk, and may form a cycle.
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
