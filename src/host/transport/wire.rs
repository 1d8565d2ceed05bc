//! Layer between the network and socketioxide, for one client.
//!
//! In: the wire passes frames from the client on in order. What the client sends right behind a CONNECT waits until the
//! socket exists. Out: frames to the client. socketioxide may always write: what the network does not accept at once
//! waits here, where it is counted, and a client for which too much piles up is disconnected.
//!
//! The host itself writes events and acks for a WebSocket here ([`Wire::send`]). What socketioxide received before them
//! and still owes, such as the answer to a CONNECT, goes first. While a client polls, socketioxide sends everything:
//! see [`Session`] for how sending passes from one to the other.

mod cutoff;
mod handoff;

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use parking_lot::{Mutex, MutexGuard};
use tokio::{
    io::AsyncWrite,
    time::{Instant, sleep_until},
};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use super::{
    admission::Seat,
    connects::{Connects, Stage},
    flush::{Flush, flushes_later},
    request::Headers,
    secret,
    send_queue::{Amount, Backlog},
    session::Session,
};
use crate::{
    event::HostEvent,
    host::{announce::Announcer, namespaces::Namespaces, options::Options},
};

/// Flush threshold in bytes: above it, data is written before the end of the call that sends it.
const ENOUGH: usize = 64 * 1024;
/// Maximum time for packets to leave when a connection is closed.
const CLOSING: Duration = Duration::from_millis(200);
/// Maximum time for a client to accept what still waits for it when its connection ends.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Number of clients of which nothing is left.
static GONE: AtomicU64 = AtomicU64::new(0);

/// Returns the number of clients that this process has had and of which nothing is left.
#[cfg(feature = "cli")]
pub(crate) fn clients_gone() -> u64 {
    GONE.load(Ordering::Relaxed)
}

/// State that the wires of a host share.
#[derive(Debug)]
pub(in crate::host) struct WireContext {
    pub(in crate::host) options: Arc<Options>,
    pub(in crate::host) announcer: Arc<Announcer>,
    /// Namespaces of the wires' sockets, which hold their wires in turn.
    pub(in crate::host) namespaces: Weak<Namespaces>,
    /// Tasks that write what waits for clients: the end of the host waits for them.
    pub(in crate::host) writes: TaskTracker,
}

impl WireContext {
    /// Returns the maximum amount that may wait for a client.
    fn max_backlog(&self) -> Amount {
        Amount {
            packets: self.options.max_backlog_packets,
            bytes: self.options.max_backlog,
        }
    }
}

/// State of one client's connection in the host, for both transports.
#[derive(Debug)]
pub(crate) struct Wire {
    context: Arc<WireContext>,
    peer: Option<SocketAddr>,
    headers: Headers,
    /// Session, if the connection began with polling.
    pub(super) session: Option<Box<Session>>,
    /// Id of its sockets, which socketioxide creates.
    id: OnceLock<String>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) io: Option<TokioIo<Upgraded>>,
    /// Data that the network has not accepted yet.
    pub(super) backlog: Backlog,
    /// `true` after socketioxide has written its first packet, which tells the client the id of its session.
    has_begun: bool,
    /// `true` while a task writes the backlog.
    draining: bool,
    /// `true` while a flush of the backlog is scheduled.
    flushes_later: bool,
    /// `true` after socketioxide has dropped the stream: the rest of the backlog is being written.
    ending: bool,
    /// `true` if the connection ends as soon as nothing waits any more.
    pub(super) closing: bool,
    pub(super) dead: bool,
    pub(super) connects: Connects,
    reader: Option<Waker>,
    /// Connection permit, kept until the client disconnects, or until nothing refers to it any more.
    seat: Option<Seat>,
    /// Waker of the task that writes the backlog: the network does not wake this task when the stream is dropped.
    drainer: Option<Waker>,
}

