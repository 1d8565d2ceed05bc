//! What `on_connection` and the handlers register: listeners and timers.

use std::sync::Arc;

use super::{Listeners, Timers};
use crate::script::{Carried, Handler, Version, carry, release};

/// What a connection, or a draft, has registered.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Registered {
    /// Its listeners.
    pub listeners: Listeners,
    /// Its timers.
    pub timers: Timers,
}

impl Registered {
    /// Takes over what the new code registers, with the variables of this connection.
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

    /// Takes everything out; timers set later have other numbers.
    pub(super) fn end(&mut self) -> Self {
        Self {
            listeners: std::mem::take(&mut self.listeners),
            timers: self.timers.end(),
        }
    }

    /// Nothing calls it any more: closures that captured themselves are freed.
    pub fn release(&self) {
        release(self.listeners.handlers().chain(self.timers.handlers()));
    }

    /// The closures that `on_connection` registered, with what they are known by in every version.
    fn keyed(&self) -> Vec<(String, Handler)> {
        self.listeners.keyed().chain(self.timers.keyed()).collect()
    }
}

/// What an adoption did.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Adopted {
    /// What became of the variables.
    pub carried: Carried,
    /// How many handlers keep the old code.
    pub keep_old: usize,
    /// How many rooms were joined or left.
    pub rooms: usize,
}
