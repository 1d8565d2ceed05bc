//! Plan of a load: the scripts that are new or have changed, each with its result.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    history::{Script, Scripts},
    routes::{Entries, Turn},
    snapshot::Snapshot,
};
use crate::{
    diagnostic::{self, Diagnostic, Place},
    host::scripting::Scripting,
    script::{Hook, Loader, Rejected, SourceFile, Version},
};

/// One script that was tried, with its result.
pub(super) struct Attempt {
    /// Path of its namespace.
    pub(super) path: String,
    pub(super) result: Tried,
}

type Tried = Result<Arc<Version>, Vec<Diagnostic>>;

/// Scripts that one load tries.
pub(super) struct Plan {
    pub(super) attempts: Vec<Attempt>,
}

impl Plan {
    /// Compiles every script that is new or has changed.
    pub(super) fn of(
        scripting: &Scripting,
        scripts: &mut Scripts,
        snapshot: &Snapshot<'_>,
        entries: &Entries,
    ) -> Self {
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
            let result = try_script(scripting, script, snapshot, entry, refusal, is_news);
            attempts.extend(result.map(|result| Attempt {
                path: path.clone(),
                result,
            }));
        }
        let mut plan = Self { attempts };
        plan.drop_modules(scripts);
        plan
    }

    /// Removes modules. A file without `on_connection` that another file imports is a module, and serves no namespace;
    /// if no file imports it, it is an error.
    fn drop_modules(&mut self, scripts: &Scripts) {
        let mut imported = BTreeSet::new();
        let versions = self.attempts.iter().filter_map(|a| a.result.as_ref().ok());
        for version in versions {
            imported.extend(imports_of(version.files()));
        }
        for script in scripts.by_namespace.values() {
            imported.extend(imports_of(&script.tried));
        }
        self.attempts.retain_mut(|attempt| {
            let Ok(version) = &attempt.result else {
                return true;
            };
            if version.has(Hook::Connection) {
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

    /// Returns whether a script fails because an editor is in the middle of saving: one of its files is empty or
    /// missing, or has changed since it was read.
    pub(super) fn is_half_written(&self, scripts: &Scripts, loader: &dyn Loader) -> bool {
        let is_half = |file: &SourceFile| {
            let now = loader.read(&file.name).ok();
            let text = file.text.as_deref().unwrap_or_default();
            text.trim().is_empty() || now.as_deref() != Some(text)
        };
        let failed = self.attempts.iter().filter(|one| one.result.is_err());
        let mut failed = failed.filter_map(|one| scripts.by_namespace.get(&one.path));
        failed.any(|script| script.tried.iter().any(is_half))
    }

    /// Makes the next load try all of these scripts again.
    pub(super) fn forget(&self, scripts: &mut Scripts) {
        for attempt in &self.attempts {
            if let Some(script) = scripts.by_namespace.get_mut(&attempt.path) {
                script.tried.clear();
            }
        }
    }

    /// Returns the warnings of the scripts, each once, because many scripts may import the same file.
    pub(super) fn warnings(&self) -> Vec<Diagnostic> {
        let versions = self
            .attempts
            .iter()
            .filter_map(|one| one.result.as_ref().ok());
        let warnings = versions.flat_map(|version| version.warnings()).cloned();
        diagnostic::in_order(warnings.collect())
    }
}

/// Tries one script; returns `None` if it is what was tried last, or what serves.
fn try_script(
    scripting: &Scripting,
    script: &mut Script,
    snapshot: &Snapshot<'_>,
    entry: &str,
    refusal: Option<&Diagnostic>,
    is_news: bool,
) -> Option<Tried> {
    let unchanged =
        !script.tried.is_empty() && script.entry == entry && snapshot.still_is(&script.tried);
    if unchanged && !script.held_back && !is_news {
        return None;
    }
    entry.clone_into(&mut script.entry);
    script.held_back = false;
    let result = match scripting.compile(snapshot, entry, script.number + 1) {
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
    match (&result, script.serves()) {
        (Ok(new), Some(serving)) if new.files() == serving.files() => None,
        _ => Some(result),
    }
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
