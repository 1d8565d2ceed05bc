//! Restores earlier versions, on request of the application, or automatically when handlers fail.
//!
//! A rollback undoes a *batch*: all versions that took effect together are rolled back together, in every namespace
//! whose version is still that of the batch. A namespace that was saved again since then keeps its later version. So a
//! rollback never undoes a save that it was not asked to undo.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use serde::Serialize;

use super::{
    Reloader,
    batch::Cause,
    failures::{Fault, MIN_CONNECTIONS, MIN_SHARE},
    history::{Scripts, Served},
    plan::Attempt,
    record::Outcome,
};
use crate::{
    connection::Connection,
    diagnostic::Diagnostic,
    event::{HostEvent, KeptReason, RollbackReason},
    script::Version,
};

/// Reason why a rollback failed. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RollbackError {
    /// No script serves the namespace.
    #[error("no script serves `{0}`")]
    NotServed(String),
    /// The version that serves is the first one, or the host has forgotten the versions before it.
    #[error("there is no version before the one that serves `{0}`")]
    NoPrevious(String),
    /// No batch has this number, or the host has forgotten the batch.
    #[error("there is no batch {0}")]
    UnknownBatch(u64),
    /// The host has forgotten a version of the batch.
    #[error("the version of batch {batch} that served `{namespace}` is no longer kept")]
    Forgotten {
        /// Path of the namespace.
        namespace: String,
        /// Number of the batch.
        batch: u64,
    },
    /// The versions that served after the batch already serve now.
    #[error("batch {0} is already serving")]
    ServesAlready(u64),
    /// The host is closing.
    #[error("the host is closing")]
    Closing,
    /// `on_connection` of an earlier version fails on a live connection, or the version no longer compiles.
    #[error("the previous version fails on a connection of `{namespace}`")]
    Rejected {
        /// Path of the namespace.
        namespace: String,
        /// Problems, with the number of connections on which they occur.
        diagnostics: Vec<Diagnostic>,
    },
}

/// Outcome of a rollback, which is a batch of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RolledBack {
    /// Number of the batch of the rollback.
    pub batch: u64,
    /// Namespaces in which an earlier version serves again.
    pub restored: Vec<Restored>,
    /// Namespaces that keep their version, although the rollback concerns them.
    pub kept: Vec<KeptVersion>,
}

/// Namespace in which another version serves again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Restored {
    /// Path of the namespace.
    pub namespace: Arc<str>,
    /// Name of its script.
    pub script: Arc<str>,
    /// Number of the version that was rolled back.
    pub from: u64,
    /// Number of the version that serves again.
    pub version: u64,
}

/// Namespace that keeps its version in a rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KeptVersion {
    /// Path of the namespace.
    pub namespace: Arc<str>,
    /// Name of its script.
    pub script: Arc<str>,
    /// Number of the version that keeps serving.
    pub version: u64,
    /// Reason why it keeps serving.
    pub reason: KeptReason,
}

/// Goal of a rollback.
#[derive(Debug, Clone)]
pub(in crate::host) enum Goal {
    /// Undo the batch to which the version of this namespace belongs.
    Namespace(String),
    /// Undo the last batch.
    Last,
    /// Restore the versions that served after this batch.
    Batch(u64),
}

/// Request for a rollback.
pub(in crate::host) struct Rollback {
    goal: Goal,
    /// Version that must still serve for the rollback to happen; `None` stands for any version.
    only: Option<Arc<Version>>,
    reason: RollbackReason,
}

impl Rollback {
    /// Creates a request of the application.
    pub(in crate::host) const fn asked(goal: Goal) -> Self {
        Self {
            goal,
            only: None,
            reason: RollbackReason::Requested,
        }
    }
}

/// Targets of a rollback in all namespaces.
#[derive(Debug, Default)]
struct Targets {
    /// Versions to restore, with the paths of their namespaces.
    back: Vec<(String, Served)>,
    kept: Vec<KeptVersion>,
}

