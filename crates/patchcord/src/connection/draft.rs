//! Draft of `on_connection`: a run without effects, which shows an edit what the code would produce for a live
//! connection.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};
use rand::{SeedableRng, rngs::StdRng};
use rhai::{Dynamic, ImmutableString, Map};

use super::{
    Data, DraftResult, Presented, Registered,
    tape::{Before, Effect, KeyUse, MovedSockets, Outside, Playback, Read, Tape},
};
use crate::script::{CallMap, Handler};

/// Inputs that both drafts of a pair share, so that only their code differs.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Frozen {
    /// Result of `now_ms()`.
    pub now: i64,
    /// Seed of the random values.
    pub seed: u64,
}

impl Frozen {
    /// Creates the inputs from a time and a seed.
    pub const fn new(now: i64, seed: u64) -> Self {
        Self { now, seed }
    }
}

/// Receiver of the effects of a draft. Effects outside the connection, such as sends, are skipped.
#[derive(Debug)]
pub struct Draft {
    registered: Mutex<Registered>,
    copies: Mutex<Vec<(Arc<Data>, Arc<Data>)>>,
    /// Rooms that were joined (`true`) and left.
    rooms: Mutex<BTreeMap<String, bool>>,
    present: Mutex<Presented>,
    now: i64,
    random: Mutex<StdRng>,
    playback: Mutex<Playback>,
    moved: Mutex<MovedSockets>,
    /// `true` if functions that return what they change are called for real.
    is_real: bool,
    /// `true` once such a function was called and the tape had no result for it.
    draws: AtomicBool,
    /// `true` once the draft has disconnected its own socket.
    disconnects: AtomicBool,
    /// Closures that would wait for acks.
    asking: Mutex<Vec<Handler>>,
}

impl Draft {
    /// Creates a draft that reads `frozen` and the contents of the tape. `calls` maps the calls of its version, if
    /// another version recorded the tape.
    pub fn new(frozen: Frozen, tape: Option<&Tape>, calls: Option<Arc<CallMap>>) -> Self {
        Self {
            registered: Mutex::default(),
            copies: Mutex::default(),
            rooms: Mutex::default(),
            present: Mutex::default(),
            now: frozen.now,
            random: Mutex::new(StdRng::seed_from_u64(frozen.seed)),
            playback: Mutex::new(Playback::new(tape, calls)),
            moved: Mutex::default(),
            is_real: false,
            draws: AtomicBool::new(false),
            disconnects: AtomicBool::new(false),
            asking: Mutex::default(),
        }
    }

    /// Makes the draft really call functions that return what they change, such as `incr`, unless the tape has their
    /// result.
    #[must_use]
    pub const fn for_real(mut self) -> Self {
        self.is_real = true;
        self
    }

    /// Decides how an outside read is answered.
    pub(super) fn outside(&self, read: Read) -> Outside {
        match self.playback.lock().answer(read) {
            Some(value) => Outside::Known(value),
            None => Outside::Recorded,
        }
    }

    /// Decides how a key of shared data is used. `draws` is the effect of the call on what others see.
    pub(super) fn key(&self, key: u64, draws: Effect) -> KeyUse {
        let mut playback = self.playback.lock();
        // Without a tape, new calls cannot be recognized, so no call is made for real. A change of a key that was
        // changed when the client connected is not new, even if the text now uses another function.
        let draws =
            draws > Effect::Reads && !playback.is_without_tape() && !playback.had(draws, key);
        if draws && self.is_real {
            return KeyUse::Real(playback.before(key));
        }
        self.draws.fetch_or(draws, Ordering::Relaxed);
        KeyUse::Copied(playback.begin_key(key))
    }

    pub(super) fn note(&self, read: Read, value: &Dynamic) {
        self.playback.lock().add(read, value);
    }

    /// Records a closure that would wait for an ack.
    pub fn ask(&self, handler: Handler) {
        self.asking.lock().push(handler);
    }

    /// Records that the draft disconnects its own socket.
    pub fn disconnect(&self) {
        self.disconnects.store(true, Ordering::Relaxed);
    }

    pub(super) fn note_real_key(&self, key: u64, before: Before) {
        self.playback.lock().draw_key(key, before);
    }

    pub(super) fn note_key(&self, key: u64, before: Before, effect: Effect) {
        self.playback.lock().add_key(key, before, effect);
    }

    /// Makes the draft start with the `socket.data` that its connection had after `on_handshake`.
    pub fn begin_data(&self, own: &Arc<Data>, at_handshake: Map) {
        let below = Data::default();
        for (key, value) in at_handshake {
            below.set(&key, value);
        }
        let copy = Data::copy_of(Arc::new(below));
        self.copies.lock().push((own.clone(), Arc::new(copy)));
    }

    pub(super) fn moved(&self) -> MutexGuard<'_, MovedSockets> {
        self.moved.lock()
    }

    /// Returns the registrations of the draft.
    pub fn registered(&self) -> MutexGuard<'_, Registered> {
        self.registered.lock()
    }

    /// Returns the result of `now_ms()`.
    pub const fn now(&self) -> i64 {
        self.now
    }

    /// Returns the generator of the draft's random values.
    pub fn random(&self) -> MutexGuard<'_, StdRng> {
        self.random.lock()
    }

    /// Returns the draft's own copy of shared data.
    pub fn data(&self, of: &Arc<Data>) -> Arc<Data> {
        let mut copies = self.copies.lock();
        if let Some((_, copy)) = copies
            .iter()
            .find(|(original, _)| Arc::ptr_eq(original, of))
        {
            return copy.clone();
        }
        let copy = Arc::new(Data::copy_of(of.clone()));
        copies.push((of.clone(), copy.clone()));
        copy
    }

    /// Records rooms that the draft joins (`joined` is `true`) or leaves.
    pub fn set_rooms(&self, names: impl IntoIterator<Item = String>, joined: bool) {
        let mut rooms = self.rooms.lock();
        rooms.extend(names.into_iter().map(|name| (name, joined)));
    }

    /// Records a key of the presence that the draft adds, with its meta, or removes (`None`).
    pub fn set_present(&self, key: ImmutableString, meta: Option<Dynamic>) {
        self.present.lock().insert(key, meta);
    }

    /// Returns the rooms of a connection as the draft sees them. `live` has the rooms that the connection is in.
    pub fn rooms(&self, live: Vec<String>) -> Vec<String> {
        let mut rooms: BTreeSet<_> = live.into_iter().collect();
        let changed = self.rooms.lock();
        for (name, joined) in &*changed {
            match joined {
                true => rooms.insert(name.clone()),
                false => rooms.remove(name),
            };
        }
        rooms.into_iter().collect()
    }

    /// Removes and returns the result of the draft; `data` is the `socket.data` of its connection.
    pub fn made(&self, data: &Arc<Data>) -> DraftResult {
        let copies = self.copies.lock();
        let own = copies
            .iter()
            .find(|(original, _)| Arc::ptr_eq(original, data));
        DraftResult {
            registered: std::mem::take(&mut *self.registered()),
            data: own.map(|(_, copy)| copy.changes()).unwrap_or_default(),
            rooms: self.rooms.lock().clone(),
            present: std::mem::take(&mut *self.present.lock()),
            tape: self.playback.lock().take(),
            draws: self.draws.load(Ordering::Relaxed),
            disconnects: self.disconnects.load(Ordering::Relaxed),
            asking: std::mem::take(&mut *self.asking.lock()),
        }
    }
}
