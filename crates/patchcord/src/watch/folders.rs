//! Folders that have a watch, each under one path, even if it was moved in the meantime.
//!
//! In: real paths (without symbolic links) of folders, in passes that name every folder that is still wanted. Out:
//! watches of notify.
//!
//! Invariant: no folder is watched under two paths. The operating system has one watch per folder, so ending the watch
//! of an outdated path would end that of the current path too.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};

/// Identity of a folder, whatever its path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Id(#[cfg(unix)] (u64, u64), #[cfg(not(unix))] PathBuf);

impl Id {
    #[cfg(unix)]
    fn new(_: &Path, metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self((metadata.dev(), metadata.ino()))
    }

    #[cfg(not(unix))]
    fn new(path: &Path, _: &Metadata) -> Self {
        Self(path.to_path_buf())
    }
}

#[derive(Debug)]
pub(super) struct Folders {
    watcher: RecommendedWatcher,
    watched: BTreeMap<PathBuf, (Id, RecursiveMode)>,
    paths: HashMap<Id, PathBuf>,
    /// Folders that the current pass has named.
    wanted: HashSet<PathBuf>,
}

impl Folders {
    pub(super) fn new(watcher: RecommendedWatcher) -> Self {
        Self {
            watcher,
            watched: BTreeMap::new(),
            paths: HashMap::new(),
            wanted: HashSet::new(),
        }
    }

    pub(super) fn contains(&self, folder: &Path) -> bool {
        self.watched.contains_key(folder)
    }

    /// Begins a pass, which names every wanted folder again.
    pub(super) fn begin(&mut self) {
        self.wanted.clear();
    }

    /// Names a folder in this pass, and watches it if it has no watch. Returns `true` if the watch is new.
    pub(super) fn want(&mut self, folder: &Path, mode: RecursiveMode) -> notify::Result<bool> {
        if self.wanted.contains(folder) && self.covers(folder, mode) {
            return Ok(false);
        }
        let metadata = fs::symlink_metadata(folder).map_err(notify::Error::io)?;
        if !metadata.is_dir() {
            return Err(notify::Error::path_not_found());
        }
        let id = Id::new(folder, &metadata);
        if let Some(path) = self.paths.get(&id).cloned() {
            let elsewhere = path != folder;
            if elsewhere && self.wanted.contains(&path) {
                return Ok(false);
            }
            if !elsewhere && self.covers(folder, mode) {
                self.wanted.insert(path);
                return Ok(false);
            }
            self.forget(&path);
        }
        if self.contains(folder) {
            self.forget(folder);
        }
        self.watcher.watch(folder, mode)?;
        self.watched
            .insert(folder.to_path_buf(), (id.clone(), mode));
        self.paths.insert(id, folder.to_path_buf());
        self.wanted.insert(folder.to_path_buf());
        Ok(true)
    }

    /// Ends a pass: folders that it did not name lose their watch.
    pub(super) fn finish(&mut self) {
        let unwanted: Vec<PathBuf> = self
            .watched
            .keys()
            .filter(|folder| !self.wanted.contains(*folder))
            .cloned()
            .collect();
        for folder in &unwanted {
            self.remove(folder);
        }
    }

    /// Ends the watches of a folder and of everything below it, because what is there now may be another folder.
    pub(super) fn forget(&mut self, folder: &Path) {
        let below: Vec<PathBuf> = self
            .watched
            .range(folder.to_path_buf()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(folder))
            .cloned()
            .collect();
        for path in &below {
            self.remove(path);
        }
    }

    /// Ends all watches.
    pub(super) fn forget_all(&mut self) {
        let all: Vec<PathBuf> = self.watched.keys().cloned().collect();
        for path in &all {
            self.remove(path);
        }
    }

    fn remove(&mut self, folder: &Path) {
        if let Some((id, _)) = self.watched.remove(folder) {
            self.paths.remove(&id);
            self.wanted.remove(folder);
            // A watch ends by itself when its folder is removed, so there may be none any more.
            let _ = self.watcher.unwatch(folder);
        }
    }

    fn covers(&self, folder: &Path, mode: RecursiveMode) -> bool {
        self.watched
            .get(folder)
            .is_some_and(|(_, present)| *present == mode || *present == RecursiveMode::Recursive)
    }
}
