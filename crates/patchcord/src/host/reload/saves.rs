//! Groups scripts that take effect together: those that were saved together, and belong to something that serves.
//!
//! In: the attempts of a load, and earlier saves that have not taken effect. Out: [`Save`]s, each of which takes effect
//! as a whole or not at all.
//!
//! A script that does not serve yet is a save of its own, so it never holds back another script. The same holds for a
//! script that the system cannot read now. A save that was rejected, or that an editor is still writing, is kept as a
//! whole: every later load tries it again, and a change of one of its scripts joins it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{
    history::Scripts,
    pending::Pending,
    plan::{Attempt, Plan},
    snapshot,
};
use crate::{
    diagnostic::Diagnostic,
    script::{LoadError, Loader, SourceFile},
};

/// Scripts that take effect together or not at all.
#[derive(Default)]
pub(super) struct Save {
    pub(super) attempts: Vec<Attempt>,
    /// Paths of the namespaces of those scripts that are new or have changed.
    fresh: BTreeSet<String>,
    pending: Pending,
}

/// Returns the saves of the plan. The scripts that do not serve yet come first, each as a save of its own.
pub(super) fn saves_of(plan: Plan, scripts: &mut Scripts) -> Vec<Save> {
    let by_path = plan.attempts.into_iter().map(|one| (one.path.clone(), one));
    let mut attempts: BTreeMap<_, _> = by_path.collect();
    let (mut alone, mut together) = (Vec::new(), Vec::new());
    let fresh = Pending {
        paths: plan.fresh.clone(),
        written_since: None,
    };
    let pending = std::mem::take(&mut scripts.pending);
    for mut saved in std::iter::once(fresh).chain(pending) {
        // The files of the other scripts of the save equal those of the versions that serve, or are gone.
        saved.paths.retain(|path| attempts.contains_key(path));
        let serving = saved
            .paths
            .iter()
            .filter(|path| serves(scripts, path) && !plan.unread.contains(*path));
        let serving: BTreeSet<_> = serving.cloned().collect();
        let written_since = saved.written_since;
        let part = |paths| Pending {
            paths,
            written_since,
        };
        for path in saved.paths.difference(&serving) {
            join(&mut alone, part([path.clone()].into()));
        }
        join(&mut together, part(serving));
    }
    let saved = alone.into_iter().chain(together);
    let saves = saved.map(|pending| Save {
        attempts: pending
            .paths
            .iter()
            .filter_map(|path| attempts.remove(path))
            .collect(),
        fresh: pending.paths.intersection(&plan.fresh).cloned().collect(),
        pending,
    });
    let mut saves: Vec<_> = saves.collect();
    let displaced = plan.displaced.into_iter().map(|attempt| Save {
        fresh: [attempt.path.clone()].into(),
        attempts: vec![attempt],
        pending: Pending::default(),
    });
    saves.extend(displaced);
    saves
}

/// Returns `true` if the file that is tried for a namespace is the one that serves it.
fn serves(scripts: &Scripts, path: &str) -> bool {
    let script = scripts.by_namespace.get(path);
    script.is_some_and(|script| {
        let version = script.serves();
        version.is_some_and(|version| **version.entry() == *script.entry)
    })
}

/// Adds a save. If it has a script in common with an earlier save, it joins that one.
fn join(saves: &mut Vec<Pending>, saved: Pending) {
    if saved.paths.is_empty() {
        return;
    }
    let common = saves
        .iter_mut()
        .find(|one| !one.paths.is_disjoint(&saved.paths));
    match common {
        Some(common) => {
            common.paths.extend(saved.paths);
            let times = [common.written_since, saved.written_since];
            common.written_since = times.into_iter().flatten().min();
        }
        None => saves.push(saved),
    }
}

impl Save {
    /// Returns `true` if its outcome is to be announced, because one of its scripts has changed, or nothing has been
    /// announced yet.
    pub(super) fn has_changed(&self) -> bool {
        !self.fresh.is_empty() || self.pending.written_since.is_some()
    }

    /// Returns `true` if an editor seems to be still writing the save: one of its scripts fails, and has a file that is
    /// empty or missing, or has changed since it was read. After the grace period, the save counts as finished.
    pub(super) fn is_being_written(
        &mut self,
        scripts: &Scripts,
        loader: &dyn Loader,
        grace: Duration,
    ) -> bool {
        let since = self.pending.written_since;
        let failed = self.attempts.iter().filter(|attempt| {
            attempt.result.is_err() && (since.is_some() || self.fresh.contains(&attempt.path))
        });
        let mut failed = failed.filter_map(|one| scripts.by_namespace.get(&one.path));
        if !failed.any(|script| {
            script
                .tried
                .iter()
                .any(|file| is_half_written(file, loader))
        }) {
            return false;
        }
        let since = *self.pending.written_since.get_or_insert_with(Instant::now);
        since.elapsed() < grace
    }

    /// Returns the save in the form in which it is kept for a later load.
    pub(super) fn postponed(self) -> Pending {
        self.pending
    }

    /// Returns the form in which the save is kept if it is rejected, and its attempts.
    pub(super) fn begin(self) -> (Pending, Vec<Attempt>) {
        let rejected = Pending {
            paths: self.pending.paths,
            written_since: None,
        };
        (rejected, self.attempts)
    }

    /// Returns the warnings of its scripts.
    pub(super) fn warnings(&self) -> Vec<Diagnostic> {
        let versions = self
            .attempts
            .iter()
            .filter_map(|one| one.result.as_ref().ok());
        versions
            .flat_map(|version| version.warnings())
            .cloned()
            .collect()
    }
}

fn is_half_written(file: &SourceFile, loader: &dyn Loader) -> bool {
    match (&file.text, snapshot::read_now(loader, &file.name)) {
        (Some(text), _) if text.trim().is_empty() => true,
        (Some(text), Ok(now)) => **text != *now,
        (None, Err(error)) => matches!(error, LoadError::NotFound(_)),
        _ => true,
    }
}
