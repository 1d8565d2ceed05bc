//! The listeners of one socket, in the order of their registration.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rhai::{FnPtr, ImmutableString, StaticVec};

use super::pairs::{Entry, Past, numbered};
use crate::script::{Copies, Handler, Swap, Swapped, Use, cheap_seconds};

/// Who registered a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisteredBy {
    /// `on_connection`
    Connection,
    /// `on_reload`, in this run of it: the next run replaces it.
    Reload(u32),
    /// A handler.
    Handler,
}

/// Stands for any event where a listener names its event. No client can send it: the crate takes no such name.
pub const ANY: &str = "\u{0}any";
/// The same for any event that is sent to the client.
pub const OUTGOING: &str = "\u{0}outgoing";
/// The same for checks before the listeners of any event.
pub const MIDDLEWARE: &str = "\u{0}middleware";

/// A bit for each of these three, and none for an event that has a name.
pub(super) fn bit(event: &str) -> u8 {
    match event {
        ANY => 1,
        OUTGOING => 2,
        MIDDLEWARE => 4,
        _ => 0,
    }
}

/// One registration.
#[derive(Debug, Clone)]
pub struct Listener {
    event: ImmutableString,
    handler: Arc<Handler>,
    once: bool,
    made_by: RegisteredBy,
    /// Reason for which it listens no more. One of `on_connection` is remembered, so that its variables are not lost
    /// when an edit captures them again.
    gone: Option<Gone>,
    /// Time at which the client sent the event last, in seconds as [`cheap_seconds`] counts them; 0 for never.
    fired: u32,
}

/// Reason for which a listener listens no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gone {
    /// It listened once, and was called.
    Fired,
    /// `off` removed it.
    Off,
    /// `off` in `on_connection` itself removed it.
    OffAtOnce,
}

/// Copy of a listener, to look at.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Listening {
    /// Its event, or one of [`ANY`], [`OUTGOING`], [`MIDDLEWARE`].
    pub event: ImmutableString,
    /// Its closure.
    pub handler: Arc<Handler>,
    /// It listens once.
    pub once: bool,
    /// Reason for which it listens no more.
    pub gone: Option<Gone>,
}

/// Time within which a client that sends an event is one that uses it, in seconds.
const RECENT: u32 = 60;

