//! One live socket: its state, its turn and its listeners.

pub(super) mod asking;
mod namespace_unit;
mod packed;
mod recovery;
mod rehearsal;
mod sending;
mod steering;
mod work_loop;

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use parking_lot::{Mutex, MutexGuard};
use rhai::{Dynamic, FnPtr, ImmutableString, Map, StaticVec};
use tokio_util::sync::CancellationToken;

use super::{
    Adopted, Adoption, Client, Continuation, Data, Drafts, HandshakeReply, Link, Namespace,
    OUTGOING, Period, PresenceLimits, Presented, Registered, RegisteredBy, Tape, Work,
    acks::Acks,
    adoption::adopt,
    listeners::bit,
    mailbox::Mailbox,
    merge::{merge_data, merge_presence, merge_rooms},
    namespace::UNSETTLED,
    pairs::{Past, identity},
    phase::{self, Phase},
    registrations::PresenceEffect,
};
use crate::script::{Handler, Handles, Swap, Swapped, Use, Version, captured};

/// One live socket.
///
/// A connection holds its listeners, and their closures hold the connection. [`Connection::leave`] breaks this cycle.
///
/// The fields that every event needs come first, next to each other: if there are many clients, these fields are not in
/// the CPU cache, and the CPU fetches 64 bytes at a time.
#[derive(Debug)]
#[repr(C)]
pub struct Connection {
    namespace: Arc<Namespace>,
    phase: phase::Current,
    /// `true` once the session is shut down, and everything that the client sent before is handled.
    is_shutting_down: AtomicBool,
    /// `true` once the server has removed the connection from the namespace: waiting events are no longer handled.
    cut: AtomicBool,
    /// Bits of the internal events for which the connection has had listeners: see [`bit`].
    listens: AtomicU8,
    /// `true` if the last call took long: the next calls run on threads where they do not delay other connections.
    slow: AtomicBool,
    /// Number of the namespace's switch when the connection last verified that it has the version that serves.
    settled: AtomicU32,
    mailbox: Mailbox,
    link: Mutex<Option<Arc<dyn Link>>>,
    state: Mutex<ConnectionState>,
    id: Arc<str>,
    data: OnceLock<Arc<Data>>,
    request: Mutex<Request>,
    /// Number of times that the client has come back.
    returns: AtomicU32,
    /// `true` if the connection may be kept for its client.
    may_return: AtomicBool,
    /// Number of times that the socket has joined a room, which is an upper bound of its number of rooms.
    joined: AtomicUsize,
    /// Number of times that the connection has been restarted.
    beginnings: AtomicU32,
    /// `true` while the socket is in the room named by its own id. This room is stored here, not with the others,
    /// because every socket has one.
    in_own_room: AtomicBool,
    /// Position in the order of connecting.
    entered: AtomicU64,
}

#[derive(Default)]
#[repr(C)]
struct ConnectionState {
    registered: Registered,
    /// Version whose `on_connection` registered the listeners.
    version: Option<Arc<Version>>,
    adoption: Option<Box<Adoption>>,
    acks: Acks,
    /// Outside reads of `on_connection`.
    tape: Option<Box<Tape>>,
    /// Pass of the gate, held until `on_connection` has run: meanwhile, no reload decides.
    pass: Option<Box<dyn Any + Send>>,
    /// Packets for the client that were sent before its CONNECT was answered.
    early: Vec<Early>,
    last_rooms: Option<Vec<String>>,
    /// Origin of current registrations.
    registering: Option<RegisteredBy>,
    /// Number of runs of `on_reload`.
    reloads: u32,
    /// `socket.data` after `on_handshake`; `None` if it was empty.
    data_at_handshake: Option<Box<Map>>,
    /// Rooms and keys of `socket.data` that an edit has not changed, because they already were in the state that its
    /// code creates.
    past: Past,
    /// `true` if an earlier process has packed the registrations, and their lost values are not replaced yet.
    may_have_lost_values: bool,
    /// Signal to asynchronous functions that the connection has ended; `None` if none of them is waiting for it.
    cancellation: Option<CancellationToken>,
    /// Number of asynchronous functions for whose results closures wait.
    pending_calls: usize,
    /// Registrations that a client that comes back will have: copies from before its disconnect.
    for_return: Option<Box<Registered>>,
    /// Presence of the socket when its client lost its transport.
    present_for_return: Option<Box<recovery::KeptPresence>>,
}

