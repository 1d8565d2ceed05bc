//! Reads of `on_connection` from outside: shared data, other sockets, time, chance, functions of the application.
//!
//! A connection keeps what these reads returned when it connected. Drafts of an edit are answered from this *tape*, so
//! both of them take the path that the connection took then, whatever has changed since.
//!
//! A read is identified by the place of its call in the text and by its arguments. Places are indices into the tokens
//! that `on_connection` runs ([`Reach`](crate::script::Reach)), so an edit elsewhere does not move them.

use std::{collections::BTreeSet, sync::Arc};

use rhai::{Dynamic, Identifier};

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

#[derive(Debug, Clone)]
struct Entry {
    read: Read,
    value: Dynamic,
}

/// Results of the reads of `on_connection`, in order.
#[derive(Debug, Clone, Default)]
pub struct Tape {
    entries: Vec<Entry>,
    bytes: usize,
    /// It was too large, and is empty now.
    is_dropped: bool,
}

impl Tape {
    /// Adds a result.
    pub fn add(&mut self, read: Read, value: &Dynamic) {
        if self.is_dropped {
            return;
        }
        self.bytes += ENTRY_BYTES + value::weight(value);
        if self.bytes > MAX_BYTES {
            self.entries = Vec::new();
            self.is_dropped = true;
            return;
        }
        let value = value.clone();
        self.entries.push(Entry { read, value });
    }

    /// Returns the tape to keep; `None` if nothing was read.
    pub fn kept(mut self) -> Option<Box<Self>> {
        self.entries.shrink_to_fit();
        let is_of_use = self.is_dropped || !self.entries.is_empty();
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
    /// It reads a copy that the draft may change, and its result is recorded.
    Copied,
}

/// Answers from a tape to the reads of a draft.
#[derive(Debug, Default)]
pub(super) struct Playback {
    tape: Tape,
    used: BTreeSet<usize>,
    /// CallMap of the draft's version as calls of the version that recorded the tape; `None` if it is the same.
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

    /// Returns the answer that the tape has for a read.
    pub(super) fn answer(&mut self, read: Read) -> Option<Dynamic> {
        let at_place = |entry: &Entry| match &self.calls {
            None => entry.read == read,
            Some(calls) => {
                let place = read.place.and_then(|place| calls.old(place));
                entry.read.key == read.key && place.is_some() && entry.read.place == place
            }
        };
        // A call that was moved: its old place is gone, or was never known.
        let is_left = |entry: &Entry| match (&self.calls, entry.read.place) {
            (_, None) | (None, _) => entry.read.key == read.key && entry.read.place.is_none(),
            (Some(calls), Some(place)) => entry.read.key == read.key && !calls.is_kept(place),
        };
        let mut unused = (0..self.tape.entries.len()).filter(|nth| !self.used.contains(nth));
        let find = |nth: &usize, fits: &dyn Fn(&Entry) -> bool| {
            self.tape.entries.get(*nth).is_some_and(fits)
        };
        let found = unused
            .clone()
            .find(|nth| find(nth, &at_place))
            .or_else(|| unused.find(|nth| find(nth, &is_left)))?;
        let value = self.tape.entries.get(found)?.value.clone();
        self.used.insert(found);
        self.new.add(read, &value);
        Some(value)
    }

    /// Adds a read that the tape had no answer for.
    pub(super) fn add(&mut self, read: Read, value: &Dynamic) {
        self.new.add(read, value);
    }

    /// Returns the tape of the draft's own reads. One of a connection without a tape that is too large stays without.
    pub(super) fn take(&mut self) -> Option<Box<Tape>> {
        let mut tape = std::mem::take(&mut self.new);
        if self.tape.is_dropped {
            tape = std::mem::take(&mut self.tape);
        }
        tape.kept()
    }
}

/// Keys that a call of `on_connection` has set itself: it reads its own values back, and not what is outside.
#[derive(Debug, Default)]
pub(super) struct OwnWrites(BTreeSet<(usize, Identifier)>);

impl OwnWrites {
    pub(super) fn set(&mut self, data: usize, key: &str) {
        self.0.insert((data, key.into()));
    }

    /// Another function has changed the key, so that its value depends on what is outside.
    pub(super) fn forget(&mut self, data: usize, key: &str) {
        self.0.remove(&(data, key.into()));
    }

    pub(super) fn has(&self, data: usize, key: Option<&str>) -> bool {
        match key {
            Some(key) => self.0.contains(&(data, key.into())),
            None => self.0.iter().any(|(of, _)| *of == data),
        }
    }
}
