//! A namespace is one unit more beside its connections: `on_load`, its timers and its closures run in a turn of its own.
//!
//! That turn is a [`Connection`] without a client. What its calls register belongs to the version that serves: it is
//! gone when another one does.

use std::sync::{Arc, mpsc};

use super::{Connection, Namespace, Work};
use crate::script::{Hook, Version};

impl Connection {
    /// The unit of a namespace itself: it has no client and is not one of the namespace's connections.
    fn of_namespace(namespace: Arc<Namespace>) -> Arc<Self> {
        Self::new("", namespace, rhai::Dynamic::UNIT, 0)
    }

    /// The id of its socket; `None` for the unit of a namespace.
    pub fn socket(&self) -> Option<&Arc<str>> {
        Some(self.id()).filter(|id| !id.is_empty())
    }

    /// Starts with the version that serves, and lets go of what an earlier one left; `None` when it has started already.
    /// For the unit of a namespace.
    pub fn start(&self) -> Option<Arc<Version>> {
        let version = self.namespace().version();
        let mut held = self.held();
        let same = match (&held.version, &version) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        if same {
            return None;
        }
        held.version.clone_from(&version);
        let (registered, asks) = (held.registered.end(), held.asks.end());
        drop(held);
        registered.release();
        drop(asks);
        version
    }

    /// Whether its work is that of a version that no longer serves. Never so for a client's: it adopts the new one.
    pub fn is_outdated(&self) -> bool {
        let version = self.version();
        self.socket().is_none() && version.is_none_or(|version| !self.namespace().serves(&version))
    }
}

impl Namespace {
    /// Has `on_load` called of the version that serves, if it is to be. `done` is dropped when that is over.
    pub fn load(self: &Arc<Self>, done: Option<mpsc::Sender<()>>) {
        let wanted = self
            .version()
            .is_some_and(|version| version.hook(Hook::Load).is_some());
        let own = match wanted {
            true => Some(self.own_or_new()),
            false => self.own(),
        };
        match own {
            Some(own) => drop(own.post(Work::Load(done))),
            None => self.loaded(),
        }
    }

    fn own_or_new(self: &Arc<Self>) -> Arc<Connection> {
        let mut own = self.lock_own();
        own.get_or_insert_with(|| Connection::of_namespace(self.clone()))
            .clone()
    }

    /// Ends the unit of the namespace: its timers, and closures that wait.
    pub fn end_own(&self) {
        let own = self.lock_own().take();
        if let Some(own) = own {
            own.close();
            own.leave();
        }
    }
}