impl Wire {
    pub(super) fn new(
        context: Arc<WireContext>,
        peer: Option<SocketAddr>,
        headers: Headers,
        seat: Seat,
        session: Option<Box<Session>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            context,
            peer,
            headers,
            session,
            id: OnceLock::new(),
            state: Mutex::new(State {
                seat: Some(seat),
                ..State::default()
            }),
        })
    }

    /// Returns the address of the client, or of a proxy that the host is not configured to trust.
    pub(in crate::host) const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Returns the headers of the request that opened the connection.
    pub(in crate::host) const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Records the id of the connection's sockets.
    pub(in crate::host) fn is_called(&self, id: &str) {
        // All sockets of the connection have the same id.
        let _ = self.id.set(id.to_owned());
    }

    /// Returns the id of the connection's sockets, once there is one.
    pub(in crate::host) fn id(&self) -> Option<String> {
        self.id.get().cloned()
    }

    /// Records that a CONNECT is passed on. Creates the namespace that the CONNECT asks for, if it is an instance that
    /// is created on demand.
    pub(super) fn connect_requested(&self, namespace: &str) {
        if let Some(namespaces) = self.context.namespaces.upgrade() {
            // No client has connected to it yet.
            drop(namespaces.ensure(namespace));
        }
        self.lock().connects.request(namespace);
    }

    /// Records that a CONNECT waits for the decision about a reload, or no longer does.
    pub(in crate::host) fn connect_postponed(&self, namespace: &str, is_postponed: bool) {
        let stage = match is_postponed {
            true => Stage::Postponed,
            false => Stage::Requested,
        };
        self.lock().connects.reach(namespace, stage);
    }

    /// Records that a CONNECT is accepted, just before socketioxide receives the answer.
    pub(in crate::host) fn connect_accepted(&self, namespace: &str) {
        // What socketioxide receives meanwhile goes either before the answer or behind it.
        let _handing = self.session.as_ref().map(|session| session.handing());
        let mut state = self.lock();
        state.connects.reach(namespace, Stage::Accepted);
        if let Some(seat) = &mut state.seat {
            seat.connected();
        }
        if self.is_direct() {
            state.backlog.owes(1);
        }
    }

    /// Records that socketioxide has received the answer to a CONNECT.
    pub(in crate::host) fn connect_answered(&self, namespace: &str) {
        self.lock().connects.reach(namespace, Stage::Answered);
    }

    /// Records the end of a CONNECT: either its socket has begun, or there is none. Frames behind the CONNECT may pass.
    pub(in crate::host) fn connect_ended(&self, namespace: &str) {
        let mut state = self.lock();
        state.connects.end(namespace);
        if !state.connects.hold_frames() {
            if let Some(session) = &self.session {
                session.open.notify_waiters();
            }
            state.wake_reader();
        }
    }

    /// Returns `true` if packets wait for the network.
    pub(in crate::host) fn is_stalled(&self) -> bool {
        self.lock().draining
    }

    /// Returns `true` if [`Wire::send`] sends events, and not socketioxide.
    pub(in crate::host) fn is_direct(&self) -> bool {
        self.session
            .as_ref()
            .is_none_or(|session| session.is_direct())
    }

    /// Records that socketioxide receives `frames` frames, which precede what is sent from now on.
    pub(in crate::host) fn owes(&self, frames: usize) {
        self.lock().backlog.owes(frames);
    }

    /// Sends the frames of a packet, which leave at the end of the call that sends them. Returns `false` if the client
    /// has disconnected.
    pub(in crate::host) fn send(self: &Arc<Self>, frames: Bytes) -> bool {
        let mut state = self.lock();
        if state.dead {
            return false;
        }
        state.backlog.push(frames);
        if state.backlog.is_owed() {
            return self.bounded(state).is_ok();
        }
        state.flushes_later = state.flushes_later || flushes_later(self);
        if state.flushes_later && state.backlog.next().len() < ENOUGH {
            return true;
        }
        self.flush_now(state).is_ok()
    }

    /// Writes the queued data, as far as the network accepts it.
    pub(super) fn write_waiting(self: &Arc<Self>) {
        let mut state = self.lock();
        state.flushes_later = false;
        // A connection that failed is dead from then on, which its reader notices.
        let _ = self.flush_now(state);
    }

    /// Ends the connection when everything that was sent has left, or after a short time.
    pub(in crate::host) fn close(self: &Arc<Self>) {
        self.lock().closing = true;
        let wire = self.clone();
        tokio::spawn(async move {
            sleep_until(Instant::now() + CLOSING).await;
            wire.kill();
            wire.end_session();
        });
    }

    /// Releases the permit of a client that has announced its disconnect; socketioxide may know the client for a while.
    pub(super) fn left(&self) {
        self.lock().seat = None;
    }

    /// Returns `true` if the client polls.
    pub(in crate::host) fn polls(&self) -> bool {
        !self.is_direct() && !self.has_stream()
    }

    /// Returns `true` if the connection uses a WebSocket.
    pub(super) fn has_stream(&self) -> bool {
        self.lock().io.is_some()
    }

    /// Ends the connection at once, and discards what waits for the client.
    pub(in crate::host) fn kill(&self) {
        let mut state = self.lock();
        state.die();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Writes frames of socketioxide, and behind the last one that it owes, the packets that wait for that frame.
    pub(super) fn write(self: &Arc<Self>, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        if state.dead {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let is_first = !std::mem::replace(&mut state.has_begun, true);
        let hidden = (is_first && self.session.is_none()).then(|| secret::hide(bytes));
        let bytes = hidden.as_deref().unwrap_or(bytes);
        if state.backlog.is_owed() || !state.backlog.next().is_empty() {
            state.backlog.push_of_crate(bytes);
            return self.flush_now(state);
        }
        let written = write_now(state.io.as_mut(), bytes)?;
        if written < bytes.len() {
            state.backlog.push_of_crate(bytes);
            state.backlog.advance(written);
        }
        self.flush_now(state)
    }

    fn flush_now(self: &Arc<Self>, mut state: MutexGuard<'_, State>) -> io::Result<()> {
        if state.draining || state.backlog.next().is_empty() {
            return self.bounded(state);
        }
        let State { io, backlog, .. } = &mut *state;
        let written = write_now(io.as_mut(), backlog.next())?;
        backlog.advance(written);
        if !state.backlog.next().is_empty() {
            state.draining = true;
            tokio::spawn(Drain {
                wire: self.clone(),
                _busy: self.context.writes.token(),
            });
        }
        self.bounded(state)
    }

    /// Disconnects the client if too much waits for it.
    fn bounded(&self, mut state: MutexGuard<'_, State>) -> io::Result<()> {
        let waiting = state.backlog.amount();
        if waiting.is_within(self.context.max_backlog()) {
            return Ok(());
        }
        state.die();
        drop(state);
        self.announce_slow(waiting);
        Err(io::ErrorKind::BrokenPipe.into())
    }

    /// Announces that the client is disconnected, and the amount that waited for it.
    fn announce_slow(&self, waiting: Amount) {
        self.context.announcer.announce(HostEvent::SlowConsumer {
            peer: self.peer,
            socket: self.id(),
            packets: waiting.packets,
            backlog: waiting.bytes,
        });
    }

    /// Ends the stream when socketioxide no longer needs it.
    pub(super) fn end(self: &Arc<Self>) {
        self.write_waiting();
        let mut state = self.lock();
        state.ending = true;
        state.seat = None;
        if !state.draining || state.dead {
            state.io = None;
            return;
        }
        let wire = self.clone();
        tokio::spawn(async move {
            sleep_until(Instant::now() + LAST_WORDS).await;
            wire.kill();
        });
    }
}

impl Flush for Wire {
    /// Writes the queued data, as far as the network accepts it.
    fn flush(self: Arc<Self>) {
        self.write_waiting();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        GONE.fetch_add(1, Ordering::Relaxed);
    }
}

impl State {
    pub(super) fn die(&mut self) {
        self.dead = true;
        self.io = None;
        self.backlog = Backlog::default();
        self.wake_reader();
        if let Some(drainer) = self.drainer.take() {
            drainer.wake();
        }
    }

    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    pub(super) fn wait(&mut self, context: &Context<'_>) {
        if !self
            .reader
            .as_ref()
            .is_some_and(|waker| waker.will_wake(context.waker()))
        {
            self.reader = Some(context.waker().clone());
        }
    }
}

/// Writes what the network accepts now, and returns the number of bytes.
fn write_now(io: Option<&mut TokioIo<Upgraded>>, bytes: &[u8]) -> io::Result<usize> {
    let Some(io) = io else {
        return Err(io::ErrorKind::NotConnected.into());
    };
    match Pin::new(io).poll_write(&mut Context::from_waker(Waker::noop()), bytes) {
        Poll::Ready(written) => written,
        Poll::Pending => Ok(0),
    }
}

/// Task that writes the backlog as fast as the network accepts it. The end of the host waits for the task.
struct Drain {
    wire: Arc<Wire>,
    _busy: TaskTrackerToken,
}

impl Future for Drain {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut guard = self.wire.lock();
        let state = &mut *guard;
        while let Some(io) = state
            .io
            .as_mut()
            .filter(|_| !state.backlog.next().is_empty())
        {
            state.drainer = Some(context.waker().clone());
            match ready!(Pin::new(io).poll_write(context, state.backlog.next())) {
                Ok(written) if written > 0 => state.backlog.advance(written),
                _ => state.die(),
            }
        }
        state.draining = false;
        state.drainer = None;
        if state.closing {
            state.die();
        } else if state.ending {
            state.io = None;
        }
        Poll::Ready(())
    }
}
