//! Scripts of a folder on disk.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{Ignored, LoadError, Loader, names, text};

/// Scripts of a folder, or one file that serves the namespace `/`.
///
/// Symbolic links in the folder are followed, even to files outside, because anyone who can create a link there can
/// also write scripts. Pipes, sockets, devices, folders with the name of a script, and broken links are never opened. A
/// script has at most 4 MiB, and is UTF-8 text, with or without a byte order mark.
///
/// ```
/// use patchcord::script::{Folder, Loader, LoadError};
///
/// assert_eq!(Folder::new("game/lobby.rhai").namespace("lobby.rhai"), Some("/".to_owned()));
/// assert_eq!(Folder::new("game").namespace("lobby.rhai"), Some("/lobby".to_owned()));
/// assert_eq!(Folder::new("game").namespace("lib/names.rhai"), None);
/// assert!(matches!(Folder::new("not/there").list(), Err(LoadError::Unreadable { .. })));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    target: PathBuf,
}

/// Maximum depth of folders that are searched, because a symbolic link to its own parent would otherwise never end.
const MAX_DEPTH: usize = 16;

impl Folder {
    /// Creates a loader of the scripts at `target`, which is a folder or one `.rhai` file. Does not read the folder;
    /// the other methods do.
    pub fn new(target: impl Into<PathBuf>) -> Self {
        Self {
            target: target.into(),
        }
    }

    fn is_file(&self) -> bool {
        self.target.extension().is_some_and(|e| e == "rhai") && !self.target.is_dir()
    }

    fn root(&self) -> &Path {
        match self.target.parent() {
            Some(parent) if self.is_file() => parent,
            _ => &self.target,
        }
    }

    /// Finds everything in the folder and its subfolders.
    ///
    /// # Errors
    /// Fails if the folder itself cannot be read.
    fn walk(&self) -> Result<Walk, LoadError> {
        let mut walk = Walk::default();
        walk.enter(&self.target, "")
            .map_err(|error| LoadError::Unreadable {
                path: self.target.display().to_string(),
                reason: error.to_string(),
            })?;
        Ok(walk)
    }
}

/// Entries of a folder and its subfolders. Only folders are opened.
#[derive(Default)]
struct Walk {
    /// Files that may be scripts.
    names: Vec<String>,
    ignored: Vec<Ignored>,
    /// Folders on the path to the current one, by device and inode, because a symbolic link to one of them would be
    /// followed forever.
    above: Vec<(u64, u64)>,
}

impl Walk {
    fn enter(&mut self, folder: &Path, prefix: &str) -> io::Result<()> {
        let found = fs::metadata(folder)?;
        let here = (found.dev(), found.ino());
        if self.above.contains(&here) || self.above.len() > MAX_DEPTH {
            return Ok(());
        }
        let entries = fs::read_dir(folder)?;
        self.above.push(here);
        for entry in entries.flatten() {
            self.look_at(&entry, prefix);
        }
        self.above.pop();
        Ok(())
    }

    fn look_at(&mut self, entry: &fs::DirEntry, prefix: &str) {
        let (path, name) = (entry.path(), entry.file_name());
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else {
            return;
        };
        let (is_script, name) = (name.ends_with(".rhai"), format!("{prefix}{name}"));
        let kind = entry.file_type();
        if is_script && kind.as_ref().is_ok_and(fs::FileType::is_file) {
            self.ignored.extend(Ignored::by_name(&name));
            self.names.push(name);
            return;
        }
        if !is_script && kind.is_ok_and(|kind| kind.is_file()) {
            return;
        }
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() && !is_script => {
                if let Err(error) = self.enter(&path, &format!("{name}/")) {
                    self.ignored.push(Ignored::unseen(name, error.to_string()));
                }
            }
            Ok(found) if is_script => match text::kind(&found) {
                Some(kind) => {
                    let reason = format!("{kind} is no script");
                    self.ignored.push(Ignored::unseen(name, reason));
                }
                None => {
                    self.ignored.extend(Ignored::by_name(&name));
                    self.names.push(name);
                }
            },
            // The entry may have been deleted in the meantime.
            Err(error) if is_script && fs::symlink_metadata(&path).is_ok() => {
                let reason = match error.kind() {
                    ErrorKind::NotFound => "the link leads to nothing".to_owned(),
                    _ => error.to_string(),
                };
                self.ignored.push(Ignored::unseen(name, reason));
            }
            _ => {}
        }
    }
}

