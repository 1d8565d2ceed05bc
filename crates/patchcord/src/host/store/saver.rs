//! Thread that saves the changes of shared data.

use std::{
    collections::HashMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rhai::Dynamic;

use super::{
    backend::{Store, StoreChange},
    error::StoreError,
    record::Record,
};
use crate::{
    connection::{Cut, DataChange, Flushed, Journal, Journaled},
    event::HostEvent,
    host::{announce::Announcer, options::DataOptions},
};

/// Time between attempts, while the store fails.
const RETRY: Duration = Duration::from_secs(1);
/// Number of attempts to save the last changes of a host that closes.
const LAST_ATTEMPTS: u32 = 3;

/// Saves what the journal collects, until the journal is closed.
#[derive(Debug)]
pub(super) struct Saver {
    store: Arc<dyn Store>,
    journal: Arc<Journal>,
    options: DataOptions,
    announcer: Arc<Announcer>,
    unsaved: Unsaved,
}

/// Namespace and key.
type Key = (Arc<str>, Arc<str>);

/// Changes that the store has not accepted yet.
#[derive(Debug, Default)]
struct Unsaved {
    /// The latest change of each key.
    changes: HashMap<Key, StoreChange>,
    /// Their data by its address, which must not be read from the store before they are saved.
    data: HashMap<usize, Arc<dyn Journaled>>,
    /// `true` if the last attempt has failed.
    has_failed: bool,
}

impl Saver {
    pub(super) fn new(
        store: Arc<dyn Store>,
        journal: Arc<Journal>,
        options: DataOptions,
        announcer: Arc<Announcer>,
    ) -> Self {
        Self {
            store,
            journal,
            options,
            announcer,
            unsaved: Unsaved::default(),
        }
    }

    /// Saves until the last cut is saved.
    pub(super) fn run(mut self) {
        loop {
            let (delay, retry) = match self.unsaved.has_failed {
                true => (RETRY, Some(Instant::now() + RETRY)),
                false => (self.options.save_every, None),
            };
            let cut = self.journal.next_cut(delay, retry);
            let is_last = cut.is_last;
            self.save(cut);
            if is_last {
                self.save_last();
                return self.store.close();
            }
        }
    }

    fn save(&mut self, cut: Cut) {
        self.unsaved.add(cut.changes, cut.data);
        let result = self.write();
        let result = result.map_err(|error| Arc::<str>::from(error.to_string()));
        let answer = |flushed: Flushed| flushed(result.clone());
        cut.flushed.into_iter().for_each(answer);
    }

    /// Tries again to save what is left when the host closes.
    fn save_last(&mut self) {
        for _ in 1..LAST_ATTEMPTS {
            if self.unsaved.changes.is_empty() {
                return;
            }
            thread::park_timeout(RETRY);
            // The last failure is announced already.
            let _ = self.write();
        }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let changes: Vec<_> = std::mem::take(&mut self.unsaved.changes)
            .into_values()
            .collect();
        let result = match changes.is_empty() {
            true => Ok(()),
            false => StoreError::of_panic(|| self.store.write(&changes)),
        };
        match &result {
            Ok(()) => self.saved(changes.len()),
            Err(error) => {
                let keyed = changes.into_iter().map(|change| (key(&change), change));
                self.unsaved.changes = keyed.collect();
                self.failed(error);
            }
        }
        result
    }

    fn saved(&mut self, saved: usize) {
        self.unsaved.data.clear();
        if saved > 0 {
            self.announcer.counters().store_writes.add();
        }
        if std::mem::take(&mut self.unsaved.has_failed) {
            self.journal.refuse_writes(false);
            self.announcer.announce(HostEvent::StoreRecovered {
                store: self.store.name(),
                saved,
            });
        }
    }

    fn failed(&mut self, error: &StoreError) {
        self.unsaved.has_failed = true;
        self.journal.refuse_writes(self.options.required);
        self.announcer.announce(HostEvent::StoreFailed {
            store: self.store.name(),
            namespace: None,
            key: None,
            error: error.to_string(),
            unsaved: self.unsaved.changes.len(),
        });
    }
}

impl Unsaved {
    fn add(&mut self, cut: Vec<DataChange>, data: Vec<Arc<dyn Journaled>>) {
        for change in cut {
            let record = |(value, deadline): (Arc<Dynamic>, _)| Record::encode(&value, deadline);
            let change = StoreChange {
                namespace: change.namespace,
                key: Arc::from(&*change.key),
                record: change.state.map(record),
            };
            self.changes.insert(key(&change), change);
        }
        let addressed = data.into_iter().map(|one| (Arc::as_ptr(&one).addr(), one));
        self.data.extend(addressed);
    }
}

fn key(change: &StoreChange) -> Key {
    (change.namespace.clone(), change.key.clone())
}
