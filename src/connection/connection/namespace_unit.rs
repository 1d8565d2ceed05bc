//! A namespace is one unit more beside its connections: `on_load`, its timers and its closures run in a turn of its own.
//!
//! That turn is a [`Connection`] without a client. What its calls register belongs to the version that serves: it is
//! gone when another one does.

use std::sync::Arc;

use super::Connection;
use crate::{connection::Namespace, script::Version};

impl Connection {
    /// The unit of a namespace itself: it has no client and is not one of the namespace's connections.
    pub(crate) fn of_namespace(namespace: Arc<Namespace>) -> Arc<Self> {
        Self::new("", namespace, rhai::Dynamic::UNIT, 0)
    }

    /// The id of its socket; `None` for the unit of a namespace.
    pub fn socket(&self) -> Option<&Arc<str>> {
        Some(self.id()).filter(|id| !id.is_empty())
    }

    /// Starts with the version that serves, and lets go of what an earlier one left; `None` when it has started already.
    /// For the unit of a namespace.
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

    /// Whether its work is that of a version that no longer serves. Never so for a client's: it adopts the new one.
    pub fn is_outdated(&self) -> bool {
        let version = self.version();
        self.socket().is_none() && version.is_none_or(|version| !self.namespace().serves(&version))
    }
}
