//! Adoption of an edit by a live connection, from its drafts to its next call.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
};

use rhai::{Dynamic, Identifier};

use super::registrations::{Adopted, Registered};
use crate::script::Version;

/// Result of `on_connection` for a connection.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Made {
    /// Listeners and timers.
    pub registered: Registered,
    /// Keys of `socket.data` that it wrote, or removed (`None`).
    pub data: BTreeMap<Identifier, Option<Dynamic>>,
    /// Rooms that it joined (`true`), or left.
    pub rooms: BTreeMap<String, bool>,
}

/// Changes that a connection adopts at the start of its first call of a new version.
#[derive(Debug)]
#[non_exhaustive]
pub struct Adoption {
    /// New version.
    pub version: Arc<Version>,
    /// Result of the old code for the connection.
    pub base: Made,
    /// Result of the new code for the connection.
    pub new: Made,
    /// Channel to the reload that waits for the outcome.
    pub report: mpsc::Sender<Adopted>,
}

impl Adoption {
    /// Creates the adoption of a pair of drafts.
    pub const fn new(
        version: Arc<Version>,
        base: Made,
        new: Made,
        report: mpsc::Sender<Adopted>,
    ) -> Self {
        Self {
            version,
            base,
            new,
            report,
        }
    }

    /// Frees what the drafts made, because it is not adopted.
    pub fn release(&self) {
        self.base.registered.release();
        self.new.registered.release();
    }
}
