//! Commits or rejects a batch: the one switch for all of it, the history, the report.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use super::{
    Reloader,
    batch::{Batch, Cause, Failed},
    history::{Outcome, Scripts},
    rebind::{self, Candidate, Switched},
};
use crate::{
    connection::Adopted,
    diagnostic::Diagnostic,
    event::{HostEvent, Reload},
    script::Version,
};

impl Reloader {
    /// Makes every version of a batch serve at once, and announces it.
    pub(super) fn commit(
        &self,
        scripts: &mut Scripts,
        Batch { ready }: Batch,
        cause: &Cause,
        began: Instant,
    ) {
        for (candidate, _) in &ready {
            self.namespaces.claim(&candidate.namespace);
        }
        let before: Vec<_> = ready.iter().map(|(c, _)| c.namespace.version()).collect();
        for (switched, before) in rebind::switch(ready).into_iter().zip(before) {
            let Candidate { namespace, version } = &switched.candidate;
            let (path, version) = (namespace.path().clone(), version.clone());
            let outcome = match (cause, &before) {
                (Cause::RollBack(_), _) => Outcome::RolledBack,
                (Cause::Edit, None) => Outcome::Loaded,
                (Cause::Edit, Some(_)) => Outcome::Replaced,
            };
            if let Some(script) = scripts.by_namespace.get_mut(&*path) {
                script.serving(&version, before.clone(), outcome);
            }
            for diagnostic in &switched.disconnected {
                let diagnostic = diagnostic.clone();
                self.announcer
                    .announce(HostEvent::HandlerFailed { diagnostic });
            }
            let reload = report(switched, before.as_deref(), began);
            self.announcer.announce(announcement(
                cause,
                path,
                &version,
                before.as_deref(),
                reload,
            ));
        }
    }

    /// Rejects the whole batch, and changes nothing. Valid scripts in it are tried again with the next batch. Returns
    /// the diagnostics.
    pub(super) fn reject(
        &self,
        scripts: &mut Scripts,
        Failed { failed, fine }: Failed,
    ) -> Vec<Diagnostic> {
        let mut kept = Vec::new();
        let mut diagnostics: Vec<Diagnostic> = Vec::new();
        for path in &fine {
            if let Some(script) = scripts.by_namespace.get_mut(path) {
                script.held_back = true;
            }
        }
        for path in failed.iter().map(|(path, _)| path).chain(&fine) {
            if let Some(script) = scripts.by_namespace.get_mut(path) {
                script.rejected();
                kept.push(script.kept());
            }
        }
        for problem in failed.into_iter().flat_map(|(_, problems)| problems) {
            if !diagnostics.contains(&problem) {
                diagnostics.push(problem);
            }
        }
        kept.sort_by(|a, b| a.script.cmp(&b.script));
        self.announcer.announce(HostEvent::Rejected {
            scripts: kept,
            diagnostics: diagnostics.clone(),
        });
        diagnostics
    }
}

/// Returns the event that announces a version that serves now.
fn announcement(
    cause: &Cause,
    namespace: Arc<str>,
    version: &Version,
    before: Option<&Version>,
    reload: Reload,
) -> HostEvent {
    let (script, hash) = (version.entry().clone(), version.hash().clone());
    let files = version.files().iter().map(|f| f.name.clone()).collect();
    let version = version.number();
    match (cause, before) {
        (Cause::Edit, None) => HostEvent::Loaded {
            namespace,
            script,
            version,
            hash,
            files,
        },
        (Cause::Edit, Some(_)) => HostEvent::Replaced {
            namespace,
            script,
            version,
            hash,
            files,
            reload,
        },
        (Cause::RollBack(reason), before) => HostEvent::RolledBack {
            namespace,
            script,
            from: before.map_or(0, Version::number),
            version,
            hash,
            files,
            reason: reason.clone(),
            reload,
        },
    }
}

/// Returns the effects of a switch on live connections.
fn report(switched: Switched, before: Option<&Version>, began: Instant) -> Reload {
    let mut reload = Reload {
        changed: before.map_or_else(Vec::new, |before| {
            changed(&switched.candidate.version, before)
        }),
        rebound: switched.adopted.len(),
        failing: switched.failing,
        disconnected: switched.disconnected.len(),
        ..Reload::default()
    };
    for Adopted {
        carried,
        keep_old,
        rooms,
        ..
    } in switched.adopted
    {
        reload.keep_old += keep_old;
        reload.rooms += rooms;
        reload.carried.kept.extend(carried.kept);
        reload.carried.lost.extend(carried.lost);
        reload.carried.retyped.extend(carried.retyped);
    }
    reload.milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    reload
}

/// Returns the files that differ between the two versions, in order.
fn changed(version: &Version, before: &Version) -> Vec<Arc<str>> {
    let only = |one: &Version, other: &Version| -> Vec<_> {
        let files = one.files().iter();
        let files = files.filter(|file| !other.files().contains(file));
        files.map(|file| file.name.clone()).collect()
    };
    let names = only(version, before).into_iter();
    let names: BTreeSet<_> = names.chain(only(before, version)).collect();
    names.into_iter().collect()
}
