//! From changed files to versions that serve: which scripts read them, do they load, and then all or none.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    Inner, check,
    rebind::{self, Candidate, Prepared},
};
use crate::{
    connection::{Adopted, Driver, HostEvent, Kept, Namespace, Reload, Serving},
    diagnostic::Diagnostic,
    script::{Hook, LoadError, Loader, Rejected, SourceFile, Version},
};

/// A file that is gone may be an editor in the middle of saving.
const MISSING_GRACE: Duration = Duration::from_secs(2);

/// What the host remembers of the scripts, between two loads.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    by_namespace: BTreeMap<String, Script>,
}

#[derive(Debug, Default)]
struct Script {
    entry: String,
    /// What the last attempt to load it read, whatever came of it.
    tried: Vec<SourceFile>,
    /// It was fine itself, and rejected because of others: the next batch tries it again.
    held_back: bool,
    /// The number of its last version that served.
    number: u64,
    missing_since: Option<Instant>,
    namespace: Option<Arc<Namespace>>,
}

impl Script {
    fn serves(&self) -> Option<Arc<Version>> {
        self.namespace
            .as_ref()
            .and_then(|namespace| namespace.version())
    }
}

impl Script {
    fn kept(&self) -> Kept {
        Kept::new(&self.entry, self.serves().map(|version| version.number()))
    }
}

/// One script of a batch, as it was tried.
struct Attempt {
    path: String,
    result: Result<Arc<Version>, Vec<Diagnostic>>,
}

impl Inner {
    /// Loads what is new or changed. Gives when to look again, if a file is missing.
    ///
    /// At the start every script stands for itself; later the scripts of a batch take effect together or not at all.
    pub(super) fn reload(self: &Arc<Self>, scripts: &mut Scripts, start: bool) -> Option<Instant> {
        let began = Instant::now();
        let snapshot = Snapshot::of(&*self.loader);
        let entries = match self.entries(&snapshot) {
            Ok(entries) => entries,
            Err(error) => {
                self.announce(HostEvent::Unreadable {
                    problem: error.to_string(),
                });
                return None;
            }
        };
        let look_again = self.missing(scripts, &entries);
        let mut attempts = self.attempt(scripts, &snapshot, &entries);
        drop_modules(scripts, &mut attempts);
        let warnings = warnings(&attempts);
        if start {
            for attempt in attempts {
                self.settle(scripts, vec![attempt], began);
            }
        } else if !attempts.is_empty() {
            self.settle(scripts, attempts, began);
        }
        if !warnings.is_empty() {
            self.announce(HostEvent::Warned {
                diagnostics: warnings,
            });
        }
        look_again
    }

    /// The namespaces that the files stand for, with their entry files.
    fn entries(&self, snapshot: &Snapshot<'_>) -> Result<BTreeMap<String, String>, LoadError> {
        let names = snapshot.list()?;
        Ok(names
            .into_iter()
            .filter_map(|name| Some((snapshot.loader.namespace(&name)?, name)))
            .collect())
    }

    /// Retires namespaces whose files are gone for good, and gives when to look at the others again.
    fn missing(
        &self,
        scripts: &mut Scripts,
        entries: &BTreeMap<String, String>,
    ) -> Option<Instant> {
        let mut look_again = None;
        for (path, script) in &mut scripts.by_namespace {
            let Some(namespace) = script
                .namespace
                .as_ref()
                .filter(|n| !matches!(n.serving(), Serving::Gone))
            else {
                continue;
            };
            if entries.contains_key(path) {
                script.missing_since = None;
                continue;
            }
            let gone_at = *script.missing_since.get_or_insert_with(Instant::now) + MISSING_GRACE;
            if gone_at > Instant::now() {
                look_again = Some(look_again.map_or(gone_at, |other: Instant| other.min(gone_at)));
                continue;
            }
            Self::retire(namespace);
            script.tried.clear();
            script.missing_since = None;
            self.announce(HostEvent::Removed {
                namespace: namespace.path().clone(),
                script: script.entry.as_str().into(),
            });
        }
        look_again
    }

