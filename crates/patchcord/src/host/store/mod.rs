//! Store: keeps `io.data` over a restart.
//!
//! In: the changes that the [`Journal`] collects, in whole calls. Out: a [`Store`], which is read before `on_load` of a
//! namespace runs. Scripts never wait for it: they use the data in memory, and a thread saves it.

mod backend;
mod error;
mod handover;
mod record;
#[cfg(feature = "store")]
mod redb;
mod saver;

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Once, OnceLock, Weak},
    thread,
};

use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::SetOnce};

#[cfg(feature = "store")]
pub use self::redb::RedbStore;
pub use self::{
    backend::{Store, StoreChange},
    error::StoreError,
    record::{Record, RecordError},
};
use super::{announce::Announcer, options::DataOptions};
use crate::{
    connection::{Clock, Data, Journal},
    event::HostEvent,
};

/// Returns the store of a file, if the options name one.
pub(super) fn of(options: &DataOptions) -> Option<Arc<dyn Store>> {
    #[cfg(feature = "store")]
    if let Some(file) = &options.file {
        return Some(Arc::new(RedbStore::new(file)));
    }
    let _ = options;
    None
}

/// Parts of the records that an earlier process has left, by the paths of their namespaces. Each part is used once.
pub(in crate::host) type Inheritance = Mutex<HashMap<String, rhai::Map>>;

/// Shared data of a host that a store saves.
#[derive(Debug)]
pub(crate) struct StoredData {
    store: Arc<dyn Store>,
    options: DataOptions,
    journal: Arc<Journal>,
    announcer: Arc<Announcer>,
    /// Data by the path of its namespace. Data that is not saved yet is found here after its namespace is gone.
    known: Mutex<HashMap<Arc<str>, Weak<Data>>>,
    begun: Once,
    ended: Arc<SetOnce<()>>,
    /// Data that an earlier process has left, by the paths of namespaces.
    inherited: OnceLock<Inheritance>,
    inherited_used: Once,
}

impl StoredData {
    pub(super) fn new(
        store: Arc<dyn Store>,
        options: DataOptions,
        announcer: Arc<Announcer>,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            options,
            journal: Arc::default(),
            announcer,
            known: Mutex::default(),
            begun: Once::new(),
            ended: Arc::default(),
            inherited: OnceLock::new(),
            inherited_used: Once::new(),
        })
    }

    /// Returns the data of a namespace. It has to be read from the store, unless it is still in memory.
    pub(super) fn data_of(&self, path: &Arc<str>, clock: &Clock) -> Arc<Data> {
        let mut known = self.known.lock();
        if let Some(data) = known.get(path).and_then(Weak::upgrade) {
            return data;
        }
        if known.len() == known.capacity() {
            known.retain(|_, data| data.strong_count() > 0);
        }
        let data = Data::stored(path.clone(), self.journal.clone(), clock.clone());
        known.insert(path.clone(), Arc::downgrade(&data));
        data
    }

    /// Fills the data of a namespace with what the store has. If this fails, the data is not saved. It blocks.
    pub(super) fn restore(&self, namespace: &Arc<str>, data: &Data) {
        self.begin();
        let records = match StoreError::of_panic(|| self.store.load(namespace)) {
            Ok(records) => records,
            Err(error) => {
                self.announcer.announce(HostEvent::StoreFailed {
                    store: self.store.name(),
                    namespace: Some(namespace.clone()),
                    key: None,
                    error: error.to_string(),
                    unsaved: 0,
                });
                return data.detach(self.options.required);
            }
        };
        let now = data.now();
        let entries =
            records
                .into_iter()
                .filter_map(|(key, record)| match Record::decode(&record) {
                    Ok(record) if record.deadline.is_some_and(|deadline| deadline <= now) => None,
                    Ok(record) => Some((key.into(), record.value, record.deadline)),
                    Err(error) => {
                        self.announcer.announce(HostEvent::StoreFailed {
                            store: self.store.name(),
                            namespace: Some(namespace.clone()),
                            key: Some(key),
                            error: error.to_string(),
                            unsaved: 0,
                        });
                        None
                    }
                });
        data.fill(entries);
    }

    /// Reads something, so that a store that cannot be used fails. It blocks.
    pub(super) fn open(&self) -> Result<(), StoreError> {
        let of_no_namespace = "";
        let name = |error| StoreError::new(format!("{}: {error}", self.store.name()));
        let loaded = StoreError::of_panic(|| self.store.load(of_no_namespace));
        loaded.map(drop).map_err(name)
    }

    /// Starts the thread that saves, once.
    fn begin(&self) {
        self.begun.call_once(|| {
            let saver = saver::Saver::new(
                self.store.clone(),
                self.journal.clone(),
                self.options.clone(),
                self.announcer.clone(),
            );
            let (ended, runtime) = (self.ended.clone(), Handle::try_current());
            let work = move || {
                // What waits for a flush runs on the runtime.
                let _runtime = runtime.as_ref().map(Handle::enter);
                // A close must not wait for a thread that has panicked.
                let _ = catch_unwind(AssertUnwindSafe(|| saver.run()));
                // Set once, here.
                let _ = ended.set(());
            };
            let thread = thread::Builder::new().name("patchcord-store".to_owned());
            if let Err(error) = thread.spawn(work) {
                self.announcer.announce(HostEvent::StoreFailed {
                    store: self.store.name(),
                    namespace: None,
                    key: None,
                    error: format!("its thread cannot be started: {error}"),
                    unsaved: 0,
                });
                let _ = self.ended.set(());
            }
        });
    }

    /// Waits until everything is saved, and the thread has ended.
    pub(super) async fn close(&self) {
        self.journal.close();
        match self.begun.is_completed() {
            true => drop(self.ended.wait().await),
            false => self.store.close(),
        }
    }
}

impl Drop for StoredData {
    fn drop(&mut self) {
        // The thread saves what is left, and ends.
        self.journal.close();
    }
}
