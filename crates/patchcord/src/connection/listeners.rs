//! Listeners of one socket, in the order of their registration.

mod packed;

use std::{collections::BTreeSet, sync::Arc};

use rhai::{FnPtr, ImmutableString, StaticVec};

use super::pairs::{Entry, Past, numbered};
use crate::script::{Copies, Handler, Swap, Swapped, Use, cheap_seconds};

/// Origin of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisteredBy {
    /// `on_connection`.
    Connection,
    /// The run of `on_reload` with this number. The next run replaces the listener.
    Reload(u32),
    /// A handler, or any other call.
    Handler,
}

/// Event name of catch-all listeners. It begins with a NUL: a script cannot send such an event, and if a client sends
/// one, it does not reach these listeners by name ([`is_internal`]).
pub const ANY: &str = "\u{0}any";
/// Event name of catch-all listeners for events that are sent to the client.
pub const OUTGOING: &str = "\u{0}outgoing";
/// Event name of middleware, which checks each event before its listeners run.
pub const MIDDLEWARE: &str = "\u{0}middleware";

/// Returns the bit of [`ANY`], [`OUTGOING`] or [`MIDDLEWARE`], or 0 for any other event.
pub(super) fn bit(event: &str) -> u8 {
    match event {
        ANY => 1,
        OUTGOING => 2,
        MIDDLEWARE => 4,
        _ => 0,
    }
}

/// Returns `true` for [`ANY`], [`OUTGOING`] and [`MIDDLEWARE`]. A client may send an event with such a name, but must
/// not reach these listeners with it.
pub fn is_internal(event: &str) -> bool {
    bit(event) != 0
}

/// One registration.
#[derive(Debug, Clone)]
pub struct Listener {
    event: ImmutableString,
    handler: Arc<Handler>,
    once: bool,
    made_by: RegisteredBy,
    /// Reason why the listener is no longer active. An inactive listener of `on_connection` is remembered, so that its
    /// variables are not lost if an edit captures them again.
    gone: Option<Gone>,
    /// Time of the last event, in seconds from [`cheap_seconds`]; 0 means never.
    fired: u32,
}

/// Reason why a listener is no longer active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gone {
    /// The listener was registered for one event, and has been called.
    Fired,
    /// `off` removed the listener.
    Off,
    /// `off` in `on_connection` itself removed the listener.
    OffAtOnce,
}

/// Copy of a listener, for inspection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Listening {
    /// Event of the listener, or one of [`ANY`], [`OUTGOING`], [`MIDDLEWARE`].
    pub event: ImmutableString,
    /// Closure of the listener.
    pub handler: Arc<Handler>,
    /// `true` if the listener is called for one event only.
    pub once: bool,
    /// Reason why the listener is no longer active.
    pub gone: Option<Gone>,
}

/// Maximum age, in seconds, of the last event of a client for which the client still counts as using the event.
const RECENT: u32 = 60;

/// Event whose listener an edit has removed or renamed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Silenced {
    /// Name of the event.
    pub event: ImmutableString,
    /// `true` if the client sent the event within the last minute.
    pub is_recent: bool,
}

impl Listener {
    fn silenced(&self) -> Option<Silenced> {
        let is_named = self.gone.is_none() && !self.event.starts_with('\0');
        is_named.then(|| Silenced {
            event: self.event.clone(),
            is_recent: self.fired > 0 && cheap_seconds().saturating_sub(self.fired) < RECENT,
        })
    }

    /// Returns `true` if the listener is not active, but only remembered.
    fn is_past(&self) -> bool {
        self.gone.is_some() && self.made_by == RegisteredBy::Connection
    }

    /// Returns a hash that identifies the listener. An edit and its undo do not change the hash.
    fn identity(&self) -> u64 {
        self.handler.identity((self.event.as_str(), self.once))
    }

    /// Removes or restores the listener, because the new code calls `off` for it, or no longer does.
    fn turn(&mut self, was_off: bool, is_off: bool) -> Changes {
        let mut changes = Changes::default();
        if !was_off && is_off && self.gone.is_none() {
            changes.removed += 1;
            changes.silenced.extend(self.silenced());
            self.gone = Some(Gone::OffAtOnce);
        }
        // A listener that a handler has removed stays removed.
        if was_off && !is_off && self.gone == Some(Gone::OffAtOnce) {
            changes.added += 1;
            self.gone = None;
        }
        changes
    }

