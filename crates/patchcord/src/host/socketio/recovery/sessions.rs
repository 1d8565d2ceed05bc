//! Connections of one namespace that are kept for their clients, and the log of its events.
//!
//! Invariant: an event gets its number, and is queued for its recipients, under one lock. So each client receives
//! events in the order of their numbers, and an offset stands for everything before it.

mod handover;

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use rhai::Dynamic;
use tokio::{
    sync::{Notify, OnceCell},
    time::{Instant, timeout_at},
};

use super::{
    budget::{Recovery, Shelf},
    identity::{Identity, Return},
    inherited::Inherited,
    log::{Log, Missed, Recipient, Recipients, Rooms},
};
use crate::{
    connection::{Connection, Keeping, Phase},
    host::{
        lifecycle::SHUTTING_DOWN,
        transport::wire::{Greeting, Wire},
    },
};

/// Connections of one namespace that are kept for their clients, and the log of its events.
pub(in crate::host::socketio) struct NamespaceRecovery {
    me: Weak<Self>,
    host: Arc<Recovery>,
    state: Mutex<State>,
    /// Memory of the log, in bytes.
    bytes: AtomicUsize,
    /// Notifies clients that wait for the end of their earlier transport.
    settled: Notify,
    /// Kept connections of an earlier process, until they are taken in.
    inherited: Mutex<Option<Inherited>>,
    has_taken_in: OnceCell<()>,
}

struct State {
    log: Log,
    /// Sockets by their pids.
    clients: HashMap<Arc<str>, ClientState>,
    /// Sockets whose disconnect is being handled, by their ids.
    leaving: HashMap<Arc<str>, Left>,
}

/// State of a socket.
enum ClientState {
    /// The client is connected by this wire.
    Live(Weak<Wire>),
    /// The hooks of the disconnect run.
    Leaving,
    /// The connection is kept.
    Kept(Box<Left>),
}

/// Socket whose client has lost its transport.
struct Left {
    connection: Arc<Connection>,
    identity: Arc<Identity>,
    rooms: Rooms,
    in_own_room: bool,
    /// Number of the last event before the client left.
    left_at: u64,
    number: u64,
    until: Instant,
    _keeping: Keeping,
}

impl Left {
    fn recipient(&self) -> Recipient<'_> {
        Recipient {
            id: self.connection.id(),
            rooms: &self.rooms,
            in_own_room: self.in_own_room,
        }
    }

    /// Ends the connection.
    fn end(self) {
        let connection = self.connection.clone();
        // First, because the namespace is freed after its last connection.
        drop(self);
        connection.close();
        connection.leave();
    }
}

impl std::fmt::Debug for NamespaceRecovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NamespaceRecovery").finish_non_exhaustive()
    }
}

impl NamespaceRecovery {
    /// Creates the state of a namespace, which continues with what an earlier process has left.
    pub(in crate::host::socketio) fn new(
        host: &Arc<Recovery>,
        mut inherited: Option<Inherited>,
    ) -> Arc<Self> {
        let packed = inherited.as_mut().map(|one| std::mem::take(&mut one.log));
        let packed = packed.filter(|packed| !packed.is_unit());
        let is_missing = packed.is_none();
        let log = packed.and_then(|packed| Log::unpack(&packed));
        // Without their log, clients would miss events silently.
        let inherited = inherited.filter(|_| is_missing || log.is_some());
        let (log, bytes) = log.unwrap_or_else(|| (Log::new(), 0));
        let one = Arc::new_cyclic(|me| Self {
            me: me.clone(),
            host: host.clone(),
            state: Mutex::new(State {
                log,
                clients: HashMap::new(),
                leaving: HashMap::new(),
            }),
            bytes: AtomicUsize::new(bytes),
            settled: Notify::new(),
            has_taken_in: OnceCell::new_with(inherited.is_none().then_some(())),
            inherited: Mutex::new(inherited),
        });
        host.add(one.shelf());
        host.add_bytes(bytes);
        one
    }

