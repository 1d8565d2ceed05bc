//! Loads changed files, and makes their versions serve: all of them, or none.
//!
//! In: the files that may have changed. Out: versions that serve, and a [`HostEvent`] that reports the outcome.
//!
//! | step | modules | result |
//! |---|---|---|
//! | read | [`snapshot`], [`routes`], [`missing`] | texts as of one moment; which file serves which namespace |
//! | compile changed scripts | [`plan`] | the scripts that are tried, each with its version or its diagnostics |
//! | group them | [`saves`] | scripts that take effect together or not at all |
//! | draft them | [`batch`], [`rebind`] | drafts, where `on_connection` itself has changed, and the vote |
//! | commit them | [`rebind`], [`commit`], [`effects`] | one switch for all; each connection adopts; the history, the report |
//! | roll them back | [`rollback`], [`failures`] | a whole batch, on request or because its handlers fail |
//! | store them | [`history`], [`store`], [`recall`] | versions that served, in memory and on disk |
//!
//! Invariant: a load that fails changes nothing that is served.

mod batch;
pub(super) mod check;
mod commit;
mod effects;
mod failures;
mod history;
pub(super) mod known;
mod missing;
mod pause;
mod pending;
mod plan;
pub(super) mod preview;
mod rebind;
mod recall;
pub(super) mod record;
pub(super) mod report;
pub(super) mod rollback;
mod routes;
mod saves;
mod snapshot;
mod staged_batch;
pub(super) mod staging;
mod store;
pub(super) mod versions;
pub(super) mod watch;

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::{Notify, OwnedMutexGuard},
};

use self::{
    batch::{Batch, Cause, Failed},
    failures::Failures,
    history::Scripts,
    plan::Plan,
    record::Record,
    report::{LoadReport, ScriptsRejected},
    routes::RouteTable,
    snapshot::{Changed, Snapshot},
};
use super::{
    announce::{self, Announcer},
    dispatch::{Dispatcher, OnFailure},
    lifecycle::Lifecycle,
    namespaces::Namespaces,
    options::Options,
    scripting::Scripting,
    store::StoredData,
};
use crate::{
    connection::{Namespace, Serving},
    diagnostic::{self, Diagnostic},
    event::HostEvent,
    script::Loader,
};

/// Delay before files that look half-written are read again.
const HALF_WRITTEN_DELAY: Duration = Duration::from_millis(50);

/// Loader of scripts, which makes their versions serve, and rolls them back.
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
    /// Notifies the watch to load the files again.
    look: Arc<Notify>,
    /// Failures of the versions that serve, by the name of the entry file, for the automatic rollback.
    failures: Mutex<HashMap<Arc<str>, Failures>>,
    /// Failures of staged versions, by the name of the entry file.
    staged_failures: Mutex<HashMap<Arc<str>, Failures>>,
}

/// Reason why the scripts are loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trigger {
    /// The application requests the load, at the start or later.
    Requested,
    /// The watcher reports a change in the folder.
    Watched(Changed),
}

/// Outcome of a load.
#[derive(Default)]
pub(super) struct Loaded {
    /// Problems of the rejected scripts, which were already announced.
    pub(super) rejected: Vec<Diagnostic>,
    /// Time at which to load the files again, if a file is missing or half-written.
    pub(super) look_again: Option<Instant>,
    /// Number of the batch that took effect; `None` if nothing did.
    pub(super) batch: Option<u64>,
    /// Events that were announced.
    pub(super) events: Vec<HostEvent>,
}

impl Loaded {
    /// Returns the outcome for the application.
    pub(super) fn into_result(self) -> Result<LoadReport, ScriptsRejected> {
        let report = LoadReport {
            batch: self.batch,
            events: self.events,
        };
        match self.rejected {
            diagnostics if diagnostics.is_empty() => Ok(report),
            diagnostics => Err(ScriptsRejected {
                diagnostics,
                report,
            }),
        }
    }

    /// Returns the outcome of a load that loaded nothing because of `problem`.
    fn nothing(problem: String) -> Self {
        Self {
            rejected: vec![Diagnostic::error(problem)],
            ..Self::default()
        }
    }
}

/// Permit to change the versions that serve. While one exists, no other load, rollback or stage runs.
pub(super) struct Permit {
    scripts: OwnedMutexGuard<Scripts>,
}

impl Permit {
    /// Forgets all scripts.
    pub(super) fn forget(mut self) {
        *self.scripts = Scripts::default();
    }
}

