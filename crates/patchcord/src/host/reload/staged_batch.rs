//! Batch of versions that serve some clients before all others.

use std::{sync::Arc, time::SystemTime};

use super::{
    rebind::Candidate,
    record::{Outcome, Record},
};
use crate::{
    connection::{Connection, Stage},
    script::Version,
};

/// Batch that is staged.
#[derive(Debug, Clone)]
pub(super) struct StagedBatch {
    pub(super) stage: Arc<Stage>,
    pub(super) since: SystemTime,
    pub(super) versions: Vec<Candidate>,
}

impl StagedBatch {
    /// Returns `true` if these versions have the same namespaces and files as the staged ones.
    pub(super) fn is_of(&self, versions: &[Candidate]) -> bool {
        let same = self.versions.iter().zip(versions);
        let is_same = |(one, other): (&Candidate, &Candidate)| {
            Arc::ptr_eq(&one.namespace, &other.namespace)
                && one.version.files() == other.version.files()
        };
        self.versions.len() == versions.len() && same.into_iter().all(is_same)
    }

    /// Returns the staged version of a namespace.
    pub(super) fn version(&self, namespace: &str) -> Option<&Arc<Version>> {
        let mut versions = self.versions.iter();
        let found = versions.find(|one| **one.namespace.path() == *namespace)?;
        Some(&found.version)
    }

    /// Returns the record of the staged version of a namespace.
    pub(super) fn record(&self, namespace: &str) -> Option<Record> {
        let version = self.version(namespace)?;
        Some(Record {
            number: version.number(),
            batch: None,
            time: self.since,
            hash: version.hash().clone(),
            files: version
                .files()
                .iter()
                .map(|file| file.name.clone())
                .collect(),
            outcome: Outcome::Staged,
        })
    }

    /// Returns the connections that have the staged versions.
    pub(super) fn connections(&self) -> impl Iterator<Item = Arc<Connection>> {
        let connections = self
            .versions
            .iter()
            .flat_map(|one| one.namespace.connections());
        connections.filter(|connection| connection.is_staged())
    }

    /// Ends the stage in all namespaces: the versions that serve now serve all clients.
    pub(super) fn end(&self) {
        self.versions.iter().for_each(|one| one.namespace.unstage());
    }
}
