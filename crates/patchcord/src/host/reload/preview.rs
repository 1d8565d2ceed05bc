//! Preview of a save: computes the report of the save on copies.
//!
//! In: texts, saved or not. Out: the events that a load would announce. Nothing is switched, and no connection changes,
//! because drafts have no effects, and an adoption is rehearsed on copies of the state of a connection.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::{Instant, SystemTime},
};

use serde::Serialize;

use super::{
    Reloader,
    batch::{Batch, Cause},
    commit::announcement,
    effects::effects,
    history::Scripts,
    plan::{Attempt, Plan},
    rebind::{self, Candidate},
    record::Outcome,
    routes::{self, RouteTable},
    saves,
    snapshot::{Changed, Snapshot, Texts},
};
use crate::{
    connection::{Namespace, Serving},
    diagnostic::{self, Diagnostic},
    event::HostEvent,
    script::{Ignored, LoadError, Loader},
};

/// Report of a save that has not taken effect: the events that a load would announce, in order. Returned by
/// [`Host::preview`](crate::Host::preview).
///
/// ```
/// use patchcord::{Host, script::Memory};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let scripts = Memory::from([("main.rhai", "fn on_connection(socket) { }")]);
/// let host = Host::builder().loader(scripts).build();
/// host.load().await.unwrap();
/// assert!(host.preview().await.events.is_empty(), "no file has changed");
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Preview {
    /// Events that a load would announce. The duration in the effects of a reload is that of the preview.
    pub events: Vec<HostEvent>,
}

impl Preview {
    /// Returns the problems because of which a load would reject scripts of the save; empty if it would reject nothing.
    ///
    /// ```
    /// use patchcord::testing::TestHost;
    ///
    /// let host = TestHost::new("fn on_connection(socket) { }");
    /// let preview = host.preview_texts([("main.rhai", "fn on_connection(socket) { socket.emti(); }")]);
    /// assert_eq!(preview.problems()[0].message, "unknown function `emti` on `socket`");
    /// ```
    pub fn problems(&self) -> Vec<Diagnostic> {
        let problems = self.events.iter().flat_map(|event| match event {
            HostEvent::Rejected { diagnostics, .. } => diagnostics.clone(),
            HostEvent::ScriptsUnreadable { error: problem } => {
                vec![Diagnostic::error(problem.clone())]
            }
            _ => vec![],
        });
        problems.collect()
    }

    /// Returns `true` if a load would reject scripts of the save.
    pub fn is_rejected(&self) -> bool {
        !self.problems().is_empty()
    }
}

/// Texts that a preview uses.
#[derive(Debug, Clone)]
pub(in crate::host) enum Saved {
    /// All files as they are now.
    Files,
    /// These files as they are now, by name, and all other files as they were last loaded.
    Only(BTreeSet<String>),
    /// All files as they are now, with these texts in place of those of the same names.
    Texts(BTreeMap<String, String>),
}

/// Loader for a preview: some texts replace those of another loader.
#[derive(Debug)]
struct Overlay<'a> {
    below: &'a dyn Loader,
    /// Texts that replace those of the files of the same names; `None` for a file that the preview does not see.
    texts: BTreeMap<String, Option<Arc<str>>>,
}

impl<'a> Overlay<'a> {
    fn new(below: &'a dyn Loader, saved: Saved, scripts: &Scripts) -> Self {
        let texts = match saved {
            Saved::Files => BTreeMap::new(),
            Saved::Texts(texts) => {
                let texts = texts.into_iter();
                texts
                    .map(|(name, text)| (name, Some(text.into())))
                    .collect()
            }
            Saved::Only(names) => {
                // The preview does not see a file that was never loaded, unless it is a module, which can only be
                // imported.
                let listed = below.list().unwrap_or_default().into_iter();
                let new = listed.filter(|name| below.namespace(name).is_some());
                let mut texts: BTreeMap<_, _> = new.map(|name| (name, None)).collect();
                let loaded = scripts.by_namespace.values().flat_map(|one| &one.tried);
                texts.extend(loaded.map(|file| (file.name.to_string(), file.text.clone())));
                texts.retain(|name, _| !names.contains(name));
                texts
            }
        };
        Self { below, texts }
    }
}

impl Loader for Overlay<'_> {
    fn list(&self) -> Result<Vec<String>, LoadError> {
        let mut names: BTreeSet<_> = self.below.list()?.into_iter().collect();
        for (name, text) in &self.texts {
            match text {
                Some(_) => names.insert(name.clone()),
                None => names.remove(name),
            };
        }
        Ok(names.into_iter().collect())
    }

    fn read(&self, name: &str) -> Result<String, LoadError> {
        match self.texts.get(name) {
            Some(Some(text)) => Ok(text.to_string()),
            Some(None) => Err(LoadError::NotFound(name.to_owned())),
            None => self.below.read(name),
        }
    }

    fn namespace(&self, name: &str) -> Option<String> {
        self.below.namespace(name)
    }

    fn ignored(&self) -> Vec<Ignored> {
        self.below.ignored()
    }
}

impl Reloader {
    /// Returns the events that a load would announce. Loads wait until this method returns.
    pub(in crate::host) async fn preview(self: &Arc<Self>, saved: Saved) -> Preview {
        let scripts = self.scripts.clone().lock_owned().await;
        let reloader = self.clone();
        let events = tokio::task::spawn_blocking(move || reloader.would_announce(&scripts, saved));
        let events = events.await.unwrap_or_else(|panic| {
            let problem = format!("the preview ended early: {panic}");
            vec![HostEvent::ScriptsUnreadable { error: problem }]
        });
        Preview { events }
    }

