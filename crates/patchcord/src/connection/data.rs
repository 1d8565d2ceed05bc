//! Map that script calls share: `io.data` of a namespace, `socket.data` of a connection.
//!
//! Every operation is atomic. Values are plain: they are copied in and out, without shared variables, closures or
//! handles, so that no call can affect another through them.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::{Mutex, MutexGuard};
use rhai::{Dynamic, Identifier};

use crate::value::weight;

/// Error of a write: another call has changed the key since it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changed;

#[derive(Debug, Clone)]
struct Entry {
    /// Value of the key; `None` for a key that was removed in a copy.
    value: Option<Arc<Dynamic>>,
    stamp: u64,
    weight: usize,
    /// `true`, in a copy, for a restored state, which does not count as a change.
    is_before: bool,
}

#[derive(Debug, Default)]
struct Entries {
    map: BTreeMap<Identifier, Entry>,
    stamp: u64,
    /// Weight of all entries.
    weight: usize,
}

/// Shared map, or a copy of one.
#[derive(Debug, Default)]
pub struct Data {
    entries: Mutex<Entries>,
    /// Original of a copy. The copy reads through to the original, and never writes to it.
    below: Option<Arc<Self>>,
}

impl Data {
    /// Creates a copy that reads from `below`, and whose changes are visible only in the copy.
    pub fn copy_of(below: Arc<Self>) -> Self {
        Self {
            entries: Mutex::default(),
            below: Some(below),
        }
    }

    /// Returns the value of a key, and the stamp of its last change.
    pub fn get(&self, key: &str) -> (Option<Dynamic>, u64) {
        let (value, stamp) = self.look(key);
        (value.as_deref().cloned(), stamp)
    }

    /// Does the same as `get`, but returns a shared value instead of a copy. A later change does not affect the
    /// returned value.
    pub fn look(&self, key: &str) -> (Option<Arc<Dynamic>>, u64) {
        match self.lock().map.get(key) {
            Some(entry) => (entry.value.clone(), entry.stamp),
            None => (self.look_below(key), 0),
        }
    }

    fn look_below(&self, key: &str) -> Option<Arc<Dynamic>> {
        self.below.as_ref()?.look(key).0
    }

    /// Sets a key, if its stamp is still `stamp`. Returns the new stamp.
    ///
    /// # Errors
    /// Returns [`Changed`] if the stamp is different.
    pub fn set_if(
        &self,
        key: &str,
        stamp: u64,
        value: impl Into<Arc<Dynamic>>,
    ) -> Result<u64, Changed> {
        self.change_if(key, stamp, Some(value.into()))
    }

    /// Sets a key, or removes it with `None`, if its stamp is still `stamp`. Returns the new stamp.
    ///
    /// # Errors
    /// Returns [`Changed`] if the stamp is different.
    pub fn change_if(
        &self,
        key: &str,
        stamp: u64,
        value: Option<Arc<Dynamic>>,
    ) -> Result<u64, Changed> {
        let mut entries = self.lock();
        if entries.map.get(key).map_or(0, |e| e.stamp) != stamp {
            return Err(Changed);
        }
        match (&value, &self.below) {
            (None, None) => entries.take(key),
            _ => entries.put(key, value),
        }
        Ok(entries.stamp)
    }

    /// Sets a key if it has no value. Otherwise changes nothing, and returns its value.
    pub fn init(&self, key: &str, value: impl FnOnce() -> Dynamic) -> Option<Dynamic> {
        let below = self.look_below(key);
        let mut entries = self.lock();
        let old = entries.map.get(key);
        let old = old.map_or(below, |entry| entry.value.clone());
        if old.is_none() {
            entries.put(key, Some(value().into()));
        }
        old.as_deref().cloned()
    }

    /// Restores a key of a copy to its state before all changes; `None` means that the key had no value.
    pub fn restore(&self, key: &str, value: Option<Dynamic>) {
        let mut entries = self.lock();
        entries.put(key, value.map(Arc::new));
        if let Some(entry) = entries.map.get_mut(key) {
            entry.is_before = true;
        }
    }

