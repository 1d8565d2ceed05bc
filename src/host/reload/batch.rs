//! Scripts that take effect together or not at all: drafts on live connections, and the vote.

use std::sync::Arc;

use super::{
    plan::Attempt,
    rebind::{self, Candidate, Prepared},
};
use crate::{
    connection::Namespace, diagnostic::Diagnostic, event::RollBackReason,
    host::options::OnRebindFailure,
};

/// Reason for which versions are to serve.
#[derive(Debug, Clone)]
pub(super) enum Cause {
    /// Their files are new or have changed.
    Edit,
    /// The versions after them are rolled back.
    RollBack(RollBackReason),
}

/// Versions that each work on all live connections of their namespace.
pub(super) struct Batch {
    pub(super) ready: Vec<(Candidate, Vec<Prepared>)>,
}

/// Rejected batch: nothing of it takes effect.
pub(super) struct Failed {
    /// Paths of the namespaces whose scripts fail, with the diagnostics.
    pub(super) failed: Vec<(String, Vec<Diagnostic>)>,
    /// Paths of the namespaces whose scripts are valid.
    pub(super) fine: Vec<String>,
}

impl Batch {
    /// Drafts the versions on live connections, as soon as all of them have loaded.
    ///
    /// # Errors
    /// When a script has not loaded, or a version fails on a live connection.
    pub(super) fn draft(
        attempts: Vec<Attempt>,
        mut namespace_of: impl FnMut(&str) -> Arc<Namespace>,
        on_failure: OnRebindFailure,
    ) -> Result<Self, Failed> {
        let (mut candidates, mut failed) = (Vec::new(), Vec::new());
        for Attempt { path, result } in attempts {
            // A namespace whose script never loaded is opened too: it reports the problem to its clients.
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
                Err(diagnostic) => failed.push((path, vec![*diagnostic])),
            }
        }
        if failed.is_empty() {
            return Ok(Self { ready });
        }
        let prepared = ready.iter().flat_map(|(_, prepared)| prepared);
        prepared.for_each(Prepared::release);
        Err(Failed { failed, fine })
    }
}
