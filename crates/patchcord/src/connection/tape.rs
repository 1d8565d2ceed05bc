//! Outside reads of `on_connection`: shared data, other sockets, time, random values, functions of the application.
//!
//! A connection stores the results of these reads when it connects. In drafts of an edit, the reads are answered from
//! this *tape*, so both drafts take the path that the connection took then, whatever has changed since.
//!
//! A read is identified by the location of its call in the text and by its arguments. Locations are indices into the
//! tokens that `on_connection` runs ([`Reach`](crate::script::Reach)), so an edit elsewhere does not change them.
//!
//! A key of shared data is recorded once, in its state before `on_connection` used it. A draft starts with that state,
//! and from then on works on its own copy. So a read or a change returns the result that it would have had then, even
//! if the text now uses another function for it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use rhai::Dynamic;

use crate::{
    script::{CallMap, Run},
    value,
};

/// Maximum size of a tape, in bytes. A larger tape is dropped, and drafts read the current state.
const MAX_BYTES: usize = 4096;
/// Size of an entry without its value, in bytes.
const ENTRY_BYTES: usize = 48;

/// Identity of a read: its function with its arguments, and the location of its call, if known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Read {
    /// Hash of the function and its arguments.
    pub key: u64,
    /// Index of the call among the tokens that `on_connection` runs.
    pub place: Option<u32>,
    /// `true` if each call has a different result, as with a random number.
    pub draws: bool,
}

impl Read {
    /// Creates the identity of a read.
    pub const fn new(key: u64, place: Option<u32>, draws: bool) -> Self {
        Self { key, place, draws }
    }
}

/// State of a key of shared data before `on_connection` changed it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Before {
    /// Unknown, because no call has depended on it.
    Unknown,
    /// Some value, which is not known.
    Present,
    /// This value, or no value.
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
    /// No effect: the call only reads.
    Reads,
    /// Sets the key if it has no value.
    Begins,
    /// Sets the key, whatever its value was.
    Sets,
    /// Computes the new value from the old one.
    Changes,
}

impl Effect {
    /// Returns `true` if a call with this effect, made when the client connected, counts as the same call as one with
    /// the effect `other`. `init` and a set count as the same call, but an `incr` after an `init` is a new call.
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

/// Key of shared data that `on_connection` used.
#[derive(Debug, Clone)]
struct Key {
    key: u64,
    before: Before,
    /// Strongest effect of the calls on the key.
    effect: Effect,
}

/// Results of the outside reads of `on_connection`, in order, and the states of keys of shared data before it ran.
#[derive(Debug, Clone, Default)]
pub struct Tape {
    entries: Vec<Entry>,
    keys: Vec<Key>,
    bytes: usize,
    /// `true` if the tape was too large, and is therefore empty.
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