/// Event that an edit has taken the listener from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Silenced {
    /// The event.
    pub event: ImmutableString,
    /// The client sent it within the last minute.
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

    /// Returns `true` if it is only remembered.
    fn is_past(&self) -> bool {
        self.gone.is_some() && self.made_by == RegisteredBy::Connection
    }

    /// Returns a hash of what it is, which an edit and its undo do not change.
    fn identity(&self) -> u64 {
        self.handler.identity((self.event.as_str(), self.once))
    }

    /// Follows an `off` that the new code has, or no longer has.
    fn turn(&mut self, was_off: bool, is_off: bool) -> Changes {
        let mut changes = Changes::default();
        if !was_off && is_off && self.gone.is_none() {
            changes.removed += 1;
            changes.silenced.extend(self.silenced());
            self.gone = Some(Gone::OffAtOnce);
        }
        // What the client has taken off itself stays off.
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

/// Listeners in the order of their registration.
#[derive(Debug, Clone, Default)]
pub struct Listeners {
    list: Vec<Listener>,
    /// Listeners of `on_connection` that listened no more when an edit removed them.
    fired: Past,
}

impl Listeners {
    /// Adds a listener of an event.
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

    /// There will hardly be more.
    pub(super) fn shrink(&mut self) {
        self.list.shrink_to_fit();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The events that somebody listens to, each once.
    pub fn events(&self) -> BTreeSet<ImmutableString> {
        let listening = self.list.iter().filter(|listener| listener.gone.is_none());
        let events = listening.map(|listener| listener.event.clone());
        events.filter(|event| !event.starts_with('\0')).collect()
    }

    /// The bits of those whose event has one.
    pub(super) fn bits(&self) -> u8 {
        let bits = self.list.iter().map(|listener| bit(&listener.event));
        bits.fold(0, |all, one| all | one)
    }

    /// Whether anybody listens to an event.
    pub fn has(&self, event: &str) -> bool {
        self.list.iter().any(|listener| listener.listens_to(event))
    }

    /// What is to be called for an event, in order; a `once` among them is taken off.
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

    /// Takes off the listeners of an event, or the last one of them that calls `function`.
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

    fn sweep(&mut self) {
        self.list
            .retain(|l| l.gone.is_none() || l.made_by == RegisteredBy::Connection);
    }

    /// Replaces the code of all listeners; those whose code is gone are removed, and their closures returned.
    pub(super) fn swap(&mut self, swap: &mut Swap<'_>) -> (Changes, Vec<Handler>) {
        let (mut changes, mut gone) = (Changes::default(), Vec::new());
        let Self { list, fired } = self;
        list.retain_mut(|listener| {
            let handler = match swap.handler(&listener.handler, Use::Listener(&listener.event)) {
                Swapped::New(handler, rewritten) => {
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
                Swapped::Old(handler) => handler,
                Swapped::Gone(handler) => {
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

    /// Merges three states: *base* is what the old code of `on_connection` registers, *new* what the new code registers;
    /// the closures of the latter are `handlers` now, with keys that pair them with *base*. Only a difference between the two
    /// adds or removes a listener. Returns the closures that were removed, too.
    pub(super) fn merge(
        &mut self,
        base: &Self,
        (wanted, new): (&[String], &Self),
        handlers: Vec<Handler>,
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
            let is_dropped = before.contains(key) && !wanted.contains(key);
            if is_dropped {
                self.fired
                    .remember(listener.is_past(), || listener.identity());
                changes.removed += usize::from(listener.gone.is_none());
                changes.silenced.extend(listener.silenced());
                gone.push((*listener.handler).clone());
            }
            !is_dropped
        });
        // A listener comes behind the one that is registered before it, or before all others.
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

    /// Returns the listeners that `on_reload` made in its last run, and takes out those of `run`.
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

    /// Returns the key of each listener, which is the same in every version: its code, its event, and its place among
    /// those of the same code and event. Those of `on_connection` are counted first.
    pub(super) fn keys(&self) -> Vec<String> {
        let entries = self.list.iter().map(|listener| {
            let group = Use::Listener(&listener.event).group(listener.handler.function());
            (group, listener.made_by == RegisteredBy::Connection)
        });
        numbered(entries)
    }

    /// Returns all listeners as a draft has registered them, to pair them with those of another draft.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.list.iter().map(|listener| Entry {
            group: Use::Listener(&listener.event).group(listener.handler.function()),
            handler: &listener.handler,
            delay: Duration::ZERO,
        })
    }

    /// Returns all closures with what they are used for.
    pub(super) fn used(&self) -> impl Iterator<Item = (Use<'_>, &Handler)> {
        let list = self.list.iter();
        list.map(|listener| (Use::Listener(&listener.event), &*listener.handler))
    }

    /// Returns copies of all listeners, those that are remembered included.
    pub(super) fn look(&self) -> Vec<Listening> {
        let listening = self.list.iter().map(|listener| Listening {
            event: listener.event.clone(),
            handler: listener.handler.clone(),
            once: listener.once,
            gone: listener.gone,
        });
        listening.collect()
    }

    /// Every closure there is.
    pub(super) fn handlers(&self) -> impl Iterator<Item = &Handler> {
        self.list.iter().map(|listener| &*listener.handler)
    }

    /// Returns all closures with their keys.
    pub(super) fn with_keys(&self) -> impl Iterator<Item = (String, Handler)> {
        let handlers = self.list.iter().map(|listener| (*listener.handler).clone());
        self.keys().into_iter().zip(handlers)
    }
}

/// Registrations that an edit added and removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// Number of registrations of the new code.
    pub added: usize,
    /// Registrations that the new code no longer makes.
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

/// Returns the keys of `all` that are in `of` as well, in the order of `of`.
fn in_order<'a>(all: &[String], of: &'a [String]) -> Vec<&'a String> {
    of.iter().filter(|key| all.contains(key)).collect()
}

/// Puts the listeners of `wanted` in that order, into the places that they have among all.
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
