//! Entries of shared data, with their sizes and deadlines.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    ops::Bound,
    sync::Arc,
};

use rhai::{Dynamic, Identifier};

use crate::{
    connection::journal::{ChangeLog, DataChange, Saved},
    value::weight,
};

#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Value of the key; `None` for a key that was removed in a copy.
    pub(super) value: Option<Arc<Dynamic>>,
    pub(super) stamp: u64,
    pub(super) weight: usize,
    /// Time at which the key expires, in milliseconds since 1970.
    pub(super) deadline: Option<i64>,
    /// `true`, in a copy, for a restored state, which does not count as a change.
    pub(super) is_before: bool,
}

#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) map: BTreeMap<Identifier, Entry>,
    pub(super) stamp: u64,
    /// Weight of all entries.
    pub(super) weight: usize,
    /// Deadlines with their keys, the next one first.
    deadlines: BTreeSet<(i64, Identifier)>,
    /// Changes for the store; `None` if no store saves the map.
    pub(super) log: Option<Box<ChangeLog>>,
}

impl Entries {
    pub(super) fn put(&mut self, key: &str, value: Option<Arc<Dynamic>>) {
        let weight = value.as_deref().map_or(0, weight);
        self.insert(key, value, weight);
    }

    /// Sets a key, which keeps its deadline.
    pub(super) fn insert(&mut self, key: &str, value: Option<Arc<Dynamic>>, weight: usize) {
        self.note_write(key);
        self.stamp += 1;
        let mut entry = Entry {
            weight: key.len() + weight,
            value,
            stamp: self.stamp,
            deadline: None,
            is_before: false,
        };
        self.weight += entry.weight;
        match self.map.get_mut(key) {
            Some(before) => {
                self.weight -= before.weight;
                entry.deadline = before.deadline;
                *before = entry;
            }
            None => drop(self.map.insert(key.into(), entry)),
        }
    }

    pub(super) fn take(&mut self, key: &str) {
        self.note_write(key);
        if let Some(before) = self.map.remove(key) {
            self.weight -= before.weight;
            if let Some(deadline) = before.deadline {
                self.deadlines.remove(&(deadline, key.into()));
            }
        }
    }

    /// Adds what a store has saved.
    pub(super) fn fill(&mut self, key: Identifier, value: Dynamic, deadline: Option<i64>) {
        self.stamp += 1;
        let entry = Entry {
            weight: key.len() + weight(&value),
            value: Some(value.into()),
            stamp: self.stamp,
            deadline,
            is_before: false,
        };
        self.weight += entry.weight;
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, key.clone()));
        }
        self.map.insert(key, entry);
    }

    /// Returns the entries whose keys begin with `prefix`.
    pub(super) fn of<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a Identifier, &'a Entry)> {
        let range: btree_map::Range<'a, _, _> = self
            .map
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        range.take_while(move |(key, _)| key.starts_with(prefix))
    }

    /// Sets or removes the deadline of a key. Returns `false` if there is no such key.
    pub(super) fn set_deadline(&mut self, key: &str, deadline: Option<i64>) -> bool {
        let old = match self.map.get(key) {
            Some(Entry {
                value: Some(_),
                deadline,
                ..
            }) => *deadline,
            _ => return false,
        };
        if old == deadline {
            return true;
        }
        self.note_write(key);
        if let Some(old) = old {
            self.deadlines.remove(&(old, key.into()));
        }
        if let Some(new) = deadline {
            self.deadlines.insert((new, key.into()));
        }
        if let Some(entry) = self.map.get_mut(key) {
            entry.deadline = deadline;
        }
        true
    }

    /// Returns `true` if a key has a deadline.
    pub(super) fn has_deadlines(&self) -> bool {
        !self.deadlines.is_empty()
    }

    /// Removes the keys whose deadline is not after `now`.
    pub(super) fn expire(&mut self, now: i64) {
        while let Some((deadline, key)) = self.deadlines.first()
            && *deadline <= now
        {
            let key = key.clone();
            self.take(&key);
        }
    }

    /// Notes for the store that a key is about to change.
    pub(super) fn note_write(&mut self, key: &str) {
        let Self { map, log, .. } = self;
        if let Some(log) = log {
            log.write(key, || saved(map, key));
        }
    }

    /// Notes for the store that a key is read, or all keys.
    pub(super) fn note_read(&self, key: Option<&str>) {
        if let Some(log) = &self.log {
            log.read(key);
        }
    }

    /// Moves the changes before an epoch to `changes`. Returns `true` if there are later ones.
    pub(super) fn take_changes(&mut self, epoch: u64, changes: &mut Vec<DataChange>) -> bool {
        let Self { map, log, .. } = self;
        log.as_mut()
            .is_some_and(|log| log.take(epoch, changes, |key| saved(map, key)))
    }
}

/// Returns the state of a key, as a store saves it.
fn saved(map: &BTreeMap<Identifier, Entry>, key: &str) -> Saved {
    let entry = map.get(key)?;
    Some((entry.value.clone()?, entry.deadline))
}
