//! Snapshot of the texts of the scripts for one load.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::script::{self, Ignored, LoadError, Loader, SourceFile};

/// Files that may differ from those of the last load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::host) enum Changed {
    /// Any file may differ.
    Everything,
    /// Only these files may differ; by name.
    Files(BTreeSet<String>),
}

impl Changed {
    /// Returns the names of the scripts that may have changed; none for [`Changed::Everything`].
    pub(super) fn scripts(&self) -> Vec<Arc<str>> {
        let Self::Files(names) = self else {
            return Vec::new();
        };
        let scripts = names.iter().filter(|name| name.ends_with(".rhai"));
        scripts.map(|name| name.as_str().into()).collect()
    }

    fn may_be(&self, name: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Files(names) => names.contains(name),
        }
    }
}

/// Scripts, each as it was when this load first read it, so that the whole load sees one consistent state. Files that
/// have not changed since the last load are not read again.
#[derive(Debug)]
pub(super) struct Snapshot<'a> {
    loader: &'a dyn Loader,
    read: Mutex<HashMap<String, Text>>,
}

type Text = Result<Arc<str>, Arc<LoadError>>;

/// Texts that a load has read, by the names of the files.
pub(super) type Texts = HashMap<String, Arc<str>>;

impl<'a> Snapshot<'a> {
    /// Creates a snapshot. Moves the texts of the last load out of `before`, and keeps those that have not changed.
    pub(super) fn new(loader: &'a dyn Loader, changed: &Changed, before: &mut Texts) -> Self {
        let before = std::mem::take(before).into_iter();
        let same = before.filter(|(name, _)| !changed.may_be(name));
        Self {
            loader,
            read: Mutex::new(same.map(|(name, text)| (name, Ok(text))).collect()),
        }
    }

    /// Returns the texts that could be read.
    pub(super) fn into_texts(self) -> Texts {
        let read = self.read.into_inner().into_iter();
        read.filter_map(|(name, text)| Some((name, text.ok()?)))
            .collect()
    }

    pub(super) fn text(&self, name: &str) -> Text {
        let mut read = self.read.lock();
        let text = || read_now(self.loader, name).map(Arc::from).map_err(Arc::new);
        read.entry(name.to_owned()).or_insert_with(text).clone()
    }

    pub(super) fn still_is(&self, files: &[SourceFile]) -> bool {
        files
            .iter()
            .all(|file| self.text(&file.name).ok() == file.text)
    }
}

/// Reads the current text of a script, and checks it in the same way for every kind of loader.
pub(super) fn read_now(loader: &dyn Loader, name: &str) -> Result<String, LoadError> {
    let text = loader.read(name)?;
    script::accept_text(name, text)
}

impl Loader for Snapshot<'_> {
    fn list(&self) -> Result<Vec<String>, LoadError> {
        self.loader.list()
    }

    fn read(&self, name: &str) -> Result<String, LoadError> {
        self.text(name)
            .map(|text| text.to_string())
            .map_err(|error| (*error).clone())
    }

    fn namespace(&self, name: &str) -> Option<String> {
        self.loader.namespace(name)
    }

    fn ignored(&self) -> Vec<Ignored> {
        self.loader.ignored()
    }
}
