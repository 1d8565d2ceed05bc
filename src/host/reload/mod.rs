//! Turns changed files into versions that serve: all of them, or none.
//!
//! In: what may have changed. Out: versions that serve, and a [`HostEvent`] that reports the outcome.
//!
//! | step | | |
//! |---|---|---|
//! | read | [`snapshot`], [`routes`] | texts as of one moment; which file serves which namespace |
//! | compile what has changed | [`plan`] | the scripts that are tried, each with its version or its diagnostics |
//! | try it | [`batch`] | drafts on live connections, and the vote |
//! | make it serve | [`commit`] | one switch for all, the history, the report |
//!
//! Invariant: a load that fails changes nothing that is served.

mod batch;
pub(super) mod check;
mod commit;
mod failures;
pub(super) mod history;
mod plan;
mod rebind;
pub(super) mod rollback;
mod routes;
mod snapshot;
pub(super) mod watch;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

use self::{
    batch::{Batch, Cause},
    failures::Failures,
    history::{Record, Scripts},
    plan::Plan,
    routes::Entries,
    snapshot::{Changed, Snapshot},
};
use super::{
    announce::Announcer,
    dispatch::{Dispatcher, OnFailure},
    lifecycle::{ClosedGate, Lifecycle},
    namespaces::Namespaces,
    options::Options,
    scripting::Scripting,
};
use crate::{
    connection::{Namespace, Serving},
    diagnostic::Diagnostic,
    event::HostEvent,
};

/// Delay before files that look half-written are read again.
const WRITING: Duration = Duration::from_millis(50);

/// Loads scripts, and makes their versions serve.
#[derive(Debug)]
pub(crate) struct Reloader {
    me: Weak<Self>,
    pub(super) scripting: Arc<Scripting>,
    options: Arc<Options>,
    announcer: Arc<Announcer>,
    namespaces: Arc<Namespaces>,
    lifecycle: Lifecycle,
    dispatcher: Arc<Dispatcher>,
    scripts: Arc<tokio::sync::Mutex<Scripts>>,
    /// Failures of scripts, by the name of the entry file; for the automatic rollback.
    failures: Mutex<HashMap<Arc<str>, Failures>>,
}

/// Reason for which the scripts are loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trigger {
    /// The scripts are loaded for the first time: every script stands for itself.
    Start,
    /// The application requests it.
    Asked,
    /// The watcher reports a change in the folder.
    Watched(Changed),
}

/// Outcome of a load.
pub(super) struct Loaded {
    /// Problems of the rejected scripts; already announced.
    pub(super) rejected: Vec<Diagnostic>,
    /// Time of the next look, if a file is missing or half-written.
    pub(super) look_again: Option<Instant>,
}

impl Loaded {
    /// Returns the outcome of a load that loaded nothing, for this reason.
    fn nothing(problem: String) -> Self {
        Self {
            rejected: vec![Diagnostic::error(problem)],
            look_again: None,
        }
    }
}

/// Permission to decide what serves: no other load runs, and no client is connecting.
pub(super) struct Permit {
    scripts: OwnedMutexGuard<Scripts>,
    _gate: ClosedGate,
}

impl Permit {
    /// Forgets all scripts.
    pub(super) fn forget(mut self) {
        *self.scripts = Scripts::default();
    }
}

impl Drop for Reloader {
    /// Ends the units of namespaces after the last reload, which may have begun some.
    fn drop(&mut self) {
        self.namespaces.end_units();
    }
}