/// Data of the CONNECT of a client.
#[derive(Debug)]
struct Request {
    client: Client,
    auth: Dynamic,
    issued: i64,
}

/// Callback that sends something once the CONNECT is answered. Receives no link if the client has disconnected before
/// that.
type Early = Box<dyn FnOnce(Option<&dyn Link>) + Send>;

impl ConnectionState {
    /// Returns the origin of current registrations.
    fn made_by(&self) -> RegisteredBy {
        self.registering.unwrap_or(RegisteredBy::Handler)
    }
}

impl std::fmt::Debug for ConnectionState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectionState")
            .field("version", &self.version.as_ref().map(|v| v.number()))
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Creates a connection whose work waits until [`Connection::open`]. `id` also identifies its client.
    pub fn new(
        id: impl Into<Arc<str>>,
        namespace: Arc<Namespace>,
        auth: Dynamic,
        issued: i64,
    ) -> Arc<Self> {
        let id = id.into();
        Self::of_client(Client::new(&id), id, namespace, auth, issued)
    }

    /// Creates a connection of a client whose sockets have different ids.
    pub fn of_client(
        client: Client,
        id: Arc<str>,
        namespace: Arc<Namespace>,
        auth: Dynamic,
        issued: i64,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            namespace,
            phase: phase::Current::new(),
            mailbox: Mailbox::default(),
            link: Mutex::default(),
            data: OnceLock::new(),
            request: Mutex::new(Request {
                client,
                auth,
                issued,
            }),
            returns: AtomicU32::new(0),
            may_return: AtomicBool::new(false),
            is_shutting_down: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            listens: AtomicU8::new(0),
            slow: AtomicBool::new(false),
            joined: AtomicUsize::new(0),
            beginnings: AtomicU32::new(0),
            in_own_room: AtomicBool::new(true),
            entered: AtomicU64::new(0),
            settled: AtomicU32::new(UNSETTLED),
            state: Mutex::default(),
        })
    }

    /// Returns `socket.id`.
    pub const fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Returns the client, which may have sockets in other namespaces.
    pub fn client(&self) -> Client {
        self.request.lock().client
    }

    /// Returns `socket.handshake.issued`: the time of the handshake, in milliseconds since 1970.
    pub fn issued(&self) -> i64 {
        self.request.lock().issued
    }

    /// Returns the namespace of the connection.
    pub const fn namespace(&self) -> &Arc<Namespace> {
        &self.namespace
    }

    /// Returns `socket.data`.
    pub fn data(&self) -> &Arc<Data> {
        self.data
            .get_or_init(|| Arc::new(Data::new(self.namespace.driver().clock().clone())))
    }

    /// Returns `socket.handshake`.
    pub fn handshake(&self) -> Map {
        let mut handshake = self.link().map(|link| link.handshake()).unwrap_or_default();
        let (auth, since) = {
            let request = self.request.lock();
            (request.auth.clone(), request.issued)
        };
        let issued = Duration::from_millis(since.unsigned_abs());
        let time = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + issued);
        handshake.insert("time".into(), time.into());
        handshake.insert("auth".into(), auth);
        handshake.insert("issued".into(), since.into());
        handshake
    }

    /// Returns the phase of the connection.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Returns `true` if events from the client are handled, and events can be sent to it.
    pub fn is_connected(&self) -> bool {
        self.phase() == Phase::Connected && !self.is_cut()
    }

    // --- its turn ---

    /// Posts the call of `on_handshake`, which accepts or rejects the client. The link is removed afterwards, because
    /// it refers to the connection, and a connection that is never opened would keep itself alive.
    pub fn shake(self: &Arc<Self>, link: Arc<dyn Link>, verdict: HandshakeReply) {
        *self.link.lock() = Some(link);
        self.post(Work::Handshake(verdict));
    }

    /// Ends the handshake. Frees all state of a rejected client.
    pub fn shaken(&self, accepted: bool) {
        drop(self.link.lock().take());
        if !accepted {
            self.close();
            self.leave();
        }
    }

    /// Starts the work, because the CONNECT is answered: `on_connection` comes first, and all work that was posted
    /// before waits for it. Does nothing if the connection was abandoned. The link is set only now, because it refers
    /// to the connection, and a connection that is never opened would keep itself alive.
    /// Returns `false` if the connection was abandoned.
    pub fn open(self: &Arc<Self>, link: Arc<dyn Link>) -> bool {
        let mut opens = false;
        let is_answered = || {
            opens = self.phase.advance(Phase::Accepted, Phase::Answered);
            opens
        };
        let give_link = || *self.link.lock() = Some(link);
        if self.mailbox.open(is_answered, give_link) {
            self.work(None);
        }
        opens
    }

    /// Runs the waiting work. Called by the holder of the turn: see [`Driver::later`](super::Driver::later).
    pub fn work_off(self: &Arc<Self>) {
        self.work(None);
    }

    /// Queues the rest of a work item, before all other work. Called in this connection's turn.
    pub fn defer(&self, rest: impl FnOnce() + Send + 'static) {
        self.mailbox
            .post_first(Work::Continuation(Continuation(Box::new(rest))));
    }

    // --- its life ---

    /// Enters the namespace, because the connection is accepted. From now on, other connections can find it, and what
    /// they send waits until its CONNECT is answered. The connection keeps `pass` until `on_connection` has run, or
    /// will never run, so that no reload decides before that.
    pub fn enter(self: &Arc<Self>, pass: Box<dyn Any + Send>) {
        // 0 is the position of what is not in the order, such as the unit of a namespace.
        static ENTERED: AtomicU64 = AtomicU64::new(1);
        self.state().pass = Some(pass);
        if self.phase.advance(Phase::Handshaking, Phase::Accepted)
            || self.phase.advance(Phase::Away, Phase::Accepted)
        {
            let place = ENTERED.fetch_add(1, Ordering::Relaxed);
            self.entered.store(place, Ordering::Relaxed);
            self.namespace.enter(self.clone());
        }
    }

    /// Returns the position of the connection in the order of connecting, which identifies it in this process; 0 before
    /// it has entered its namespace.
    pub fn entered(&self) -> u64 {
        self.entered.load(Ordering::Relaxed)
    }

    /// Keeps `hold` as long as the pass: until `on_connection` has run, or will never run.
    pub fn hold_until_begun(&self, hold: Box<dyn Any + Send>) {
        let pass = &mut self.state().pass;
        let before = pass.take();
        *pass = Some(Box::new((before, hold)));
    }

    /// Keeps `hold` until the disconnect of the connection was handled. Called when no client can connect any more.
    pub fn hold_until_left(&self, hold: Box<dyn Any + Send>) {
        self.hold_until_begun(hold);
        let is_in = self.namespace.connection(&self.id).is_some();
        if !is_in && self.phase() >= Phase::Away {
            self.end_pass();
        }
    }

    /// Sends what was waiting for the CONNECT, and starts to handle events. Returns `false` if the client has already
    /// disconnected.
    pub fn begin(&self) -> bool {
        let link = self.link();
        loop {
            let mut state = self.state();
            let early = std::mem::take(&mut state.early);
            if early.is_empty() {
                // From here on, no packet is early, because senders check the phase while they hold the lock.
                let begins = self.phase.advance(Phase::Answered, Phase::Connected);
                if begins {
                    self.namespace.driver().counters().sockets_connected.add();
                }
                return begins;
            }
            drop(state);
            // One of the callbacks may disconnect the client, which takes the same lock.
            early.into_iter().for_each(|send| send(link.as_deref()));
        }
    }

    /// Marks the connection as ended. Returns `false` if it had already ended. From now on, it neither sends nor
    /// handles anything.
    pub fn close(&self) -> bool {
        self.phase.end()
    }

    /// Leaves the namespace, and frees everything that the connection holds.
    pub fn leave(&self) {
        self.namespace.leave(self);
        self.end_pass();
        self.mailbox.clear();
        let mut state = std::mem::take(&mut *self.state());
        let for_return = state.for_return.take();
        for_return.iter().for_each(|kept| kept.release());
        let link = self.link.lock().take();
        state.early.drain(..).for_each(|send| send(None));
        state.registered.release();
        state
            .adoption
            .iter()
            .for_each(|adoption| adoption.release());
        if let Some(cancellation) = &state.cancellation {
            cancellation.cancel();
        }
        drop((state, link));
    }

    /// Counts a call of an asynchronous function. Returns `false` if as many as `most` are pending.
    pub fn begin_pending_call(&self, most: usize) -> bool {
        let pending = &mut self.state().pending_calls;
        let is_free = *pending < most;
        *pending += usize::from(is_free);
        is_free
    }

    /// Ends a call that [`Connection::begin_pending_call`] has counted.
    pub fn end_pending_call(&self) {
        let pending = &mut self.state().pending_calls;
        // A connection that has ended has forgotten its calls.
        *pending = pending.saturating_sub(1);
    }

    /// Returns the token that is cancelled when the connection ends.
    pub fn cancellation(&self) -> CancellationToken {
        let mut state = self.state();
        let token = state.cancellation.get_or_insert_default().clone();
        drop(state);
        if self.phase() >= Phase::Away {
            token.cancel();
        }
        token
    }

    /// Releases the pass, because `on_connection` has run, or will never run: reloads may decide again.
    pub fn end_pass(&self) {
        let pass = self.state().pass.take();
        drop(pass);
    }

    /// Returns the link to the client, which exists during the handshake, and from the answer to the CONNECT until the
    /// client disconnects.
    pub fn link(&self) -> Option<Arc<dyn Link>> {
        self.link.lock().clone()
    }

    // --- its listeners ---

    /// Registers a listener to an event. Called in the connection's turn.
    pub fn on(&self, event: ImmutableString, handler: Handler, once: bool) {
        self.note_listens(bit(&event));
        let mut state = self.state();
        let made_by = state.made_by();
        state
            .registered
            .listeners
            .add(event, Arc::new(handler), once, made_by);
    }

    /// Removes listeners. Called in the connection's turn.
    pub fn off(&self, event: &str, function: Option<&FnPtr>) {
        let mut state = self.state();
        let by = state.made_by();
        state.registered.listeners.remove(event, function, by);
    }

    /// Returns `true` if an event has a listener.
    pub fn hears(&self, event: &str) -> bool {
        self.may_hear(event) && self.state().registered.listeners.has(event)
    }

    /// Fast pre-check for listeners; runs on every event.
    fn may_hear(&self, event: &str) -> bool {
        let bit = bit(event);
        bit == 0 || self.listens.load(Ordering::Relaxed) & bit != 0
    }

    fn note_listens(&self, bits: u8) {
        self.listens.fetch_or(bits, Ordering::Relaxed);
        if bits & bit(OUTGOING) != 0 {
            self.namespace.hears_outgoing();
        }
    }

    /// Returns the events that have listeners.
    pub fn events(&self) -> BTreeSet<ImmutableString> {
        self.state().registered.listeners.events()
    }

    /// Returns the number of listeners of the connection.
    pub fn listener_count(&self) -> usize {
        self.state().registered.listeners.len()
    }

    /// Returns the handlers to call for an event, and removes those that are called only once.
    pub fn fire(&self, event: &str) -> StaticVec<Arc<Handler>> {
        match self.may_hear(event) {
            true => self.state().registered.listeners.fire(event),
            false => StaticVec::new(),
        }
    }

    // --- its timers ---

    /// Sets a timer, which fires once or again and again (`true`), and returns its number. Called in the connection's turn.
    pub fn set_timer(self: &Arc<Self>, handler: Handler, timing: (Period, bool)) -> u32 {
        let clock = self.namespace.driver().clock();
        let mut state = self.state();
        let made_by = state.made_by();
        let number = state
            .registered
            .timers
            .set(Arc::new(handler), timing, made_by, clock);
        state.registered.timers.start(&self.when_due());
        number
    }

    /// Returns a callback that fires the timers that are due, unless the connection no longer exists.
    fn when_due(self: &Arc<Self>) -> impl FnOnce() + Clone + Send + 'static {
        let connection = Arc::downgrade(self);
        move || {
            if let Some(connection) = connection.upgrade() {
                connection.post(Work::Timers);
            }
        }
    }

    /// Clears a timer.
    pub fn clear_timer(&self, number: u32) {
        let mut state = self.state();
        let by = state.made_by();
        state.registered.timers.clear(number, by);
    }

    /// Returns the number of timers that may still fire.
    pub fn timer_count(&self) -> usize {
        self.state().registered.timers.len()
    }

    /// Queues a separate work item for each timer that is due, because the first one may take long. Called in this
    /// connection's turn.
    pub fn post_due_timers(&self) {
        let due = self.state().registered.timers.due();
        for number in due.into_iter().rev() {
            self.mailbox.post_first(Work::Timer(number));
        }
    }

    /// Fires a timer that is due, and returns the handler to call.
    pub fn fire_timer(self: &Arc<Self>, number: u32) -> Option<Arc<Handler>> {
        self.state().registered.timers.fire(number, self.when_due())
    }

    // --- its version ---

    /// Records the version that serves, and runs `run`, which is its `on_connection`.
    pub fn connect<T>(&self, version: Arc<Version>, run: impl FnOnce() -> T) -> T {
        {
            let mut state = self.state();
            state.version = Some(version);
            state.registering = Some(RegisteredBy::Connection);
            self.settled.store(UNSETTLED, Ordering::Relaxed);
        }
        let result = run();
        let mut state = self.state();
        state.registering = None;
        state.registered.listeners.shrink();
        result
    }

    /// Runs `run`, which is `on_reload`. Its registrations replace those of its previous run.
    pub fn reload<T>(self: &Arc<Self>, run: impl FnOnce() -> T) -> T {
        let number = {
            let mut state = self.state();
            state.reloads += 1;
            state.registering = Some(RegisteredBy::Reload(state.reloads));
            state.reloads
        };
        let result = run();
        let mut state = self.state();
        state.registering = None;
        state.registered.renew(number);
        state.registered.timers.start(&self.when_due());
        result
    }

    /// Returns all variables that closures of the connection have captured, by name.
    pub fn variables(&self) -> Vec<(ImmutableString, Dynamic)> {
        let state = self.state();
        let handlers = state.registered.handlers().chain(state.acks.handlers());
        captured(handlers)
    }

    /// Returns a handler with the code that the connection currently has.
    pub fn current(&self, handler: Arc<Handler>, handles: &Handles) -> Arc<Handler> {
        let state = self.state();
        match &state.version {
            Some(version) if !Arc::ptr_eq(version, handler.version()) => {
                let live = state.registered.handlers().chain(state.acks.handlers());
                let versions = (handler.version(), version);
                let mut swap = Swap::begin(versions, handles.clone(), live);
                let (Swapped::Replaced(handler, _)
                | Swapped::Unchanged(handler)
                | Swapped::Removed(handler)) = swap.handler(&handler, Use::Answer);
                Arc::new(handler)
            }
            _ => handler,
        }
    }

    /// Stores the tape of `on_connection`.
    pub fn keep_tape(&self, tape: Option<Box<Tape>>) {
        self.state().tape = tape;
    }

    /// Returns the tape of `on_connection`.
    pub fn tape(&self) -> Option<Box<Tape>> {
        self.state().tape.clone()
    }

    /// Returns the version whose handlers the connection has.
    pub fn version(&self) -> Option<Arc<Version>> {
        self.state().version.clone()
    }

    /// Prepares the adoption of a version, for the moment when it starts to serve. A connection that has ended adopts
    /// nothing: `adoption` is freed at once, because its closures refer to the connection.
    pub fn prepare(&self, adoption: Adoption) {
        let mut state = self.state();
        match self.phase() {
            Phase::Away | Phase::Closed => adoption.release(),
            _ => state.adoption = Some(Box::new(adoption)),
        }
    }

    /// Returns the version that the connection has and the version that serves it, if they differ.
    pub fn versions(&self) -> Option<(Arc<Version>, Arc<Version>)> {
        let settled = self.namespace.settled();
        if settled != UNSETTLED && settled == self.settled.load(Ordering::Relaxed) {
            return None;
        }
        let state = self.state();
        let old = state.version.as_ref()?;
        if self.is_served_by(old) {
            self.settled.store(settled, Ordering::Relaxed);
            return None;
        }
        Some((old.clone(), self.serving()?))
    }

    /// Returns the version that serves the connection: the staged version if its client has it, and otherwise the
    /// version that serves all clients.
    pub fn serving(&self) -> Option<Arc<Version>> {
        self.namespace.version_for(self.client())
    }

    /// Returns `true` if `version` serves the connection.
    pub fn is_served_by(&self, version: &Arc<Version>) -> bool {
        self.namespace.serves_to(self.client(), version)
    }

    /// Returns `true` if the client has a staged version.
    pub fn is_staged(&self) -> bool {
        self.namespace.is_staged_for(self.client())
    }

    /// Removes the prepared adoption. Returns it if it is for `version`, and frees it otherwise.
    pub fn prepared(&self, version: &Arc<Version>) -> Option<Adoption> {
        let adoption = self.state().adoption.take()?;
        match Arc::ptr_eq(&adoption.version, version) {
            true => Some(*adoption),
            false => {
                adoption.release();
                None
            }
        }
    }

    /// Adopts a version: replaces the code of every closure, and merges the differences between the drafts of
    /// `on_connection`. Cannot fail. Called in the connection's turn.
    pub fn adopt(
        self: &Arc<Self>,
        (old, new): (&Arc<Version>, &Arc<Version>),
        handles: &Handles,
        drafts: Option<Drafts>,
    ) -> Adopted {
        let mut state = self.state();
        let ConnectionState {
            registered, acks, ..
        } = &mut *state;
        let (mut adopted, rest) = adopt((registered, acks), (old, new), handles, drafts);
        let rest = rest.map(|(base, mut made)| {
            state.tape = made.tape.take();
            (base, made)
        });
        state.registered.timers.start(&self.when_due());
        state.version = Some(new.clone());
        self.note_listens(state.registered.listeners.bits());
        drop(state);
        if let Some((base, made)) = rest {
            let first = self.data_at_handshake();
            let mut past = std::mem::take(&mut self.state().past);
            let (live, carried) = ((self.data(), &first), &mut adopted.carried);
            merge_data(live, (&base.data, made.data), &mut past, carried);
            self.state().past = past;
            adopted.rooms = self.move_rooms(&base.rooms, &made.rooms);
            adopted.present = self.move_keys(&base.present, &made.present);
        }
        adopted
    }

    /// Joins and leaves rooms according to the differences between the new code and the old code. Returns these rooms,
    /// with `true` for joined ones.
    fn move_rooms(
        &self,
        base: &BTreeMap<String, bool>,
        new: &BTreeMap<String, bool>,
    ) -> Vec<(String, bool)> {
        let rooms = {
            let mut past = std::mem::take(&mut self.state().past);
            let rooms = self.rooms_to_move(base, new, &mut past);
            self.state().past = past;
            rooms
        };
        for (room, joins) in &rooms {
            match joins {
                true => drop(self.join(std::slice::from_ref(room), usize::MAX)),
                false => self.leave_room(room),
            }
        }
        rooms
    }

    /// Adds and removes keys of the socket's presence according to the differences between the new code and the
    /// old code. Returns these keys.
    fn move_keys(
        &self,
        base: &Presented,
        new: &Presented,
    ) -> Vec<(ImmutableString, PresenceEffect)> {
        let changes = {
            let live = self.namespace.held_by(self);
            let mut past = std::mem::take(&mut self.state().past);
            let changes = merge_presence(&live, (base, new), &mut past);
            self.state().past = past;
            changes
        };
        let done = changes.into_iter().map(|(key, meta, effect)| {
            match meta {
                Some(meta) => {
                    let limits = PresenceLimits::NONE;
                    // Without limits, nothing fails.
                    let _ = self.namespace.present(self, key.clone(), meta, limits);
                }
                None => self.namespace.absent(self, &key),
            }
            (key, effect)
        });
        done.collect()
    }

    /// Returns the rooms to join (`true`) and to leave. `past` remembers the rooms that the client had left when the
    /// code stopped joining them, and the rooms that it was in when the code started to join them, so that an edit
    /// followed by its undo does not move the client.
    fn rooms_to_move(
        &self,
        base: &BTreeMap<String, bool>,
        new: &BTreeMap<String, bool>,
        past: &mut Past,
    ) -> Vec<(String, bool)> {
        let mut rooms = merge_rooms(|| self.rooms(), base, new);
        let joins = |of: &BTreeMap<String, bool>, room: &str| of.get(room) == Some(&true);
        let all: BTreeSet<_> = base.keys().chain(new.keys()).collect();
        for room in all {
            let (did, does) = (joins(base, room), joins(new, room));
            let is_moved = rooms.iter().any(|(moved, _)| moved == room);
            past.remember(did != does && !is_moved, || identity((room, does)));
        }
        rooms.retain(|(room, joins)| !past.forget(|| identity((room, !joins))));
        rooms
    }

    fn state(&self) -> MutexGuard<'_, ConnectionState> {
        self.state.lock()
    }
}