    fn shelf(&self) -> Weak<dyn Shelf> {
        self.me.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    // --- events ---

    /// Sends an event to its recipients, and logs it. `encode` receives the offset of the event. `deliver` queues the
    /// frames, and receives the number of the event; it returns the position of the last join of a room.
    pub(in crate::host::socketio) fn send(
        &self,
        recipients: Recipients,
        encode: impl FnOnce(&str) -> Bytes,
        deliver: impl FnOnce(&Bytes, u64) -> u64,
    ) {
        let now = Instant::now();
        let mut state = self.lock();
        let number = state.log.last() + 1;
        let frames = encode(&state.log.offset(number));
        let joins = deliver(&frames, number);
        let size = state.log.push(recipients, frames, joins, now);
        drop(state);
        self.bytes.fetch_add(size, Ordering::Relaxed);
        self.host.add_bytes(size);
    }

    /// Sends an event that is not logged. `send` receives the offset and the number of the last event.
    pub(in crate::host::socketio) fn send_unlogged(&self, send: impl FnOnce(&str, u64)) {
        let state = self.lock();
        let last = state.log.last();
        send(&state.log.offset(last), last);
    }

    // --- sockets ---

    /// Opens the socket of a client. `open` answers the CONNECT, and returns `None` if the client has left. The rooms
    /// are those of a client that comes back.
    pub(in crate::host::socketio) fn open<T>(
        &self,
        identity: &Arc<Identity>,
        wire: &Arc<Wire>,
        claim: Option<&mut Claim>,
        open: impl FnOnce(Greeting<'_>, Option<&Rooms>) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.lock();
        let greeting = |missed| Greeting {
            pid: Some(&identity.pid),
            missed,
        };
        let opened = match claim {
            None => {
                identity.begin(state.log.last());
                open(greeting(Vec::new()), None)?
            }
            Some(claim) => {
                let left = claim.left.as_ref()?;
                let Some(missed) = state.log.missed(claim.from, &left.recipient()) else {
                    // The log has given up events in the meantime. The client comes back once more, and begins anew.
                    drop(state);
                    wire.abort("transport close");
                    return None;
                };
                let opened = open(greeting(missed.frames), Some(&left.rooms))?;
                missed
                    .last
                    .into_iter()
                    .for_each(|last| identity.note_sent(last));
                claim.left = None;
                opened
            }
        };
        let client = ClientState::Live(Arc::downgrade(wire));
        state.clients.insert(identity.pid.clone(), client);
        Some(opened)
    }

    /// Returns `true` if a client may come back after a disconnect for this reason, as in Node.
    pub(in crate::host::socketio) fn is_recoverable(&self, reason: &str) -> bool {
        match reason {
            "transport close" | "transport error" | "ping timeout" | "forced server close" => true,
            SHUTTING_DOWN => self.host.is_handed_over(),
            _ => false,
        }
    }

    /// Removes a socket whose client does not come back.
    pub(in crate::host::socketio) fn forget(&self, identity: &Identity) {
        self.lock().clients.remove(&identity.pid);
        self.settled.notify_waiters();
    }

    /// Removes a socket whose client may come back, before its disconnect is posted. `leave` removes it from the
    /// namespace, and returns its rooms.
    pub(in crate::host::socketio) fn leave(
        &self,
        identity: &Arc<Identity>,
        connection: &Arc<Connection>,
        leave: impl FnOnce() -> Rooms,
    ) {
        let mut state = self.lock();
        let left = Left {
            rooms: leave(),
            in_own_room: connection.is_in_own_room(),
            connection: connection.clone(),
            identity: identity.clone(),
            left_at: state.log.last(),
            number: 0,
            until: Instant::now(),
            _keeping: connection.namespace().keep(),
        };
        state
            .clients
            .insert(identity.pid.clone(), ClientState::Leaving);
        state.leaving.insert(connection.id().clone(), left);
        connection.expect_return();
    }

    /// Keeps a connection after the calls of its disconnect, if `may_return` is `true`. Returns `false` if it is not
    /// kept.
    pub(in crate::host::socketio) fn left(&self, id: &str, may_return: bool) -> bool {
        let Some(mut left) = self.lock().leaving.remove(id) else {
            return false;
        };
        let pid = left.identity.pid.clone();
        let keeps = may_return && !self.host.gives_up();
        if keeps {
            let kept = self.host.next();
            (left.number, left.until) = kept;
            self.lock()
                .clients
                .insert(pid.clone(), ClientState::Kept(left.into()));
            self.host.keep(kept, self.shelf(), &pid);
            if self.host.gives_up() {
                self.end(&pid, kept.0);
            }
        } else {
            self.lock().clients.remove(&pid);
        }
        self.settled.notify_waiters();
        keeps
    }

    /// Ends all kept connections.
    pub(in crate::host::socketio) fn end_all(&self) {
        let mut state = self.lock();
        let clients = std::mem::take(&mut state.clients);
        state.leaving.clear();
        drop(state);
        for client in clients.into_values() {
            if let ClientState::Kept(left) = client {
                self.host.forget(left.number);
                left.end();
            }
        }
    }

    // --- clients that come back ---

    /// Removes and returns the connection that is kept for a client, for a CONNECT by `wire`. If the host has not noticed the end of
    /// the client's earlier transport, ends it first. Returns `None` if nothing is kept, or the client has missed events
    /// that the log has given up: then it begins anew.
    pub(in crate::host::socketio) async fn claim(
        &self,
        asked: &Return,
        wire: &Arc<Wire>,
    ) -> Option<Claim> {
        let patience = self.host.options().transport.connect_timeout;
        let deadline = Instant::now() + patience;
        loop {
            let settled = self.settled.notified();
            match self.look(asked, wire)? {
                Found::Kept(left, from) => {
                    self.host.forget(left.number);
                    let Some(from) = from else {
                        left.end();
                        return None;
                    };
                    return Some(Claim {
                        recovery: self.me.clone(),
                        left: Some(left),
                        from,
                        nth_return: 0,
                    });
                }
                Found::Connected(earlier) => earlier.abort("transport close"),
                Found::Leaving => {}
            }
            timeout_at(deadline, settled).await.ok()?;
        }
    }

    /// Looks for the socket of a client that comes back, and removes it if it is kept.
    fn look(&self, asked: &Return, wire: &Arc<Wire>) -> Option<Found> {
        let mut state = self.lock();
        match state.clients.get(asked.pid.as_str())? {
            ClientState::Live(earlier) => {
                let earlier = earlier.upgrade()?;
                let is_other = !Arc::ptr_eq(&earlier, wire);
                return is_other.then_some(Found::Connected(earlier));
            }
            ClientState::Leaving => return Some(Found::Leaving),
            ClientState::Kept(_) => {}
        }
        let Some(ClientState::Kept(left)) = state.clients.remove(asked.pid.as_str()) else {
            return None;
        };
        let is_kept = left.until > Instant::now();
        let from = state.begins_at(&left, asked.offset.as_deref());
        let from = from.filter(|from| is_kept && self.fits(&state, &left, *from));
        Some(Found::Kept(left, from))
    }

    /// Returns `true` if the log has the events after `from`, and they fit in the send queue of the client.
    fn fits(&self, state: &State, left: &Left, from: u64) -> bool {
        let transport = &self.host.options().transport;
        let fits = |missed: Missed| {
            missed.bytes < transport.max_backlog
                && missed.frames.len() < transport.max_backlog_packets
        };
        let missed = state.log.missed(from, &left.recipient());
        missed.is_some_and(fits)
    }
}

impl State {
    /// Returns the number of the event after which a client has missed events.
    fn begins_at(&self, left: &Left, offset: Option<&str>) -> Option<u64> {
        let received = self.log.received(offset, left.identity.begins())?;
        // A client that has received everything that was sent to it has missed only what came after it left. The log may
        // have given up the events before, which were sent to others.
        let from = match received >= left.identity.sent() {
            true => received.max(left.left_at),
            false => received,
        };
        self.log.reaches(from).then_some(from)
    }
}

/// Result of the search for a socket.
enum Found {
    Connected(Arc<Wire>),
    Leaving,
    /// The connection, and the number of the event after which the client has missed events; `None` if the connection
    /// cannot continue.
    Kept(Box<Left>, Option<u64>),
}

impl Shelf for NamespaceRecovery {
    fn end(&self, pid: &str, number: u64) {
        let mut state = self.lock();
        let is_it = |client: &ClientState| matches!(client, ClientState::Kept(left) if left.number == number);
        let client = match state.clients.get(pid).is_some_and(is_it) {
            true => state.clients.remove(pid),
            false => None,
        };
        drop(state);
        if let Some(ClientState::Kept(left)) = client {
            left.end();
        }
    }

    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn give_up(&self, bytes: usize, before: Option<Instant>) -> usize {
        let is_old = |at| before.is_some_and(|before| at < before);
        let wants = |freed, at| freed < bytes || is_old(at);
        let freed = self.lock().log.give_up(wants);
        self.bytes.fetch_sub(freed, Ordering::Relaxed);
        self.host.remove_bytes(freed);
        freed
    }
}

impl Drop for NamespaceRecovery {
    fn drop(&mut self) {
        self.host.remove_bytes(self.bytes());
    }
}

/// Connection that a client which comes back has claimed. If it is dropped before its socket opens, the connection is
/// kept again.
pub(in crate::host::socketio) struct Claim {
    recovery: Weak<NamespaceRecovery>,
    /// `None` after the socket has opened.
    left: Option<Box<Left>>,
    /// Number of the event after which the client has missed events.
    from: u64,
    nth_return: u32,
}

impl Claim {
    /// Returns the connection, for a CONNECT by `wire`, and its identity.
    pub(in crate::host::socketio) fn begin(
        &mut self,
        wire: &Arc<Wire>,
        auth: Dynamic,
        issued: i64,
    ) -> Option<(Arc<Connection>, Arc<Identity>)> {
        let left = self.left.as_ref()?;
        self.nth_return = left.connection.begin_return(wire.client(), auth, issued);
        Some((left.connection.clone(), left.identity.clone()))
    }

    /// Returns `true` if the client was in the room named by its own id.
    pub(in crate::host::socketio) fn was_in_own_room(&self) -> bool {
        self.left.as_ref().is_some_and(|left| left.in_own_room)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some(left) = self.left.take() else {
            return;
        };
        left.connection.abandon(self.nth_return);
        let recovery = self.recovery.upgrade();
        let recovery = recovery.filter(|one| !one.host.gives_up());
        match recovery {
            Some(recovery) if left.connection.phase() == Phase::Away => recovery.put_back(left),
            _ => left.end(),
        }
    }
}

impl NamespaceRecovery {
    /// Keeps a connection again, because the client has left before its socket has opened.
    fn put_back(&self, left: Box<Left>) {
        let (kept, pid) = ((left.number, left.until), left.identity.pid.clone());
        self.lock()
            .clients
            .insert(pid.clone(), ClientState::Kept(left));
        self.host.keep(kept, self.shelf(), &pid);
        self.settled.notify_waiters();
    }
}
