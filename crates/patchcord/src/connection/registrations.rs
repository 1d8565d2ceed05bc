//! Registrations of `on_connection` and of handlers: listeners and timers.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use rhai::{Dynamic, INT, ImmutableString};

use super::{
    Clock, Listeners, Timers,
    listeners::{Changes, Merging},
    pairs::paired,
};
use crate::script::{
    Captured, CarriedState, Copies, Handler, Packer, Stale, Swap, TimerHandle, Unpacker, Use,
    Version, compare, each_captured, release, replace_lost, reset, transfer_state,
};

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
    /// Returns copies of all registrations, which never fire.
    pub(super) fn copy(&self, copies: &mut Copies) -> Self {
        Self {
            listeners: self.listeners.copy(copies),
            timers: self.timers.copy(copies),
        }
    }

    /// Returns the registrations as plain data, for another process; `None` if one of them has the code of an earlier
    /// version than `version`. `name` identifies values that are not plain.
    pub(super) fn pack(
        &self,
        version: &Arc<Version>,
        name: &dyn Fn(&Dynamic) -> Option<Dynamic>,
    ) -> Option<Dynamic> {
        let mut packer = Packer::new(version, name);
        let listeners = self.listeners.pack(&mut packer)?;
        let timers = self.timers.pack(&mut packer)?;
        Some(Dynamic::from_array(vec![
            listeners.into(),
            timers.into(),
            INT::from(self.timers.next()).into(),
            packer.into_cells().into(),
        ]))
    }

    /// Returns the registrations that [`Registered::pack`] has packed; `None` if they are malformed. `version` has the
    /// text of the version that they had.
    pub(super) fn unpack(
        packed: &Dynamic,
        version: &Arc<Version>,
        named: &dyn Fn(&Dynamic) -> Option<Dynamic>,
        clock: &Clock,
    ) -> Option<Self> {
        let packed = packed.as_array_ref().ok()?;
        let [listeners, timers, next, variables] = packed.as_slice() else {
            return None;
        };
        let unpacker = Unpacker::new(version, named, &variables.as_array_ref().ok()?);
        let next = u32::try_from(next.as_int().ok()?).ok()?;
        Some(Self {
            listeners: Listeners::unpack(&listeners.as_array_ref().ok()?, &unpacker)?,
            timers: Timers::unpack(&timers.as_array_ref().ok()?, next, &unpacker, clock)?,
        })
    }

    /// Replaces the values that could not be packed by those of `fresh`, which the same text has registered.
    pub(super) fn replace_lost(&self, fresh: &Self) {
        replace_lost(&self.with_keys(), &fresh.with_keys());
    }

    /// Replaces the code of all registrations, and removes those whose code has been removed. Returns the changes, and
    /// the closures of the removed registrations.
    pub(super) fn swap(&mut self, swap: &mut Swap<'_>) -> (Changes, Vec<Handler>) {
        let (mut changes, mut gone) = self.listeners.swap(swap);
        let timers = self.timers.swap(swap);
        changes.removed += timers.len();
        gone.extend(timers);
        (changes, gone)
    }

    /// Merges *base*, which the old code of `on_connection` registers, and *new*, which the new code registers, into
    /// these registrations. The closures of all three already have the new code. New closures inherit the variables of
    /// `gone`, the closures that were removed.
    pub(super) fn merge(
        &mut self,
        base: &Self,
        new: Self,
        gone: &[Handler],
        merging: Merging,
    ) -> Merge {
        let known = base.timers.keys();
        let of_base = self.timers.numbers_of(&known, &base.timers, |_| false);
        let timers = paired(base.timers.entries(), new.timers.entries());
        let of_new = self
            .timers
            .numbers_of(&timers, &new.timers, |key| !known.contains(key));
        base.renumber(&of_base);
        new.renumber(&of_new);
        let listeners = paired(base.listeners.entries(), new.listeners.entries());
        let keys = listeners.iter().chain(&timers).cloned();
        let with_keys: Vec<_> = keys.zip(new.handlers().cloned()).collect();
        let (mut handlers, carried) =
            transfer_state(&base.with_keys(), &with_keys, &self.keyed_with(gone));
        let of_timers = handlers.split_off(listeners.len());
        let new_listeners = (&*listeners, &new.listeners);
        let (mut changes, mut removed) =
            self.listeners
                .merge(&base.listeners, new_listeners, handlers, merging);
        let periods = base.timers.periods();
        let (of_timers, timers) =
            self.timers
                .merge(&periods, (&timers, new.timers), of_timers, &of_new, merging);
        changes.add(of_timers);
        removed.extend(timers);
        Merge {
            carried,
            changes,
            gone: removed,
        }
    }

    /// Replaces the registrations of the previous run of `on_reload` with those of this run. A registration that both
    /// runs make is kept, with its variables and its due time.
    pub(super) fn renew(&mut self, run: u32) {
        let (listeners_before, listeners) = self.listeners.take_reloaded(run);
        let (timers_before, timers) = self.timers.take_reloaded(run);
        let new = Self { listeners, timers };
        let is_new = |key: &String| !timers_before.contains_key(key);
        let keys = (new.listeners.keys(), new.timers.keys());
        let numbers = self.timers.numbers_of(&keys.1, &new.timers, is_new);
        new.renumber(&numbers);
        let (mut handlers, _) = transfer_state(&[], &new.with_keys(), &self.with_keys());
        let of_timers = handlers.split_off(new.listeners.len());
        self.listeners.merge(
            &listeners_before,
            (&keys.0, &new.listeners),
            handlers,
            Merging::Edit,
        );
        self.timers.merge(
            &timers_before,
            (&keys.1, new.timers),
            of_timers,
            &numbers,
            Merging::Edit,
        );
    }

    /// Removes and returns all registrations. Timers that are set later get other numbers.
    pub(super) fn take(&mut self) -> Self {
        Self {
            listeners: std::mem::take(&mut self.listeners),
            timers: self.timers.take(),
        }
    }

    /// Returns the captured variables of these registrations and of `others`, with their values in `initial`, a draft
    /// of the same version.
    pub(super) fn compare(&self, others: Vec<Handler>, initial: &Self) -> Vec<Captured> {
        let mut live = self.with_keys();
        let others = others.into_iter().enumerate();
        live.extend(others.map(|(nth, handler)| (format!("ack {nth}"), handler)));
        compare(&live, &initial.with_keys())
    }

    /// Sets the captured variables that `wants` selects to their values in `initial`, a draft of the same version.
    /// Variables that contain timers are not changed.
    pub(super) fn reset(&mut self, initial: &Self, wants: &dyn Fn(&str) -> bool) -> CarriedState {
        let keys = initial.timers.keys();
        let numbers = self.timers.numbers_of(&keys, &initial.timers, |_| false);
        initial.renumber(&numbers);
        reset(&initial.with_keys(), &self.with_keys(), wants)
    }

    /// Changes the numbers in the timer handles that closures have captured.
    fn renumber(&self, numbers: &HashMap<u32, u32>) {
        if numbers.is_empty() {
            return;
        }
        each_captured(self.handlers(), &mut |value| {
            let Some(timer) = value.read_lock::<TimerHandle>().map(|timer| *timer) else {
                return false;
            };
            let number = numbers.get(&timer.0).copied().unwrap_or(timer.0);
            *value = Dynamic::from(TimerHandle::new(number));
            true
        });
    }

    /// Frees closures that captured themselves. The registrations must not be called any more.
    pub fn release(&self) {
        release(self.handlers());
    }

    /// Returns all closures.
    pub(super) fn handlers(&self) -> impl Iterator<Item = &Handler> {
        self.listeners.handlers().chain(self.timers.handlers())
    }

    /// Returns all closures, each with its use.
    pub(super) fn used(&self) -> impl Iterator<Item = (Use<'_>, &Handler)> {
        self.listeners.used().chain(self.timers.used())
    }

    /// Returns all closures, and the closures `gone`, which are no longer registered, each with its key.
    fn keyed_with(&self, gone: &[Handler]) -> Vec<(String, Handler)> {
        let gone = gone.iter().enumerate();
        let gone = gone.map(|(nth, handler)| (format!("gone {nth}"), handler.clone()));
        self.with_keys().into_iter().chain(gone).collect()
    }

    /// Returns all closures, each with the key that identifies it in every version.
    fn with_keys(&self) -> Vec<(String, Handler)> {
        self.listeners
            .with_keys()
            .chain(self.timers.with_keys())
            .collect()
    }
}

