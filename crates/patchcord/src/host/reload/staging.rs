//! Stages versions, which serve some clients before all others: `stage`, `promote`, `abandon`.
//!
//! The current files become a staged batch, which only the chosen clients adopt. All other clients keep the versions
//! that serve. A client is chosen with all of its sockets or with none. The choice for all namespaces is one value
//! ([`Stage`]), so a change of the choice is one switch.
//!
//! Saves wait while versions are staged. A save that took effect for all clients would end the comparison that the
//! stage is made for. A save that replaced the staged versions would serve the chosen clients a text that the
//! application has not asked to stage.

use std::{
    collections::BTreeSet,
    fmt,
    str::FromStr,
    sync::Arc,
    time::{Instant, SystemTime},
};

use serde::Serialize;

use super::{
    Loaded, Reloader,
    batch::{Batch, Cause, Failed},
    effects::effects,
    failures::{Fault, MIN_CONNECTIONS, MIN_SHARE},
    history::Scripts,
    plan::{Attempt, Plan},
    rebind::{self, Candidate, Switched},
    routes::{self, RouteTable},
    snapshot::{Changed, Snapshot, Texts},
    staged_batch::StagedBatch,
};
use crate::{
    connection::{Chosen, Connection, Namespace, Phase, Share},
    diagnostic::{self, Diagnostic},
    event::{HostEvent, RollbackReason, StagedScript},
    script::Version,
};

/// Choice of the clients that staged versions serve, for [`Host::stage`](crate::Host::stage).
///
/// ```
/// use patchcord::host::Audience;
///
/// assert_eq!("10%".parse(), Ok(Audience::Percent(10.0)));
/// assert_eq!(Audience::from_args(["a7", "b8"]), Ok(Audience::Sockets(vec!["a7".into(), "b8".into()])));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Audience {
    /// Percentage of all clients, more than 0 and at most 100. A new client is chosen with the same probability. A
    /// client stays chosen, or not chosen, while it is connected. A larger percentage includes all clients of a smaller
    /// one.
    Percent(f64),
    /// Clients of these sockets, by `socket.id`; each client is chosen with all of its sockets.
    Sockets(Vec<String>),
}

/// Error for a choice of clients that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAudience {
    /// The share is not a percentage of more than 0 and at most 100.
    #[error("`{0}` is no share of the clients: it must be more than 0% and at most 100%")]
    Share(String),
    /// The choice names no clients.
    #[error("a share such as `10%`, or the ids of sockets are needed")]
    Nobody,
    /// The choice combines a share with other words.
    #[error("either one share or sockets, and not both")]
    Both,
}

impl FromStr for Audience {
    type Err = BadAudience;

    fn from_str(text: &str) -> Result<Self, BadAudience> {
        Self::from_args([text])
    }
}

impl Audience {
    /// Parses a choice from words: one share such as `10%`, or the ids of sockets.
    ///
    /// # Errors
    /// Returns [`BadAudience`] if the words are neither.
    pub fn from_args<T: Into<String>>(
        words: impl IntoIterator<Item = T>,
    ) -> Result<Self, BadAudience> {
        let words: Vec<String> = words.into_iter().map(Into::into).collect();
        match words.as_slice() {
            [] => Err(BadAudience::Nobody),
            [word] if word.ends_with('%') => {
                let percent = word.trim_end_matches('%').trim().parse().ok();
                let percent = percent.filter(|percent| Share::percent(*percent).is_some());
                percent
                    .map(Self::Percent)
                    .ok_or_else(|| BadAudience::Share(word.clone()))
            }
            words if words.iter().any(|word| word.ends_with('%')) => Err(BadAudience::Both),
            _ => Ok(Self::Sockets(words)),
        }
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Sockets(ids) => f.write_str(&ids.join(" ")),
        }
    }
}

