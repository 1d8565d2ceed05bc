//! Reads of `on_connection` from outside: shared data, other sockets, time, chance, functions of the application.
//!
//! A connection keeps what these reads returned when it connected. Drafts of an edit are answered from this *tape*, so
//! both of them take the path that the connection took then, whatever has changed since.
//!
//! A read is identified by the place of its call in the text and by its arguments. Places are indices into the tokens
//! that `on_connection` runs ([`Reach`](crate::script::Reach)), so an edit elsewhere does not move them.
//!
//! A key of shared data is recorded once, as it was before `on_connection` used it. A draft begins with that, and works on a
//! copy of its own from then on: so each word that the text has for a read or a change gives the result of then.

use std::{collections::BTreeSet, sync::Arc};

use rhai::Dynamic;

use crate::{script::CallMap, value};

/// Maximum size of a tape, in bytes. A larger one is dropped, and drafts read the present state.
const MAX_BYTES: usize = 4096;
/// Size of an entry without its value, in bytes.
const ENTRY_BYTES: usize = 48;

/// Identity of a read: its function with its arguments, and the place of its call, if that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Read {
    /// Hash of the function and its arguments.
    pub key: u64,
    /// Index of the call among the tokens that `on_connection` runs.
    pub place: Option<u32>,
}

impl Read {
    /// Creates the identity of a read.
    pub const fn new(key: u64, place: Option<u32>) -> Self {
        Self { key, place }
    }
}

/// State of a key of shared data before `on_connection` has changed it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Before {
    /// Nothing has depended on it.
    Unknown,
    /// There was a value.
    Present,
    /// The value, if there was one.
    Was(Option<Dynamic>),
}

impl Before {
    fn bytes(&self) -> usize {
        match self {
            Self::Was(Some(value)) => value::weight(value),
            Self::Unknown | Self::Present | Self::Was(None) => 0,
        }
    }
}

/// Effect of a call on a key of shared data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Effect {
    /// None: it reads.
    Reads,
    /// It sets a key that has no value.
    Begins,
    /// It sets the key, whatever it was.
    Sets,
    /// It makes another value of the one that was there.
    Changes,
}

impl Effect {
    /// Returns `true` if a call with this effect, when the client connected, was the same as one with another: `init` and a
    /// set are, but a count beside an `init` is a call of its own.
    fn covers(self, other: Self) -> bool {
        match other {
            Self::Reads => true,
            Self::Begins | Self::Sets => self >= Self::Begins,
            Self::Changes => self >= Self::Sets,
        }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    read: Read,
    value: Dynamic,
}

/// Key of shared data that `on_connection` has used.
#[derive(Debug, Clone)]
struct Key {
    key: u64,
    before: Before,
    /// The strongest effect of its calls.
    effect: Effect,
}

/// Results of the reads of `on_connection`, in order, and what the keys of shared data were before it.
#[derive(Debug, Clone, Default)]
pub struct Tape {
    entries: Vec<Entry>,
    keys: Vec<Key>,
    bytes: usize,
    /// It was too large, and is empty now.
    is_dropped: bool,
}

impl Tape {
    /// Adds a result.
    pub fn add(&mut self, read: Read, value: &Dynamic) {
        let value = value.clone();
        if self.has_room(ENTRY_BYTES + value::weight(&value)) {
            self.entries.push(Entry { read, value });
        }
    }

    /// Adds the use of a key. What it was before is known from the first use that depends on it, if that comes before all
    /// changes.
    pub fn add_key(&mut self, key: u64, before: Before, effect: Effect) {
        let bytes = before.bytes();
        if let Some(known) = self.keys.iter_mut().find(|known| known.key == key) {
            let is_better =
                known.effect == Effect::Reads && !matches!(known.before, Before::Was(_));
            let is_read_back = known.effect > Effect::Reads && effect == Effect::Reads;
            if is_read_back && matches!(known.before, Before::Unknown) {
                // It depends on what nobody has recorded.
                self.drop_all();
                return;
            }
            known.effect = known.effect.max(effect);
            if is_better && matches!(before, Before::Was(_)) {
                known.before = before;
                self.has_room(bytes);
            }
        } else if self.has_room(ENTRY_BYTES + bytes) {
            self.keys.push(Key {
                key,
                before,
                effect,
            });
        }
    }

    /// Makes room for an entry. A tape that has none drops everything.
    fn has_room(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        if self.bytes > MAX_BYTES {
            self.drop_all();
        }
        !self.is_dropped
    }

    fn drop_all(&mut self) {
        (self.entries, self.keys) = Default::default();
        self.is_dropped = true;
    }

    /// Adds what another tape has, while there is room.
    fn extend(&mut self, entries: Vec<Entry>, keys: Vec<Key>) {
        for entry in entries {
            let bytes = self.bytes + ENTRY_BYTES + value::weight(&entry.value);
            if bytes <= MAX_BYTES {
                self.bytes = bytes;
                self.entries.push(entry);
            }
        }
        for key in keys {
            let bytes = self.bytes + ENTRY_BYTES + key.before.bytes();
            if bytes <= MAX_BYTES {
                self.bytes = bytes;
                self.keys.push(key);
            }
        }
    }

    fn key(&self, key: u64) -> Option<&Key> {
        self.keys.iter().find(|known| known.key == key)
    }

    /// Returns the tape to keep; `None` if nothing was read.
    pub fn kept(mut self) -> Option<Box<Self>> {
        self.entries.shrink_to_fit();
        self.keys.shrink_to_fit();
        let is_of_use = self.is_dropped || !(self.entries.is_empty() && self.keys.is_empty());
        is_of_use.then(|| Box::new(self))
    }