impl Loader for Folder {
    fn list(&self) -> Result<Vec<String>, LoadError> {
        if self.is_file() {
            fs::metadata(&self.target).map_err(|e| LoadError::new(&self.target, &e))?;
            return Ok(self
                .target
                .file_name()
                .and_then(|n| n.to_str())
                .map(str::to_owned)
                .into_iter()
                .collect());
        }
        let mut names = self.walk()?.names;
        names.sort_unstable();
        Ok(names)
    }

    fn ignored(&self) -> Vec<Ignored> {
        if self.is_file() {
            return Vec::new();
        }
        let mut ignored = self.walk().unwrap_or_default().ignored;
        ignored.sort_unstable();
        ignored
    }

    fn read(&self, name: &str) -> Result<String, LoadError> {
        text::read(&self.root().join(name), name)
    }

    fn namespace(&self, name: &str) -> Option<String> {
        match self.is_file() {
            true => Some("/".to_owned()),
            false => names::namespace(name),
        }
    }

    /// Returns `None` if a folder has changed, because everything in it may have changed. Also returns `None` if there
    /// are links, because a linked file has several paths, and its changes are reported at only one of them.
    fn changed(&self, paths: &BTreeSet<PathBuf>) -> Option<BTreeSet<String>> {
        if self.is_file() || paths.is_empty() || has_links(&self.target, 0) {
            return None;
        }
        let name_of = |path: &PathBuf| {
            let name = path.strip_prefix(&self.target).ok()?.to_str()?;
            let is_script = name.ends_with(".rhai") && !path.is_dir();
            // A path that is neither a script nor a file may have been a folder.
            (is_script || path.is_file()).then(|| name.to_owned())
        };
        paths.iter().map(name_of).collect()
    }

    fn watched(&self) -> Option<&Path> {
        Some(&self.target)
    }
}

/// Returns `true` if a file in a folder may have another path through a symbolic link or a hard link, or if the folder
/// cannot be read.
fn has_links(folder: &Path, depth: usize) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return true;
    };
    let is_link = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry?;
        // For a symbolic link, this is the metadata of the link itself.
        let metadata = entry.metadata()?;
        Ok::<_, std::io::Error>(match metadata.is_dir() {
            true => has_links(&entry.path(), depth + 1),
            false => metadata.is_symlink() || metadata.nlink() > 1,
        })
    };
    depth >= MAX_DEPTH
        || entries
            .into_iter()
            .any(|entry| is_link(entry).unwrap_or(true))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn changes_of_scripts_are_told_by_name_and_all_others_may_be_of_any() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::create_dir(at("lib")).unwrap();
        fs::write(at("chat.rhai"), "").unwrap();
        fs::write(at("notes.txt"), "").unwrap();
        let folder = Folder::new(place.path());
        let changed = |paths: &[PathBuf]| folder.changed(&paths.iter().cloned().collect());
        let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());

        assert_eq!(changed(&[at("chat.rhai")]), names(&["chat.rhai"]));
        // The file may have been removed.
        let both = [at("chat.rhai"), at("lib/words.rhai")];
        assert_eq!(changed(&both), names(&["chat.rhai", "lib/words.rhai"]));
        assert_eq!(changed(&[at("notes.txt")]), names(&["notes.txt"]));
        for any in [
            vec![],
            vec![place.path().to_owned()],
            vec![at("chat.rhai"), at("lib")],
            vec![at("gone")],
            vec![PathBuf::from("/elsewhere/chat.rhai")],
        ] {
            assert_eq!(changed(&any), None, "{any:?}");
        }
        // A file now has two paths, and its changes are reported at only one of them.
        symlink(at("chat.rhai"), at("lib/alias.rhai")).unwrap();
        assert_eq!(changed(&[at("chat.rhai")]), None);
        fs::remove_file(at("lib/alias.rhai")).unwrap();
        assert_eq!(changed(&[at("chat.rhai")]), names(&["chat.rhai"]));
        fs::hard_link(at("chat.rhai"), at("lib/alias.rhai")).unwrap();
        assert_eq!(changed(&[at("chat.rhai")]), None);
        let file = Folder::new(at("chat.rhai"));
        assert_eq!(file.changed(&[at("chat.rhai")].into()), None);
    }
}