/// Reason why versions are not staged, promoted or abandoned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// No file differs from the version that serves. New scripts do not count.
    #[error("nothing to stage: the files are those of the versions that serve")]
    NothingChanged,
    /// No versions are staged.
    #[error("nothing is staged")]
    NothingStaged,
    /// The choice of clients is not valid.
    #[error("{0}")]
    Audience(#[from] BadAudience),
    /// No connected socket has this id.
    #[error("there is no socket `{0}`")]
    UnknownSocket(String),
    /// The scripts cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// A script does not load, or a version fails on a live connection. In both cases, nothing has changed.
    #[error("rejected; what served before keeps serving")]
    Rejected(Vec<Diagnostic>),
    /// The host is closing.
    #[error("the host is closing")]
    Closing,
}

/// Staged versions, returned by [`Host::stage`](crate::Host::stage).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Staged {
    /// Choice of clients: a share, or the ids of sockets, separated by spaces.
    pub audience: String,
    /// Number of connections that have the staged versions now.
    pub connections: usize,
    /// Versions, with the effects on the connections that have adopted them.
    pub scripts: Vec<StagedScript>,
}

/// Effects of a changed choice of clients: on connections that adopt a staged version, and on those that return to the
/// version that serves.
struct Moved {
    staged: Vec<Switched>,
    returned: Vec<Switched>,
}

impl Reloader {
    /// Stages the current files: their versions serve the chosen clients.
    pub(in crate::host) async fn stage(
        self: &Arc<Self>,
        audience: Audience,
    ) -> Result<Staged, StageError> {
        self.decide(move |reloader, scripts| reloader.stage_with(scripts, &audience))
            .await
    }

    /// Makes the staged versions serve all clients. Returns the number of the batch.
    pub(in crate::host) async fn promote(self: &Arc<Self>) -> Result<u64, StageError> {
        let promoted = self.decide(Self::promote_with).await;
        self.look.notify_one();
        promoted
    }

    /// Abandons the staged versions: the chosen clients go back to the versions that serve. With `only`, does so only
    /// if this version is still staged.
    pub(in crate::host) async fn abandon(
        self: &Arc<Self>,
        reason: RollbackReason,
        only: Option<Arc<Version>>,
    ) -> Result<Vec<StagedScript>, StageError> {
        let abandoned = self.decide(move |reloader, scripts| {
            let staged = scripts.staged.as_ref().ok_or(StageError::NothingStaged)?;
            let is_staged = |only: &Arc<Version>| {
                let mut versions = staged.versions.iter();
                versions.any(|one| Arc::ptr_eq(&one.version, only))
            };
            match only.as_ref().is_none_or(is_staged) {
                true => reloader.abandon_with(scripts, reason),
                false => Err(StageError::NothingStaged),
            }
        });
        let abandoned = abandoned.await;
        self.look.notify_one();
        abandoned
    }

