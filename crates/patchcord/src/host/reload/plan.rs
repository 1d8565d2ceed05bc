//! Plans a load: finds the scripts that are new or have changed, and compiles them.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    history::{Script, Scripts},
    routes::{Claim, RouteTable},
    snapshot::Snapshot,
};
use crate::{
    diagnostic::{Diagnostic, Place},
    host::scripting::Scripting,
    script::{Hook, LoadError, Rejected, SourceFile, Version},
};

/// Script that was tried, with its result.
pub(super) struct Attempt {
    /// Path of its namespace.
    pub(super) path: String,
    pub(super) result: Tried,
}

type Tried = Result<Arc<Version>, Vec<Diagnostic>>;

/// Scripts that one load tries.
pub(super) struct Plan {
    /// Scripts that are tried, at most one for each namespace.
    pub(super) attempts: Vec<Attempt>,
    /// Paths of those attempts that are new or have changed since they were tried last. All other attempts are tried
    /// again, because they have not taken effect yet.
    pub(super) fresh: BTreeSet<String>,
    /// Paths of attempts whose entry files the system could not read, so that it is not known what was saved.
    pub(super) unread: BTreeSet<String>,
    /// Files whose namespace another file serves; they are to be announced.
    pub(super) displaced: Vec<Attempt>,
}

impl Plan {
    /// Compiles each script that is new, has changed, or has not taken effect yet.
    pub(super) fn new(
        scripting: &Scripting,
        scripts: &mut Scripts,
        snapshot: &Snapshot<'_>,
        entries: &RouteTable,
    ) -> Self {
        let mut plan = Self {
            attempts: Vec::new(),
            fresh: BTreeSet::new(),
            unread: BTreeSet::new(),
            displaced: Vec::new(),
        };
        let pending = scripts.pending.iter().flat_map(|saved| &saved.paths);
        let pending: BTreeSet<_> = pending.cloned().collect();
        let collided = std::mem::replace(&mut scripts.colliding, entries.colliding());
        for (path, entry) in &entries.files {
            let collides_otherwise = scripts.colliding.contains(entry) != collided.contains(entry);
            let refusal = match entries.claim(entry) {
                Claim::Available => None,
                Claim::Conflict(problem) => Some(problem),
                Claim::Pending => continue,
                Claim::Shadowed(problem) => {
                    plan.displaced.extend(collides_otherwise.then(|| Attempt {
                        path: path.clone(),
                        result: Err(vec![problem.clone()]),
                    }));
                    continue;
                }
            };
            let script = scripts.by_namespace.entry(path.clone()).or_default();
            let is_fresh = collides_otherwise || has_changed(script, snapshot, entry);
            if !is_fresh && !pending.contains(path) {
                continue;
            }
            if let Some(result) = try_script(scripting, script, snapshot, entry, refusal) {
                plan.fresh.extend(is_fresh.then(|| path.clone()));
                let text = snapshot.text(entry);
                let is_unread = text.is_err_and(|e| matches!(*e, LoadError::Unreadable { .. }));
                plan.unread.extend(is_unread.then(|| path.clone()));
                plan.attempts.push(Attempt {
                    path: path.clone(),
                    result,
                });
            }
        }
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
}

/// Returns `true` if a script differs from what was tried last.
fn has_changed(script: &Script, snapshot: &Snapshot<'_>, entry: &str) -> bool {
    script.tried.is_empty() || script.entry != entry || !snapshot.still_is(&script.tried)
}

/// Compiles one script. Returns `None` if its files are those of the version that serves.
fn try_script(
    scripting: &Scripting,
    script: &mut Script,
    snapshot: &Snapshot<'_>,
    entry: &str,
    refusal: Option<&Diagnostic>,
) -> Option<Tried> {
    entry.clone_into(&mut script.entry);
    let number = script.number + 1;
    let before = script.serves();
    let result = match scripting.compile(snapshot, entry, number, before.as_deref()) {
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
        (Ok(new), Some(serving)) if new.files() == serving.files() => {
            let was_rejected = std::mem::take(&mut script.is_rejected);
            script.undone_save = was_rejected.then_some(serving);
            None
        }
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
