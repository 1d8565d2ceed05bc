//! State that a process leaves to the next one in the store: one record for each namespace.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;
use rhai::Dynamic;

use super::{Inheritance, Record, StoreChange, StoreError, StoredData};
use crate::event::HostEvent;

/// Name in the store under which the records are. Paths of namespaces begin with a slash.
const HANDOVER: &str = "handover";

impl StoredData {
    /// Returns a part of what an earlier process has left of a namespace.
    pub(in crate::host) fn inherited(&self, path: &str, part: &str) -> Option<Dynamic> {
        let inherited = self.read_inherited().lock();
        inherited.get(path)?.get(part).cloned()
    }

    /// Removes and returns a part of what an earlier process has left of a namespace.
    pub(in crate::host) fn take_inherited(&self, path: &str, part: &str) -> Option<Dynamic> {
        let mut inherited = self.read_inherited().lock();
        inherited.get_mut(path)?.remove(part)
    }

    /// Reads what an earlier process has left, and removes it from the store, so that it is used once. It blocks, when
    /// it is called first.
    pub(in crate::host) fn read_inherited(&self) -> &Inheritance {
        self.inherited.get_or_init(|| {
            let read = StoreError::of_panic(|| self.store.load(HANDOVER));
            let read = read.and_then(|records| {
                let removed = records.iter();
                let removed = removed.map(|(path, _)| StoreChange::new(HANDOVER, &**path, None));
                let removed: Vec<_> = removed.collect();
                if !removed.is_empty() {
                    StoreError::of_panic(|| self.store.write(&removed))?;
                }
                Ok(records)
            });
            let records = read.unwrap_or_else(|error| {
                self.handover_failed(&error.to_string());
                Vec::new()
            });
            let now = milliseconds(since_epoch());
            let records = records.into_iter().filter_map(|(path, record)| {
                let record = Record::decode(&record);
                let record = record
                    .map_err(|error| self.handover_failed(&error.to_string()))
                    .ok()?;
                let is_current = record.deadline.is_none_or(|deadline| deadline > now);
                is_current.then(|| Some((path, record.value.try_cast()?)))?
            });
            Mutex::new(records.collect())
        })
    }

    /// Frees what an earlier process has left, and was not used.
    pub(in crate::host) fn forget_inherited(&self) {
        if let Some(inherited) = self.inherited.get() {
            inherited.lock().clear();
        }
    }

    /// Writes what this process leaves of each namespace, for at most `time`. It blocks.
    pub(in crate::host) fn hand_over(&self, packed: Vec<(Arc<str>, Dynamic)>, time: Duration) {
        let deadline = milliseconds(since_epoch() + time);
        let changes: Vec<_> = packed
            .into_iter()
            .map(|(path, packed)| {
                let record = Record::encode(&packed, Some(deadline));
                StoreChange::new(HANDOVER, path, Some(record))
            })
            .collect();
        if let Err(error) = StoreError::of_panic(|| self.store.write(&changes)) {
            self.handover_failed(&error.to_string());
        }
    }

    fn handover_failed(&self, error: &str) {
        self.announcer.announce(HostEvent::StoreFailed {
            store: self.store.name(),
            namespace: None,
            key: None,
            error: format!("the connections that are kept over a restart: {error}"),
            unsaved: 0,
        });
    }
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
