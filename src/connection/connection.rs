//! One live socket: its state, its turn, its listeners.

pub(super) mod asking;
mod namespace_unit;
mod sending;
mod work_loop;

use std::{
    any::Any,
    collections::BTreeSet,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use parking_lot::{Mutex, MutexGuard};
use rhai::{Dynamic, FnPtr, ImmutableString, Map, StaticVec};

use super::{
    Adoption, Data, Link, MadeBy, Namespace, OUTGOING, Registered, Rest, Verdict, Work,
    acks::Acks,
    listeners::bit,
    mailbox::Mailbox,
    merge::{merge_data, merge_rooms},
    phase::{self, Phase},
};
use crate::script::{Handler, Version};

/// One live socket.
///
/// It holds its listeners, and their closures hold it: [`Connection::leave`] takes both apart.
#[derive(Debug)]
pub struct Connection {
    id: Arc<str>,
    namespace: Arc<Namespace>,
    phase: phase::Current,
    mailbox: Mailbox,
    link: Mutex<Option<Arc<dyn Link>>>,
    data: OnceLock<Arc<Data>>,
    auth: Dynamic,
    issued: i64,
    /// The server has taken it out of the namespace: events that wait are not handled any more.
    cut: AtomicBool,
    /// Of which events without a name it has had listeners, as their bits.
    listens: AtomicU8,
    /// Its last call took long: the next ones run where they hold up nobody else.
    slow: AtomicBool,
    /// Rooms that it joined, at least as many as it is in.
    joined: AtomicUsize,
    /// It is in the room of its own id, which is kept here and not with the others: everybody has one.
    in_own_room: AtomicBool,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    /// The version whose `on_connection` made the listeners.
    version: Option<Arc<Version>>,
    registered: Registered,
    acks: Acks,
    adoption: Option<Box<Adoption>>,
    /// Kept until `on_connection` has run: no reload decides while it is.
    pass: Option<Box<dyn Any + Send>>,
    /// What it is sent before its CONNECT is answered.
    early: Vec<Early>,
    last_rooms: Option<Vec<String>>,
    /// Set while `on_connection` runs: what is registered then is its own.
    connecting: bool,
}

/// Sends something once the CONNECT is answered; there is no link when the client left before.
type Early = Box<dyn FnOnce(Option<&dyn Link>) + Send>;

impl Held {
    /// Who registers something now.
    const fn made_by(&self) -> MadeBy {
        match self.connecting {
            true => MadeBy::Connection,
            false => MadeBy::Handler,
        }
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held")
            .field("version", &self.version.as_ref().map(|v| v.number()))
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// A connection whose work waits until [`Connection::open`].
    pub fn new(id: &str, namespace: Arc<Namespace>, auth: Dynamic, issued: i64) -> Arc<Self> {
        Arc::new(Self {
            id: id.into(),
            namespace,
            phase: phase::Current::new(),
            mailbox: Mailbox::default(),
            link: Mutex::default(),
            data: OnceLock::new(),
            auth,
            issued,
            cut: AtomicBool::new(false),
            listens: AtomicU8::new(0),
            slow: AtomicBool::new(false),
            joined: AtomicUsize::new(0),
            in_own_room: AtomicBool::new(true),
            held: Mutex::default(),
        })
    }

    /// `socket.id`
    pub const fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The namespace it is in.
    pub const fn namespace(&self) -> &Arc<Namespace> {
        &self.namespace
    }

    /// `socket.data`
    pub fn data(&self) -> &Arc<Data> {
        self.data.get_or_init(Arc::default)
    }

    /// `socket.handshake`
    pub fn handshake(&self) -> Map {
        let mut handshake = self.link().map(|link| link.handshake()).unwrap_or_default();
        let issued = Duration::from_millis(self.issued.unsigned_abs());
        let time = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + issued);
        handshake.insert("time".into(), time.into());
        handshake.insert("auth".into(), self.auth.clone());
        handshake.insert("issued".into(), self.issued.into());
        handshake
    }

    /// Where it is in its life.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Whether its events are handled and it is sent anything.
    pub fn is_connected(&self) -> bool {
        self.phase() == Phase::Connected && !self.is_cut()
    }

    // --- its turn ---

    /// Has `on_handshake` decide, over a link that is taken away again: one that is never opened would hold itself by it.
    pub fn shake(self: &Arc<Self>, link: Arc<dyn Link>, verdict: Verdict) {
        *self.link.lock() = Some(link);
        self.post(Work::Handshake(verdict));
    }

    /// The handshake is over; a refused client leaves nothing behind.
    pub fn shaken(&self, accepted: bool) {
        drop(self.link.lock().take());
        if !accepted {
            self.close();
            self.leave();
        }
    }

    /// Its CONNECT is answered: begins its work with `on_connection`; everything posted before waits for it. Does nothing
    /// when it was abandoned. The link comes only now, for it holds the connection in its turn: one that is never opened
    /// would hold itself.
    pub fn open(self: &Arc<Self>, link: Arc<dyn Link>) {
        let is_answered = || self.phase.advance(Phase::Accepted, Phase::Answered);
        let give_link = || *self.link.lock() = Some(link);
        if self.mailbox.open(is_answered, give_link) {
            self.work(None);
        }
    }

    /// Does the work that waits. Called by whoever holds the turn: [`Driver::later`](super::Driver::later).
    pub fn work_off(self: &Arc<Self>) {
        self.work(None);
    }

    /// Does the rest of a piece of work later, before all else. In this connection's turn.
    pub fn go_on(&self, rest: impl FnOnce() + Send + 'static) {
        self.mailbox.post_first(Work::Rest(Rest(Box::new(rest))));
    }

    // --- its life ---

    /// It is accepted and enters its namespace: others find it from now on, and what they send waits until its CONNECT is
    /// answered. No reload decides until `on_connection` has run, or never will: until then it keeps `pass`.
    pub fn enter(self: &Arc<Self>, pass: Box<dyn Any + Send>) {
        self.held().pass = Some(pass);
        if self.phase.advance(Phase::Handshaking, Phase::Accepted) {
            self.namespace.enter(self.clone());
        }
    }

    /// What it was sent before goes out, and its events are handled. `false` when the client has left already.
    pub fn begin(&self) -> bool {
        let link = self.link();
        loop {
            let mut held = self.held();
            let early = std::mem::take(&mut held.early);
            if early.is_empty() {
                // Nothing more is early from here on, for the phase is looked at with the lock held.
                let begins = self.phase.advance(Phase::Answered, Phase::Connected);
                if begins {
                    self.namespace.driver().counters().connected.add();
                }
                return begins;
            }
            drop(held);
            // One of them may disconnect the client, and its end looks at what is held.
            early.into_iter().for_each(|send| send(link.as_deref()));
        }
    }

    /// Leaves its namespace, if its CONNECT was never answered.
    pub fn abandon(&self) {
        if self.phase.advance(Phase::Accepted, Phase::Left) {
            self.leave();
        }
    }

    /// Marks it as left; `false` when it was already. From now on it neither sends nor handles anything.
    pub fn close(&self) -> bool {
        self.phase.end()
    }

    /// Leaves its namespace and lets go of everything it holds.
    pub fn leave(&self) {
        self.namespace.leave(self);
        self.end_pass();
        self.mailbox.clear();
        let mut held = std::mem::take(&mut *self.held());
        let link = self.link.lock().take();
        held.early.drain(..).for_each(|send| send(None));
        held.registered.release();
        held.adoption.iter().for_each(|adoption| adoption.release());
        drop((held, link));
    }

    /// `on_connection` has run, or never will: reloads may decide again.
    pub fn end_pass(&self) {
        let pass = self.held().pass.take();
        drop(pass);
    }

    /// The way to the client, while it is there.
    pub fn link(&self) -> Option<Arc<dyn Link>> {
        self.link.lock().clone()
    }

    // --- its listeners ---

    /// Registers a listener of an event, in the connection's turn.
    pub fn on(&self, event: ImmutableString, handler: Handler, once: bool) {
        self.note_listens(bit(&event));
        let mut held = self.held();
        let made_by = held.made_by();
        held.registered
            .listeners
            .add(event, Arc::new(handler), once, made_by);
    }

    /// Takes listeners off, in the connection's turn.
    pub fn off(&self, event: &str, function: Option<&FnPtr>) {
        self.held().registered.listeners.remove(event, function);
    }

    /// Whether anybody listens to an event.
    pub fn hears(&self, event: &str) -> bool {
        self.may_hear(event) && self.held().registered.listeners.has(event)
    }

    /// Whether anybody may listen to an event, which is asked at each.
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

    /// The events that somebody listens to.
    pub fn events(&self) -> BTreeSet<ImmutableString> {
        self.held().registered.listeners.events()
    }

    /// How many listeners it has.
    pub fn listener_count(&self) -> usize {
        self.held().registered.listeners.len()
    }

    /// What to call for an event.
    pub fn fire(&self, event: &str) -> StaticVec<Arc<Handler>> {
        match self.may_hear(event) {
            true => self.held().registered.listeners.fire(event),
            false => StaticVec::new(),
        }
    }

    // --- its timers ---

    /// Sets a timer in the connection's turn, and gives its number.
    pub fn set_timer(self: &Arc<Self>, handler: Handler, delay: Duration, repeats: bool) -> u32 {
        let mut held = self.held();
        let made_by = held.made_by();
        let number = held
            .registered
            .timers
            .set(Arc::new(handler), delay, repeats, made_by);
        held.registered.timers.start(&self.when_due());
        number
    }

    /// Has timers that are due fire, unless it is gone.
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
        self.held().registered.timers.clear(number);
    }

    /// How many timers may still fire.
    pub fn timer_count(&self) -> usize {
        self.held().registered.timers.len()
    }

    /// Has each timer that is due fire, as a piece of work of its own: the first may take long. In this connection's turn.
    pub fn post_due_timers(&self) {
        let due = self.held().registered.timers.due();
        for number in due.into_iter().rev() {
            self.mailbox.post_first(Work::Timer(number));
        }
    }

    /// What to call for a timer that is due.
    pub fn fire_timer(self: &Arc<Self>, number: u32) -> Option<Arc<Handler>> {
        self.held().registered.timers.fire(number, self.when_due())
    }

    // --- its version ---

    /// Notes the version that serves, for `run`, which is its `on_connection`.
    pub fn connect<T>(&self, version: Arc<Version>, run: impl FnOnce() -> T) -> T {
        {
            let mut held = self.held();
            held.version = Some(version);
            held.connecting = true;
        }
        let result = run();
        let mut held = self.held();
        held.connecting = false;
        held.registered.listeners.shrink();
        result
    }

    /// The version whose handlers it has.
    pub fn version(&self) -> Option<Arc<Version>> {
        self.held().version.clone()
    }

    /// Prepares what it will take over once the new version serves. One that has left takes nothing over: what it would
    /// is captured by closures that hold the connection.
    pub fn prepare(&self, adoption: Adoption) {
        let mut held = self.held();
        match self.phase() {
            Phase::Left => adoption.release(),
            _ => held.adoption = Some(Box::new(adoption)),
        }
    }

    /// Takes over the version that serves, if that is another one than its own, and says whether it did. Cannot fail.
    pub fn adopt(self: &Arc<Self>) -> bool {
        let mut held = self.held();
        if held
            .version
            .as_ref()
            .is_none_or(|version| self.namespace.serves(version))
        {
            return false;
        }
        let Some(adoption) = held.adoption.take_if(|a| self.namespace.serves(&a.version)) else {
            return false;
        };
        let Adoption {
            version,
            base,
            new,
            report,
        } = *adoption;
        let mut adopted = held
            .registered
            .adopt(&base.registered, new.registered, &version);
        held.registered.timers.start(&self.when_due());
        held.version = Some(version);
        self.note_listens(held.registered.listeners.bits());
        drop(held);
        merge_data(self.data(), &base.data, new.data, &mut adopted.carried);
        let rooms = merge_rooms(|| self.rooms(), &base.rooms, &new.rooms);
        adopted.rooms = rooms.len();
        for (room, joins) in rooms {
            match joins {
                true => drop(self.join(&[room], usize::MAX)),
                false => self.leave_room(&room),
            }
        }
        // Nobody waits for it when the reload has given up waiting.
        let _ = report.send(adopted);
        true
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock()
    }
}
