//! Finds events from clients that have no listener, because their names are misspelled, or a listener was renamed or
//! removed.
//!
//! In: the events whose listeners an edit has removed, and the events from clients for which the connection has no
//! listener. Out: one announcement, [`HostEvent::Unheard`](crate::event::HostEvent::Unheard), for each event and
//! version. An event that has a listener never reaches this module.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;

/// Maximum number of scripts, of remembered events of one script, and of counted clients of one event.
const MAX: usize = 1_000;
/// Maximum number of events of a script to which no version has listened. It is low, because their names come from
/// clients.
const MAX_UNKNOWN: usize = 50;
/// Maximum length of such a name, in bytes.
const MAX_NAME: usize = 200;

/// Events without a listener, by script.
#[derive(Debug, Default)]
pub(super) struct Unheard(Mutex<HashMap<Arc<str>, Events>>);

#[derive(Debug, Default)]
struct Events {
    /// Events to which an earlier version listened.
    former: BTreeMap<String, Former>,
    /// Other events without a listener that clients have sent.
    unknown: BTreeSet<String>,
}

/// Announcement of an event without a listener.
#[derive(Debug, PartialEq)]
pub(super) enum Sent {
    /// Made at the end of a window: the script has not listened to the event since the version of this number.
    Since(u64),
    /// Made at once: no version of the script has ever listened to the event.
    Unknown,
}

/// Event to which an earlier version listened.
#[derive(Debug)]
struct Former {
    /// Number of the first version that does not listen to it.
    version: u64,
    clients: Clients,
}

/// Clients that have sent an event in its window.
#[derive(Debug)]
enum Clients {
    None,
    /// Ids of their sockets, until the end of the window.
    Some(HashSet<Arc<str>>),
    Announced,
}

impl Unheard {
    /// Records the events that a version of a script listens to (`heard`), and those that it no longer listens to
    /// (`silent`).
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

    /// Counts a client that has sent an event. Returns the announcement that this event triggers, or `None` if an
    /// earlier event has triggered it.
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

    /// Ends a window. Returns the number of clients that have sent the event, or `None` if a version has listened to it
    /// in the meantime.
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
        // The event gets a listener again, and then loses it.
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
