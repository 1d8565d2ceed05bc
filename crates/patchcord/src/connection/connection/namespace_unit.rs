//! Unit of a namespace, in addition to its connections: `on_load`, its timers and its closures run in a separate turn.
//!
//! The unit is a [`Connection`] without a client. It adopts an edit as a connection does, but `on_load` runs again only
//! if the code that it itself runs has changed.

use std::sync::Arc;

use super::Connection;
use crate::{
    connection::{Namespace, Registered, listeners::Merging},
    script::Version,
};

impl Connection {
    /// Creates the unit of a namespace itself, which has no client, and is not one of the namespace's connections.
    pub(crate) fn for_namespace(namespace: Arc<Namespace>) -> Arc<Self> {
        Self::new("", namespace, rhai::Dynamic::UNIT, 0)
    }

    /// Returns the id of the socket; `None` for the unit of a namespace.
    pub fn socket(&self) -> Option<&Arc<str>> {
        Some(self.id()).filter(|id| !id.is_empty())
    }

    /// Records the version that the unit of a namespace has.
    pub fn begin_as(&self, version: &Arc<Version>) {
        self.state().version = Some(version.clone());
    }

    /// Removes and returns the registrations of the unit, before `on_load` registers again.
    pub fn take_registered(&self) -> Registered {
        std::mem::take(&mut self.state().registered)
    }

    /// Merges the new registrations of `on_load` into those that it made before; `base` is what its old code registers,
    /// as a draft.
    pub fn merge_registered(self: &Arc<Self>, before: Registered, base: &Registered) {
        let mut state = self.state();
        let new = std::mem::replace(&mut state.registered, before);
        state.registered.merge(base, new, &[], Merging::Edit);
        state.registered.timers.start(&self.when_due());
    }
}