    fn listens_to(&self, event: &str) -> bool {
        self.gone.is_none() && self.event == event
    }
}

/// Reason for a merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Merging {
    /// Another code: what only the old code registers is removed.
    Edit,
    /// The same code has run again for a client that has come back: what it does not register again stays.
    Again,
}

impl Merging {
    pub(super) fn removes(self) -> bool {
        self == Self::Edit
    }
}

/// Listeners in the order of their registration.
#[derive(Debug, Clone, Default)]
pub struct Listeners {
    list: Vec<Listener>,
    /// Listeners of `on_connection` that were already inactive when an edit removed them.
    fired: Past,
}

impl Listeners {
    /// Adds a listener to an event.
    pub fn add(
        &mut self,
        event: ImmutableString,
        handler: Arc<Handler>,
        once: bool,
        made_by: RegisteredBy,
    ) {
        self.list.push(Listener {
            event,
            handler,
            once,
            made_by,
            gone: None,
            fired: 0,
        });
    }

    /// Returns copies of all listeners.
    pub(super) fn copy(&self, copies: &mut Copies) -> Self {
        let copy = |listener: &Listener| Listener {
            handler: Arc::new(copies.handler(&listener.handler)),
            ..listener.clone()
        };
        Self {
            list: self.list.iter().map(copy).collect(),
            fired: self.fired.clone(),
        }
    }

    /// Frees unused capacity, because further listeners are rare after `on_connection`.
    pub(super) fn shrink(&mut self) {
        self.list.shrink_to_fit();
    }

    /// Returns the number of listeners, including those that are only remembered.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns `true` if there are no listeners.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Returns the names of the events that have active listeners, each once.
    pub fn events(&self) -> BTreeSet<ImmutableString> {
        let listening = self.list.iter().filter(|listener| listener.gone.is_none());
        let events = listening.map(|listener| listener.event.clone());
        events.filter(|event| !event.starts_with('\0')).collect()
    }

    /// Returns the bits of all listeners, combined: see [`bit`].
    pub(super) fn bits(&self) -> u8 {
        let bits = self.list.iter().map(|listener| bit(&listener.event));
        bits.fold(0, |all, one| all | one)
    }

    /// Returns `true` if an event has an active listener.
    pub fn has(&self, event: &str) -> bool {
        self.list.iter().any(|listener| listener.listens_to(event))
    }

    /// Returns the handlers to call for an event, in order, and removes those that are called once.
    pub fn fire(&mut self, event: &str) -> StaticVec<Arc<Handler>> {
        let mut handlers = StaticVec::new();
        let mut fired_once = false;
        let mut now = 0;
        for listener in self.list.iter_mut().filter(|l| l.listens_to(event)) {
            handlers.push(listener.handler.clone());
            if now == 0 {
                now = cheap_seconds();
            }
            listener.fired = now;
            listener.gone = listener.once.then_some(Gone::Fired);
            fired_once |= listener.once;
        }
        if fired_once {
            self.sweep();
        }
        handlers
    }

    /// Removes the listeners of an event, or only the last one that calls `function`.
    pub fn remove(&mut self, event: &str, function: Option<&FnPtr>, by: RegisteredBy) {
        let off = match by {
            RegisteredBy::Connection => Gone::OffAtOnce,
            RegisteredBy::Handler | RegisteredBy::Reload(_) => Gone::Off,
        };
        let mut found = self.list.iter_mut().rev().filter(|l| l.listens_to(event));
        match function {
            None => found.for_each(|l| l.gone = Some(off)),
            Some(function) => {
                if let Some(listener) = found.find(|l| l.handler.is(function)) {
                    listener.gone = Some(off);
                }
            }
        }
        self.sweep();
    }

