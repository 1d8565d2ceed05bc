//! What lies between the network and the Socket.IO crate, for one client.
//!
//! In: frames from the client, handed on in order; what follows a CONNECT in the same breath waits until the socket
//! exists. Out: frames to the client. The crate may always write: what the network does not take at once waits
//! here, where its bytes are counted, and a client that lets too much pile up is cut off.
//!
//! Where the connection began as a WebSocket, the host writes events and acks here itself ([`Wire::send`]). What the
//! crate was handed before them and still owes, such as the answer to a CONNECT, goes first.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, atomic::AtomicUsize},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::AsyncWrite,
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{frames, outbox, seats::Seat};

/// So long frames wait behind a CONNECT that nobody answers.
pub(super) const GATE: Duration = Duration::from_millis(50);
/// So many bytes are written without waiting for the end of the call that sends them.
const ENOUGH: usize = 64 * 1024;
/// So long packets have to leave when a connection is closed.
const CLOSING: Duration = Duration::from_millis(200);
/// So long a client has to take what still waits for it when its connection ends.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What the host knows of one client's connection, whichever transport it uses.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(super) peer: Option<SocketAddr>,
    max_backlog: usize,
    /// Began as a WebSocket: the host writes events itself.
    is_direct: bool,
    /// The id of its sockets, which the crate makes.
    id: OnceLock<String>,
    /// Attachments since the last packet that is a text, for the polling transport.
    pub(super) attachments: AtomicUsize,
    /// Called once when the client is cut off, with the bytes that waited for it.
    on_slow: fn(&Self, usize),
    /// Tells a request of the polling transport that the gate is open.
    open: Notify,
    /// Whom to tell.
    pub(super) host: std::sync::Weak<super::Inner>,
    /// Ends a session that began with polling.
    pub(super) end_session: OnceLock<EndSession>,
    state: Mutex<State>,
}

/// See [`Wire::close`].
pub(super) struct EndSession(pub(super) Box<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for EndSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("EndSession")
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) io: Option<TokioIo<Upgraded>>,
    /// What the network did not take yet.
    pub(super) backlog: BytesMut,
    /// A task writes the backlog.
    draining: bool,
    /// Somebody will flush the backlog.
    flushes_later: bool,
    /// Frames that the crate was handed, and how many of them it has written.
    handed: u64,
    written: u64,
    /// Frames of the host behind those: each may pass when so many are written.
    behind: VecDeque<(u64, Vec<u8>)>,
    /// The crate has let go of the stream; the last of the backlog is being written.
    ending: bool,
    /// It ends as soon as nothing waits any more.
    pub(super) closing: bool,
    pub(super) dead: bool,
    /// CONNECTs that were handed on and not answered.
    pub(super) connects: usize,
    /// CONNECTs that wait for a reload to be decided; the time of the gate does not run then.
    postponed: usize,
    reader: Option<Waker>,
    /// Kept until the client leaves, or nothing knows of it any more.
    seat: Option<Seat>,
    /// The task that writes the backlog: the network does not wake it when the stream is dropped.
    drainer: Option<Waker>,
}

impl Wire {
    pub(super) fn new(
        peer: Option<SocketAddr>,
        seat: Seat,
        max_backlog: usize,
        is_direct: bool,
        host: std::sync::Weak<super::Inner>,
        on_slow: fn(&Self, usize),
    ) -> Arc<Self> {
        Arc::new(Self {
            peer,
            max_backlog,
            is_direct,
            id: OnceLock::new(),
            attachments: AtomicUsize::new(0),
            on_slow,
            open: Notify::new(),
            host,
            end_session: OnceLock::new(),
            state: Mutex::new(State {
                seat: Some(seat),
                ..State::default()
            }),
        })
    }

    /// The address of the client, or of the proxy that nobody told to trust.
    pub(super) const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// Learns the id of its sockets.
    pub(super) fn is_called(&self, id: &str) {
        // All its sockets have the same.
        let _ = self.id.set(id.to_owned());
    }

