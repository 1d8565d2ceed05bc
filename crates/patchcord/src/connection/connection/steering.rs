//! Inspects a connection, resets its state, and restarts it. All functions here are called in the connection's turn,
//! unless their comments say that they do not need the turn.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
};

use rhai::{Dynamic, Identifier, Map};

use super::Connection;
use crate::{
    connection::{Draft, DraftResult, Listening, Pending, Registered},
    script::{Captured, CarriedState, Handler},
};

impl Connection {
    /// Returns copies of all listeners. Does not need the turn.
    pub fn look_at_listeners(&self) -> Vec<Listening> {
        self.state().registered.listeners.look()
    }

    /// Returns copies of the timers that may still fire.
    pub fn look_at_timers(&self) -> Vec<Pending> {
        self.state().registered.timers.look()
    }

    /// Returns the closures that wait for acks, each with the number of outstanding acks.
    pub fn look_at_acks(&self) -> Vec<(Arc<Handler>, usize)> {
        self.state().acks.look()
    }

    /// Returns all captured variables, each with its value and its initial value. `initial` is a draft of the
    /// connection's version.
    pub fn compare(&self, initial: &Registered) -> Vec<Captured> {
        let state = self.state();
        let acks = state.acks.handlers().cloned().collect();
        state.registered.compare(acks, initial)
    }

    /// Returns the keys of `socket.data`, each with its value and its initial value. `written` has the keys that a
    /// draft of the connection's version writes.
    pub fn compare_data(
        &self,
        written: &BTreeMap<Identifier, Option<Dynamic>>,
    ) -> Vec<(Identifier, Option<Dynamic>, Option<Dynamic>)> {
        let (live, mut initial) = (self.data().to_map(""), self.data_at_handshake());
        for (key, value) in written {
            match value {
                Some(value) => drop(initial.insert(key.clone(), value.clone())),
                None => drop(initial.remove(key)),
            }
        }
        let mut keys: Vec<_> = live.keys().chain(initial.keys()).cloned().collect();
        keys.sort();
        keys.dedup();
        let both = |key: Identifier| {
            let (live, initial) = (live.get(&key).cloned(), initial.get(&key).cloned());
            (key, live, initial)
        };
        keys.into_iter().map(both).collect()
    }

    /// Sets the captured variables and the keys of `socket.data` that `wants` selects to their initial values.
    /// `initial` is a draft of the connection's version.
    pub fn reset(&self, initial: &DraftResult, wants: &dyn Fn(&str) -> bool) -> CarriedState {
        let mut carried = self.state().registered.reset(&initial.registered, wants);
        for (key, live, value) in self.compare_data(&initial.data) {
            let name = format!("socket.data.{key}");
            if !wants(&name) {
                continue;
            }
            carried.data(name, live.as_ref(), value.as_ref());
            match value {
                Some(value) => self.data().set(&key, value),
                None => drop(self.data().remove(&key)),
            }
        }
        carried
    }

    /// Returns the number of times that the connection has been restarted. Calls that were scheduled before the last
    /// restart have no effect.
    pub fn beginnings(&self) -> u32 {
        self.beginnings.load(Ordering::Relaxed)
    }

    /// Removes everything that scripts have added to the connection since its handshake: listeners, timers, variables,
    /// waiting closures, keys of `socket.data`, rooms, presence. Then `on_connection` runs again; a key of the presence
    /// that it takes again within the grace time stays present.
    pub fn start_over(&self) {
        self.beginnings.fetch_add(1, Ordering::Relaxed);
        let (registered, acks, adoption) = {
            let mut state = self.state();
            state.tape = None;
            let acks = state.acks.end();
            (state.registered.take(), acks, state.adoption.take())
        };
        registered.release();
        adoption.iter().for_each(|adoption| adoption.release());
        // Dropped without holding the lock, because a closure may hold anything, and dropping it may take the lock.
        drop((registered, acks, adoption));
        let before = self.data_at_handshake();
        for key in self.data().keys("") {
            if !before.contains_key(&key) {
                self.data().remove(&key);
            }
        }
        for (key, value) in before {
            self.data().set(&key, value);
        }
        let (id, rooms) = (self.id().to_string(), self.rooms());
        for room in rooms.iter().filter(|room| **room != id) {
            self.leave_room(room);
        }
        self.namespace.end_presence_of(self);
        self.joined.store(0, Ordering::Relaxed);
        if !self.is_in_own_room() {
            self.join(&[id], usize::MAX);
        }
    }

    /// Stores the `socket.data` that `on_handshake` has left.
    pub fn keep_data_of_handshake(&self) {
        let data = self.data.get().map(|data| data.to_map(""));
        let data = data.filter(|data| !data.is_empty());
        self.state().data_at_handshake = data.map(Box::new);
    }

    /// Makes a draft start with the `socket.data` that `on_handshake` has left.
    pub fn begin_data(&self, draft: &Draft) {
        // A connection without `socket.data` has never had any.
        if let Some(data) = self.data.get() {
            draft.begin_data(data, self.data_at_handshake());
        }
    }

    pub(super) fn data_at_handshake(&self) -> Map {
        let state = self.state();
        let kept = state.data_at_handshake.as_ref();
        kept.map(|data| (**data).clone()).unwrap_or_default()
    }
}
