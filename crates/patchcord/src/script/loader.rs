//! Sources of scripts: a folder, memory, or a source of the embedder's own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    pin::Pin,
};

use futures_core::Stream;

use super::{LoadError, names};

/// Stream of change notifications of a script source, as [`Loader::changes`] returns it.
pub type Changes = Pin<Box<dyn Stream<Item = ()> + Send>>;

/// Source of scripts.
///
/// Names are paths relative to the root of the scripts, with `/` as the separator and the extension `.rhai`:
/// `chat.rhai`, `lib/names.rhai`. Files outside the root have no name.
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
    /// Returns the names of all scripts, including modules. Anything that cannot be a script is left out without an
    /// error.
    ///
    /// # Errors
    /// Fails if the root of the scripts cannot be read.
    fn list(&self) -> Result<Vec<String>, LoadError>;

    /// Returns the text of one script.
    ///
    /// # Errors
    /// Fails if there is no script of that name, or if it cannot be read as UTF-8 text.
    fn read(&self, name: &str) -> Result<String, LoadError>;

    /// Returns the namespace that a script serves, according to its path; `None` for a script that is meant only for
    /// `import`, or that serves no namespace for another reason.
    fn namespace(&self, name: &str) -> Option<String> {
        names::namespace(name)
    }

    /// Returns everything that has the name of a script but is not served, with the reasons: copies made by editors and
    /// file managers, and anything that is not a file.
    fn ignored(&self) -> Vec<Ignored> {
        let names = self.list().unwrap_or_default();
        names
            .iter()
            .filter_map(|name| Ignored::by_name(name))
            .collect()
    }

    /// Returns the names of the scripts that may be affected by changes at `paths`, which are below
    /// [`watched`](Loader::watched); `None` if any script may have changed. A reload reads only these scripts again.
    fn changed(&self, _paths: &BTreeSet<PathBuf>) -> Option<BTreeSet<String>> {
        None
    }

    /// Returns a stream with one item for each change of the scripts. Implement it for a source that can announce its
    /// changes, such as a database with notifications. [`Host::watch`](crate::Host::watch) reads all scripts again
    /// after each item. All changes that arrive during such a load together cause one more load. When the stream ends,
    /// the watch continues without it. Subscribe to the source before this method returns, because the watch reads the
    /// scripts once before it polls the stream.
    ///
    /// The default, `None`, means that the source does not announce changes.
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use patchcord::{Host, script::{Changes, LoadError, Loader}};
    /// use tokio::sync::watch;
    ///
    /// /// One script, which the application sends whenever it changes.
    /// #[derive(Debug)]
    /// struct Sent(watch::Receiver<String>);
    ///
    /// impl Loader for Sent {
    ///     fn list(&self) -> Result<Vec<String>, LoadError> {
    ///         Ok(vec!["main.rhai".to_owned()])
    ///     }
    ///
    ///     fn read(&self, _name: &str) -> Result<String, LoadError> {
    ///         Ok(self.0.borrow().clone())
    ///     }
    ///
    ///     fn changes(&self) -> Option<Changes> {
    ///         let changed = |mut sent: watch::Receiver<_>| async {
    ///             sent.changed().await.ok()?;
    ///             Some(((), sent))
    ///         };
    ///         Some(stream::unfold(self.0.clone(), changed).boxed())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (script, sent) = watch::channel("fn on_connection(socket) {}".to_owned());
    /// let host = Host::builder().loader(Sent(sent)).build();
    /// host.load().await?;
    /// let _watching = host.watch()?;
    /// let mut events = host.subscribe();
    ///
    /// script.send("fn on_connection(socket) { socket.emit(\"hello\"); }".to_owned())?;
    /// while !events.recv().await?.to_string().contains("version 2") {}
    /// # Ok(())
    /// # }
    /// ```
    fn changes(&self) -> Option<Changes> {
        None
    }

    /// Returns the folder or file on disk that a watcher should observe, if there is one.
    fn watched(&self) -> Option<&Path> {
        None
    }
}

/// File or folder that has the name of a script, but that the host ignores.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Ignored {
    /// Name of the file, or of a folder that cannot be read.
    pub name: String,
    /// Reason, with the remedy.
    pub reason: String,
    /// `true` if there may be scripts under this name that the loader cannot see. Scripts that were loaded from there
    /// keep serving.
    pub is_unseen: bool,
}

impl Ignored {
    /// Creates the entry of a file or folder that cannot be a script, or of a folder that cannot be read.
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

/// Scripts in memory, such as presets, tests, or strings of the embedder.
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