    /// The id of its sockets, once there is one.
    pub(super) fn id(&self) -> Option<String> {
        self.id.get().cloned()
    }

    /// Has the host make the namespace that a CONNECT asks for, if it is one that is made on demand.
    pub(super) fn ensure(&self, namespace: &str) {
        if let Some(host) = self.host.upgrade() {
            // Nobody has connected to it yet.
            drop(host.ensure(namespace));
        }
    }

    /// A CONNECT is handed on.
    pub(super) fn connect_passed(&self) {
        self.lock().connects += 1;
    }

    /// Waits until every CONNECT that was handed on is answered, or for as long as frames wait behind one.
    pub(super) async fn connects_answered(&self) {
        let answered = async {
            loop {
                let open = self.open.notified();
                if self.lock().connects == 0 {
                    return;
                }
                open.await;
            }
        };
        tokio::pin!(answered);
        while tokio::time::timeout(GATE, &mut answered).await.is_err() {
            if self.lock().give_up() {
                return;
            }
        }
    }

    /// A CONNECT waits for a reload to be decided, or does so no more.
    pub(super) fn postpone(&self, postponed: bool) {
        let mut state = self.lock();
        state.postponed = if postponed {
            state.postponed + 1
        } else {
            state.postponed.saturating_sub(1)
        };
    }

    /// A CONNECT was answered: frames behind it may pass.
    pub(super) fn connect_answered(&self) {
        let mut state = self.lock();
        state.connects = state.connects.saturating_sub(1);
        if state.connects == 0 {
            self.open.notify_waiters();
            state.wake_reader();
        }
    }

    /// Says how the session of this wire is ended while it polls.
    pub(super) fn ends_by(&self, end: impl Fn() + Send + Sync + 'static) {
        // A wire is of one session.
        let _ = self.end_session.set(EndSession(Box::new(end)));
    }

    /// Whether packets wait for the network.
    pub(super) fn is_stalled(&self) -> bool {
        self.lock().draining
    }

    /// Whether events are sent by [`Wire::send`] and not through the crate.
    pub(super) const fn is_direct(&self) -> bool {
        self.is_direct
    }

    /// The crate is handed so many frames, which go before what is sent from now on.
    pub(super) fn owes(&self, frames: usize) {
        self.lock().handed += frames as u64;
    }

    /// Sends whole frames; `false` when the client is gone. They leave at the end of the call that sends them.
    pub(super) fn send(self: &Arc<Self>, frames: &[u8]) -> bool {
        let mut state = self.lock();
        if state.dead {
            return false;
        }
        if state.written < state.handed {
            state.wait_behind(frames);
            return self.bounded(state).is_ok();
        }
        state.backlog.extend_from_slice(frames);
        state.flushes_later = state.flushes_later || outbox::flushes_later(self);
        if state.flushes_later && state.backlog.len() < ENOUGH {
            return true;
        }
        self.flush_now(state).is_ok()
    }

    /// Writes what waits, as far as the network takes it.
    pub(super) fn flush(self: &Arc<Self>) {
        let mut state = self.lock();
        state.flushes_later = false;
        // A connection that failed is dead from then on, which its reader finds.
        let _ = self.flush_now(state);
    }

    /// Ends the connection when what was sent has left, or a moment later.
    pub(super) fn close(self: &Arc<Self>) {
        self.lock().closing = true;
        let wire = self.clone();
        tokio::spawn(async move {
            sleep_until(Instant::now() + CLOSING).await;
            wire.kill();
            if let Some(end) = wire.end_session.get() {
                (end.0)();
            }
        });
    }

    /// The client has said that it leaves; the crate may know of it for a while.
    pub(super) fn left(&self) {
        self.lock().seat = None;
    }

    /// Whether a WebSocket carries it.
    pub(super) fn has_stream(&self) -> bool {
        self.lock().io.is_some()
    }

