//! Store in one file, by redb.

#[cfg(unix)]
use std::os::unix::fs::OpenOptionsExt;
use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use redb::{Database, DatabaseError, ReadableDatabase, StorageError, TableDefinition, TableError};

use super::{
    backend::{Store, StoreChange},
    error::StoreError,
};

/// Records by namespace and key.
const RECORDS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("io.data");
/// Maximum time to wait until another process closes the file.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
/// Interval at which the lock is tried.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// Store in one file, which keeps what was saved even if the machine crashes. Only one process can use the file at a
/// time: a second one waits up to 30 seconds until the first one closes it.
///
/// ```
/// use patchcord::{Host, store::RedbStore};
///
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("state.redb");
/// let host = Host::builder().store(RedbStore::open(file)?).build();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RedbStore {
    file: PathBuf,
    /// `None` before it is opened, and after a failure, which redb remembers until the file is opened again.
    database: Mutex<Option<Arc<Database>>>,
    lock_timeout: Duration,
}

impl RedbStore {
    /// Returns the store of a file, which is opened when it is used first.
    pub(crate) fn new(file: impl Into<PathBuf>) -> Self {
        Self {
            file: file.into(),
            database: Mutex::default(),
            lock_timeout: LOCK_TIMEOUT,
        }
    }

    /// Opens a file, which is created if there is none. It blocks, for at most 30 seconds while another process uses
    /// the file.
    ///
    /// # Errors
    /// Fails if the file cannot be opened, is damaged, or is not a store.
    pub fn open(file: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let store = Self::new(file);
        store.database()?;
        Ok(store)
    }

    /// Opens a file that exists, and fails at once if another process uses it.
    ///
    /// # Errors
    /// Fails if there is no such file, or if it cannot be opened.
    pub fn open_existing(file: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let store = Self {
            lock_timeout: Duration::ZERO,
            ..Self::new(file)
        };
        if !store.file.exists() {
            return Err(StoreError::new("there is no such file"));
        }
        store.database()?;
        Ok(store)
    }

    /// Returns all records, with their namespaces and keys, in alphabetical order.
    ///
    /// # Errors
    /// Fails if the file cannot be read.
    pub fn all(&self) -> Result<Vec<StoreChange>, StoreError> {
        let mut all = Vec::new();
        self.read(("", ""), |namespace, key, record| {
            all.push(StoreChange {
                namespace: namespace.into(),
                key: key.into(),
                record: Some(record.to_vec()),
            });
            true
        })?;
        Ok(all)
    }

    /// Passes records to `take`, from a key on, until it returns `false`.
    fn read(
        &self,
        from: (&str, &str),
        mut take: impl FnMut(&str, &str, &[u8]) -> bool,
    ) -> Result<(), StoreError> {
        self.with(|database| {
            let reading = database.begin_read().map_err(redb::Error::from)?;
            let table = match reading.open_table(RECORDS) {
                Err(TableError::TableDoesNotExist(_)) => return Ok(()),
                table => table.map_err(redb::Error::from)?,
            };
            for entry in table.range(from..).map_err(redb::Error::from)? {
                let (key, record) = entry.map_err(redb::Error::from)?;
                let (namespace, key) = key.value();
                if !take(namespace, key, record.value()) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Uses the database. After a failure, it is opened again for the next use.
    fn with<T>(
        &self,
        apply: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, StoreError> {
        let database = self.database()?;
        apply(&database).map_err(|error| {
            *self.database.lock() = None;
            StoreError::new(error)
        })
    }

    fn database(&self) -> Result<Arc<Database>, StoreError> {
        let mut database = self.database.lock();
        match &*database {
            Some(database) => Ok(database.clone()),
            None => {
                let opened = Arc::new(open(&self.file, self.lock_timeout)?);
                *database = Some(opened.clone());
                Ok(opened)
            }
        }
    }
}

/// Creates a file that only its owner can read, unless it exists: the data of clients is in it, and the secrets with which
/// they come back after a restart.
fn create_private(file: &Path) {
    let mut private = OpenOptions::new();
    private.write(true).create_new(true);
    #[cfg(unix)]
    private.mode(0o600);
    // The file may exist. Any other error is found again when it is opened.
    let _ = private.open(file);
}

/// Opens a file. Waits as long as another process uses it, up to `timeout`.
fn open(file: &Path, timeout: Duration) -> Result<Database, StoreError> {
    create_private(file);
    let begun = Instant::now();
    loop {
        match Database::create(file) {
            Err(DatabaseError::DatabaseAlreadyOpen) if begun.elapsed() < timeout => {
                thread::park_timeout(LOCK_POLL);
            }
            Err(DatabaseError::DatabaseAlreadyOpen) => {
                return Err(StoreError::new("another process uses the file"));
            }
            Err(DatabaseError::Storage(StorageError::Io(error)))
                if error.kind() == std::io::ErrorKind::InvalidData =>
            {
                return Err(StoreError::new("the file is not a store"));
            }
            opened => return opened.map_err(StoreError::new),
        }
    }
}

impl Store for RedbStore {
    fn name(&self) -> String {
        self.file.display().to_string()
    }

    fn close(&self) {
        drop(self.database.lock().take());
    }

    fn load(&self, namespace: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let mut records = Vec::new();
        self.read((namespace, ""), |path, key, record| {
            let is_own = path == namespace;
            if is_own {
                records.push((key.to_owned(), record.to_vec()));
            }
            is_own
        })?;
        Ok(records)
    }

    fn write(&self, changes: &[StoreChange]) -> Result<(), StoreError> {
        self.with(|database| {
            let writing = database.begin_write().map_err(redb::Error::from)?;
            {
                let mut table = writing.open_table(RECORDS).map_err(redb::Error::from)?;
                for change in changes {
                    let key = (&*change.namespace, &*change.key);
                    match &change.record {
                        Some(record) => table.insert(key, record.as_slice()).map(drop),
                        None => table.remove(key).map(drop),
                    }
                    .map_err(redb::Error::from)?;
                }
            }
            writing.commit().map_err(redb::Error::from)
        })
    }
}
