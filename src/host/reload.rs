//! From changed files to versions that serve: which scripts read them, do they load, and then all or none.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Inner,
    entries::{Entries, Turn},
    rebind::{self, Candidate, Prepared, Switched},
    scripts::{Outcome, Scripts},
    snapshot::Snapshot,
};
use crate::{
    connection::{Adopted, Driver, HostEvent, Namespace, Reload, RollBackReason, Serving},
    diagnostic::{self, Diagnostic, Place},
    script::{Hook, Rejected, SourceFile, Version},
};

/// One script of a batch, as it was tried.
pub(super) struct Attempt {
    pub(super) path: String,
    pub(super) result: Result<Arc<Version>, Vec<Diagnostic>>,
}

/// Why versions are to serve.
#[derive(Debug, Clone)]
pub(super) enum Cause {
    /// Their files are new or have changed.
    Edit,
    /// Those after them are rolled back.
    RollBack(RollBackReason),
}

/// Why the scripts are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trigger {
    /// For the first time: every script stands for itself.
    Start,
    /// The program asks for it.
    Asked,
    /// Something has happened in the folder.
    Watched,
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

/// So long after files that are being written they are read again.
const WRITING: Duration = Duration::from_millis(50);

impl Inner {
    /// Loads what is new or changed.
    ///
    /// At the start every script stands for itself; later the scripts of a batch take effect together or not at all.
    pub(super) fn reload(self: &Arc<Self>, scripts: &mut Scripts, trigger: Trigger) -> Loaded {
        let began = Instant::now();
        let snapshot = Snapshot::of(&*self.loader);
        let entries = match self.entries(&snapshot) {
            Ok(entries) => entries,
            Err(error) => {
                let problem = error.to_string();
                let known = scripts.unreadable.replace(problem.clone());
                return match trigger == Trigger::Watched && known.as_ref() == Some(&problem) {
                    true => Loaded::nothing(problem),
                    false => self.unreadable(problem),
                };
            }
        };
        scripts.unreadable = None;
        let mut loaded = Loaded {
            rejected: Vec::new(),
            look_again: self.missing(scripts, &entries),
        };
        let entries = Entries::of(scripts, entries);
        let mut attempts = self.attempt(scripts, &snapshot, &entries);
        drop_modules(scripts, &mut attempts);
        if trigger == Trigger::Watched && self.is_being_written(scripts, &attempts) {
            loaded.look_again = Some(began + WRITING);
            return loaded;
        }
        let warnings = warnings(&attempts);
        let batches = match trigger {
            Trigger::Start => attempts.into_iter().map(|attempt| vec![attempt]).collect(),
            _ if attempts.is_empty() => Vec::new(),
            _ => vec![attempts],
        };
        for batch in batches {
            let settled = self.settle(scripts, batch, &Cause::Edit, began);
            loaded.rejected.extend(settled.err().into_iter().flatten());
        }
        if !warnings.is_empty() {
            self.announce(HostEvent::Warned {
                diagnostics: warnings,
            });
        }
        loaded
    }

    /// Nothing could be loaded, for a reason that is announced.
    pub(super) fn unreadable(&self, problem: String) -> Loaded {
        self.announce(HostEvent::Unreadable {
            problem: problem.clone(),
        });
        Loaded::nothing(problem)
    }

    /// Whether a script fails because somebody is in the middle of saving: one of its files is empty or missing, or is
    /// another by now. Then all of the batch is tried again, until the grace is over.
    fn is_being_written(&self, scripts: &mut Scripts, attempts: &[Attempt]) -> bool {
        let is_half = |file: &SourceFile| {
            let now = self.loader.read(&file.name).ok();
            let text = file.text.as_deref().unwrap_or_default();
            text.trim().is_empty() || now.as_deref() != Some(text)
        };
        let failed = attempts.iter().filter(|attempt| attempt.result.is_err());
        let mut failed = failed.filter_map(|attempt| scripts.by_namespace.get(&attempt.path));
        if !failed.any(|script| script.tried.iter().any(is_half)) {
            scripts.written_since = None;
            return false;
        }
        let since = *scripts.written_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.options.missing_grace {
            return false;
        }
        for attempt in attempts {
            if let Some(script) = scripts.by_namespace.get_mut(&attempt.path) {
                script.tried.clear();
            }
        }
        true
    }