impl Reloader {
    pub(super) fn new(
        scripting: Scripting,
        options: Arc<Options>,
        announcer: Arc<Announcer>,
        namespaces: Arc<Namespaces>,
        lifecycle: Lifecycle,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me: &Weak<Self>| Self {
            dispatcher: Dispatcher::new(
                options.clone(),
                announcer.clone(),
                &namespaces,
                &lifecycle,
                on_failure(&options, me.clone()),
            ),
            me: me.clone(),
            scripting: Arc::new(scripting),
            options,
            announcer,
            namespaces,
            lifecycle,
            scripts: Arc::default(),
            failures: Mutex::default(),
        })
    }

    /// Returns the dispatcher, which does the work of all namespaces that are opened here.
    pub(super) const fn dispatcher(&self) -> &Arc<Dispatcher> {
        &self.dispatcher
    }

    /// Waits for the permit, which is the only access to what serves. Locks the list of scripts first, and then closes
    /// the gate.
    pub(super) async fn permit(&self) -> Permit {
        let scripts = self.scripts.clone().lock_owned().await;
        let gate = self.lifecycle.close_gate().await;
        Permit {
            scripts,
            _gate: gate,
        }
    }

    /// Waits for the permit; returns `None` when the host closes.
    async fn permit_while_open(&self) -> Option<Permit> {
        let closing = self.lifecycle.closing.cancelled();
        tokio::select! {
            biased;
            () = closing => None,
            permit = self.permit() => Some(permit),
        }
    }

    /// Loads the scripts that are new or have changed.
    pub(super) async fn load(self: &Arc<Self>, trigger: Trigger) -> Loaded {
        let Some(mut permit) = self.permit_while_open().await else {
            return Loaded::nothing("the host is closing".to_owned());
        };
        let reloader = self.clone();
        let loaded = tokio::task::spawn_blocking(move || {
            let loaded = reloader.reload(&mut permit.scripts, trigger);
            drop(permit);
            loaded
        });
        match loaded.await {
            Ok(loaded) => loaded,
            Err(panic) => {
                // Nothing of it counts as tried.
                for script in self.scripts.lock().await.by_namespace.values_mut() {
                    script.tried.clear();
                }
                self.unreadable(format!("the reload ended early: {panic}"))
            }
        }
    }

    /// Returns the records of the last attempts to make versions serve a namespace.
    pub(super) async fn history(&self, namespace: &str) -> Vec<Record> {
        let scripts = self.scripts.lock().await;
        let script = scripts.by_namespace.get(namespace);
        script.map_or_else(Vec::new, |script| script.history.iter().cloned().collect())
    }

    /// Loads the scripts. At the start every script stands for itself; later the scripts of a batch take effect
    /// together or not at all.
    fn reload(&self, scripts: &mut Scripts, trigger: Trigger) -> Loaded {
        let began = Instant::now();
        let (is_start, is_watched, changed) = match trigger {
            Trigger::Start => (true, false, Changed::Everything),
            Trigger::Asked => (false, false, Changed::Everything),
            Trigger::Watched(changed) => (false, true, changed),
        };
        let snapshot = Snapshot::of(&*self.scripting.loader, &changed, &mut scripts.texts);
        let files = match routes::listed(&snapshot) {
            Ok(files) => files,
            Err(error) => {
                let problem = error.to_string();
                let known = scripts.unreadable.replace(problem.clone());
                return match is_watched && known.as_ref() == Some(&problem) {
                    true => Loaded::nothing(problem),
                    false => self.unreadable(problem),
                };
            }
        };
        scripts.unreadable = None;
        let mut loaded = Loaded {
            rejected: Vec::new(),
            look_again: self.retire_missing(scripts, &files),
        };
        let entries = Entries::of(scripts, files);
        let plan = Plan::of(&self.scripting, scripts, &snapshot, &entries);
        scripts.texts = snapshot.into_texts();
        if is_watched && self.is_being_written(scripts, &plan) {
            plan.forget(scripts);
            scripts.texts.clear();
            loaded.look_again = Some(began + WRITING);
            return loaded;
        }
        let warnings = plan.warnings();
        let attempts = plan.attempts.into_iter();
        let batches = match is_start {
            true => attempts.map(|attempt| vec![attempt]).collect(),
            false => vec![attempts.collect()],
        };
        for attempts in batches {
            let settled = self.settle(scripts, attempts, &Cause::Edit, began);
            loaded.rejected.extend(settled.err().into_iter().flatten());
        }
        if !warnings.is_empty() {
            self.announcer.announce(HostEvent::Warned {
                diagnostics: warnings,
            });
        }
        loaded
    }

    /// Makes all of these versions serve, or none of them.
    ///
    /// # Errors
    /// The diagnostics, already announced, if none of them serves.
    fn settle(
        &self,
        scripts: &mut Scripts,
        attempts: Vec<plan::Attempt>,
        cause: &Cause,
        began: Instant,
    ) -> Result<(), Vec<Diagnostic>> {
        if attempts.is_empty() {
            return Ok(());
        }
        let namespace_of = |path: &str| self.namespace_of(scripts, path);
        match Batch::draft(attempts, namespace_of, self.options.on_rebind_failure) {
            Ok(batch) => {
                self.commit(scripts, batch, cause, began);
                Ok(())
            }
            Err(failed) => Err(self.reject(scripts, failed)),
        }
    }

    fn namespace_of(&self, scripts: &mut Scripts, path: &str) -> Arc<Namespace> {
        let script = scripts.by_namespace.entry(path.to_owned()).or_default();
        let open = || {
            self.namespaces
                .open(path, Serving::Broken, self.dispatcher.clone())
        };
        script.namespace.get_or_insert_with(open).clone()
    }

    /// Announces the problem for which nothing could be loaded, and returns the outcome.
    fn unreadable(&self, problem: String) -> Loaded {
        self.announcer.announce(HostEvent::Unreadable {
            problem: problem.clone(),
        });
        Loaded::nothing(problem)
    }

    /// Returns whether an editor is in the middle of saving. Then the whole plan is tried again, until the grace period
    /// is over.
    fn is_being_written(&self, scripts: &mut Scripts, plan: &Plan) -> bool {
        if !plan.is_half_written(scripts, &*self.scripting.loader) {
            scripts.written_since = None;
            return false;
        }
        let since = *scripts.written_since.get_or_insert_with(Instant::now);
        since.elapsed() < self.options.missing_grace
    }

    /// Retires namespaces whose files are gone for good. Returns the time of the next look at the other missing files.
    fn retire_missing(&self, scripts: &mut Scripts, files: &[(String, String)]) -> Option<Instant> {
        let listed: BTreeSet<_> = files.iter().map(|(path, _)| path).collect();
        let mut look_again = None;
        for (path, script) in &mut scripts.by_namespace {
            let namespace = script.namespace.as_ref();
            let Some(namespace) = namespace.filter(|n| !matches!(n.serving(), Serving::Gone))
            else {
                continue;
            };
            if listed.contains(path) {
                script.missing_since = None;
                continue;
            }
            let since = *script.missing_since.get_or_insert_with(Instant::now);
            let gone_at = since + self.options.missing_grace;
            if gone_at > Instant::now() {
                look_again = Some(look_again.map_or(gone_at, |other: Instant| other.min(gone_at)));
                continue;
            }
            rebind::retire(namespace);
            script.tried.clear();
            script.missing_since = None;
            self.announcer.announce(HostEvent::Removed {
                namespace: namespace.path().clone(),
                script: script.entry.as_str().into(),
            });
        }
        look_again
    }
}

/// Returns the callback that counts failed calls, for the automatic rollback.
fn on_failure(options: &Options, reloader: Weak<Reloader>) -> OnFailure {
    if !options.rollback_on_errors {
        return Box::new(|_, _, _| {});
    }
    Box::new(move |connection, version, diagnostic| {
        if let Some(reloader) = reloader.upgrade() {
            reloader.count_failure(connection, version, diagnostic);
        }
    })
}
