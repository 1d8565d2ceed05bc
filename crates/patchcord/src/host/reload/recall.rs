//! Versions on disk: reads them at the start, restores the versions that served before a restart, and writes what takes
//! effect.

use super::{
    Reloader,
    history::{Bounds, Script, Scripts, Served},
    plan::Attempt,
    store::{Store, Stored, StoredFile, StoredVersion},
};
use crate::{
    event::{HostEvent, KeptReason},
    script::SourceFile,
};

impl Reloader {
    /// Reads the versions on disk at the first load.
    pub(super) fn recall(&self, scripts: &mut Scripts) {
        let (false, Some(folder)) = (scripts.stored.is_read, &self.options.reload.history) else {
            return;
        };
        scripts.stored.is_read = true;
        let store = match Store::open(folder) {
            Ok(store) => store,
            Err(problem) => return self.history_failed(problem),
        };
        scripts.bounds = Bounds::ON_DISK;
        let (batches, last, problems) = store.read();
        problems
            .into_iter()
            .for_each(|one| self.history_failed(one));
        for batch in batches {
            for version in &batch.versions {
                let script = scripts.by_namespace.entry(version.namespace.clone());
                let script = script.or_default();
                script.entry = version.script.to_string();
                let served = served(version);
                script.serving(
                    served,
                    (batch.batch, batch.time),
                    version.outcome,
                    scripts.bounds,
                );
                script.served_last = Some(version.version);
            }
            scripts.undone = batch.rolled_back;
        }
        scripts.batch = last;
        scripts.stored.store = Some(store);
    }

    /// Replaces versions that are tried for the first time after a restart. If the version that served before the
    /// restart has the same files, it takes their place, and so keeps its number. It also takes their place if the
    /// version of the files was rolled back. Returns the events to announce.
    pub(super) fn serve_as_before(
        &self,
        scripts: &Scripts,
        attempts: &mut [Attempt],
    ) -> Vec<HostEvent> {
        let mut kept = Vec::new();
        for attempt in attempts {
            let script = scripts.by_namespace.get(&attempt.path);
            let (Some(script), Ok(version)) = (script, &attempt.result) else {
                continue;
            };
            let last = script.served_last.and_then(|last| script.numbered(last));
            let Some(last) = last else { continue };
            let is_same = last.files == version.files();
            if !is_same && !was_rolled_back(scripts, script, version.files()) {
                continue;
            }
            let Ok(before) = last.version(&self.scripting) else {
                continue;
            };
            if !is_same {
                kept.push(HostEvent::KeptByRollback {
                    namespace: attempt.path.as_str().into(),
                    script: last.entry.clone(),
                    version: last.number,
                    reason: KeptReason::BeforeRestart,
                });
            }
            attempt.result = Ok(before);
        }
        kept
    }

    /// Writes the batches that are not written yet. A batch that cannot be written is tried again with the next one.
    pub(super) fn save(&self, scripts: &mut Scripts) {
        let present = scripts.by_namespace.values().filter(|one| one.is_present());
        let needed = present.filter_map(Script::last_batch).collect();
        let undone = scripts.undone.clone();
        let Stored {
            store: Some(store),
            unwritten,
            ..
        } = &mut scripts.stored
        else {
            return;
        };
        if let Some(last) = unwritten.back_mut() {
            last.rolled_back = undone;
        }
        let has_changed = !unwritten.is_empty();
        while let Some(batch) = unwritten.front() {
            if let Err(problem) = store.write(batch) {
                return self.history_failed(problem);
            }
            unwritten.pop_front();
        }
        if has_changed && let Err(problem) = store.trim(&needed) {
            self.history_failed(problem);
        }
    }

    fn history_failed(&self, problem: String) {
        self.announcer
            .announce(HostEvent::HistoryFailed { error: problem });
    }
}

/// Returns `true` if files are those of a version that was rolled back.
fn was_rolled_back(scripts: &Scripts, script: &Script, files: &[SourceFile]) -> bool {
    let mut versions = script.versions.iter().rev();
    let same = versions.find(|served| served.files == files);
    same.is_some_and(|served| scripts.undone.contains(&served.batch))
}

fn served(stored: &StoredVersion) -> Served {
    Served {
        number: stored.version,
        batch: stored.since,
        before: stored.before,
        entry: stored.script.clone(),
        files: stored.files.iter().map(StoredFile::source).collect(),
        compiled: None,
    }
}