impl Drop for Reloader {
    /// Closes the units of namespaces, because the last reload may have created some.
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
        stored: Option<Arc<StoredData>>,
    ) -> Arc<Self> {
        let scripting = Arc::new(scripting);
        Arc::new_cyclic(|me: &Weak<Self>| Self {
            dispatcher: Dispatcher::new(
                options.clone(),
                announcer.clone(),
                &namespaces,
                &lifecycle,
                (scripting.clone(), stored),
                on_failure(&options, me.clone()),
            ),
            me: me.clone(),
            scripting,
            options,
            announcer,
            namespaces,
            lifecycle,
            scripts: Arc::default(),
            look: Arc::default(),
            failures: Mutex::default(),
            staged_failures: Mutex::default(),
        })
    }

    /// Returns the dispatcher, which runs the work of all namespaces of the host.
    pub(super) const fn dispatcher(&self) -> &Arc<Dispatcher> {
        &self.dispatcher
    }

    /// Waits for the permit, which is the only way to change the versions that serve.
    pub(super) async fn permit(&self) -> Permit {
        let scripts = self.scripts.clone().lock_owned().await;
        Permit { scripts }
    }

    /// Waits for the permit. Returns `None` if the host closes first.
    async fn permit_while_open(&self) -> Option<Permit> {
        let closing = self.lifecycle.closing.cancelled();
        tokio::select! {
            biased;
            () = closing => None,
            permit = self.permit() => Some(permit),
        }
    }

    /// Loads the scripts that are new or have changed. While the host is paused, or versions are staged, watched saves
    /// wait.
    pub(super) async fn load(self: &Arc<Self>, trigger: Trigger) -> Loaded {
        let Some(permit) = self.permit_while_open().await else {
            return Loaded::nothing("the host is closing".to_owned());
        };
        if let Trigger::Watched(changed) = &trigger
            && permit.scripts.is_paused
        {
            self.wait_for_resume(changed);
            return Loaded::default();
        }
        if permit.scripts.staged.is_some() {
            return match &trigger {
                Trigger::Requested => self.reject_while_staged(),
                Trigger::Watched(changed) => {
                    self.wait_for_promote(changed);
                    Loaded::default()
                }
            };
        }
        let is_asked = trigger == Trigger::Requested;
        let loaded = self.load_with(permit, trigger).await;
        if is_asked && loaded.look_again.is_some() {
            self.look.notify_one();
        }
        loaded
    }

    async fn load_with(self: &Arc<Self>, mut permit: Permit, trigger: Trigger) -> Loaded {
        let reloader = self.clone();
        let loaded = tokio::task::spawn_blocking(move || {
            let (loaded, events) = announce::record(|| {
                reloader.recall(&mut permit.scripts);
                let loaded = reloader.reload(&mut permit.scripts, trigger);
                reloader.save(&mut permit.scripts);
                loaded
            });
            Loaded { events, ..loaded }
        });
        match loaded.await {
            Ok(loaded) => loaded,
            Err(panic) => {
                // No script counts as tried, so the next load tries all of them again.
                for script in self.scripts.lock().await.by_namespace.values_mut() {
                    script.tried.clear();
                }
                self.announce_unreadable(format!("the reload ended early: {panic}"))
            }
        }
    }

    /// Returns the records of the last attempts to make versions serve a namespace.
    pub(super) async fn history(&self, namespace: &str) -> Vec<Record> {
        let scripts = self.scripts.lock().await;
        let script = scripts.by_namespace.get(namespace);
        script.map_or_else(Vec::new, |script| script.history.iter().cloned().collect())
    }

    /// Loads the scripts. Scripts that were saved together take effect together or not at all.
    fn reload(&self, scripts: &mut Scripts, trigger: Trigger) -> Loaded {
        let began = Instant::now();
        let (is_watched, changed) = match trigger {
            Trigger::Requested => (false, Changed::Everything),
            Trigger::Watched(changed) => (true, changed),
        };
        let snapshot = Snapshot::new(&*self.scripting.loader, &changed, &mut scripts.texts);
        let files = match routes::listed(&snapshot) {
            Ok(files) => files,
            Err(error) => {
                let problem = error.to_string();
                let known = scripts.unreadable.replace(problem.clone());
                return match is_watched && known.as_ref() == Some(&problem) {
                    true => Loaded::nothing(problem),
                    false => self.announce_unreadable(problem),
                };
            }
        };
        scripts.unreadable = None;
        let ignored = snapshot.ignored();
        let missing = self.look_for_missing(scripts, &snapshot, &files, &ignored);
        let mut loaded = Loaded {
            rejected: Vec::new(),
            look_again: missing.look_again,
            ..Loaded::default()
        };
        let entries = RouteTable::new(scripts, files);
        let mut plan = Plan::new(&self.scripting, scripts, &snapshot, &entries);
        scripts.texts = snapshot.into_texts();
        let tried: Vec<_> = plan.attempts.iter().map(|one| &*one.path).collect();
        self.announce_returned(scripts, &missing, &tried);
        self.announce_ignored(scripts, ignored);
        self.announce_unchanged(scripts);
        for kept in self.serve_as_before(scripts, &mut plan.attempts) {
            self.announcer.announce(kept);
        }
        let mut warnings = Vec::new();
        // Everything that takes effect in one load has one batch number, although a new file takes effect
        // independently.
        let number = scripts.batch + 1;
        for mut save in saves::saves_of(plan, scripts) {
            let (loader, grace) = (&*self.scripting.loader, self.options.reload.missing_grace);
            if is_watched && save.is_being_written(scripts, loader, grace) {
                scripts.pending.push(save.postponed());
                scripts.texts.clear();
                loaded.look_again = Some(began + HALF_WRITTEN_DELAY);
                continue;
            }
            let has_changed = save.has_changed();
            warnings.extend(has_changed.then(|| save.warnings()).into_iter().flatten());
            let (pending, attempts) = save.begin();
            match self.draft(scripts, attempts, (&Cause::Edit, number), began) {
                Ok(()) => loaded.batch = Some(number),
                Err(failed) => {
                    scripts.pending.push(pending);
                    if has_changed {
                        let rejected = self.reject(scripts, failed, &Cause::Edit);
                        loaded.rejected.extend(rejected);
                    }
                }
            }
        }
        // Several scripts may import the same file, so warnings can occur more than once.
        let warnings = diagnostic::in_order(warnings);
        if !warnings.is_empty() {
            self.announcer.announce(HostEvent::Warnings {
                diagnostics: warnings,
            });
        }
        loaded
    }

    /// Makes all of these versions serve under the number of a batch, or none of them. Announces a failure.
    ///
    /// # Errors
    /// Returns the diagnostics if a version fails; then none of them serves.
    fn settle(
        &self,
        scripts: &mut Scripts,
        attempts: Vec<plan::Attempt>,
        (cause, number): (&Cause, u64),
        began: Instant,
    ) -> Result<(), Vec<Diagnostic>> {
        let drafted = self.draft(scripts, attempts, (cause, number), began);
        drafted.map_err(|failed| self.reject(scripts, failed, cause))
    }

    /// Does the same as [`settle`](Self::settle), but does not announce a failure.
    fn draft(
        &self,
        scripts: &mut Scripts,
        attempts: Vec<plan::Attempt>,
        (cause, number): (&Cause, u64),
        began: Instant,
    ) -> Result<(), Failed> {
        let namespace_of = |path: &str| self.namespace_of(scripts, path);
        let on_failure = self.options.reload.on_rebind_failure;
        let batch = Batch::draft(attempts, namespace_of, on_failure)?;
        // While the drafts run, clients can connect, and get the version that serves until the switch. Only clients
        // that connect from here on wait for the switch.
        let closed = Handle::current().block_on(self.lifecycle.close_gate());
        let batch = batch.draft_newcomers(on_failure)?;
        self.commit(scripts, batch, (cause, number), began);
        drop(closed);
        Ok(())
    }

    fn namespace_of(&self, scripts: &mut Scripts, path: &str) -> Arc<Namespace> {
        let script = scripts.by_namespace.entry(path.to_owned()).or_default();
        // A dynamic namespace may have taken over the path of the script's namespace.
        script.namespace.take_if(|one| !self.namespaces.has(one));
        let open = || {
            self.namespaces
                .open(path, Serving::Broken, self.dispatcher.clone())
        };
        script.namespace.get_or_insert_with(open).clone()
    }

    /// Announces the scripts whose files are again those of the version that serves, after a save that was rejected.
    fn announce_unchanged(&self, scripts: &mut Scripts) {
        for unchanged in scripts.take_undone_saves() {
            self.announcer.announce(unchanged);
        }
    }

    /// Announces a problem because of which nothing could be loaded, and returns the outcome.
    fn announce_unreadable(&self, problem: String) -> Loaded {
        self.announcer.announce(HostEvent::ScriptsUnreadable {
            error: problem.clone(),
        });
        Loaded::nothing(problem)
    }
}

/// Returns the callback that counts failed calls, for the automatic rollback.
fn on_failure(options: &Options, reloader: Weak<Reloader>) -> OnFailure {
    if !options.reload.rollback_on_errors {
        return Box::new(|_, _, _| {});
    }
    Box::new(move |connection, version, diagnostic| {
        if let Some(reloader) = reloader.upgrade() {
            reloader.count_failure(connection, version, diagnostic);
        }
    })
}