    /// Returns the names of the scripts at these paths or below them. A path is a name, or an absolute path on disk.
    /// The set is empty if a path stands for all scripts.
    ///
    /// # Errors
    /// Returns the first path at which there is no script.
    pub(in crate::host) fn names_at(&self, paths: &[String]) -> Result<BTreeSet<String>, String> {
        let loader = &self.scripting.loader;
        let listed = loader.list().unwrap_or_default();
        let mut names = BTreeSet::new();
        for path in paths {
            let root = loader.watched().and_then(|root| root.canonicalize().ok());
            let wanted = root
                .filter(|_| Path::new(path).is_absolute())
                .and_then(|root| {
                    let path = Path::new(path).canonicalize().ok()?;
                    if root.starts_with(&path) {
                        return Some(String::new());
                    }
                    Some(path.strip_prefix(root).ok()?.to_str()?.to_owned())
                });
            let wanted = wanted.unwrap_or_else(|| path.clone());
            if wanted.is_empty() {
                return Ok(BTreeSet::new());
            }
            let is_wanted = |name: &&String| {
                let rest = name.strip_prefix(&*wanted);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let mut found = listed.iter().filter(is_wanted).peekable();
            if found.peek().is_none() {
                return Err(path.clone());
            }
            names.extend(found.cloned());
        }
        Ok(names)
    }

    fn would_announce(&self, scripts: &Scripts, saved: Saved) -> Vec<HostEvent> {
        let began = Instant::now();
        let overlay = Overlay::new(&*self.scripting.loader, saved, scripts);
        let snapshot = Snapshot::new(&overlay, &Changed::Everything, &mut Texts::default());
        let files = match routes::listed(&snapshot) {
            Ok(files) => files,
            Err(error) => {
                let problem = error.to_string();
                return vec![HostEvent::ScriptsUnreadable { error: problem }];
            }
        };
        let mut scripts = scripts.copy();
        let ignored = snapshot.ignored();
        let mut events = self.would_be_missing(&scripts, &snapshot, &files, &ignored);
        let entries = RouteTable::new(&scripts, files);
        let mut plan = Plan::new(&self.scripting, &mut scripts, &snapshot, &entries);
        events.extend(scripts.take_undone_saves());
        events.extend(self.serve_as_before(&scripts, &mut plan.attempts));
        let mut warnings = Vec::new();
        let number = scripts.batch + 1;
        for save in saves::saves_of(plan, &mut scripts) {
            let has_changed = save.has_changed();
            warnings.extend(has_changed.then(|| save.warnings()).into_iter().flatten());
            let (_, attempts) = save.begin();
            match self.would_load(&mut scripts, attempts, number, began) {
                Ok(loaded) => events.extend(loaded),
                Err(rejected) => events.extend(has_changed.then_some(*rejected)),
            }
        }
        let warnings = diagnostic::in_order(warnings);
        if !warnings.is_empty() {
            let diagnostics = warnings;
            events.push(HostEvent::Warnings { diagnostics });
        }
        events
    }

    /// Returns the events of a batch that would take effect.
    ///
    /// # Errors
    /// Returns the event of a batch that would be rejected.
    fn would_load(
        &self,
        scripts: &mut Scripts,
        attempts: Vec<Attempt>,
        number: u64,
        began: Instant,
    ) -> Result<Vec<HostEvent>, Box<HostEvent>> {
        let cause = Cause::Edit;
        let namespace_of = |path: &str| {
            let script = scripts.by_namespace.get(path);
            let namespace = script.and_then(|script| script.namespace.clone());
            namespace.unwrap_or_else(|| {
                // This namespace is not registered with a server.
                Arc::new(Namespace::new(
                    path,
                    Serving::Broken,
                    self.dispatcher.clone(),
                ))
            })
        };
        let batch = Batch::draft(
            attempts,
            namespace_of,
            self.options.reload.on_rebind_failure,
        );
        let Batch { ready } = batch.map_err(|failed| {
            let (scripts, diagnostics) = failed.note(scripts, &cause);
            Box::new(HostEvent::Rejected {
                scripts,
                diagnostics,
            })
        })?;
        let moved = |(candidate, _): &(Candidate, _)| {
            let Candidate { namespace, version } = candidate;
            self.namespaces.would_move(namespace, version.entry())
        };
        let mut events: Vec<_> = ready.iter().filter_map(moved).collect();
        let (time, mut reported) = (SystemTime::now(), BTreeSet::new());
        for switched in rebind::rehearse(ready) {
            let Candidate { namespace, version } = switched.candidate.clone();
            let (path, before) = (namespace.path().clone(), namespace.version());
            let outcome = match before {
                None => Outcome::Loaded,
                Some(_) => Outcome::Replaced,
            };
            let replaced = before.as_ref().map(|before| before.number());
            let number = scripts.serving((&path, &version), replaced, (number, time), outcome);
            let disconnected = switched.disconnected.iter().cloned();
            events.extend(disconnected.map(|diagnostic| HostEvent::HandlerFailed { diagnostic }));
            let reload = effects(switched, before.as_deref(), &mut reported, began);
            let event = announcement((&cause, number), path, &version, before.as_deref(), reload);
            events.push(event);
        }
        Ok(events)
    }
}
