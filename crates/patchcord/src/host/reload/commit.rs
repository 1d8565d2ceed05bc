//! Commits or rejects a batch: one switch for all of its versions, the history, and the report.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{
    Reloader,
    batch::{Batch, Cause, Failed},
    effects::effects,
    history::Scripts,
    rebind::{self, Candidate},
    record::Outcome,
};
use crate::{
    diagnostic::Diagnostic,
    event::{HostEvent, Reload},
    script::{self, Version},
};

impl Reloader {
    /// Makes all versions of a batch serve at the same moment, under the number of the batch, and announces each.
    pub(super) fn commit(
        &self,
        scripts: &mut Scripts,
        Batch { ready }: Batch,
        (cause, number): (&Cause, u64),
        began: Instant,
    ) {
        for (candidate, _) in &ready {
            let Candidate { namespace, version } = candidate;
            self.namespaces.claim(namespace, version.entry());
        }
        let before: Vec<_> = ready.iter().map(|(c, _)| c.namespace.version()).collect();
        let mut reported = BTreeSet::new();
        let time = SystemTime::now();
        for (switched, before) in rebind::switch(ready).into_iter().zip(before) {
            let Candidate { namespace, version } = &switched.candidate;
            let (path, version) = (namespace.path().clone(), version.clone());
            let outcome = match (cause, &before) {
                (Cause::Rollback(_), _) => Outcome::RolledBack,
                (Cause::Edit, None) => Outcome::Loaded,
                (Cause::Edit, Some(_)) => Outcome::Replaced,
            };
            let replaced = before.as_ref().map(|before| before.number());
            let number = scripts.serving((&path, &version), replaced, (number, time), outcome);
            for diagnostic in &switched.disconnected {
                let diagnostic = diagnostic.clone();
                self.announcer
                    .announce(HostEvent::HandlerFailed { diagnostic });
            }
            let reload = effects(switched, before.as_deref(), &mut reported, began);
            if let Some(before) = &before {
                self.note_events(&version, before, &reload);
            }
            self.announcer.announce(announcement(
                (cause, number),
                path,
                &version,
                before.as_deref(),
                reload,
            ));
        }
    }

    /// Records the events that a version no longer listens to, because clients may still send them.
    fn note_events(&self, version: &Version, before: &Version, reload: &Reload) {
        let heard = script::events(version);
        let dynamic = reload.silent.iter().map(|silent| silent.event.clone());
        let silent = script::events(before).into_iter().chain(dynamic).collect();
        let (script, number) = (version.entry(), version.number());
        self.announcer.edited(script, number, &heard, silent);
    }

    /// Rejects the whole batch, and changes nothing that serves. Announces and returns the diagnostics.
    pub(super) fn reject(
        &self,
        scripts: &mut Scripts,
        failed: Failed,
        cause: &Cause,
    ) -> Vec<Diagnostic> {
        let (scripts, diagnostics) = failed.note(scripts, cause);
        self.announcer.announce(HostEvent::Rejected {
            scripts,
            diagnostics: diagnostics.clone(),
        });
        diagnostics
    }
}

/// Returns the event that announces a version that serves now.
pub(super) fn announcement(
    (cause, batch): (&Cause, u64),
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
            batch,
            hash,
            files,
        },
        (Cause::Edit, Some(_)) => HostEvent::Replaced {
            namespace,
            script,
            version,
            batch,
            hash,
            files,
            reload,
        },
        (Cause::Rollback(reason), before) => HostEvent::RolledBack {
            namespace,
            script,
            from: before.map_or(0, |before| before.number()),
            version,
            batch,
            hash,
            files,
            reason: reason.clone(),
            reload,
        },
    }
}
