//! Sources of script text: a folder, memory, or a source of the embedder.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    pin::Pin,
};

use futures_core::Stream;

use super::{LoadError, names};

/// Changes of a source of scripts, which [`Loader::changes`] returns.
pub type Changes = Pin<Box<dyn Stream<Item = ()> + Send>>;

/// Source of scripts.
///
/// Names are paths relative to the root of the scripts, with `/` between folders and the ending `.rhai`: `chat.rhai`,
/// `lib/names.rhai`. Nothing outside that root has a name.
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
    /// Returns the names of all scripts, including modules. Anything that cannot be a script is left out, and causes no
    /// error.
    ///
    /// # Errors
    /// Fails if the root of the scripts cannot be read.
    fn list(&self) -> Result<Vec<String>, LoadError>;

    /// Returns the text of one script.
    ///
    /// # Errors
    /// Fails if there is no script of that name, or it cannot be read as UTF-8 text.
    fn read(&self, name: &str) -> Result<String, LoadError>;

    /// Returns the namespace that a script serves, by the layout of files; `None` for a script that is only for
    /// `import`, or that is not a script of a namespace at all.
    fn namespace(&self, name: &str) -> Option<String> {
        names::namespace(name)
    }

    /// Returns everything that has the name of a script but serves nothing, with the reasons: copies made by editors
    /// and file managers, and anything that is not a file.
    fn ignored(&self) -> Vec<Ignored> {
        let names = self.list().unwrap_or_default();
        names
            .iter()
            .filter_map(|name| Ignored::by_name(name))
            .collect()
    }

    /// Returns the names of the scripts that may have changed because of changes at `paths`, which are below
    /// [`watched`](Loader::watched); `None` if any script may have changed. A load reads only these scripts again.
    fn changed(&self, _paths: &BTreeSet<PathBuf>) -> Option<BTreeSet<String>> {
        None
    }

    /// Returns a stream with an item for each change of the scripts, for a source that knows of its changes, such as a
    /// database that notifies. [`Host::watch`](crate::Host::watch) reads all scripts again after each item. Changes that
    /// come while it does cost one more load, however many they are. The watch goes on without the stream when it ends.
    ///
    /// `None`, the default, means that the source does not announce changes.
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

/// File or folder that has the name of a script, and that the host ignores.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Ignored {
    /// Name of the file, or of a folder that cannot be read.
    pub name: String,
    /// Reason, with the remedy.
    pub reason: String,
    /// `true` if there may be scripts at this name that the loader cannot see. Scripts that serve from there keep
    /// serving.
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

/// Scripts in memory: presets, tests, or strings of the embedder.
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
