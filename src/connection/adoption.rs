//! What an edit makes of a live connection, from its drafts to the connection that takes it over.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
};

use rhai::{Dynamic, Identifier};

use super::registrations::{Adopted, Registered};
use crate::script::Version;

/// What `on_connection` makes of a connection.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Made {
    /// Its listeners and timers.
    pub registered: Registered,
    /// The keys of `socket.data` that it wrote, or removed.
    pub data: BTreeMap<Identifier, Option<Dynamic>>,
    /// The rooms that it joined (`true`), or left.
    pub rooms: BTreeMap<String, bool>,
}

/// What a connection takes over at the start of its first call of a new version.
#[derive(Debug)]
#[non_exhaustive]
pub struct Adoption {
    /// The new version.
    pub version: Arc<Version>,
    /// What the old code makes of the connection.
    pub base: Made,
    /// What the new code makes of it.
    pub new: Made,
    /// Who waits for the outcome.
    pub report: mpsc::Sender<Adopted>,
}

impl Adoption {
    /// The outcome of a pair of drafts.
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

    /// It is not taken over: what the drafts made is freed.
    pub fn release(&self) {
        self.base.registered.release();
        self.new.registered.release();
    }
}