    /// Removes the listeners of an event completely, and returns the handler of the last one.
    pub(super) fn take(&mut self, event: &str) -> Option<Arc<Handler>> {
        let is_it = |listener: &Listener| listener.event == event;
        let last = self.list.iter().rfind(|one| is_it(one));
        let handler = last.map(|listener| listener.handler.clone());
        self.list.retain(|listener| !is_it(listener));
        handler
    }

    fn sweep(&mut self) {
        self.list
            .retain(|l| l.gone.is_none() || l.made_by == RegisteredBy::Connection);
    }

    /// Replaces the code of all listeners, and removes those whose code has been removed. Returns the changes, and the
    /// closures of the removed listeners.
    pub(super) fn swap(&mut self, swap: &mut Swap<'_>) -> (Changes, Vec<Handler>) {
        let (mut changes, mut gone) = (Changes::default(), Vec::new());
        let Self { list, fired } = self;
        list.retain_mut(|listener| {
            let handler = match swap.handler(&listener.handler, Use::Listener(&listener.event)) {
                Swapped::Replaced(handler, rewritten) => {
                    let event = rewritten.renamed(&listener.event);
                    if listener.event != event {
                        changes.silenced.extend(listener.silenced());
                        listener.event = event.into();
                    }
                    if let Some(word) = rewritten.word {
                        listener.once = word == "once";
                    }
                    handler
                }
                Swapped::Unchanged(handler) => handler,
                Swapped::Removed(handler) => {
                    fired.remember(listener.is_past(), || listener.identity());
                    changes.removed += usize::from(listener.gone.is_none());
                    changes.silenced.extend(listener.silenced());
                    gone.push(handler);
                    return false;
                }
            };
            listener.handler = Arc::new(handler);
            true
        });
        (changes, gone)
    }

    /// Merges three states: *base* is what the old code of `on_connection` registers, *new* is what the new code
    /// registers, and *live* is `self`. The listeners of *new* have the closures `handlers`, and the keys `wanted`,
    /// which pair them with *base*. Only a difference between *base* and *new* adds or removes a listener; with
    /// [`Merging::Again`], none is removed. Returns the changes, and the closures of the removed listeners.
    pub(super) fn merge(
        &mut self,
        base: &Self,
        (wanted, new): (&[String], &Self),
        handlers: Vec<Handler>,
        merging: Merging,
    ) -> (Changes, Vec<Handler>) {
        let before = base.keys();
        let was_off = |key: &String| {
            let nth = before.iter().position(|before| before == key);
            let listener = nth.and_then(|nth| base.list.get(nth));
            listener.is_some_and(|listener| listener.gone == Some(Gone::OffAtOnce))
        };
        let keys = self.keys();
        let list = std::mem::take(&mut self.list);
        let mut live: Vec<_> = keys.into_iter().zip(list).collect();
        let (mut changes, mut gone) = (Changes::default(), Vec::new());
        live.retain(|(key, listener)| {
            let is_dropped = merging.removes() && before.contains(key) && !wanted.contains(key);
            if is_dropped {
                self.fired
                    .remember(listener.is_past(), || listener.identity());
                changes.removed += usize::from(listener.gone.is_none());
                changes.silenced.extend(listener.silenced());
                gone.push((*listener.handler).clone());
            }
            !is_dropped
        });
        // A new listener is inserted after the one that is registered before it, or before all others if it is the
        // first.
        let mut at = 0;
        for ((key, listener), handler) in wanted.iter().zip(&new.list).zip(handlers) {
            let handler = Arc::new(handler);
            if let Some(nth) = live.iter().position(|(live, _)| live == key) {
                at = nth + 1;
                if let Some((_, live)) = live.get_mut(nth) {
                    live.handler = handler;
                    live.once = listener.once;
                    live.made_by = listener.made_by;
                    changes.add(live.turn(was_off(key), listener.gone == Some(Gone::OffAtOnce)));
                }
            } else if !before.contains(key) {
                let mut added = Listener {
                    handler,
                    ..listener.clone()
                };
                if added.gone.is_none() && self.fired.forget(|| added.identity()) {
                    added.gone = Some(Gone::Fired);
                }
                changes.added += usize::from(added.gone.is_none());
                live.insert(at.min(live.len()), (key.clone(), added));
                at += 1;
            }
        }
        if in_order(&before, wanted) != in_order(wanted, &before) {
            reorder(&mut live, wanted);
        }
        self.list = live.into_iter().map(|(_, listener)| listener).collect();
        (changes, gone)
    }

