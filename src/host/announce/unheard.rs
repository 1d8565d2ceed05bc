//! Events that nobody listens to any more, and that clients still send: after a listener was renamed or removed.
//!
//! In: the events that an edit has taken the listeners from, and the events that no listener of a connection takes. Out:
//! one [`HostEvent::Unheard`](crate::event::HostEvent::Unheard) for each event and version. An event that is listened to does not come here.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;

/// Maximum events of a script that are remembered, scripts, and clients that are counted.
const MAX: usize = 1_000;

/// Events that former versions listened to, by script.
#[derive(Debug, Default)]
pub(super) struct Unheard {
    /// There are such events: the only thing that is looked at as long as there are none.
    any: AtomicBool,
    scripts: Mutex<HashMap<Arc<str>, BTreeMap<String, Former>>>,
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
    /// Returns `true` if there are events that a former version listened to.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Notes which events a version of a script listens to, and which ones it listens to no more.
    pub(super) fn edited(
        &self,
        script: &Arc<str>,
        version: u64,
        heard: &BTreeSet<String>,
        silent: BTreeSet<String>,
    ) {
        let mut scripts = self.scripts.lock();
        if scripts.len() >= MAX && !scripts.contains_key(script) {
            return;
        }
        let events = scripts.entry(script.clone()).or_default();
        events.retain(|event, _| !heard.contains(event));
        for event in silent.into_iter().filter(|event| !heard.contains(event)) {
            if events.len() < MAX {
                let clients = Clients::None;
                events.entry(event).or_insert(Former { version, clients });
            }
        }
        self.any.fetch_or(!events.is_empty(), Ordering::Relaxed);
    }

    /// Counts a client that has sent an event. Returns the number of the version since which nobody listens to it, if a
    /// window begins.
    pub(super) fn sent(&self, script: &str, event: &str, socket: &Arc<str>) -> Option<u64> {
        let mut scripts = self.scripts.lock();
        let former = scripts.get_mut(script)?.get_mut(event)?;
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
                Some(former.version)
            }
        }
    }

    /// Ends a window. Returns how many clients have sent the event, unless a version listens to it again.
    pub(super) fn end(&self, script: &str, event: &str, version: u64) -> Option<usize> {
        let mut scripts = self.scripts.lock();
        let former = scripts.get_mut(script)?.get_mut(event)?;
        if former.version != version {
            return None;
        }
        match std::mem::replace(&mut former.clients, Clients::Announced) {
            Clients::Some(clients) => Some(clients.len()),
            _ => None,
        }
    }
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
        assert_eq!(unheard.sent(&script, "other", &id), None);
        assert_eq!(unheard.sent(&script, "line", &id), Some(2));
        for n in 0..3 * MAX {
            assert_eq!(unheard.sent(&script, "line", &n.to_string().into()), None);
        }
        assert_eq!(unheard.end(&script, "line", 2), Some(MAX));
        assert_eq!(unheard.sent(&script, "line", &id), None);
        // It is listened to again, and then no more.
        unheard.edited(&script, 3, &names(&["line"]), names(&[]));
        assert_eq!(unheard.sent(&script, "line", &id), None);
        unheard.edited(&script, 4, &names(&[]), names(&["line"]));
        assert_eq!(unheard.sent(&script, "line", &id), Some(4));
        assert_eq!(unheard.end(&script, "line", 2), None);
        let many: BTreeSet<_> = (0..3 * MAX).map(|n| n.to_string()).collect();
        unheard.edited(&script, 5, &names(&[]), many);
        for n in 0..3 * MAX {
            unheard.edited(&n.to_string().into(), 5, &names(&[]), names(&["line"]));
        }
        let scripts = unheard.scripts.lock();
        assert_eq!((scripts.len(), scripts[&script].len()), (MAX, MAX));
    }
}
