//! Registrations of `on_connection` and of handlers: listeners and timers.

use std::sync::Arc;

use super::{Listeners, Timers};
use crate::script::{Carried, Handler, Version, carry, release};

/// Registrations of a connection, or of a draft.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Registered {
    /// Listeners.
    pub listeners: Listeners,
    /// Timers.
    pub timers: Timers,
}

impl Registered {
    /// Adopts what the new code registers, with the variables of this connection.
    pub(super) fn adopt(&mut self, base: &Self, new: Self, version: &Arc<Version>) -> Adopted {
        let (mut handlers, carried) = carry(&base.keyed(), &new.keyed(), &self.keyed());
        let timers = handlers.split_off(new.listeners.len());
        let keep_old = self.listeners.adopt(&new.listeners, handlers, version)
            + self.timers.adopt(new.timers, timers, version);
        Adopted {
            carried,
            keep_old,
            ..Adopted::default()
        }
    }

    /// Removes all registrations; timers that are set later have other numbers.
    pub(super) fn end(&mut self) -> Self {
        Self {
            listeners: std::mem::take(&mut self.listeners),
            timers: self.timers.end(),
        }
    }

    /// Frees closures that captured themselves, because nothing calls the registrations any more.
    pub fn release(&self) {
        release(self.listeners.handlers().chain(self.timers.handlers()));
    }

    /// Returns the closures that `on_connection` registered, with the keys that identify them in every version.
    fn keyed(&self) -> Vec<(String, Handler)> {
        self.listeners.keyed().chain(self.timers.keyed()).collect()
    }
}

/// Effects of an adoption.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Adopted {
    /// Outcome for the variables.
    pub carried: Carried,
    /// Number of handlers that keep the old code.
    pub keep_old: usize,
    /// Number of rooms that were joined or left.
    pub rooms: usize,
}
