//! Interface of a store, for the host and for applications.

use std::{fmt::Debug, sync::Arc};

use super::error::StoreError;

/// Change of a key that a store saves.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreChange {
    /// Path of the namespace, such as `/chat`.
    pub namespace: Arc<str>,
    /// Key in `io.data`.
    pub key: Arc<str>,
    /// Record of the key, in the form of [`Record`](super::Record); `None` if the key was removed.
    pub record: Option<Vec<u8>>,
}

impl StoreChange {
    /// Creates a change.
    pub fn new(
        namespace: impl Into<Arc<str>>,
        key: impl Into<Arc<str>>,
        record: Option<Vec<u8>>,
    ) -> Self {
        Self {
            namespace: namespace.into(),
            key: key.into(),
            record,
        }
    }
}

/// Keeps the `io.data` of all namespaces over a restart, such as `RedbStore`. The host calls it on threads of its
/// own, so it may block.
///
/// ```
/// use std::{collections::BTreeMap, sync::{Arc, Mutex}};
/// use patchcord::{Host, store::{Store, StoreChange, StoreError}};
///
/// /// A store in memory: it keeps the data if the application builds its host again.
/// #[derive(Debug, Default)]
/// struct Kept(Mutex<BTreeMap<(Arc<str>, Arc<str>), Vec<u8>>>);
///
/// impl Store for Kept {
///     fn name(&self) -> String {
///         "the memory of the application".to_owned()
///     }
///
///     fn load(&self, namespace: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
///         let records = self.0.lock().map_err(|_| StoreError::new("a thread has panicked"))?;
///         let own = records.iter().filter(|((path, _), _)| **path == *namespace);
///         Ok(own.map(|((_, key), record)| (key.to_string(), record.clone())).collect())
///     }
///
///     fn write(&self, changes: &[StoreChange]) -> Result<(), StoreError> {
///         let mut records = self.0.lock().map_err(|_| StoreError::new("a thread has panicked"))?;
///         for change in changes {
///             let key = (change.namespace.clone(), change.key.clone());
///             match &change.record {
///                 Some(record) => records.insert(key, record.clone()),
///                 None => records.remove(&key),
///             };
///         }
///         Ok(())
///     }
/// }
///
/// let host = Host::builder().store(Kept::default()).build();
/// ```
pub trait Store: Debug + Send + Sync {
    /// Returns the name of the store for messages, such as the path of its file.
    fn name(&self) -> String;

    /// Returns all keys of a namespace, with their records.
    ///
    /// # Errors
    /// Fails if the store cannot be read. The host then serves the namespace from memory, and saves nothing of it.
    fn load(&self, namespace: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Saves changes, all or none of them. When it returns, a crash of the machine does not lose them any more.
    ///
    /// # Errors
    /// Fails if the changes are not saved. The host tries again, with the changes that were made meanwhile.
    fn write(&self, changes: &[StoreChange]) -> Result<(), StoreError>;

    /// Releases what others wait for, such as the lock of a file. The host calls it once, after its last write. By
    /// default, it does nothing.
    fn close(&self) {}
}
