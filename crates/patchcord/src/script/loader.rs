//! Where source text comes from: a folder, memory, or an embedder's own place.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use super::{LoadError, names};

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
    /// The names of all scripts, modules included. What cannot be a script is left out, and does not make this fail.
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
        names::namespace(name)
    }

    /// What looks like a script by its name and serves nothing, with the reasons: copies that editors and file managers
    /// make, and what is no file.
    fn ignored(&self) -> Vec<Ignored> {
        let names = self.list().unwrap_or_default();
        names
            .iter()
            .filter_map(|name| Ignored::by_name(name))
            .collect()
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

/// Something that looks like a script by its name, and that the host leaves alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Ignored {
    /// Name of the file, or of a folder that cannot be read.
    pub name: String,
    /// Reason, with the remedy.
    pub reason: String,
    /// There may be scripts at this name that the loader cannot see: what serves from it keeps serving.
    pub is_unseen: bool,
}

impl Ignored {
    /// Creates the entry of something that cannot be a script, or of a folder that cannot be read.
    pub fn unseen(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            reason: reason.into(),
            is_unseen: true,
        }
    }

    pub(super) fn by_name(name: &str) -> Option<Self> {
        Some(Self {
            name: name.to_owned(),
            reason: names::not_served(name)?,
            is_unseen: false,
        })
    }
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
