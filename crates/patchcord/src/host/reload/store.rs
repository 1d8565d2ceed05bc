//! Stores versions on disk, so that the host knows them after a restart.
//!
//! In: the batches that took effect. Out: the same batches, when the host starts again. A folder has a JSON file for
//! each batch, `batches/00000012.json`, and the texts by their hashes, `texts/....txt`. A file appears under its name
//! only when it is complete. A file that cannot be read is left unchanged and reported; everything else is used.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    fs::{self, File, TryLockError},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

use super::record::Outcome;
use crate::script::SourceFile;

/// Maximum number of batches on disk, in addition to those whose versions still serve.
const KEPT_BATCHES: usize = 100;

/// State of the versions on disk.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// `true` once the host has read them, or has tried to.
    pub(super) is_read: bool,
    pub(super) store: Option<Store>,
    /// Batches that are not written yet.
    pub(super) unwritten: VecDeque<StoredBatch>,
}

impl Stored {
    /// Records that a version serves with a batch.
    pub(super) fn note(
        &mut self,
        batch: u64,
        time: SystemTime,
        version: impl FnOnce() -> StoredVersion,
    ) {
        if self.store.is_none() {
            return;
        }
        let version = version();
        match self.unwritten.back_mut() {
            Some(last) if last.batch == batch => last.versions.push(version),
            _ => self.unwritten.push_back(StoredBatch {
                batch,
                time,
                versions: vec![version],
                rolled_back: BTreeSet::new(),
            }),
        }
        if self.unwritten.len() > KEPT_BATCHES {
            self.unwritten.pop_front();
        }
    }
}

/// Folder of versions, which only one host can use at a time.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    /// File that is locked while the host uses the folder.
    _lock: File,
}

/// Batch, as it is stored on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredBatch {
    pub(super) batch: u64,
    #[serde(with = "http_date")]
    pub(super) time: SystemTime,
    pub(super) versions: Vec<StoredVersion>,
    /// Numbers of the batches that are rolled back as soon as this one has taken effect.
    pub(super) rolled_back: BTreeSet<u64>,
}

/// Version that serves with a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredVersion {
    pub(super) namespace: String,
    pub(super) script: Arc<str>,
    pub(super) version: u64,
    pub(super) outcome: Outcome,
    /// Number of the version that it replaced when it first served.
    pub(super) before: Option<u64>,
    /// Number of the batch with which it first served.
    pub(super) since: u64,
    pub(super) files: Vec<StoredFile>,
}

/// File of a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StoredFile {
    pub(super) name: Arc<str>,
    /// SHA-1 of the text in hexadecimal; `None` if the file did not exist.
    sha1: Option<String>,
    #[serde(skip)]
    pub(super) text: Option<Arc<str>>,
}

mod http_date {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(time: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&httpdate::fmt_http_date(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let text = String::deserialize(from)?;
        httpdate::parse_http_date(&text).map_err(D::Error::custom)
    }
}

impl StoredFile {
    pub(super) fn new(file: &SourceFile) -> Self {
        Self {
            name: file.name.clone(),
            sha1: file.text.as_deref().map(sha1),
            text: file.text.clone(),
        }
    }

