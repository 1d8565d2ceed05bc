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

/// Kind of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadKind {
    /// A function with a result of its own, such as a random number. Each call is another read.
    Call,
    /// The state of a key of shared data.
    State,
    /// The same, which the call changes. The new state depends on the one before.
    Change,
    /// The same; the new state depends on nothing.
    Set,
}

impl ReadKind {
    /// Returns `true` if the call changes what it reads.
    pub const fn writes(self) -> bool {
        matches!(self, Self::Change | Self::Set)
    }
}

/// Identity of a read: what it reads, and the place of its call, if that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Read {
    /// Kind.
    pub kind: ReadKind,
    /// Hash of what it reads: a function with its arguments, or a key of shared data.
    pub key: u64,
    /// Index of the call among the tokens that `on_connection` runs.
    pub place: Option<u32>,
}

impl Read {
    /// Creates the identity of a read.
    pub const fn new(kind: ReadKind, key: u64, place: Option<u32>) -> Self {
        Self { kind, key, place }
    }
}

#[derive(Debug, Clone)]
struct Entry {
    read: Read,
    value: Dynamic,
}

impl Entry {
    fn is_state(&self) -> bool {
        !self.value.is_unit()
    }
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
    /// Adds a result: of a function, or the state of a key before the call.
    pub fn add(&mut self, read: Read, value: &Dynamic) {
        if self.is_dropped {
            return;
        }
        let value = value.clone();
        if !self.push(Entry { read, value }) {
            self.entries = Vec::new();
            self.is_dropped = true;
        }
    }

    /// Adds an entry, if there is room for it.
    fn push(&mut self, entry: Entry) -> bool {
        let bytes = self.bytes + ENTRY_BYTES + value::weight(&entry.value);
        let has_room = bytes <= MAX_BYTES;
        if has_room {
            self.bytes = bytes;
            self.entries.push(entry);
        }
        has_room
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

    /// Returns the answer that the tape has for a read: that of the call at its place, or of one that was moved. The state of a
    /// key is the same for every call that reads it.
    pub(super) fn answer(&mut self, read: Read) -> Option<Dynamic> {
        let wants_state = matches!(read.kind, ReadKind::State | ReadKind::Change);
        let Some(found) = self.find(read) else {
            let state = self.state(read).filter(|_| read.kind == ReadKind::State)?;
            self.new.add(read, &state);
            return Some(state);
        };
        self.used.insert(found);
        let entry = self.tape.entries.get(found)?;
        let value = match entry.is_state() || !wants_state {
            true => entry.value.clone(),
            false => self.state(read).unwrap_or_default(),
        };
        self.new.add(read, &value);
        Some(value)
    }

    /// Finds the entry of a call that nothing has used.
    fn find(&self, read: Read) -> Option<usize> {
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
        let is_alike = |entry: &Entry| entry.read.kind.writes() == read.kind.writes();
        let is_of_use = |entry: &Entry| match read.kind {
            ReadKind::Call => false,
            ReadKind::State => entry.is_state(),
            ReadKind::Change | ReadKind::Set => true,
        };
        let entries = self.tape.entries.iter().enumerate();
        let unused =
            entries.filter(|(nth, entry)| entry.read.key == read.key && !self.used.contains(nth));
        let unused: Vec<_> = unused.collect();
        let first = |fits: &dyn Fn(&Entry) -> bool| {
            let found = unused.iter().find(|(_, entry)| fits(entry));
            found.map(|(nth, _)| *nth)
        };
        first(&|entry| is_alike(entry) && at_place(entry))
            .or_else(|| first(&|entry| is_alike(entry) && was_moved(entry)))
            .or_else(|| first(&|entry| is_of_use(entry) && at_place(entry)))
            .or_else(|| first(&|entry| is_of_use(entry) && was_moved(entry)))
    }

    /// Returns the state of a key that any call has read.
    fn state(&self, read: Read) -> Option<Dynamic> {
        let mut entries = self.tape.entries.iter();
        let found = entries.find(|entry| entry.read.key == read.key && entry.is_state());
        found.map(|entry| entry.value.clone())
    }

    /// Returns `true` if a call has changed the same key when the tape was recorded.
    pub(super) fn has_written(&self, read: Read) -> bool {
        let mut entries = self.tape.entries.iter();
        entries.any(|entry| entry.read.kind.writes() && entry.read.key == read.key)
    }

    /// Adds a read that the tape had no answer for.
    pub(super) fn add(&mut self, read: Read, value: &Dynamic) {
        self.new.add(read, value);
    }

    /// Returns the tape of the draft's own reads. What the new code no longer reads is kept behind them while there is room,
    /// for the undo of the edit. One of a connection without a tape that is too large stays without.
    pub(super) fn take(&mut self) -> Option<Box<Tape>> {
        let old = std::mem::take(&mut self.tape);
        if old.is_dropped {
            return old.kept();
        }
        let mut tape = std::mem::take(&mut self.new);
        let unused = old.entries.into_iter().enumerate();
        let unused = unused.filter(|(nth, _)| !self.used.contains(nth));
        for (_, entry) in unused {
            let read = Read {
                place: None,
                ..entry.read
            };
            if !tape.is_dropped {
                tape.push(Entry { read, ..entry });
            }
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