    /// Runs `decide` with the permit and a closed gate, on a thread that may block. Clients that connect wait until
    /// `decide` has returned.
    async fn decide<T: Send + 'static>(
        self: &Arc<Self>,
        decide: impl FnOnce(&Self, &mut Scripts) -> Result<T, StageError> + Send + 'static,
    ) -> Result<T, StageError> {
        let mut permit = self.permit_while_open().await.ok_or(StageError::Closing)?;
        let closed = self.lifecycle.close_gate().await;
        let reloader = self.clone();
        let decided = tokio::task::spawn_blocking(move || {
            let decided = decide(&reloader, &mut permit.scripts);
            drop(closed);
            reloader.save(&mut permit.scripts);
            decided
        });
        decided.await.unwrap_or_else(|panic| {
            let problem = Diagnostic::error(format!("it ended early: {panic}"));
            Err(StageError::Rejected(vec![problem]))
        })
    }

    fn stage_with(&self, scripts: &mut Scripts, audience: &Audience) -> Result<Staged, StageError> {
        let began = Instant::now();
        let chosen = self.chosen(audience)?;
        let versions = self.differing(scripts)?;
        let known = scripts.staged.clone();
        let known = known.filter(|known| known.is_of(&versions));
        let staged = match known {
            Some(known) => known,
            None => {
                if scripts.staged.is_some() {
                    self.abandon_with(scripts, RollbackReason::Requested)?;
                }
                self.staged_failures.lock().clear();
                self.warn(&versions);
                StagedBatch {
                    stage: Arc::default(),
                    since: SystemTime::now(),
                    versions,
                }
            }
        };
        for Candidate { namespace, version } in &staged.versions {
            namespace.stage(version.clone(), staged.stage.clone());
        }
        // It is recorded before any client has the versions, so that it can always be abandoned.
        scripts.staged = Some(staged.clone());
        let moved = match self.choose(&staged, chosen) {
            Ok(moved) => moved,
            Err(diagnostics) => {
                if *staged.stage.chosen() == Chosen::Nobody {
                    staged.end();
                    scripts.staged = None;
                }
                return Err(StageError::Rejected(diagnostics));
            }
        };
        for Candidate { namespace, version } in &staged.versions {
            if let Some(script) = scripts.by_namespace.get_mut(&**namespace.path()) {
                // The number is not used again, even if the version will never serve all clients.
                script.number = script.number.max(version.number());
                script.tried = version.files().to_vec();
            }
        }
        // Connections that have gone back to the version that serves are not listed, as after a rollback. This call
        // announces those that were disconnected.
        self.effects(&staged, moved.returned, began);
        let told = Staged {
            audience: audience.to_string(),
            connections: staged.connections().count(),
            scripts: self.effects(&staged, moved.staged, began),
        };
        self.announcer.announce(HostEvent::Staged {
            audience: told.audience.clone(),
            connections: told.connections,
            scripts: told.scripts.clone(),
        });
        Ok(told)
    }

    fn promote_with(&self, scripts: &mut Scripts) -> Result<u64, StageError> {
        let began = Instant::now();
        let staged = scripts.staged.clone().ok_or(StageError::NothingStaged)?;
        let attempts = staged.versions.iter().map(|one| Attempt {
            path: one.namespace.path().to_string(),
            result: Ok(one.version.clone()),
        });
        let namespace_of = |path: &str| self.namespace_of(scripts, path);
        let on_failure = self.options.reload.on_rebind_failure;
        let batch = Batch::draft(attempts.collect(), namespace_of, on_failure);
        let batch = batch.map_err(|Failed { failed, .. }| {
            let diagnostics = failed.into_iter().flat_map(|(_, diagnostics)| diagnostics);
            StageError::Rejected(diagnostics.collect())
        })?;
        let number = scripts.batch + 1;
        self.commit(scripts, batch, (&Cause::Edit, number), began);
        staged.end();
        scripts.staged = None;
        let versions = staged.versions.iter();
        self.announcer.announce(HostEvent::Promoted {
            batch: number,
            scripts: versions.map(|one| one.version.entry().clone()).collect(),
        });
        Ok(number)
    }

    fn abandon_with(
        &self,
        scripts: &mut Scripts,
        reason: RollbackReason,
    ) -> Result<Vec<StagedScript>, StageError> {
        let began = Instant::now();
        let staged = scripts.staged.clone().ok_or(StageError::NothingStaged)?;
        let moved = self.choose(&staged, Chosen::Nobody);
        let moved = moved.map_err(StageError::Rejected)?;
        staged.end();
        scripts.staged = None;
        let told = self.effects(&staged, moved.returned, began);
        self.announcer.announce(HostEvent::Abandoned {
            reason,
            scripts: told.clone(),
        });
        Ok(told)
    }

    /// Changes the choice of clients. Clients that are chosen now adopt the staged versions; clients that are no longer
    /// chosen go back to the versions that serve.
    ///
    /// # Errors
    /// Returns the diagnostics of connections on which a version fails. In that case, nothing has changed.
    fn choose(&self, staged: &StagedBatch, chosen: Chosen) -> Result<Moved, Vec<Diagnostic>> {
        let before = staged.stage.chosen();
        let (mut ready, mut joins) = (Vec::new(), Vec::new());
        for Candidate { namespace, version } in &staged.versions {
            let serving = namespace.version();
            let staged = [(Some(version.clone()), true), (serving, false)];
            for (version, is_chosen) in staged.into_iter().filter_map(|(v, is)| Some((v?, is))) {
                let is_moved = |connection: &Arc<Connection>| {
                    let client = connection.client();
                    chosen.has(client) == is_chosen && before.has(client) != is_chosen
                };
                let connections = namespace.connections().into_iter().filter(is_moved);
                let connected = connections.filter(|one| one.phase() == Phase::Connected);
                let connected: Vec<_> = connected.collect();
                let on_failure = self.options.reload.on_rebind_failure;
                match rebind::draft_on(&connected, &version, on_failure) {
                    Ok(prepared) => {
                        let namespace = namespace.clone();
                        ready.push((Candidate { namespace, version }, prepared));
                        joins.push(is_chosen);
                    }
                    Err(diagnostics) => {
                        let prepared = ready.iter().flat_map(|(_, prepared)| prepared);
                        prepared.for_each(rebind::Prepared::release);
                        return Err(diagnostics);
                    }
                }
            }
        }
        let switched = rebind::adopt(ready, || staged.stage.choose(chosen));
        let (staged, returned): (Vec<_>, Vec<_>) = switched
            .into_iter()
            .zip(joins)
            .partition(|(_, joins)| *joins);
        let switched = |all: Vec<(Switched, bool)>| all.into_iter().map(|(one, _)| one).collect();
        Ok(Moved {
            staged: switched(staged),
            returned: switched(returned),
        })
    }

    /// Returns the effects of a switch to the staged versions or back. Announces why connections were disconnected.
    fn effects(
        &self,
        staged: &StagedBatch,
        switched: Vec<Switched>,
        began: Instant,
    ) -> Vec<StagedScript> {
        let mut reported = BTreeSet::new();
        let told = switched
            .into_iter()
            .zip(&staged.versions)
            .map(|(switched, staged)| {
                for diagnostic in switched.disconnected.iter().cloned() {
                    self.announcer
                        .announce(HostEvent::HandlerFailed { diagnostic });
                }
                let Candidate { namespace, version } = staged;
                let serving = namespace.version();
                let before = match Arc::ptr_eq(&switched.candidate.version, version) {
                    true => serving.as_deref(),
                    false => Some(&**version),
                };
                let names = (namespace.path().clone(), version.entry().clone());
                StagedScript::new(
                    names,
                    (version.number(), version.hash().clone()),
                    serving.as_ref().map_or(0, |serving| serving.number()),
                    effects(switched, before, &mut reported, began),
                )
            });
        told.collect()
    }

    /// Returns the clients that `audience` selects.
    fn chosen(&self, audience: &Audience) -> Result<Chosen, StageError> {
        match audience {
            Audience::Percent(percent) => match Share::percent(*percent) {
                Some(share) => Ok(Chosen::Share(share)),
                None => Err(BadAudience::Share(audience.to_string()).into()),
            },
            Audience::Sockets(ids) if ids.is_empty() => Err(BadAudience::Nobody.into()),
            Audience::Sockets(ids) => {
                let client = |id: &String| {
                    let sockets = self.namespaces.sockets_of(id);
                    let client = sockets.first().map(|socket| socket.client());
                    client.ok_or_else(|| StageError::UnknownSocket(id.clone()))
                };
                let clients: Result<BTreeSet<_>, _> = ids.iter().map(client).collect();
                Ok(Chosen::Clients(clients?))
            }
        }
    }

    /// Compiles the scripts whose files differ from those of the versions that serve, even if they were tried before.
    /// Scripts that do not serve yet, and files that are gone, are left to the next load.
    ///
    /// # Errors
    /// Returns [`StageError`] if no script differs, or if one does not load.
    fn differing(&self, scripts: &Scripts) -> Result<Vec<Candidate>, StageError> {
        let mut scripts = scripts.copy();
        scripts.pending.clear();
        let all = scripts.by_namespace.values_mut();
        all.for_each(|script| script.tried.clear());
        let loader = &*self.scripting.loader;
        let snapshot = Snapshot::new(loader, &Changed::Everything, &mut Texts::default());
        let files = routes::listed(&snapshot);
        let files = files.map_err(|error| StageError::Unreadable(error.to_string()))?;
        let entries = RouteTable::new(&scripts, files);
        let plan = Plan::new(&self.scripting, &mut scripts, &snapshot, &entries);
        let (mut versions, mut problems) = (Vec::new(), Vec::new());
        for Attempt { path, result } in plan.attempts {
            let script = scripts.by_namespace.get(&path);
            let namespace = script.and_then(|script| script.namespace.clone());
            let Some(namespace) = namespace.filter(|one| one.version().is_some()) else {
                continue;
            };
            match result {
                Ok(version) => versions.push(Candidate { namespace, version }),
                Err(diagnostics) => problems.extend(diagnostics),
            }
        }
        match (versions.is_empty(), problems.is_empty()) {
            (_, false) => Err(StageError::Rejected(diagnostic::in_order(problems))),
            (true, true) => Err(StageError::NothingChanged),
            (false, true) => Ok(versions),
        }
    }

    fn warn(&self, versions: &[Candidate]) {
        let warnings = versions.iter().flat_map(|one| one.version.warnings());
        let diagnostics = diagnostic::in_order(warnings.cloned().collect());
        if !diagnostics.is_empty() {
            self.announcer.announce(HostEvent::Warnings { diagnostics });
        }
    }

    /// Announces the scripts that wait until the stage ends.
    pub(super) fn wait_for_promote(&self, changed: &Changed) {
        let files = changed.scripts();
        if !files.is_empty() {
            self.announcer.announce(HostEvent::WaitsForStage { files });
        }
    }

    /// Rejects a load that the application requests while versions are staged.
    pub(super) fn reject_while_staged(&self) -> Loaded {
        let problem = Diagnostic::error("nothing is loaded while versions are staged")
            .hint("`promote` makes them serve all clients, `abandon` takes them back");
        self.announcer.announce(HostEvent::Rejected {
            scripts: vec![],
            diagnostics: vec![problem.clone()],
        });
        Loaded {
            rejected: vec![problem],
            ..Loaded::default()
        }
    }

    /// Counts a failed call of a staged version, and abandons the stage if there are too many failures. A failure does
    /// not count if the version that serves fails at the same place as well.
    pub(super) fn count_staged_failure(
        &self,
        connection: &Connection,
        version: &Arc<Version>,
        diagnostic: &Diagnostic,
    ) {
        let (entry, fault) = (version.entry(), Fault::new(diagnostic));
        let rest = self.failures.lock();
        if rest.get(entry).is_some_and(|rest| rest.has_seen(&fault)) {
            return;
        }
        drop(rest);
        let failed = {
            let mut failures = self.staged_failures.lock();
            let failures = failures.entry(entry.clone()).or_default();
            failures.add(version.number(), fault, connection.id())
        };
        let has_it = |namespace: &Arc<Namespace>| {
            let connections = namespace.connections().into_iter();
            connections
                .filter(|one| one.is_staged() && one.is_served_by(version))
                .count()
        };
        let staged: usize = self.namespaces.all().iter().map(has_it).sum();
        if failed >= MIN_CONNECTIONS.min(staged).max(1) && failed * MIN_SHARE >= staged {
            self.abandon_failing(version, failed);
        }
    }

    fn abandon_failing(&self, version: &Arc<Version>, connections: usize) {
        let Some(reloader) = self.me.upgrade() else {
            return;
        };
        self.staged_failures.lock().clear();
        let (reason, only) = (
            RollbackReason::Errors { connections },
            Some(version.clone()),
        );
        let abandon = async move {
            // The outcome is announced, if the stage still exists.
            drop(reloader.abandon(reason, only).await);
        };
        self.lifecycle.work.spawn(abandon);
    }
}