    /// Ends the connection at once; what waits for the client is lost.
    pub(super) fn kill(&self) {
        let mut state = self.lock();
        state.die();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes frames of the crate, and behind the last one that it owes what waits for that.
    pub(super) fn write(self: &Arc<Self>, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        if state.dead {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if state.written == state.handed && state.backlog.is_empty() {
            let written = state.write_now(bytes)?;
            state
                .backlog
                .extend_from_slice(bytes.get(written..).unwrap_or_default());
        } else {
            state.append(bytes);
        }
        self.flush_now(state)
    }

    fn flush_now(self: &Arc<Self>, mut state: MutexGuard<'_, State>) -> io::Result<()> {
        if state.draining || state.backlog.is_empty() {
            return self.bounded(state);
        }
        let backlog = std::mem::take(&mut state.backlog);
        let written = state.write_now(&backlog)?;
        if written < backlog.len() {
            state.backlog = backlog;
            state.backlog.advance(written);
            state.draining = true;
            tokio::spawn(Drain(self.clone()));
        }
        self.bounded(state)
    }

    /// Cuts the client off if too much waits for it.
    fn bounded(&self, mut state: MutexGuard<'_, State>) -> io::Result<()> {
        let waiting = state.backlog.len()
            + state
                .behind
                .iter()
                .map(|(_, frames)| frames.len())
                .sum::<usize>();
        if waiting <= self.max_backlog {
            return Ok(());
        }
        state.die();
        drop(state);
        (self.on_slow)(self, waiting);
        Err(io::ErrorKind::BrokenPipe.into())
    }

    /// The crate is done with the stream.
    pub(super) fn end(self: &Arc<Self>) {
        self.flush();
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

impl State {
    /// Keeps frames back until the crate has written what it was handed before.
    fn wait_behind(&mut self, frames: &[u8]) {
        match self.behind.back_mut() {
            Some((handed, waiting)) if *handed == self.handed => waiting.extend_from_slice(frames),
            _ => self.behind.push_back((self.handed, frames.to_vec())),
        }
    }

    /// Appends frames of the crate, and behind each what waits for it.
    fn append(&mut self, bytes: &[u8]) {
        for frame in frames::of_server(bytes) {
            self.backlog.extend_from_slice(frame);
            if self.written < self.handed && frames::is_owed(frame) {
                self.written += 1;
            }
            while let Some((_, frames)) = self
                .behind
                .pop_front_if(|(after, _)| *after <= self.written)
            {
                self.backlog.extend_from_slice(&frames);
            }
        }
    }

    fn write_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut context = Context::from_waker(Waker::noop());
        let Some(io) = &mut self.io else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        match Pin::new(io).poll_write(&mut context, bytes) {
            Poll::Ready(written) => written,
            Poll::Pending => Ok(0),
        }
    }

    pub(super) fn die(&mut self) {
        self.dead = true;
        self.io = None;
        self.backlog = BytesMut::new();
        self.behind = VecDeque::new();
        self.wake_reader();
        if let Some(drainer) = self.drainer.take() {
            drainer.wake();
        }
    }

    /// Opens the gate whose time has run out, unless a reload is being decided.
    pub(super) const fn give_up(&mut self) -> bool {
        if self.postponed == 0 {
            self.connects = 0;
        }
        self.postponed == 0
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

/// Writes the backlog as fast as the network takes it.
struct Drain(Arc<Wire>);

impl Future for Drain {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        while let Some(io) = state.io.as_mut().filter(|_| !state.backlog.is_empty()) {
            state.drainer = Some(context.waker().clone());
            match ready!(Pin::new(io).poll_write(context, &state.backlog)) {
                Ok(written) if written > 0 => state.backlog.advance(written),
                _ => state.die(),
            }
        }
        state.draining = false;
        state.drainer = None;
        state.backlog = BytesMut::new();
        if state.closing {
            state.die();
        } else if state.ending {
            state.io = None;
        }
        Poll::Ready(())
    }
}
