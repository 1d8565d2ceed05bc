//! Where source text comes from: a folder, memory, or an embedder's own place.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// A source of scripts.
///
/// Names are paths relative to the place of the scripts, with `/` between folders and the ending `.rhai`:
/// `chat.rhai`, `lib/names.rhai`. Nothing outside that place has a name.
///
/// ```
/// use patchcord::script::{Loader, Memory};
///
/// let scripts = Memory::from([("main.rhai", "fn on_connection(socket) {}")]);
/// assert_eq!(scripts.list()?, ["main.rhai"]);
/// assert!(scripts.read("main.rhai")?.contains("on_connection"));
/// # Ok::<(), patchcord::script::LoadError>(())
/// ```
pub trait Loader: fmt::Debug + Send + Sync {
    /// The names of all scripts, modules included.
    ///
    /// # Errors
    /// When the place of the scripts cannot be read.
    fn list(&self) -> Result<Vec<String>, LoadError>;

    /// The text of one script.
    ///
    /// # Errors
    /// When there is no script of that name, or it cannot be read as UTF-8 text.
    fn read(&self, name: &str) -> Result<String, LoadError>;

    /// The namespace that a script serves, by the layout of files; `None` for one that is for `import` only, or that
    /// is no script of a namespace at all.
    fn namespace(&self, name: &str) -> Option<String> {
        by_layout(name)
    }

    /// The names of the scripts that may be others since something has changed at `paths`, which are below
    /// [`watched`](Loader::watched); `None` when that may be any script. A load reads only these again.
    fn changed(&self, _paths: &BTreeSet<PathBuf>) -> Option<BTreeSet<String>> {
        None
    }

    /// The folder or file on disk that a watcher should look at, if there is one.
    fn watched(&self) -> Option<&Path> {
        None
    }
}

/// `main.rhai` is `/`, `game/lobby.rhai` is `/game/lobby`. What stands in a folder `lib`, or begins with `_`, is for
/// `import`; tests and definitions are none of a host's business.
fn by_layout(name: &str) -> Option<String> {
    let path = name.strip_suffix(".rhai")?;
    let (folders, file) = path.rsplit_once('/').unwrap_or(("", path));
    let hidden = folders.split('/').any(|folder| folder == "lib")
        || path.split('/').any(|part| part.starts_with('_'));
    let other = file.ends_with("_test") || file.ends_with(".d");
    match path {
        _ if hidden || other => None,
        "main" => Some("/".to_owned()),
        path => Some(format!("/{path}")),
    }
}

/// Why a script could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// No script has this name.
    #[error("there is no file `{0}`")]
    NotFound(String),
    /// The text is not UTF-8.
    #[error("`{0}` is not UTF-8 text")]
    NotText(String),
    /// The place of the scripts, or one of them, cannot be read.
    #[error("`{path}` cannot be read: {reason}")]
    Unreadable {
        /// What was to be read.
        path: String,
        /// What the system says.
        reason: String,
    },
}

impl LoadError {
    fn new(path: &Path, error: &std::io::Error) -> Self {
        let shown = path.display().to_string();
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound(shown),
            ErrorKind::InvalidData => Self::NotText(shown),
            _ => Self::Unreadable {
                path: shown,
                reason: error.to_string(),
            },
        }
    }
}

/// The scripts of a folder, or one file that is served as `/`.
///
/// Symbolic links in the folder are followed, also to files outside: whoever can make them can write scripts as well.
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

/// Folders deeper than this are not looked into: a symbolic link that leads to its own parent must end somewhere.
const MAX_DEPTH: usize = 16;

impl Folder {
    /// The scripts at `target`, a folder or one `.rhai` file. It is read when it is asked for, not now.
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

    fn walk(&self, folder: &Path, prefix: &str, names: &mut Vec<String>) -> Result<(), LoadError> {
        if prefix.matches('/').count() >= MAX_DEPTH {
            return Ok(());
        }
        let unreadable = |e: &std::io::Error| LoadError::Unreadable {
            path: folder.display().to_string(),
            reason: e.to_string(),
        };
        for entry in fs::read_dir(folder).map_err(|e| unreadable(&e))? {
            let path = entry.map_err(|e| unreadable(&e))?.path();
            let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                self.walk(&path, &format!("{prefix}{name}/"), names)?;
            } else if name.ends_with(".rhai") {
                names.push(format!("{prefix}{name}"));
            }
        }
        Ok(())
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
        let mut names = Vec::new();
        self.walk(&self.target, "", &mut names)?;
        names.sort_unstable();
        Ok(names)
    }

    fn read(&self, name: &str) -> Result<String, LoadError> {
        let path = self.root().join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text),
            Err(e) if e.kind() == ErrorKind::NotFound => Err(LoadError::NotFound(name.to_owned())),
            Err(e) if e.kind() == ErrorKind::InvalidData => {
                Err(LoadError::NotText(name.to_owned()))
            }
            Err(e) => Err(LoadError::Unreadable {
                path: name.to_owned(),
                reason: e.to_string(),
            }),
        }
    }

    fn namespace(&self, name: &str) -> Option<String> {
        match self.is_file() {
            true => Some("/".to_owned()),
            false => by_layout(name),
        }
    }

    /// A change at a folder is one of everything in it. Behind a symbolic link a file has other paths too, at which its
    /// changes are told.
    fn changed(&self, paths: &BTreeSet<PathBuf>) -> Option<BTreeSet<String>> {
        if self.is_file() || paths.is_empty() || has_links(&self.target, 0) {
            return None;
        }
        let name_of = |path: &PathBuf| {
            let name = path.strip_prefix(&self.target).ok()?.to_str()?;
            let is_script = name.ends_with(".rhai") && !path.is_dir();
            // What is no script may have been a folder.
            (is_script || path.is_file()).then(|| name.to_owned())
        };
        paths.iter().map(name_of).collect()
    }

    fn watched(&self) -> Option<&Path> {
        Some(&self.target)
    }
}

/// Returns whether a file in a folder may have another path too: by a symbolic link, or as a hard link. `true` as well
/// where the folder cannot be read.
fn has_links(folder: &Path, depth: usize) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return true;
    };
    let is_link = |entry: std::io::Result<fs::DirEntry>| {
        let entry = entry?;
        // That of a symbolic link itself.
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

/// Scripts that are held in memory: presets, tests, an embedder's own strings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    files: BTreeMap<String, String>,
}

impl<N: Into<String>, T: Into<String>, const LEN: usize> From<[(N, T); LEN]> for Memory {
    fn from(files: [(N, T); LEN]) -> Self {
        files.into_iter().collect()
    }
}

impl<N: Into<String>, T: Into<String>> FromIterator<(N, T)> for Memory {
    fn from_iter<I: IntoIterator<Item = (N, T)>>(files: I) -> Self {
        Self {
            files: files
                .into_iter()
                .map(|(name, text)| (name.into(), text.into()))
                .collect(),
        }
    }
}

impl Loader for Memory {
    fn list(&self) -> Result<Vec<String>, LoadError> {
        Ok(self.files.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> Result<String, LoadError> {
        self.files
            .get(name)
            .cloned()
            .ok_or_else(|| LoadError::NotFound(name.to_owned()))
    }
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
        // It may be gone.
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
        // A file has two paths now, and its changes are told at one of them.
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
