//! Batches of scripts that take effect together or not at all: drafts them on live connections, and holds the vote.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    history::Scripts,
    plan::Attempt,
    rebind::{self, Candidate, Prepared},
};
use crate::{
    connection::Namespace,
    diagnostic::Diagnostic,
    event::{RollbackReason, UnchangedScript},
    host::options::OnRebindFailure,
};

/// Maximum time for drafts on clients that have connected while others were drafted. It is short, because clients that
/// connect in the meantime have to wait.
const NEWCOMER_DRAFT_TIMEOUT: Duration = Duration::from_millis(100);

/// Reason for making versions serve.
#[derive(Debug, Clone)]
pub(super) enum Cause {
    /// Their files are new or have changed.
    Edit,
    /// The versions after them are rolled back.
    Rollback(RollbackReason),
}

/// Versions that are ready to serve: none of them fails on a live connection of its namespace.
pub(super) struct Batch {
    pub(super) ready: Vec<(Candidate, Vec<Prepared>)>,
}

/// Batch that is rejected: none of its versions takes effect.
pub(super) struct Failed {
    /// Paths of the namespaces whose scripts fail, with the diagnostics.
    pub(super) failed: Vec<(String, Vec<Diagnostic>)>,
    /// Paths of the namespaces whose scripts are valid.
    pub(super) fine: Vec<String>,
}

impl Batch {
    /// Drafts the versions on live connections, if all of them have loaded.
    ///
    /// # Errors
    /// Returns the rejected batch if a script has not loaded, or if a version fails on a live connection.
    pub(super) fn draft(
        attempts: Vec<Attempt>,
        mut namespace_of: impl FnMut(&str) -> Arc<Namespace>,
        on_failure: OnRebindFailure,
    ) -> Result<Self, Failed> {
        let (mut candidates, mut failed) = (Vec::new(), Vec::new());
        for Attempt { path, result } in attempts {
            // A namespace whose script has never loaded is opened too, because it reports the problem to its clients.
            let namespace = namespace_of(&path);
            match result {
                Ok(version) => candidates.push((path, Candidate { namespace, version })),
                Err(diagnostics) => failed.push((path, diagnostics)),
            }
        }
        let (mut ready, mut fine) = (Vec::new(), Vec::new());
        for (path, candidate) in candidates {
            if !failed.is_empty() {
                fine.push(path);
                continue;
            }
            match rebind::draft(&candidate, on_failure) {
                Ok(prepared) => {
                    fine.push(path);
                    ready.push((candidate, prepared));
                }
                Err(diagnostics) => failed.push((path, diagnostics)),
            }
        }
        if failed.is_empty() {
            return Ok(Self { ready });
        }
        let prepared = ready.iter().flat_map(|(_, prepared)| prepared);
        prepared.for_each(Prepared::release);
        Err(Failed { failed, fine })
    }

    /// Drafts the versions on clients that have connected since [`Batch::draft`], for at most [`NEWCOMER_DRAFT_TIMEOUT`]. The
    /// remaining clients are drafted when they adopt the version.
    ///
    /// # Errors
    /// Returns the rejected batch if a version fails on one of them.
    pub(super) fn draft_newcomers(mut self, on_failure: OnRebindFailure) -> Result<Self, Failed> {
        let until = Instant::now() + NEWCOMER_DRAFT_TIMEOUT;
        let mut failed = Vec::new();
        for (candidate, prepared) in &mut self.ready {
            match rebind::draft_newcomers(candidate, prepared, on_failure, until) {
                Ok(newcomers) => prepared.extend(newcomers),
                Err(diagnostics) => {
                    failed.push((candidate.namespace.path().to_string(), diagnostics));
                }
            }
        }
        if failed.is_empty() {
            return Ok(self);
        }
        let paths = self.ready.iter().map(|(candidate, prepared)| {
            prepared.iter().for_each(Prepared::release);
            candidate.namespace.path().to_string()
        });
        let fine = paths.filter(|path| failed.iter().all(|(failing, _)| failing != path));
        let fine = fine.collect();
        Err(Failed { failed, fine })
    }
}

impl Failed {
    /// Records that the batch is rejected. Returns the scripts, with the versions that they keep, and the diagnostics
    /// without duplicates.
    pub(super) fn note(
        self,
        scripts: &mut Scripts,
        cause: &Cause,
    ) -> (Vec<UnchangedScript>, Vec<Diagnostic>) {
        let Self { failed, fine } = self;
        let mut kept = Vec::new();
        let mut diagnostics: Vec<Diagnostic> = Vec::new();
        let bounds = scripts.bounds;
        for path in failed.iter().map(|(path, _)| path).chain(&fine) {
            let Some(script) = scripts.by_namespace.get_mut(path) else {
                continue;
            };
            // A failed rollback is not a failed attempt to load the files, so it is not recorded as one.
            if matches!(cause, Cause::Edit) {
                script.rejected(bounds);
            }
            kept.push(script.kept());
        }
        for problem in failed.into_iter().flat_map(|(_, problems)| problems) {
            if !diagnostics.contains(&problem) {
                diagnostics.push(problem);
            }
        }
        kept.sort_by(|a, b| a.script.cmp(&b.script));
        (kept, diagnostics)
    }
}
