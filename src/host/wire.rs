//! What lies between the network and the Socket.IO crate, for one client.
//!
//! In: frames from the client, handed on in order; what follows a CONNECT in the same breath waits until the socket
//! exists. Out: frames to the client. The crate may always write: what the network does not take at once waits
//! here, where its bytes are counted, and a client that lets too much pile up is cut off.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
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

use super::seats::Seat;

/// So long frames wait behind a CONNECT that nobody answers.
pub(super) const GATE: Duration = Duration::from_millis(50);
/// So long packets have to leave when a connection is closed.
const CLOSING: Duration = Duration::from_millis(200);
/// So long a client has to take what still waits for it when its connection ends.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What the host knows of one client's connection, whichever transport it uses.
#[derive(Debug)]
pub(crate) struct Wire {
    peer: Option<SocketAddr>,
    max_backlog: usize,
    /// Called once when the client is cut off, with the bytes that waited for it.
    on_slow: fn(&Self, usize),
    /// Tells a request of the polling transport that the gate is open.
    open: Notify,
    /// Whom to tell.
    pub(super) host: std::sync::Weak<super::Inner>,
    /// Ends a session that began with polling.
    end_session: OnceLock<EndSession>,
    state: Mutex<State>,
}

/// See [`Wire::close`].
struct EndSession(Box<dyn Fn() + Send + Sync>);

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
        host: std::sync::Weak<super::Inner>,
        on_slow: fn(&Self, usize),
    ) -> Arc<Self> {
        Arc::new(Self {
            peer,
            max_backlog,
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

    /// Has the host make the namespace that a CONNECT asks for, if it is one that is made on demand.
    pub(super) fn ensure(&self, namespace: &str) {
        if let Some(host) = self.host.upgrade() {
            host.ensure(namespace);
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
        !self.lock().backlog.is_empty()
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

    pub(super) fn write(self: &Arc<Self>, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        if state.dead {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let written = if state.backlog.is_empty() {
            state.write_now(bytes)?
        } else {
            0
        };
        let rest = bytes.get(written..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        state.backlog.extend_from_slice(rest);
        let waiting = state.backlog.len();
        if waiting > self.max_backlog {
            state.die();
            drop(state);
            (self.on_slow)(self, waiting);
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if !state.draining {
            state.draining = true;
            tokio::spawn(Drain(self.clone()));
        }
        Ok(())
    }

    /// The crate is done with the stream.
    pub(super) fn end(self: &Arc<Self>) {
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