    /// Loads every script that may have changed.
    fn attempt(
        &self,
        scripts: &mut Scripts,
        snapshot: &Snapshot<'_>,
        entries: &Entries,
    ) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        let collided = std::mem::replace(&mut scripts.colliding, entries.colliding());
        for (path, entry) in &entries.files {
            let is_news = scripts.colliding.contains(entry) != collided.contains(entry);
            let refusal = match entries.turn(entry) {
                Turn::Free => None,
                Turn::Refused(problem) => Some(problem),
                Turn::Waits => continue,
                Turn::Displaced(problem) => {
                    attempts.extend(is_news.then(|| Attempt {
                        path: path.clone(),
                        result: Err(vec![problem.clone()]),
                    }));
                    continue;
                }
            };
            let script = scripts.by_namespace.entry(path.clone()).or_default();
            let unchanged = !script.tried.is_empty()
                && script.entry == *entry
                && snapshot.still_is(&script.tried);
            if unchanged && !script.held_back && !is_news {
                continue;
            }
            script.entry.clone_from(entry);
            script.held_back = false;
            let result = Version::load(
                &self.engine,
                &self.known,
                &self.options.limits,
                snapshot,
                entry,
                script.number + 1,
            );
            let result = match result {
                Ok(version) => {
                    script.tried = version.files().to_vec();
                    match refusal {
                        Some(problem) => Err(vec![problem.clone()]),
                        None => Ok(Arc::new(version)),
                    }
                }
                Err(Rejected {
                    diagnostics, files, ..
                }) => {
                    script.tried = files;
                    Err(diagnostics)
                }
            };
            if let (Ok(new), Some(serving)) = (&result, script.serves())
                && new.files() == serving.files()
            {
                continue;
            }
            attempts.push(Attempt {
                path: path.clone(),
                result,
            });
        }
        attempts
    }

    /// Makes the batch serve, or none of it.
    ///
    /// # Errors
    /// Why none of it does, announced already.
    pub(super) fn settle(
        self: &Arc<Self>,
        scripts: &mut Scripts,
        attempts: Vec<Attempt>,
        cause: &Cause,
        began: Instant,
    ) -> Result<(), Vec<Diagnostic>> {
        let mut candidates = Vec::new();
        let mut failed: Vec<(String, Vec<Diagnostic>)> = Vec::new();
        for Attempt { path, result } in attempts {
            let namespace = self.namespace_of(scripts, &path);
            match result {
                Ok(version) => candidates.push((path, Candidate { namespace, version })),
                Err(diagnostics) => failed.push((path, diagnostics)),
            }
        }
        let mut batch = Vec::new();
        let on_failure = self.options.on_rebind_failure;
        for (path, candidate) in candidates {
            match failed
                .is_empty()
                .then(|| rebind::draft(&candidate, on_failure))
            {
                Some(Ok(prepared)) => batch.push((path, candidate, prepared)),
                Some(Err(diagnostic)) => failed.push((path, vec![*diagnostic])),
                None => batch.push((path, candidate, Vec::new())),
            }
        }
        if failed.is_empty() {
            let batch = batch
                .into_iter()
                .map(|(_, candidate, prepared)| (candidate, prepared))
                .collect();
            self.replace(scripts, batch, cause, began);
            Ok(())
        } else {
            batch
                .iter()
                .flat_map(|(_, _, prepared)| prepared)
                .for_each(Prepared::release);
            let fine: Vec<_> = batch.into_iter().map(|(path, ..)| path).collect();
            Err(self.reject(scripts, failed, &fine))
        }
    }

    fn namespace_of(self: &Arc<Self>, scripts: &mut Scripts, path: &str) -> Arc<Namespace> {
        let script = scripts.by_namespace.entry(path.to_owned()).or_default();
        script
            .namespace
            .get_or_insert_with(|| self.open(path, Serving::Broken))
            .clone()
    }

    /// Nothing changes. What is fine itself is tried again with the next batch. Gives what is wrong.
    fn reject(
        &self,
        scripts: &mut Scripts,
        failed: Vec<(String, Vec<Diagnostic>)>,
        fine: &[String],
    ) -> Vec<Diagnostic> {
        let mut kept = Vec::new();
        let mut diagnostics: Vec<Diagnostic> = Vec::new();
        for path in fine {
            if let Some(script) = scripts.by_namespace.get_mut(path) {
                script.held_back = true;
            }
        }
        for path in failed.iter().map(|(path, _)| path).chain(fine) {
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
        self.announce(HostEvent::Rejected {
            scripts: kept,
            diagnostics: diagnostics.clone(),
        });
        diagnostics
    }

    fn replace(
        &self,
        scripts: &mut Scripts,
        batch: Vec<(Candidate, Vec<Prepared>)>,
        cause: &Cause,
        began: Instant,
    ) {
        let before: Vec<_> = batch.iter().map(|(c, _)| c.namespace.version()).collect();
        for (switched, before) in rebind::switch(batch).into_iter().zip(before) {
            let Candidate { namespace, version } = &switched.candidate;
            let (path, version) = (namespace.path().clone(), version.clone());
            let (script, hash) = (version.entry().clone(), version.hash().clone());
            let number = version.number();
            let files = version.files().iter().map(|f| f.name.clone()).collect();
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
                self.announce(HostEvent::HandlerFailed { diagnostic });
            }
            let reload = report(switched, began);
            self.announce(match (cause, before) {
                (Cause::Edit, None) => HostEvent::Loaded {
                    namespace: path,
                    script,
                    version: number,
                    hash,
                    files,
                },
                (Cause::Edit, Some(_)) => HostEvent::Replaced {
                    namespace: path,
                    script,
                    version: number,
                    hash,
                    files,
                    reload,
                },
                (Cause::RollBack(reason), before) => HostEvent::RolledBack {
                    namespace: path,
                    script,
                    from: before.map_or(0, |before| before.number()),
                    version: number,
                    hash,
                    files,
                    reason: reason.clone(),
                    reload,
                },
            });
        }
    }
}

