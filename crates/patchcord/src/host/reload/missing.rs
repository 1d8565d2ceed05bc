//! Finds files that are gone, and takes their namespaces out of service after a grace period.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use super::{
    Reloader,
    history::{Script, Scripts},
    rebind,
    snapshot::Snapshot,
};
use crate::{
    connection::{Namespace, Serving},
    event::HostEvent,
    script::Ignored,
};

/// Files of the scripts that a load has found.
struct Present<'a> {
    snapshot: &'a Snapshot<'a>,
    /// Paths of namespaces, with the names of their entry files.
    files: &'a [(String, String)],
    /// Files and folders that the loader ignores.
    ignored: &'a [Ignored],
}

impl Present<'_> {
    /// Returns `true` if the file of a script may exist, although the loader cannot see it now.
    fn is_unseen(&self, entry: &str) -> bool {
        let mut unseen = self.ignored.iter().filter(|one| one.is_unseen);
        unseen.any(|one| {
            let below = entry.strip_prefix(&*one.name);
            below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// Returns the name of a file that does not serve yet and has the same text as a script, because the script was
    /// probably renamed.
    fn same_text(&self, scripts: &Scripts, script: &Script) -> Option<Arc<str>> {
        let version = script.serves()?;
        let text = version.files().first()?.text.clone()?;
        let is_new = |path: &String| {
            let known = scripts.by_namespace.get(path);
            known.is_none_or(|known| known.serves().is_none())
        };
        let new = self.files.iter().filter(|(path, _)| is_new(path));
        let mut same = new.filter(|(_, name)| self.snapshot.text(name).is_ok_and(|t| t == text));
        same.next().map(|(_, name)| name.as_str().into())
    }
}

/// Outcome of the search for missing files.
#[derive(Default)]
pub(super) struct Missing {
    /// Time at which to load the files again, if a file is missing.
    pub(super) look_again: Option<Instant>,
    /// Paths of the namespaces whose files are back.
    returned: BTreeSet<String>,
}

impl Reloader {
    /// Announces files that are missing, and retires namespaces whose files are missing for longer than the grace
    /// period.
    pub(super) fn look_for_missing(
        &self,
        scripts: &mut Scripts,
        snapshot: &Snapshot<'_>,
        files: &[(String, String)],
        ignored: &[Ignored],
    ) -> Missing {
        let present = Present {
            snapshot,
            files,
            ignored,
        };
        let listed: BTreeSet<_> = present.files.iter().map(|(path, _)| path).collect();
        let (mut missing, mut new, mut gone) = (Missing::default(), Vec::new(), Vec::new());
        for (path, script) in &mut scripts.by_namespace {
            let namespace = script.namespace.as_ref();
            if !namespace.is_some_and(|n| !matches!(n.serving(), Serving::Gone)) {
                continue;
            }
            if listed.contains(path) || present.is_unseen(&script.entry) {
                if script.missing_since.take().is_some() {
                    missing.returned.insert(path.clone());
                }
                continue;
            }
            if script.missing_since.is_none() {
                new.push(path.clone());
            }
            let since = *script.missing_since.get_or_insert_with(Instant::now);
            let gone_at = since + self.options.reload.missing_grace;
            if gone_at > Instant::now() {
                let next = missing
                    .look_again
                    .map_or(gone_at, |other| other.min(gone_at));
                missing.look_again = Some(next);
            } else {
                gone.push(path.clone());
            }
        }
        new.retain(|path| !gone.contains(path));
        let new = new.iter();
        let events = new.filter_map(|path| self.missing_event(scripts, &present, path));
        events.for_each(|event| self.announcer.announce(event));
        self.retire(scripts, &gone);
        missing
    }

    fn missing_event(
        &self,
        scripts: &Scripts,
        present: &Present<'_>,
        path: &str,
    ) -> Option<HostEvent> {
        let script = scripts.by_namespace.get(path)?;
        let namespace = script
            .namespace
            .as_ref()
            .filter(|n| n.version().is_some())?;
        let grace = self.options.reload.missing_grace.as_millis();
        Some(HostEvent::Missing {
            namespace: namespace.path().clone(),
            script: script.entry.as_str().into(),
            clients: namespace.connections().len(),
            milliseconds: u64::try_from(grace).unwrap_or(u64::MAX),
            same_text: present.same_text(scripts, script),
        })
    }

    /// Returns the events that a load would announce for files that are missing since the last load.
    pub(super) fn would_be_missing(
        &self,
        scripts: &Scripts,
        snapshot: &Snapshot<'_>,
        files: &[(String, String)],
        ignored: &[Ignored],
    ) -> Vec<HostEvent> {
        let present = Present {
            snapshot,
            files,
            ignored,
        };
        let listed: BTreeSet<_> = files.iter().map(|(path, _)| path).collect();
        let absent = scripts.by_namespace.iter().filter(|(path, script)| {
            let is_present = listed.contains(path) || present.is_unseen(&script.entry);
            script.missing_since.is_none() && !is_present
        });
        absent
            .filter_map(|(path, _)| self.missing_event(scripts, &present, path))
            .collect()
    }

    /// Announces the files that are back and have not changed.
    pub(super) fn announce_returned(&self, scripts: &Scripts, missing: &Missing, tried: &[&str]) {
        for path in &missing.returned {
            let script = scripts.by_namespace.get(path);
            let version = script.and_then(Script::serves);
            if let Some(version) = version.filter(|_| !tried.contains(&path.as_str())) {
                self.announcer.announce(HostEvent::Returned {
                    namespace: path.as_str().into(),
                    script: version.entry().clone(),
                    version: version.number(),
                });
            }
        }
    }

    /// Retires namespaces, so that they reject clients. All of them are retired before any of their paths is released,
    /// because a dynamic namespace among them must not take over the path of another one.
    fn retire(&self, scripts: &mut Scripts, gone: &[String]) {
        let mut retired: Vec<(Arc<Namespace>, Arc<str>, usize)> = Vec::new();
        for path in gone {
            let Some(script) = scripts.by_namespace.get_mut(path) else {
                continue;
            };
            script.tried.clear();
            script.missing_since = None;
            if let Some(namespace) = &script.namespace {
                let clients = namespace.connections().len();
                rebind::retire(namespace);
                retired.push((namespace.clone(), script.entry.as_str().into(), clients));
            }
        }
        for (namespace, script, clients) in retired {
            let path = namespace.path().clone();
            self.announcer
                .announce(match self.namespaces.release(&namespace) {
                    Some(to) => HostEvent::Moved {
                        namespace: path,
                        from: script,
                        to,
                        clients,
                    },
                    None => HostEvent::Removed {
                        namespace: path,
                        script,
                    },
                });
        }
    }

    /// Announces each ignored file once, with the reason. A file that a script imports is not announced.
    pub(super) fn announce_ignored(&self, scripts: &mut Scripts, ignored: Vec<Ignored>) {
        let tried = scripts.by_namespace.values();
        let imported = tried.flat_map(|script| script.tried.iter().skip(1));
        let imported: BTreeSet<_> = imported.map(|file| file.name.to_string()).collect();
        let now = ignored
            .into_iter()
            .filter(|one| !imported.contains(&one.name));
        let now = now.map(|one| (one.name, one.reason)).collect();
        let before = std::mem::replace(&mut scripts.ignored, now);
        for (file, reason) in &scripts.ignored {
            if before.get(file) != Some(reason) {
                self.announcer.announce(HostEvent::Ignored {
                    file: file.as_str().into(),
                    reason: reason.clone(),
                });
            }
        }
    }
}