impl Targets {
    /// Returns the targets that reach a goal.
    fn new(scripts: &Scripts, goal: &Goal) -> Result<Self, RollbackError> {
        match goal {
            Goal::Namespace(path) => {
                let script = scripts.by_namespace.get(path);
                let served = script.and_then(|script| script.served());
                let served = served.ok_or_else(|| RollbackError::NotServed(path.clone()))?;
                let targets = Self::undo(scripts, served.batch);
                match targets.back.iter().any(|(back, _)| back == path) {
                    true => Ok(targets),
                    false => Err(RollbackError::NoPrevious(path.clone())),
                }
            }
            Goal::Last => {
                let served = scripts.by_namespace.iter();
                let served = served.filter_map(|(path, one)| Some((one.served()?.batch, path)));
                // Namespaces that a rolled-back batch has added still serve.
                let served = served.filter(|(batch, _)| !scripts.undone.contains(batch));
                let nothing = || RollbackError::NotServed("/".to_owned());
                let (batch, path) = served.max().ok_or_else(nothing)?;
                let targets = Self::undo(scripts, batch);
                match targets.back.is_empty() {
                    true => Err(RollbackError::NoPrevious(path.clone())),
                    false => Ok(targets),
                }
            }
            Goal::Batch(batch) => Self::as_of(scripts, *batch),
        }
    }

    /// Returns the targets that undo a batch.
    fn undo(scripts: &Scripts, batch: u64) -> Self {
        let mut targets = Self::default();
        for (path, script) in &scripts.by_namespace {
            let Some(served) = script.served() else {
                continue;
            };
            if served.batch == batch {
                match script.before(&scripts.undone) {
                    Some(before) => targets.back.push((path.clone(), before.clone())),
                    None => targets.keep(path, served, KeptReason::First),
                }
            } else if served.batch > batch && script.versions.iter().any(|one| one.batch == batch) {
                targets.keep(path, served, KeptReason::SavedSince);
            }
        }
        targets
    }

    /// Returns the targets that restore, in every namespace, the version that served after a batch.
    fn as_of(scripts: &Scripts, batch: u64) -> Result<Self, RollbackError> {
        let mut targets = Self::default();
        let records = scripts.by_namespace.values().flat_map(|one| &one.history);
        if !records
            .into_iter()
            .any(|record| record.batch == Some(batch))
        {
            return Err(RollbackError::UnknownBatch(batch));
        }
        for (path, script) in &scripts.by_namespace {
            let Some(served) = script.served() else {
                continue;
            };
            let mut records = script.history.iter().filter(|one| one.batch.is_some());
            let first = records.clone().next();
            let forgotten = || RollbackError::Forgotten {
                namespace: path.clone(),
                batch,
            };
            match records.rfind(|record| record.batch <= Some(batch)) {
                Some(record) if record.number == served.number => {}
                Some(record) => {
                    let target = script.numbered(record.number).ok_or_else(forgotten)?;
                    targets.back.push((path.clone(), target.clone()));
                }
                None if first.is_some_and(|one| one.outcome == Outcome::Loaded) => {
                    targets.keep(path, served, KeptReason::First);
                }
                None => return Err(forgotten()),
            }
        }
        match targets.back.is_empty() {
            true => Err(RollbackError::ServesAlready(batch)),
            false => Ok(targets),
        }
    }

    fn keep(&mut self, namespace: &str, served: &Served, reason: KeptReason) {
        self.kept.push(KeptVersion {
            namespace: namespace.into(),
            script: served.entry.clone(),
            version: served.number,
            reason,
        });
    }
}