/// What is probably not meant in the scripts of a batch, each once: many may import the same file.
fn warnings(attempts: &[Attempt]) -> Vec<Diagnostic> {
    let versions = attempts.iter().filter_map(|a| a.result.as_ref().ok());
    let warnings = versions.flat_map(|version| version.warnings()).cloned();
    diagnostic::in_order(warnings.collect())
}

fn report(switched: Switched, began: Instant) -> Reload {
    let mut reload = Reload {
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

/// A file without `on_connection` that another one imports is a module and no namespace; one that nobody imports is
/// an error.
fn drop_modules(scripts: &Scripts, attempts: &mut Vec<Attempt>) {
    let mut imported = BTreeSet::new();
    let versions = attempts.iter().filter_map(|a| a.result.as_ref().ok());
    for version in versions {
        imported.extend(imports_of(version.files()));
    }
    for script in scripts.by_namespace.values() {
        imported.extend(imports_of(&script.tried));
    }
    attempts.retain_mut(|attempt| {
        let Ok(version) = &attempt.result else {
            return true;
        };
        if version.hook(Hook::Connection).is_some() {
            return true;
        }
        let served = scripts
            .by_namespace
            .get(&attempt.path)
            .is_some_and(|s| s.namespace.is_some());
        if imported.contains(version.entry()) && !served {
            return false;
        }
        attempt.result = Err(vec![no_connection_hook(version.entry())]);
        true
    });
}

fn imports_of(files: &[SourceFile]) -> impl Iterator<Item = Arc<str>> {
    files.iter().skip(1).map(|file| file.name.clone())
}

pub(super) fn no_connection_hook(entry: &str) -> Diagnostic {
    Diagnostic::error(format!("`{entry}` has no function `on_connection`"))
        .at(Place::new(entry, 1, 1))
        .hint("a file that serves a namespace defines `fn on_connection(socket) { ... }`")
        .hint("a file that is only imported belongs into the folder `lib`")
}
