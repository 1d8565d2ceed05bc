//! Events that clients send and nobody listens to: their names are misspelled, or a listener was renamed or removed.
//!
//! In: the events that an edit has taken the listeners from, and the events that no listener of a connection takes. Out:
//! one [`HostEvent::Unheard`](crate::event::HostEvent::Unheard) for each event and version. An event that is listened to does not come here.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;

/// Maximum events of a script that are remembered, scripts, and clients that are counted.
const MAX: usize = 1_000;
/// Maximum events of a script that no version listened to: their names come from clients.
const MAX_UNKNOWN: usize = 50;
/// Maximum length of such a name, in bytes.
const MAX_NAME: usize = 200;

/// Events that nobody listens to, by script.
#[derive(Debug, Default)]
pub(super) struct Unheard(Mutex<HashMap<Arc<str>, Events>>);

#[derive(Debug, Default)]
struct Events {
    /// Those that a former version listened to.
    former: BTreeMap<String, Former>,
    /// Others that clients have sent.
    unknown: BTreeSet<String>,
}

/// Announcement that an event from a client leads to.
#[derive(Debug, PartialEq)]
pub(super) enum Sent {
    /// At the end of a window: nobody has listened to it since a version.
    Since(u64),
    /// At once: nobody listens to it.
    Unknown,
}

/// Event that a former version listened to.
#[derive(Debug)]
struct Former {
    /// Number of the first version that does not.
    version: u64,
    clients: Clients,
}

/// Clients that have sent an event.
#[derive(Debug)]
enum Clients {
    None,
    /// Ids of their sockets, until the end of the window.
    Some(HashSet<Arc<str>>),
    Announced,
}

impl Unheard {
    /// Notes which events a version of a script listens to, and which ones it listens to no more.
    pub(super) fn edited(
        &self,
        script: &Arc<str>,
        version: u64,
        heard: &BTreeSet<String>,
        silent: BTreeSet<String>,
    ) {
        let mut scripts = self.0.lock();
        let Some(Events { former, unknown }) = events(&mut scripts, script) else {
            return;
        };
        unknown.retain(|event| !heard.contains(event));
        former.retain(|event, _| !heard.contains(event));
        for event in silent.into_iter().filter(|event| !heard.contains(event)) {
            if former.len() < MAX {
                let clients = Clients::None;
                former.entry(event).or_insert(Former { version, clients });
            }
        }
    }

    /// Counts a client that has sent an event. Returns what is to be announced of it, if that is not done yet.
    pub(super) fn sent(&self, script: &Arc<str>, event: &str, socket: &Arc<str>) -> Option<Sent> {
        let mut scripts = self.0.lock();
        let Events { former, unknown } = events(&mut scripts, script)?;
        let Some(former) = former.get_mut(event) else {
            let is_short = event.len() <= MAX_NAME && unknown.len() < MAX_UNKNOWN;
            let is_new = is_short && unknown.insert(event.to_owned());
            return is_new.then_some(Sent::Unknown);
        };
        match &mut former.clients {
            Clients::Announced => None,
            Clients::Some(clients) => {
                if clients.len() < MAX {
                    clients.insert(socket.clone());
                }
                None
            }
            Clients::None => {
                former.clients = Clients::Some(HashSet::from([socket.clone()]));
                Some(Sent::Since(former.version))
            }
        }
    }

    /// Ends a window. Returns how many clients have sent the event, unless a version listens to it again.
    pub(super) fn end(&self, script: &str, event: &str, version: u64) -> Option<usize> {
        let mut scripts = self.0.lock();
        let former = scripts.get_mut(script)?.former.get_mut(event)?;
        if former.version != version {
            return None;
        }
        match std::mem::replace(&mut former.clients, Clients::Announced) {
            Clients::Some(clients) => Some(clients.len()),
            _ => None,
        }
    }
}

fn events<'a>(
    scripts: &'a mut HashMap<Arc<str>, Events>,
    script: &Arc<str>,
) -> Option<&'a mut Events> {
    let has_room = scripts.len() < MAX || scripts.contains_key(script);
    has_room.then(|| scripts.entry(script.clone()).or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_event_is_counted_once_for_each_client_and_version_and_the_memory_is_bounded() {
        let unheard = Unheard::default();
        let (script, id): (Arc<str>, Arc<str>) = ("a.rhai".into(), "id".into());
        unheard.edited(&script, 2, &names(&[]), names(&["line"]));
        assert_eq!(unheard.sent(&script, "other", &id), Some(Sent::Unknown));
        assert_eq!(unheard.sent(&script, "other", &id), None);
        assert_eq!(unheard.sent(&script, "line", &id), Some(Sent::Since(2)));
        for n in 0..3 * MAX {
            assert_eq!(unheard.sent(&script, "line", &n.to_string().into()), None);
        }
        assert_eq!(unheard.end(&script, "line", 2), Some(MAX));
        assert_eq!(unheard.sent(&script, "line", &id), None);
        // It is listened to again, and then no more.
        unheard.edited(&script, 3, &names(&["line"]), names(&[]));
        unheard.edited(&script, 4, &names(&[]), names(&["line"]));
        assert_eq!(unheard.sent(&script, "line", &id), Some(Sent::Since(4)));
        assert_eq!(unheard.end(&script, "line", 2), None);
        let many: BTreeSet<_> = (0..3 * MAX).map(|n| n.to_string()).collect();
        unheard.edited(&script, 5, &names(&[]), many);
        for n in 0..3 * MAX {
            unheard.edited(&n.to_string().into(), 5, &names(&[]), names(&["line"]));
        }
        let scripts = unheard.0.lock();
        assert_eq!((scripts.len(), scripts[&script].former.len()), (MAX, MAX));
        drop(scripts);
        let unknown = (0..MAX).filter_map(|n| unheard.sent(&script, &format!("no {n}"), &id));
        assert_eq!(unknown.count() + 1, MAX_UNKNOWN);
    }
}
