//! From changed files to versions that serve: all of them, or none.
//!
//! In: what may have changed. Out: versions that serve, and a [`HostEvent`] that says so.
//!
//! | step | | |
//! |---|---|---|
//! | what is there? | [`snapshot`], [`routes`] | texts as of one moment; which file serves which namespace |
//! | what has changed? | [`plan`] | the scripts that are tried, each with its version or what is wrong with it |
//! | does it work? | [`batch`] | drafts on live connections, and the vote |
//! | make it so | [`commit`] | one switch for all, the history, the report |
//!
//! What must stay true: a load that fails changes nothing that is served.

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

/// So long after files that are being written they are read again.
const WRITING: Duration = Duration::from_millis(50);

/// Loads scripts, and has their versions serve.
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
    /// Where scripts fail, by the name of the entry file; for rolling back by itself.
    failures: Mutex<HashMap<Arc<str>, Failures>>,
}

/// Why the scripts are loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trigger {
    /// For the first time: every script stands for itself.
    Start,
    /// The program asks for it.
    Asked,
    /// Something has happened in the folder.
    Watched(Changed),
}

/// What came of it.
pub(super) struct Loaded {
    /// What is wrong with the scripts that were not used; announced already.
    pub(super) rejected: Vec<Diagnostic>,
    /// When to look again, if a file is missing or is being written.
    pub(super) look_again: Option<Instant>,
}

impl Loaded {
    /// Nothing was loaded, for this reason.
    fn nothing(problem: String) -> Self {
        Self {
            rejected: vec![Diagnostic::error(problem)],
            look_again: None,
        }
    }
}

/// The right to decide what serves: no other load runs, and no client is connecting.
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

    /// What does the work of the namespaces that it opens.
    pub(super) const fn dispatcher(&self) -> &Arc<Dispatcher> {
        &self.dispatcher
    }

    /// The only way to what serves: first the scripts, then the gate.
    pub(super) async fn permit(&self) -> Permit {
        let scripts = self.scripts.clone().lock_owned().await;
        let gate = self.lifecycle.close_gate().await;
        Permit {
            scripts,
            _gate: gate,
        }
    }

    /// The same, unless the host closes.
    async fn permit_while_open(&self) -> Option<Permit> {
        let closing = self.lifecycle.closing.cancelled();
        tokio::select! {
            biased;
            () = closing => None,
            permit = self.permit() => Some(permit),
        }
    }

    /// Loads what is new or has changed.
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
        loaded.await.unwrap_or_else(|panic| {
            let problem = format!("the reload ended early: {panic}");
            self.unreadable(problem)
        })
    }

    /// What came of the last attempts to have versions serve a namespace.
    pub(super) async fn history(&self, namespace: &str) -> Vec<Record> {
        let scripts = self.scripts.lock().await;
        let script = scripts.by_namespace.get(namespace);
        script.map_or_else(Vec::new, |script| script.history.iter().cloned().collect())
    }

    /// At the start every script stands for itself; later the scripts of a batch take effect together or not at all.
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

    /// Makes these serve, or none of them.
    ///
    /// # Errors
    /// Why none of them does, announced already.
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

    /// Nothing could be loaded, for a reason that is announced.
    fn unreadable(&self, problem: String) -> Loaded {
        self.announcer.announce(HostEvent::Unreadable {
            problem: problem.clone(),
        });
        Loaded::nothing(problem)
    }

    /// Whether somebody is in the middle of saving. Then all of it is tried again, until the grace is over.
    fn is_being_written(&self, scripts: &mut Scripts, plan: &Plan) -> bool {
        if !plan.is_half_written(scripts, &*self.scripting.loader) {
            scripts.written_since = None;
            return false;
        }
        let since = *scripts.written_since.get_or_insert_with(Instant::now);
        since.elapsed() < self.options.missing_grace
    }

    /// Retires namespaces whose files are gone for good, and gives when to look at the others again.
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

/// Has calls that fail counted, for rolling back by itself.
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