impl Reloader {
    /// Restores earlier versions: all of them, or none.
    pub(in crate::host) async fn rollback(
        self: &Arc<Self>,
        what: Rollback,
    ) -> Result<RolledBack, RollbackError> {
        let Some(mut permit) = self.permit_while_open().await else {
            return Err(RollbackError::Closing);
        };
        let Rollback { goal, only, reason } = what;
        if let (Some(only), Goal::Namespace(path)) = (&only, &goal) {
            let script = permit.scripts.by_namespace.get(path);
            let serves = script.and_then(|script| script.serves());
            if serves.is_none_or(|serves| !Arc::ptr_eq(only, &serves)) {
                return Err(RollbackError::NoPrevious(path.clone()));
            }
        }
        let targets = Targets::new(&permit.scripts, &goal)?;
        let namespace = targets.back.first().map(|(path, _)| path.clone());
        let reloader = self.clone();
        let settled = tokio::task::spawn_blocking(move || {
            let cause = Cause::Rollback(reason);
            let settled = reloader.restore(&mut permit.scripts, targets, &cause);
            reloader.save(&mut permit.scripts);
            settled
        });
        let diagnostics = match settled.await {
            Ok(Ok(rolled_back)) => return Ok(rolled_back),
            Ok(Err(diagnostics)) => diagnostics,
            Err(panic) => vec![Diagnostic::error(format!("it ended early: {panic}"))],
        };
        Err(RollbackError::Rejected {
            namespace: namespace.unwrap_or_default(),
            diagnostics,
        })
    }

    /// Makes the versions of a rollback serve, and announces the namespaces that keep their versions.
    fn restore(
        &self,
        scripts: &mut Scripts,
        targets: Targets,
        cause: &Cause,
    ) -> Result<RolledBack, Vec<Diagnostic>> {
        let Targets { back, kept } = targets;
        let (mut restored, mut attempts) = (Vec::new(), Vec::new());
        let (mut done, mut undone) = (BTreeSet::new(), BTreeSet::new());
        for (path, target) in back {
            let script = scripts.by_namespace.get(&path);
            let from = script.and_then(|script| script.served());
            restored.push(Restored {
                namespace: path.as_str().into(),
                script: target.entry.clone(),
                from: from.map_or(0, |from| from.number),
                version: target.number,
            });
            done.insert(target.batch);
            undone.extend(
                from.map(|from| from.batch)
                    .filter(|from| *from > target.batch),
            );
            let result = target.version(&self.scripting);
            attempts.push(Attempt { path, result });
        }
        let batch = scripts.batch + 1;
        self.settle(scripts, attempts, (cause, batch), Instant::now())?;
        scripts.undone.extend(undone);
        scripts.undone.retain(|batch| !done.contains(batch));
        scripts.forget_undone();
        for KeptVersion {
            namespace,
            script,
            version,
            reason,
        } in kept.iter().cloned()
        {
            self.announcer.announce(HostEvent::KeptByRollback {
                namespace,
                script,
                version,
                reason,
            });
        }
        Ok(RolledBack {
            batch,
            restored,
            kept,
        })
    }

    /// Counts a failed call of the version that serves, and rolls the version back if there are too many failures.
    pub(in crate::host) fn count_failure(
        &self,
        connection: &Connection,
        version: &Arc<Version>,
        diagnostic: &Diagnostic,
    ) {
        if !connection.is_served_by(version) {
            return;
        }
        if connection.is_staged() {
            return self.count_staged_failure(connection, version, diagnostic);
        }
        let failed = {
            let mut failures = self.failures.lock();
            let failures = failures.entry(version.entry().clone()).or_default();
            failures.add(version.number(), Fault::new(diagnostic), connection.id())
        };
        if failed < MIN_CONNECTIONS {
            return;
        }
        let serving = self.namespaces.all();
        let serving = serving.iter().filter(|n| n.serves(version));
        if failed * MIN_SHARE >= serving.map(|n| n.len()).sum() {
            self.undo(version, failed);
        }
    }

    /// Rolls back a version that fails on this many connections.
    fn undo(&self, version: &Arc<Version>, connections: usize) {
        let namespaces = self.namespaces.roots();
        let namespace = namespaces.iter().find(|n| n.serves(version));
        let (Some(namespace), Some(reloader)) = (namespace, self.me.upgrade()) else {
            return;
        };
        let mut failures = self.failures.lock();
        let failures = failures.entry(version.entry().clone()).or_default();
        failures.forget_sockets();
        let what = Rollback {
            goal: Goal::Namespace(namespace.path().to_string()),
            only: Some(version.clone()),
            reason: RollbackReason::Errors { connections },
        };
        let rollback = async move {
            // The outcome is announced in either case.
            drop(reloader.rollback(what).await);
        };
        self.lifecycle.work.spawn(rollback);
    }
}