    /// Returns copies of the listeners that `on_reload` registered in its previous run, and the listeners of `run`,
    /// which are removed.
    pub(super) fn take_reloaded(&mut self, run: u32) -> (Self, Self) {
        let list = std::mem::take(&mut self.list);
        let (fresh, live) = list
            .into_iter()
            .partition(|listener| listener.made_by == RegisteredBy::Reload(run));
        self.list = live;
        let before = self.list.iter();
        let before = before.filter(|listener| matches!(listener.made_by, RegisteredBy::Reload(_)));
        let before = before.cloned().collect();
        let of = |list| Self {
            list,
            ..Self::default()
        };
        (of(before), of(fresh))
    }

    /// Returns the key of each listener, which is the same in every version: its code, its event, and its number among
    /// the listeners with the same code and event. Those of `on_connection` are numbered first.
    pub(super) fn keys(&self) -> Vec<String> {
        let entries = self.list.iter().map(|listener| {
            let group = Use::Listener(&listener.event).group(listener.handler.function());
            (group, listener.made_by == RegisteredBy::Connection)
        });
        numbered(entries)
    }

    /// Returns all listeners of a draft, to pair them with those of another draft.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.list.iter().map(|listener| Entry {
            group: Use::Listener(&listener.event).group(listener.handler.function()),
            handler: &listener.handler,
            period: None,
        })
    }

    /// Returns all closures, each with its use.
    pub(super) fn used(&self) -> impl Iterator<Item = (Use<'_>, &Handler)> {
        let list = self.list.iter();
        list.map(|listener| (Use::Listener(&listener.event), &*listener.handler))
    }

    /// Returns copies of all listeners, including those that are only remembered.
    pub(super) fn look(&self) -> Vec<Listening> {
        let listening = self.list.iter().map(|listener| Listening {
            event: listener.event.clone(),
            handler: listener.handler.clone(),
            once: listener.once,
            gone: listener.gone,
        });
        listening.collect()
    }

    /// Returns all closures.
    pub(super) fn handlers(&self) -> impl Iterator<Item = &Handler> {
        self.list.iter().map(|listener| &*listener.handler)
    }

    /// Returns all closures, each with its key.
    pub(super) fn with_keys(&self) -> impl Iterator<Item = (String, Handler)> {
        let handlers = self.list.iter().map(|listener| (*listener.handler).clone());
        self.keys().into_iter().zip(handlers)
    }
}

/// Registrations that an edit added and removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// Number of registrations that exist only in the new code.
    pub added: usize,
    /// Number of registrations that no longer exist in the new code.
    pub removed: usize,
    /// Events of listeners that were removed or renamed.
    pub silenced: Vec<Silenced>,
}

impl Changes {
    /// Adds further changes.
    pub(super) fn add(&mut self, other: Self) {
        self.added += other.added;
        self.removed += other.removed;
        self.silenced.extend(other.silenced);
    }
}

/// Returns the keys of `all` that are also in `of`, in the order of `of`.
fn in_order<'a>(all: &[String], of: &'a [String]) -> Vec<&'a String> {
    of.iter().filter(|key| all.contains(key)).collect()
}

/// Sorts the listeners in `wanted` into the order of `wanted`. Together, they keep their positions among all listeners.
fn reorder(live: &mut [(String, Listener)], wanted: &[String]) {
    let rank = |key: &String| wanted.iter().position(|wanted| wanted == key);
    let places: Vec<_> = (0..live.len())
        .filter(|nth| live.get(*nth).is_some_and(|(key, _)| rank(key).is_some()))
        .collect();
    let mut known: Vec<_> = places
        .iter()
        .filter_map(|nth| live.get(*nth).cloned())
        .collect();
    known.sort_by_key(|(key, _)| rank(key));
    for (nth, entry) in places.into_iter().zip(known) {
        if let Some(place) = live.get_mut(nth) {
            *place = entry;
        }
    }
}