    /// Adds the use of a key. The previous state of the key is known from the first use that depends on it, if that use
    /// comes before all changes.
    pub fn add_key(&mut self, key: u64, before: Before, effect: Effect) {
        let bytes = before.bytes();
        if let Some(known) = self.keys.iter_mut().find(|known| known.key == key) {
            let is_better =
                known.effect == Effect::Reads && !matches!(known.before, Before::Was(_));
            let is_read_back = known.effect > Effect::Reads && effect == Effect::Reads;
            if is_read_back && matches!(known.before, Before::Unknown) {
                // The read depends on a state that was not recorded.
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

    /// Counts the bytes of an entry. If they exceed the maximum, drops the whole tape and returns `false`.
    fn has_room(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        if self.bytes > MAX_BYTES {
            self.drop_all();
        }
        !self.is_dropped
    }

    /// Forgets all locations, so that every read matches a call at any location.
    fn forget_places(&mut self) {
        for entry in &mut self.entries {
            entry.read.place = None;
        }
    }

    fn drop_all(&mut self) {
        (self.entries, self.keys) = Default::default();
        self.is_dropped = true;
    }

    /// Adds the contents of another tape, as long as there is room.
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

    /// Returns `true` if the tape was too large to keep.
    pub const fn is_dropped(&self) -> bool {
        self.is_dropped
    }
}

/// Source of the result of an outside read.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outside {
    /// A real read, which is not recorded.
    Real,
    /// A real read, whose result is recorded.
    Recorded,
    /// The result from the tape.
    Known(Dynamic),
}

/// Way in which a function uses a key of shared data.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyUse {
    /// The live key. Its previous state is recorded.
    Recorded,
    /// The key in the draft's copy. For the first use of the key, the field has the previous state of the key, if the
    /// tape has it.
    Copied(Option<Before>),
    /// The live key, although the call is a draft, because each client gets a different result. For the first use of
    /// the key, the field has the previous state of the key, if the tape has it: a call that would have changed nothing
    /// then changes nothing now.
    Real(Option<Before>),
}

/// Playback of a tape for the reads of a draft.
#[derive(Debug, Default)]
pub(super) struct Playback {
    tape: Tape,
    used: BTreeSet<usize>,
    /// Number of calls that the draft has made at each location.
    made: HashMap<u32, usize>,
    /// Keys that were changed for real.
    drawn: BTreeSet<u64>,
    /// Mapping from the calls of the draft's version to those of the version that recorded the tape; `None` if they are
    /// the same version.
    calls: Option<Arc<CallMap>>,
    /// Tape of the draft's own reads.
    new: Tape,
    /// `true` once the tape had no result for one of the draft's reads.
    has_missed: bool,
}

impl Playback {
    pub(super) fn new(tape: Option<&Tape>, calls: Option<Arc<CallMap>>) -> Self {
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

    /// Returns the result that the tape has for a read: that of the call at its location, or of a call that was moved.
    /// A read that does not draw had the same result in every call, so a new call receives that result too.
    pub(super) fn answer(&mut self, read: Read) -> Option<Dynamic> {
        let found = self.at_place(read).or_else(|| self.moved(read));
        self.used.extend(found);
        let found = found.or_else(|| self.seen(read))?;
        let value = self.tape.entries.get(found)?.value.clone();
        self.new.add(read, &value);
        Some(value)
    }

    /// Returns the entry of a call at its location, or in the same run of a function that is called at several
    /// locations.
    fn at_place(&mut self, read: Read) -> Option<usize> {
        let Some(calls) = self.calls.clone() else {
            return self.first(read, |entry| entry.read.place == read.place);
        };
        let place = read.place?;
        let made = self.made.entry(place).or_default();
        let nth = std::mem::replace(made, *made + 1);
        let old = calls.old(place)?;
        let is_there = |entry: &Entry| entry.read.place == Some(old);
        let entries = self.tape.entries.iter().enumerate();
        let mut there = entries.filter(|(_, entry)| is_there(entry));
        match calls.run(place, nth, there.clone().count()) {
            Run::New => None,
            Run::Old(run) => {
                let (found, entry) = there.nth(run)?;
                (entry.read.key == read.key && !self.used.contains(&found)).then_some(found)
            }
            Run::Unknown => self.first(read, is_there),
        }
    }

    /// Returns the entry of a call that was moved: its old location no longer exists, or was never known.
    fn moved(&self, read: Read) -> Option<usize> {
        self.first(read, |entry| match (&self.calls, entry.read.place) {
            (_, None) => true,
            (None, _) => false,
            (Some(calls), Some(place)) => !calls.is_kept(place),
        })
    }

    /// Returns the first unused entry of a read that satisfies `fits`.
    fn first(&self, read: Read, fits: impl Fn(&Entry) -> bool) -> Option<usize> {
        let mut entries = self.tape.entries.iter().enumerate();
        let found = entries.find(|(nth, entry)| {
            entry.read.key == read.key && !self.used.contains(nth) && fits(entry)
        });
        found.map(|(nth, _)| nth)
    }

    /// Returns an entry of a read that does not draw: the last used entry, or else the first entry.
    fn seen(&self, read: Read) -> Option<usize> {
        let is_same = |nth: &usize| {
            let entry = self.tape.entries.get(*nth);
            entry.is_some_and(|entry| entry.read.key == read.key)
        };
        if read.draws {
            return None;
        }
        let used = self.used.iter().rev().copied().find(is_same);
        used.or_else(|| (0..self.tape.entries.len()).find(is_same))
    }

    /// Returns the state of a key before `on_connection`, at the first use of the key. From then on, the draft sees its
    /// own changes.
    pub(super) fn begin_key(&mut self, key: u64) -> Option<Before> {
        if self.new.key(key).is_some() {
            return None;
        }
        let known = self.tape.key(key)?;
        let before = known.before.clone();
        self.new.add_key(key, before.clone(), known.effect);
        Some(before)
    }

    /// Returns the state of a key before `on_connection`, if the key is not used yet.
    pub(super) fn before(&self, key: u64) -> Option<Before> {
        let is_used = self.new.key(key).is_some();
        let known = self.tape.key(key).filter(|_| !is_used)?;
        Some(known.before.clone())
    }

    /// Returns `true` if a call had the same effect on a key when the tape was recorded. A call that sets a key only if
    /// it has no value had no effect if there was a value, even if others have removed that value since.
    pub(super) fn had(&self, effect: Effect, key: u64) -> bool {
        let known = self.tape.key(key);
        known.is_some_and(|known| {
            let was_there = matches!(known.before, Before::Present | Before::Was(Some(_)));
            known.effect.covers(effect) || effect == Effect::Begins && was_there
        })
    }

    /// Adds a read for which the tape had no result.
    pub(super) fn add(&mut self, read: Read, value: &Dynamic) {
        self.has_missed = true;
        self.new.add(read, value);
    }

    /// Adds a change that was made for real. From now on, the tape has the state of the key before the first such
    /// change.
    pub(super) fn draw_key(&mut self, key: u64, before: Before) {
        if self.drawn.insert(key) {
            self.new.keys.retain(|known| known.key != key);
            self.new.add_key(key, before, Effect::Changes);
        }
    }

    /// Adds the use of a key.
    pub(super) fn add_key(&mut self, key: u64, before: Before, effect: Effect) {
        if self.drawn.contains(&key) {
            return;
        }
        self.has_missed |= self.tape.key(key).is_none();
        // For a key that is on the tape, `before` may be the current state instead of the state at connect time, so
        // only the effect counts.
        match self.new.keys.iter_mut().find(|known| known.key == key) {
            Some(known) if self.tape.key(key).is_some() => {
                known.effect = known.effect.max(effect);
            }
            _ => self.new.add_key(key, before, effect),
        }
    }

    /// Returns the tape of the draft's own reads. Reads that the new code no longer makes are kept after them as long
    /// as there is room, in case the edit is undone. If the new tape is too large, or if the old one was dropped and
    /// lacked a result, the tape counts as dropped, and keeps only the old entries, in case of that undo.
    pub(super) fn take(&mut self) -> Option<Box<Tape>> {
        let mut old = std::mem::take(&mut self.tape);
        let mut tape = std::mem::take(&mut self.new);
        if tape.is_dropped || old.is_dropped && self.has_missed {
            old.forget_places();
            old.is_dropped = true;
            return old.kept();
        }
        let used = std::mem::take(&mut self.used);
        let mut nth = 0..;
        old.entries
            .retain(|_| nth.next().is_some_and(|nth| !used.contains(&nth)));
        old.keys.retain(|key| tape.key(key.key).is_none());
        old.forget_places();
        tape.extend(old.entries, old.keys);
        tape.kept()
    }
}

/// Sockets whose rooms a call of `on_connection` itself has changed. The call sees these rooms with its own changes.
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
