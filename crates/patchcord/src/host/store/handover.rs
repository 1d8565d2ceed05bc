//! State that a process leaves to the next one in the store: one record for each namespace.

use std::time::Duration;

use parking_lot::Mutex;
use rhai::{Dynamic, Map};

use super::{Inheritance, Record, StoreChange, StoreError, StoredData};
use crate::{api, event::HostEvent};

/// Name in the store under which the records are. Paths of namespaces begin with a slash.
const HANDOVER: &str = "handover";

impl StoredData {
    /// Reads a part of what an earlier process has left of a namespace.
    pub(in crate::host) fn inherited<T>(
        &self,
        path: &str,
        part: &str,
        read: impl FnOnce(&Dynamic) -> T,
    ) -> Option<T> {
        let inherited = self.read_inherited().lock();
        inherited.get(path)?.get(part).map(read)
    }

    /// Removes and returns a part of what an earlier process has left of a namespace.
    pub(in crate::host) fn take_inherited(&self, path: &str, part: &str) -> Option<Dynamic> {
        let mut inherited = self.read_inherited().lock();
        inherited.get_mut(path)?.remove(part)
    }

    /// Reads what an earlier process has left. It blocks, when it is called first.
    pub(in crate::host) fn read_inherited(&self) -> &Inheritance {
        self.inherited.get_or_init(|| {
            // A store that cannot be read is announced when the data of a namespace is read from it.
            let records = StoreError::of_panic(|| self.store.load(HANDOVER)).unwrap_or_default();
            let now = api::now();
            let records = records.into_iter().filter_map(|(path, record)| {
                let record = Record::decode(&record);
                let record = record
                    .map_err(|error| self.handover_failed(&error.to_string()))
                    .ok()?;
                let is_current = record.deadline.is_none_or(|deadline| deadline > now);
                let parts = record.value.try_cast().filter(|_| is_current)?;
                Some((path, parts))
            });
            Mutex::new(records.collect())
        })
    }

    /// Removes the records of an earlier process from the store, so that they are used once. Called when the first
    /// client connects: a process that fails before that leaves them to the next one. It blocks.
    pub(in crate::host) fn use_inherited(&self) {
        self.inherited_used.call_once(|| {
            let records = StoreError::of_panic(|| self.store.load(HANDOVER));
            let result = records.and_then(|records| {
                let removed = records.iter();
                let removed = removed.map(|(path, _)| StoreChange::new(HANDOVER, &**path, None));
                let removed: Vec<_> = removed.collect();
                StoreError::of_panic(|| self.store.write(&removed))
            });
            if let Err(error) = result {
                self.handover_failed(&error.to_string());
            }
        });
    }

    /// Frees what an earlier process has left, and was not used.
    pub(in crate::host) fn forget_inherited(&self) {
        if let Some(inherited) = self.inherited.get() {
            inherited.lock().clear();
        }
    }

    /// Writes what a namespace leaves to the next process, for at most `time`. Parts that an earlier process has left,
    /// and that nothing has used since then, go with it. It blocks.
    pub(in crate::host) fn hand_over(&self, path: &str, parts: Map, time: Duration) {
        let unused = self.read_inherited().lock().remove(path);
        let mut all = unused.unwrap_or_default();
        all.extend(parts);
        if all.is_empty() {
            return;
        }
        let time = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let record = Record::encode(&all.into(), Some(api::now().saturating_add(time)));
        let change = StoreChange::new(HANDOVER, path, Some(record));
        if let Err(error) = StoreError::of_panic(|| self.store.write(&[change])) {
            self.handover_failed(&error.to_string());
        }
    }

    /// Returns the paths of namespaces of which nothing that an earlier process has left was used.
    pub(in crate::host) fn unused_paths(&self) -> Vec<String> {
        self.read_inherited().lock().keys().cloned().collect()
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