    /// Returns `true` if it was too large to keep.
    pub const fn is_dropped(&self) -> bool {
        self.is_dropped
    }
}

/// How a function gets what it reads from outside.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outside {
    /// It reads, and nobody wants to know.
    Real,
    /// It reads, and its result is recorded.
    Recorded,
    /// It is answered from the tape.
    Known(Dynamic),
}

/// How a function uses a key of shared data.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyUse {
    /// The key itself, and what it was before is recorded.
    Recorded,
    /// The key of the draft's copy. What it was before stands with its first use, if the tape knows it.
    Copied(Option<Before>),
    /// The key itself, although it is a draft: each client has results of its own.
    Real,
}

/// Answers from a tape to the reads of a draft.
#[derive(Debug, Default)]
pub(super) struct Playback {
    tape: Tape,
    used: BTreeSet<usize>,
    /// Keys that were changed for real.
    drawn: BTreeSet<u64>,
    /// Calls of the draft's version as calls of the version that recorded the tape; `None` if it is the same.
    calls: Option<Arc<CallMap>>,
    /// Tape of the draft's own reads.
    new: Tape,
}

impl Playback {
    pub(super) fn of(tape: Option<&Tape>, calls: Option<Arc<CallMap>>) -> Self {
        Self {
            tape: tape.cloned().unwrap_or_default(),
            calls,
            ..Self::default()
        }
    }

    /// Returns `true` if the tape was too large to keep.
    pub(super) const fn is_without_tape(&self) -> bool {
        self.tape.is_dropped
    }

    /// Returns the answer that the tape has for a read: that of the call at its place, or of one that was moved.
    pub(super) fn answer(&mut self, read: Read) -> Option<Dynamic> {
        let at_place = |entry: &Entry| match &self.calls {
            None => entry.read.place == read.place,
            Some(calls) => {
                let place = read.place.and_then(|place| calls.old(place));
                place.is_some() && entry.read.place == place
            }
        };
        // A call that was moved: its old place is gone, or was never known.
        let was_moved = |entry: &Entry| match (&self.calls, entry.read.place) {
            (_, None) => true,
            (None, _) => false,
            (Some(calls), Some(place)) => !calls.is_kept(place),
        };
        let entries = self.tape.entries.iter().enumerate();
        let unused =
            entries.filter(|(nth, entry)| entry.read.key == read.key && !self.used.contains(nth));
        let unused: Vec<_> = unused.collect();
        let first = |fits: &dyn Fn(&Entry) -> bool| {
            let found = unused.iter().find(|(_, entry)| fits(entry));
            found.map(|(nth, _)| *nth)
        };
        let found = first(&at_place).or_else(|| first(&was_moved))?;
        let value = self.tape.entries.get(found)?.value.clone();
        self.used.insert(found);
        self.new.add(read, &value);
        Some(value)
    }

    /// Returns what a key was before, at its first use. The draft's own changes count from then on.
    pub(super) fn begin_key(&mut self, key: u64) -> Option<Before> {
        if self.new.key(key).is_some() {
            return None;
        }
        let known = self.tape.key(key)?;
        let before = known.before.clone();
        self.new.add_key(key, before.clone(), known.effect);
        Some(before)
    }

    /// Returns `true` if a call had the same effect on a key when the tape was recorded.
    pub(super) fn had(&self, effect: Effect, key: u64) -> bool {
        let known = self.tape.key(key);
        known.is_some_and(|known| known.effect.covers(effect))
    }

    /// Adds a read that the tape had no answer for.
    pub(super) fn add(&mut self, read: Read, value: &Dynamic) {
        self.new.add(read, value);
    }

    /// Adds a change that was made for real: the key is what it was before that from now on.
    pub(super) fn draw_key(&mut self, key: u64, before: Before) {
        self.new.keys.retain(|known| known.key != key);
        self.new.add_key(key, before, Effect::Changes);
        self.drawn.insert(key);
    }

    /// Adds the use of a key.
    pub(super) fn add_key(&mut self, key: u64, before: Before, effect: Effect) {
        if self.drawn.contains(&key) {
            return;
        }
        // What the tape does not know is not what there is now.
        match self.new.keys.iter_mut().find(|known| known.key == key) {
            Some(known) if self.tape.key(key).is_some() => {
                known.effect = known.effect.max(effect);
            }
            _ => self.new.add_key(key, before, effect),
        }
    }

    /// Returns the tape of the draft's own reads. What the new code no longer reads is kept behind them while there is room,
    /// for the undo of the edit. One of a connection without a tape that is too large stays without.
    pub(super) fn take(&mut self) -> Option<Box<Tape>> {
        let old = std::mem::take(&mut self.tape);
        if old.is_dropped {
            return old.kept();
        }
        let mut tape = std::mem::take(&mut self.new);
        if !tape.is_dropped {
            let unused = old.entries.into_iter().enumerate();
            let unused = unused.filter(|(nth, _)| !self.used.contains(nth));
            let entries = unused.map(|(_, entry)| Entry {
                read: Read::new(entry.read.key, None),
                ..entry
            });
            let mut keys = old.keys;
            keys.retain(|key| tape.key(key.key).is_none());
            tape.extend(entries.collect(), keys);
        }
        tape.kept()
    }
}

/// Sockets whose rooms a call of `on_connection` has changed itself: it sees them with its own changes.
#[derive(Debug, Default)]
pub(super) struct MovedSockets(BTreeSet<usize>);

impl MovedSockets {
    pub(super) fn add(&mut self, socket: usize) {
        self.0.insert(socket);
    }

    pub(super) fn has(&self, socket: usize) -> bool {
        self.0.contains(&socket)
    }
}