/// Effects of a merge.
#[derive(Debug)]
pub(super) struct Merge {
    pub(super) carried: CarriedState,
    pub(super) changes: Changes,
    /// Closures of registrations that were removed.
    pub(super) gone: Vec<Handler>,
}

/// Effect of an adoption on a key of the socket's presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PresenceEffect {
    /// The socket holds the key now.
    Added,
    /// The socket no longer holds the key.
    Removed,
    /// The socket still holds the key, with another meta.
    Replaced,
}

/// Effects of an adoption.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Adopted {
    /// Outcomes of the variables.
    pub carried: CarriedState,
    /// Closures that keep an older text, each with its count.
    pub stale: BTreeMap<Stale, usize>,
    /// Number of closures that have the new code.
    pub swapped: usize,
    /// Listeners and timers that were added and removed.
    pub changes: Changes,
    /// Rooms that were joined (`true`) or left.
    pub rooms: Vec<(String, bool)>,
    /// Keys of the presence that were added or removed, or have a new meta.
    pub present: Vec<(ImmutableString, PresenceEffect)>,
    /// `true` if the drafts have read the current state, because the tape was too large to keep.
    pub untaped: bool,
    /// `true` if the new `on_connection` would disconnect the client, and the old one did not. The connection then
    /// keeps what it has.
    pub spared: bool,
    /// `true` if the connection was restarted, because the script asks for it.
    pub reset: bool,
    /// `true` if these are the effects on what `on_load` has created, rather than on a connection.
    pub for_namespace: bool,
}

impl Adopted {
    /// Returns the effects on a connection that was restarted.
    pub fn anew() -> Self {
        Self {
            reset: true,
            ..Self::default()
        }
    }
}
