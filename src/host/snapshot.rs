//! The texts of one load.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::script::{LoadError, Loader, SourceFile};

/// The scripts as they were when they were first read in this load, so that all of it sees one state.
#[derive(Debug)]
pub(super) struct Snapshot<'a> {
    pub(super) loader: &'a dyn Loader,
    read: Mutex<HashMap<String, Text>>,
}

type Text = Result<Arc<str>, Arc<LoadError>>;

impl<'a> Snapshot<'a> {
    pub(super) fn of(loader: &'a dyn Loader) -> Self {
        Self {
            loader,
            read: Mutex::default(),
        }
    }

    fn text(&self, name: &str) -> Text {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let text = || self.loader.read(name).map(Arc::from).map_err(Arc::new);
        read.entry(name.to_owned()).or_insert_with(text).clone()
    }

    pub(super) fn still_is(&self, files: &[SourceFile]) -> bool {
        files
            .iter()
            .all(|file| self.text(&file.name).ok() == file.text)
    }
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
}