    /// Returns the keys that were written in a copy, with `None` for those that were removed.
    pub fn changes(&self) -> BTreeMap<Identifier, Option<Dynamic>> {
        let entries = self.lock();
        let written = entries.map.iter().filter(|(_, entry)| !entry.is_before);
        written
            .map(|(key, entry)| (key.clone(), entry.value.as_deref().cloned()))
            .collect()
    }

    /// Sets a key.
    pub fn set(&self, key: &str, value: Dynamic) {
        self.lock().put(key, Some(value.into()));
    }

    /// Changes the value of a key in place. `change` receives the value, or `default` if there is none, and the value's
    /// weight, which it must update. `change` runs while the lock is held. Returns the result of `change`.
    ///
    /// # Errors
    /// Fails if `change` fails. `change` must fail before it changes anything.
    pub fn modify<T, E>(
        &self,
        key: &str,
        default: Dynamic,
        change: impl FnOnce(&mut Dynamic, &mut usize) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut entries = self.lock();
        let entries = &mut *entries;
        if let Some(Entry {
            value: Some(value),
            stamp,
            weight,
            is_before,
        }) = entries.map.get_mut(key)
        {
            let before = *weight;
            let given = change(Arc::make_mut(value), weight)?;
            entries.weight = entries.weight - before + *weight;
            entries.stamp += 1;
            *stamp = entries.stamp;
            *is_before = false;
            return Ok(given);
        }
        let is_below = !entries.map.contains_key(key);
        let value = is_below.then(|| self.look_below(key)).flatten();
        let mut value = value.map_or(default, Arc::unwrap_or_clone);
        let mut weight = weight(&value);
        let given = change(&mut value, &mut weight)?;
        entries.insert(key, Some(value.into()), weight);
        Ok(given)
    }

    /// Removes a key, and returns its value.
    pub fn remove(&self, key: &str) -> Option<Dynamic> {
        let below = self.look_below(key);
        let mut entries = self.lock();
        let value = entries
            .map
            .get(key)
            .map_or(below, |entry| entry.value.clone());
        match self.below {
            Some(_) => entries.put(key, None),
            None => entries.take(key),
        }
        value.map(Arc::unwrap_or_clone)
    }

    /// Returns the keys, in alphabetical order.
    pub fn keys(&self) -> Vec<Identifier> {
        match &self.below {
            Some(_) => self.to_map().into_keys().collect(),
            None => self.lock().map.keys().cloned().collect(),
        }
    }

    /// Returns the approximate size of the map in memory, in bytes.
    pub fn weight(&self) -> usize {
        let below = self.below.as_ref().map_or(0, |below| below.weight());
        below + self.lock().weight
    }

    /// Returns the same size without one key.
    pub fn weight_without(&self, key: &str) -> usize {
        let below = self
            .below
            .as_ref()
            .map_or(0, |below| below.weight_without(key));
        let entries = self.lock();
        let own = entries.map.get(key).map_or(0, |entry| entry.weight);
        below + entries.weight - own
    }

    /// Returns a copy of all keys and values.
    pub fn to_map(&self) -> rhai::Map {
        let mut map = self
            .below
            .as_ref()
            .map(|below| below.to_map())
            .unwrap_or_default();
        for (key, entry) in &self.lock().map {
            match &entry.value {
                Some(value) => map.insert(key.clone(), Dynamic::clone(value)),
                None => map.remove(key),
            };
        }
        map
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock()
    }
}

impl Entries {
    fn put(&mut self, key: &str, value: Option<Arc<Dynamic>>) {
        let weight = value.as_deref().map_or(0, weight);
        self.insert(key, value, weight);
    }

    fn insert(&mut self, key: &str, value: Option<Arc<Dynamic>>, weight: usize) {
        self.stamp += 1;
        let entry = Entry {
            weight: key.len() + weight,
            value,
            stamp: self.stamp,
            is_before: false,
        };
        self.weight += entry.weight;
        let before = self.map.insert(key.into(), entry);
        self.weight -= before.map_or(0, |entry| entry.weight);
    }

    fn take(&mut self, key: &str) {
        let before = self.map.remove(key);
        self.weight -= before.map_or(0, |entry| entry.weight);
    }
}
