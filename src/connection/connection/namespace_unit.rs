//! Unit of a namespace, beside its connections: `on_load`, its timers and its closures run in a turn of its own.
//!
//! That turn is a [`Connection`] without a client. What its calls register belongs to the version that serves, and is
//! removed when another version does.

use std::sync::Arc;

use super::Connection;
use crate::{connection::Namespace, script::Version};

impl Connection {
    /// Creates the unit of a namespace itself: it has no client, and is not one of the namespace's connections.
    pub(crate) fn of_namespace(namespace: Arc<Namespace>) -> Arc<Self> {
        Self::new("", namespace, rhai::Dynamic::UNIT, 0)
    }

    /// Returns the id of the socket; `None` for the unit of a namespace.
    pub fn socket(&self) -> Option<&Arc<str>> {
        Some(self.id()).filter(|id| !id.is_empty())
    }

    /// Starts with the version that serves, and frees what an earlier one left; returns `None` if it has started
    /// already. For the unit of a namespace.
    pub fn start(&self) -> Option<Arc<Version>> {
        let version = self.namespace().version();
        let mut held = self.held();
        let same = match (&held.version, &version) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        if same {
            return None;
        }
        held.version.clone_from(&version);
        let (registered, acks) = (held.registered.end(), held.acks.end());
        drop(held);
        registered.release();
        drop(acks);
        version
    }

    /// Returns whether the work belongs to a version that no longer serves. Always `false` for a client's connection,
    /// which adopts the new version.
    pub fn is_outdated(&self) -> bool {
        let version = self.version();
        self.socket().is_none() && version.is_none_or(|version| !self.namespace().serves(&version))
    }
}
