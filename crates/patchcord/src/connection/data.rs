//! Map that script calls share: `io.data` of a namespace, `socket.data` of a connection.
//!
//! Every operation is atomic. Values are plain: they are copied in and out, without shared variables, closures or
//! handles, so that no call can affect another through them.

mod entries;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};
use rhai::{Dynamic, Identifier};

use self::entries::{Entries, Entry};
use super::{
    Clock, Journal,
    journal::{ChangeLog, DataChange, Flushed, Journaled},
};
use crate::value::weight;

/// Error of a write: another call has changed the key since it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changed;

/// Shared map, or a copy of one.
#[derive(Debug)]
pub struct Data {
    entries: Mutex<Entries>,
    /// Original of a copy. The copy reads through to the original, and never writes to it.
    below: Option<Arc<Self>>,
    /// Clock of the deadlines of keys.
    clock: Clock,
    /// Journal of the store that saves the map; `None` without a store.
    journal: Option<Arc<Journal>>,
    /// `false` until the data has been read from the store.
    is_ready: AtomicBool,
    is_read_only: AtomicBool,
    /// `true` once a key has had a deadline.
    has_deadlines: AtomicBool,
}

impl Default for Data {
    fn default() -> Self {
        Self::new(Clock::default())
    }
}

impl Data {
    /// Creates a copy that reads from `below`, and whose changes are visible only in the copy.
    pub fn copy_of(below: Arc<Self>) -> Self {
        Self {
            clock: below.clock.clone(),
            below: Some(below),
            ..Self::default()
        }
    }

    /// Creates an empty map whose deadlines follow `clock`.
    pub fn new(clock: Clock) -> Self {
        Self {
            entries: Mutex::default(),
            below: None,
            clock,
            journal: None,
            is_ready: AtomicBool::new(true),
            is_read_only: AtomicBool::new(false),
            has_deadlines: AtomicBool::new(false),
        }
    }

    /// Creates the map of a namespace that a store saves. It has to be filled.
    pub fn stored(namespace: Arc<str>, journal: Arc<Journal>, clock: Clock) -> Arc<Self> {
        Arc::new_cyclic(|me| {
            let mut data = Self::new(clock);
            data.is_ready = AtomicBool::new(false);
            data.journal = Some(journal.clone());
            let log = ChangeLog::new(namespace, journal, me.clone() as Weak<Self>);
            data.entries.get_mut().log = Some(Box::new(log));
            data
        })
    }

    /// Returns `false` while the store has not been read yet.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    /// Fills the map with what the store has saved: keys, values and deadlines.
    pub fn fill(&self, saved: impl IntoIterator<Item = (Identifier, Dynamic, Option<i64>)>) {
        let mut entries = self.entries.lock();
        if self.is_ready() {
            return;
        }
        for (key, value, deadline) in saved {
            entries.fill(key, value, deadline);
        }
        self.has_deadlines
            .store(entries.has_deadlines(), Ordering::Relaxed);
        self.is_ready.store(true, Ordering::Release);
    }

    /// Stops saving the map, because the store has failed to read it, and must not lose what it has. With
    /// `refuse_writes`, the map cannot be changed either.
    pub fn detach(&self, refuse_writes: bool) {
        self.entries.lock().log = None;
        self.is_read_only.store(refuse_writes, Ordering::Relaxed);
        self.is_ready.store(true, Ordering::Release);
    }

    /// Returns `true` if the map cannot be changed, because the store has failed.
    pub fn refuses_writes(&self) -> bool {
        let journal = self.journal.as_ref();
        journal.is_some_and(|journal| journal.refuses_writes())
            || self.is_read_only.load(Ordering::Relaxed)
    }

    /// Calls `flushed` when everything that was written before is in the store; at once if no store saves the map.
    pub fn flush(&self, flushed: Flushed) {
        let is_saved = self.entries.lock().log.is_some();
        match &self.journal {
            Some(journal) if is_saved => journal.flush(flushed),
            Some(_) => flushed(Err(
                "the store could not be read, so nothing is saved".into()
            )),
            None => flushed(Ok(())),
        }
    }

    /// Sets the deadline of a key, in milliseconds since 1970, or removes it. Returns `false` if there is no such key.
    pub fn set_deadline(&self, key: &str, deadline: Option<i64>) -> bool {
        let mut entries = self.lock();
        if !entries.map.contains_key(key)
            && let Some(value) = self.look_below(key)
        {
            entries.put(key, Some(value));
        }
        if deadline.is_some() {
            self.has_deadlines.store(true, Ordering::Relaxed);
        }
        entries.set_deadline(key, deadline)
    }

    /// Returns `true` if a key may have a deadline.
    pub fn has_deadlines(&self) -> bool {
        let below = self.below.as_ref();
        self.has_deadlines.load(Ordering::Relaxed)
            || below.is_some_and(|below| below.has_deadlines())
    }

    /// Returns the deadline of a key, in milliseconds since 1970.
    pub fn deadline(&self, key: &str) -> Option<i64> {
        match self.lock().map.get(key) {
            Some(entry) => entry.deadline,
            None => self.below.as_ref()?.deadline(key),
        }
    }

    /// Returns the current time, in milliseconds since 1970.
    pub fn now(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    /// Returns the value of a key, and the stamp of its last change.
    pub fn get(&self, key: &str) -> (Option<Dynamic>, u64) {
        let (value, stamp) = self.look(key);
        (value.as_deref().cloned(), stamp)
    }

    /// Does the same as `get`, but returns a shared value instead of a copy. A later change does not affect the
    /// returned value.
    pub fn look(&self, key: &str) -> (Option<Arc<Dynamic>>, u64) {
        let entries = self.lock();
        entries.note_read(Some(key));
        match entries.map.get(key) {
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
        entries.note_read(Some(key));
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
        entries.note_write(key);
        if let Some(Entry {
            value: Some(value),
            stamp,
            weight,
            is_before,
            ..
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

    /// Returns the keys that begin with `prefix`, in alphabetical order.
    pub fn keys(&self, prefix: &str) -> Vec<Identifier> {
        match &self.below {
            Some(_) => self.to_map(prefix).into_keys().collect(),
            None => {
                let entries = self.lock();
                entries.note_read(None);
                entries.of(prefix).map(|(key, _)| key.clone()).collect()
            }
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

    /// Returns the approximate size of the entries whose keys begin with `prefix`, in bytes.
    pub fn weight_of(&self, prefix: &str) -> usize {
        let below = self.below.as_ref();
        let below = below.map_or(0, |below| below.weight_of(prefix));
        let entries = self.lock();
        below + entries.of(prefix).map(|(_, one)| one.weight).sum::<usize>()
    }

    /// Returns a copy of the keys that begin with `prefix`, and their values.
    pub fn to_map(&self, prefix: &str) -> rhai::Map {
        let below = self.below.as_ref();
        let mut map = below.map_or_else(rhai::Map::new, |below| below.to_map(prefix));
        let entries = self.lock();
        entries.note_read(None);
        for (key, entry) in entries.of(prefix) {
            match &entry.value {
                Some(value) => map.insert(key.clone(), Dynamic::clone(value)),
                None => map.remove(key),
            };
        }
        map
    }

    /// Locks the entries, without those whose deadline has passed.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        let mut entries = self.entries.lock();
        if entries.has_deadlines() {
            entries.expire(self.now());
        }
        entries
    }
}

impl Journaled for Data {
    fn take_changes(&self, epoch: u64, changes: &mut Vec<DataChange>) -> bool {
        self.entries.lock().take_changes(epoch, changes)
    }
}