    pub(super) fn source(&self) -> SourceFile {
        SourceFile {
            name: self.name.clone(),
            text: self.text.clone(),
        }
    }
}

fn sha1(text: &str) -> String {
    let digest = Sha1::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Texts that were read, by hash.
type Texts = HashMap<String, Arc<str>>;

impl Store {
    /// Opens a folder, and creates it if it does not exist.
    ///
    /// # Errors
    /// Returns the problem if the folder cannot be used.
    pub(super) fn open(folder: &Path) -> Result<Self, String> {
        let failed = |error| problem(folder, &error);
        for name in ["batches", "texts"] {
            fs::create_dir_all(folder.join(name)).map_err(failed)?;
        }
        let lock = File::create(folder.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                folder: folder.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(format!(
                "another server keeps its versions in `{}`",
                folder.display()
            )),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Returns the batches in the order of their numbers, the number of the last one, and the problems of the batches
    /// that cannot be read.
    pub(super) fn read(&self) -> (Vec<StoredBatch>, u64, Vec<String>) {
        let (mut batches, mut texts, mut problems) = (Vec::new(), Texts::new(), Vec::new());
        let files = self.files().unwrap_or_else(|error| {
            problems.push(error);
            BTreeMap::new()
        });
        let last = files.last_key_value().map_or(0, |(number, _)| *number);
        for (number, path) in &files {
            let batch = read_batch(*number, path);
            match batch.and_then(|batch| self.with_texts(batch, &mut texts)) {
                Ok(batch) => batches.push(batch),
                Err(error) => problems.push(error),
            }
        }
        (batches, last, problems)
    }

    /// Writes a batch.
    ///
    /// # Errors
    /// Returns the problem if the batch cannot be written; then no other batch has changed.
    pub(super) fn write(&self, batch: &StoredBatch) -> Result<(), String> {
        for file in batch.versions.iter().flat_map(|version| &version.files) {
            if let (Some(sha1), Some(text)) = (&file.sha1, &file.text) {
                let path = self.text(sha1);
                if fs::read(&path).ok().as_deref() != Some(text.as_bytes()) {
                    write(&path, text)?;
                }
            }
        }
        let path = self.folder.join(format!("batches/{:08}.json", batch.batch));
        let text = serde_json::to_string_pretty(batch).map_err(|error| error.to_string())?;
        write(&path, &text)
    }

    /// Removes the oldest batches, except those that are `needed`, and the texts that no remaining batch uses.
    ///
    /// # Errors
    /// Returns the problem if something cannot be read or removed.
    pub(super) fn trim(&self, needed: &BTreeSet<u64>) -> Result<(), String> {
        let mut files = self.files()?;
        let old = files.len().saturating_sub(KEPT_BATCHES);
        let old = files
            .keys()
            .take(old)
            .filter(|number| !needed.contains(number));
        let old: Vec<_> = old.copied().collect();
        if old.is_empty() {
            return Ok(());
        }
        for path in old.iter().filter_map(|number| files.remove(number)) {
            fs::remove_file(&path).map_err(|error| problem(&path, &error))?;
        }
        let mut used = BTreeSet::new();
        for (number, path) in &files {
            // The texts of a batch that cannot be read are not known. The batch may be repaired later, so no text is
            // removed.
            let Ok(batch) = read_batch(*number, path) else {
                return Ok(());
            };
            let files = batch.versions.into_iter().flat_map(|one| one.files);
            used.extend(files.filter_map(|file| file.sha1));
        }
        let texts = self.folder.join("texts");
        for path in entries(&texts)? {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            if stem.is_some_and(|stem| is_hash(stem) && !used.contains(stem)) {
                fs::remove_file(&path).map_err(|error| problem(&path, &error))?;
            }
        }
        Ok(())
    }

    /// Returns the files of the batches, by the numbers of the batches.
    fn files(&self) -> Result<BTreeMap<u64, PathBuf>, String> {
        let number = |path: PathBuf| {
            let name = path.file_name()?.to_str()?.strip_suffix(".json")?;
            Some((name.parse().ok()?, path))
        };
        let files = entries(&self.folder.join("batches"))?;
        Ok(files.into_iter().filter_map(number).collect())
    }

    fn text(&self, sha1: &str) -> PathBuf {
        self.folder.join(format!("texts/{sha1}.txt"))
    }

    /// Returns a batch with its texts, which are read if `texts` does not have them.
    fn with_texts(&self, mut batch: StoredBatch, texts: &mut Texts) -> Result<StoredBatch, String> {
        let files = batch.versions.iter_mut().flat_map(|one| &mut one.files);
        for file in files {
            let Some(hash) = &file.sha1 else { continue };
            if !texts.contains_key(hash) {
                let path = self.text(hash);
                let text = match is_hash(hash) {
                    true => fs::read_to_string(&path).map_err(|error| problem(&path, &error))?,
                    false => return Err(format!("batch {}: `{hash}` is no hash", batch.batch)),
                };
                if sha1(&text) != *hash {
                    return Err(format!("`{}` has another text", path.display()));
                }
                texts.insert(hash.clone(), text.into());
            }
            file.text = texts.get(hash).cloned();
        }
        Ok(batch)
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn read_batch(number: u64, path: &Path) -> Result<StoredBatch, String> {
    let text = fs::read_to_string(path).map_err(|error| problem(path, &error))?;
    match serde_json::from_str::<StoredBatch>(&text) {
        Ok(batch) if batch.batch == number => Ok(batch),
        Ok(_) => Err(format!("`{}` is another batch", path.display())),
        Err(error) => Err(format!("`{}` cannot be read: {error}", path.display())),
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let failed = |error| problem(folder, &error);
    let entries = fs::read_dir(folder).map_err(failed)?;
    entries
        .map(|entry| Ok(entry.map_err(failed)?.path()))
        .collect()
}

/// Writes a file that appears under its name only when it is complete.
fn write(path: &Path, text: &str) -> Result<(), String> {
    let unfinished = path.with_extension("tmp");
    let written = File::create(&unfinished).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    });
    written.map_err(|error| {
        // The file may not exist.
        let _ = fs::remove_file(&unfinished);
        problem(path, &error)
    })
}

fn problem(path: &Path, error: &std::io::Error) -> String {
    let path = path.display();
    match error.kind() {
        ErrorKind::InvalidData => format!("`{path}` is not UTF-8 text"),
        _ => format!("`{path}` cannot be used: {error}"),
    }
}
