//! Restores the version before, at the request of the application, or automatically when handlers fail.

use std::{sync::Arc, time::Instant};

use super::{
    Reloader,
    batch::Cause,
    failures::{Fault, MIN_CONNECTIONS, ONE_IN},
    plan::Attempt,
};
use crate::{
    connection::Connection, diagnostic::Diagnostic, event::RollBackReason, script::Version,
};

/// Reason for which a version could not be rolled back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RollBackError {
    /// No script serves the namespace.
    #[error("no script serves `{0}`")]
    NotServed(String),
    /// The version that serves is the first one, or the host has forgotten those before it.
    #[error("there is no version before the one that serves `{0}`")]
    NoPrevious(String),
    /// The host is closing.
    #[error("the host is closing")]
    Closing,
    /// `on_connection` of the version before fails on a live connection.
    #[error("the version before fails on a connection of `{namespace}`")]
    Rejected {
        /// The namespace.
        namespace: String,
        /// The problems, with the connections on which they occur.
        diagnostics: Vec<Diagnostic>,
    },
}

/// Request for a rollback.
pub(in crate::host) struct RollBack {
    pub(in crate::host) namespace: String,
    /// Version to roll back, if it still serves; `None` stands for the one that serves.
    only: Option<Arc<Version>>,
    reason: RollBackReason,
}

impl RollBack {
    /// Creates the request of the application.
    pub(in crate::host) fn asked(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            only: None,
            reason: RollBackReason::Asked,
        }
    }
}

impl Reloader {
    /// Restores the version that served a namespace before, and returns its number.
    pub(in crate::host) async fn roll_back(
        self: &Arc<Self>,
        what: RollBack,
    ) -> Result<u64, RollBackError> {
        let Some(mut permit) = self.permit_while_open().await else {
            return Err(RollBackError::Closing);
        };
        let RollBack {
            namespace,
            only,
            reason,
        } = what;
        let script = permit.scripts.by_namespace.get(&namespace);
        let serves = script.and_then(|script| script.serves());
        let (Some(script), Some(serves)) = (script, serves) else {
            return Err(RollBackError::NotServed(namespace));
        };
        let outdated = only.is_some_and(|only| !Arc::ptr_eq(&only, &serves));
        let Some(version) = script.previous.back().filter(|_| !outdated).cloned() else {
            return Err(RollBackError::NoPrevious(namespace));
        };
        let number = version.number();
        let attempt = Attempt {
            path: namespace.clone(),
            result: Ok(version),
        };
        let reloader = self.clone();
        let settled = tokio::task::spawn_blocking(move || {
            let (cause, began) = (Cause::RollBack(reason), Instant::now());
            let settled = reloader.settle(&mut permit.scripts, vec![attempt], &cause, began);
            drop(permit);
            settled
        });
        match settled.await {
            Ok(Ok(())) => Ok(number),
            Ok(Err(diagnostics)) => Err(RollBackError::Rejected {
                namespace,
                diagnostics,
            }),
            Err(panic) => Err(RollBackError::Rejected {
                namespace,
                diagnostics: vec![Diagnostic::error(format!("it ended early: {panic}"))],
            }),
        }
    }

    /// Counts a failed call of the version that serves, and rolls the version back if that was one too many.
    pub(in crate::host) fn count_failure(
        &self,
        connection: &Connection,
        version: &Arc<Version>,
        diagnostic: &Diagnostic,
    ) {
        if !connection.namespace().serves(version) {
            return;
        }
        let failed = {
            let mut failures = self.failures.lock();
            let failures = failures.entry(version.entry().clone()).or_default();
            failures.add(version.number(), Fault::of(diagnostic), connection.id())
        };
        if failed < MIN_CONNECTIONS {
            return;
        }
        let serving = self.namespaces.all();
        let serving = serving.iter().filter(|n| n.serves(version));
        if failed * ONE_IN >= serving.map(|n| n.len()).sum() {
            self.undo(version, failed);
        }
    }

    /// Rolls back a version that fails.
    fn undo(&self, version: &Arc<Version>, connections: usize) {
        let namespaces = self.namespaces.roots();
        let namespace = namespaces.iter().find(|n| n.serves(version));
        let (Some(namespace), Some(reloader)) = (namespace, self.me.upgrade()) else {
            return;
        };
        let mut failures = self.failures.lock();
        let failures = failures.entry(version.entry().clone()).or_default();
        failures.forget_sockets();
        let what = RollBack {
            namespace: namespace.path().to_string(),
            only: Some(version.clone()),
            reason: RollBackReason::Errors { connections },
        };
        let roll_back = async move {
            // The outcome is announced in any case.
            drop(reloader.roll_back(what).await);
        };
        self.lifecycle.work.spawn(roll_back);
    }
}