    /// Loads every script that may have changed.
    fn attempt(
        &self,
        scripts: &mut Scripts,
        snapshot: &Snapshot<'_>,
        entries: &BTreeMap<String, String>,
    ) -> Vec<Attempt> {
        let mut attempts = Vec::new();
        let pairs: Vec<_> = entries.clone().into_iter().collect();
        let collisions: HashMap<_, _> = check::collisions(&pairs).into_iter().collect();
        for (path, entry) in entries {
            let script = scripts.by_namespace.entry(path.clone()).or_default();
            let unchanged = !script.tried.is_empty()
                && script.entry == *entry
                && snapshot.still_is(&script.tried);
            if unchanged && !script.held_back {
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
                    match collisions.get(entry) {
                        Some(collision) => Err(vec![collision.clone()]),
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
    fn settle(self: &Arc<Self>, scripts: &mut Scripts, attempts: Vec<Attempt>, began: Instant) {
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
        for (path, candidate) in candidates {
            match failed.is_empty().then(|| rebind::draft(&candidate)) {
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
            self.replace(scripts, batch, began);
        } else {
            batch
                .iter()
                .flat_map(|(_, _, prepared)| prepared)
                .for_each(Prepared::release);
            let fine: Vec<_> = batch.into_iter().map(|(path, ..)| path).collect();
            self.reject(scripts, failed, &fine);
        }
    }

    fn namespace_of(self: &Arc<Self>, scripts: &mut Scripts, path: &str) -> Arc<Namespace> {
        let script = scripts.by_namespace.entry(path.to_owned()).or_default();
        script
            .namespace
            .get_or_insert_with(|| self.open(path, Serving::Broken))
            .clone()
    }

    /// Nothing changes. What is fine itself is tried again with the next batch.
    fn reject(
        &self,
        scripts: &mut Scripts,
        failed: Vec<(String, Vec<Diagnostic>)>,
        fine: &[String],
    ) {
        let mut kept = Vec::new();
        let mut diagnostics: Vec<Diagnostic> = Vec::new();
        for path in fine {
            if let Some(script) = scripts.by_namespace.get_mut(path) {
                script.held_back = true;
                kept.push(script.kept());
            }
        }
        for (path, problems) in failed {
            kept.extend(scripts.by_namespace.get(&path).map(Script::kept));
            for problem in problems {
                if !diagnostics.contains(&problem) {
                    diagnostics.push(problem);
                }
            }
        }
        kept.sort_by(|a, b| a.script.cmp(&b.script));
        self.announce(HostEvent::Rejected {
            scripts: kept,
            diagnostics,
        });
    }

    fn replace(
        &self,
        scripts: &mut Scripts,
        batch: Vec<(Candidate, Vec<Prepared>)>,
        began: Instant,
    ) {
        let first_time: Vec<bool> = batch
            .iter()
            .map(|(c, _)| c.namespace.version().is_none())
            .collect();
        for ((candidate, adopted), first_time) in rebind::switch(batch).into_iter().zip(first_time)
        {
            let Candidate { namespace, version } = candidate;
            if let Some(script) = scripts.by_namespace.get_mut(&**namespace.path()) {
                script.number = version.number();
            }
            let (namespace, script) = (namespace.path().clone(), version.entry().clone());
            let version = version.number();
            self.announce(match first_time {
                true => HostEvent::Loaded {
                    namespace,
                    script,
                    version,
                },
                false => HostEvent::Replaced {
                    namespace,
                    script,
                    version,
                    reload: report(adopted, began),
                },
            });
        }
    }
}

/// What is probably not meant in the scripts of a batch, each once: many may import the same file.
fn warnings(attempts: &[Attempt]) -> Vec<Diagnostic> {
    let versions = attempts.iter().filter_map(|a| a.result.as_ref().ok());
    let warnings = versions.flat_map(|version| version.warnings()).cloned();
    check::in_order(warnings.collect())
}

fn report(adopted: Vec<Adopted>, began: Instant) -> Reload {
    let mut reload = Reload {
        rebound: adopted.len(),
        ..Reload::default()
    };
    for Adopted { carried, keep_old } in adopted {
        reload.keep_old += keep_old;
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
        .hint("a file that serves a namespace defines `fn on_connection(socket) { ... }`")
        .hint("a file that is only imported belongs into the folder `lib`")
}

/// The scripts as they were when they were first read in this load, so that all of it sees one state.
#[derive(Debug)]
pub(super) struct Snapshot<'a> {
    loader: &'a dyn Loader,
    read: Mutex<HashMap<String, Text>>,
}

type Text = Result<Arc<str>, Arc<LoadError>>;

impl<'a> Snapshot<'a> {
    pub(super) fn of(loader: &'a dyn Loader) -> Self {
        Self {
            loader,
            read: Mutex::default(),
        }
    }

    fn text(&self, name: &str) -> Text {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let text = || self.loader.read(name).map(Arc::from).map_err(Arc::new);
        read.entry(name.to_owned()).or_insert_with(text).clone()
    }

    fn still_is(&self, files: &[SourceFile]) -> bool {
        files
            .iter()
            .all(|file| self.text(&file.name).ok() == file.text)
    }
}

impl Loader for Snapshot<'_> {
    fn list(&self) -> Result<Vec<String>, LoadError> {
        self.loader.list()
    }

    fn read(&self, name: &str) -> Result<String, LoadError> {
        self.text(name)
            .map(|text| text.to_string())
            .map_err(|error| (*error).clone())
    }

    fn namespace(&self, name: &str) -> Option<String> {
        self.loader.namespace(name)
    }
}
