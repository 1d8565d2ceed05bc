//! Session of one client: everything between the network and socketioxide.
//!
//! In: the packets of the client, by polling or by a WebSocket. The wire passes events and acks to the sockets of the
//! client, and everything else (CONNECT, DISCONNECT, pongs) to socketioxide, which sees each client as a WebSocket: see
//! [`Bridge`](super::bridge::Bridge). Packets that follow a CONNECT wait until the socket exists.
//!
//! Out: one send queue for both transports. Sending never waits: data that the network does not accept, or that the
//! client does not poll, stays in the queue and is counted there. If too much data waits for a client, the client is
//! disconnected.

mod cutoff;
mod incoming;
mod polled;
mod shutdown;

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use parking_lot::{Mutex, MutexGuard};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use super::{
    admission::ConnectionPermit,
    client_frames,
    connects::{Connects, Kept},
    flush::{Flush, schedule_flush},
    packet::{self, Partial},
    protocol::{CLOSE, PONG},
    rate::Rate,
    request::Headers,
    requests::Requests,
    send_queue::{Amount, Frames, MAX_SLICES, SendQueue},
    server_frames::{self, Frame},
    sessions::Sessions,
    sockets::{Receiver, Sockets},
    stalled_queues::{SlowClient, StalledQueues, Ticket},
};
use crate::{
    connection::Client,
    event::HostEvent,
    host::{announce::Announcer, namespaces::Namespaces, options::Options},
};

/// Threshold in bytes: a queue of this size is written before the call that sends to it has ended.
const FLUSH_THRESHOLD_BYTES: usize = 64 * 1024;
/// Maximum time for sending the waiting packets when the host closes a session.
const CLOSING: Duration = Duration::from_millis(200);
/// Maximum time for a client to receive the waiting data when its session ends.
const FINAL_DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum number of CONNECTs of a client per second, after the burst for its first namespaces. The maximum is a tenth
/// of `max-events-per-second` if that is less, and at least 1.
const MAX_CONNECTS: usize = 10;

/// Number of wires that were dropped.
static GONE: AtomicU64 = AtomicU64::new(0);

/// Returns the number of clients that have disconnected and whose memory is freed.
#[cfg(feature = "internals")]
pub fn clients_disconnected() -> u64 {
    GONE.load(Ordering::Relaxed)
}

/// State that the wires of a host share.
#[derive(Debug)]
pub(in crate::host) struct WireContext {
    pub(in crate::host) options: Arc<Options>,
    pub(in crate::host) announcer: Arc<Announcer>,
    /// Namespaces of the host. Weak, because they lead to sockets, and sockets hold their wires.
    pub(in crate::host) namespaces: Weak<Namespaces>,
    /// Tasks that write waiting data to clients. The close of the host waits for them.
    pub(in crate::host) writes: TaskTracker,
    /// Sessions, by their secret ids.
    pub(in crate::host) sessions: Sessions<Wire>,
    /// Send queues that their clients do not empty.
    pub(in crate::host) stalled: Arc<StalledQueues>,
}

impl WireContext {
    /// Returns the maximum amount that may wait for a client.
    fn max_backlog(&self) -> Amount {
        Amount {
            packets: self.options.transport.max_backlog_packets,
            bytes: self.options.transport.max_backlog,
        }
    }
}

/// Additions to the answer to a CONNECT, for clients that may come back.
#[derive(Debug, Default)]
pub(in crate::host) struct Greeting<'a> {
    /// Secret with which the client may come back.
    pub(in crate::host) pid: Option<&'a str>,
    /// Frames of the events that the client has missed. As in Node, they are sent before the answer.
    pub(in crate::host) missed: Vec<Bytes>,
}

/// Request that opened a session.
#[derive(Debug)]
pub(in crate::host) struct Opening {
    /// Address of the client, or of a proxy that the host is not configured to trust.
    pub(in crate::host) peer: Option<SocketAddr>,
    pub(in crate::host) uri: Box<str>,
    pub(in crate::host) headers: Headers,
}

/// Session of one client.
///
/// The fields that an event needs come first and next to each other, here and in [`State`]. With many clients, they are
/// in none of the processor's caches, and the processor fetches 64 bytes at a time.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Wire {
    context: Arc<WireContext>,
    /// Packet of the client whose attachments have not all arrived.
    partial: Mutex<Option<Box<Partial>>>,
    state: Mutex<State>,
    /// Limit on the packets of the client; `None` if there is none.
    rate: Option<Rate>,
    /// `true` after the first CONNECT of the client.
    has_connected: AtomicBool,
    /// Limit on the CONNECTs of the client after the first one, because each runs `on_handshake` and `on_connection`.
    connect_rate: OnceLock<Box<Rate>>,
    /// Secret id of the session, by which `Sessions` finds the wire.
    sid: Arc<str>,
    opening: Opening,
}

#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct State {
    /// Frames that wait for the network, or for the next poll.
    queue: SendQueue,
    /// WebSocket of the client.
    io: Option<TokioIo<Upgraded>>,
    /// Frames that wait for socketioxide to read them.
    inbox: Vec<u8>,
    pub(super) connects: Connects,
    sockets: Sockets,
    /// Requests of the polling transport; `None` on a WebSocket.
    polling: Option<Box<Requests>>,
    /// Waker of the task that reads the WebSocket.
    reader: Option<Waker>,
    /// Number of sockets whose `on_connection` is running. Nothing is sent while there are any.
    held: u32,
    /// `true` while socketioxide has handled everything that the wire has passed to it.
    is_idle: bool,
    /// `true` while the WebSocket holds written bytes in a buffer of its own, as TLS does.
    unflushed: bool,
    /// `true` while a task writes the queue.
    draining: bool,
    /// `true` while a flush of the queue is scheduled.
    schedule_flush: bool,
    /// `true` after socketioxide has closed or dropped its stream: after that, only the rest of the queue is written.
    ending: bool,
    /// `true` while the session closes: it ends as soon as no data waits any more.
    closing: bool,
    /// `true` after the session has ended and its queue was discarded.
    dead: bool,
    /// `true` after the wire has answered the first ping of socketioxide: see [`Wire::write`].
    has_pinged: bool,
    /// `true` after socketioxide has closed the WebSocket.
    has_closed: bool,
    /// `true` if no CONNECT is answered any more, because the server ends.
    refuses_connects: bool,
    /// Number of sockets for which [`Wire::shut_down`] was called.
    shut_down_sockets: usize,
    /// `true` once the close of a graceful shutdown has begun. From then on, nothing else is sent to the client.
    is_shutting_down: bool,
    /// Number of pings that the client has not answered.
    unanswered_pings: u32,
    /// `true` while the client has not answered the last ping, which precedes the end of the session.
    awaits_pong: bool,
    /// `true` after the network connection of the WebSocket has ended.
    has_ended: bool,
    /// `true` if the waiting data of a polling client is kept for its next poll after the end of the session.
    lingers: bool,
    /// Membership of the queue in [`StalledQueues`], while the client does not empty the queue.
    ticket: Option<Ticket>,
    /// Waker of the task in which socketioxide reads.
    bridge: Option<Waker>,
    /// Waker of the task that writes the queue, because the network does not wake this task when the stream is dropped.
    drainer: Option<Waker>,
    /// Number of sockets that the server has ended, and whose DISCONNECT socketioxide has not written yet.
    unwritten_ends: usize,
    /// Reason why the host has ended the session, in Node's wording.
    reason: Option<&'static str>,
    /// Permit of the session, held until the client disconnects or the wire is dropped.
    permit: Option<ConnectionPermit>,
}

impl Wire {
    /// Creates the wire of a new session, which begins with polling if `polls` is `true`, and otherwise with a
    /// WebSocket.
    pub(super) fn new(
        context: Arc<WireContext>,
        opening: Opening,
        permit: ConnectionPermit,
        polls: bool,
    ) -> Arc<Self> {
        let rate = context.options.clients.max_events_per_second;
        let wire = Arc::new(Self {
            rate: rate.map(Rate::new),
            connect_rate: OnceLock::new(),
            has_connected: AtomicBool::new(false),
            opening,
            sid: super::secret::new().into(),
            partial: Mutex::default(),
            state: Mutex::new(State {
                permit: Some(permit),
                polling: polls.then(Box::default),
                ..State::default()
            }),
            context,
        });
        wire.context.sessions.add(&wire.sid, &wire);
        wire
    }

    /// Returns the request that opened the session.
    pub(in crate::host) const fn opening(&self) -> &Opening {
        &self.opening
    }

    /// Returns the client of all sockets of the session.
    pub(in crate::host) fn client(&self) -> Client {
        Client::new(&self.sid)
    }

    /// Returns the secret id of the session.
    pub(super) fn sid(&self) -> &str {
        &self.sid
    }

    /// Returns `true` if the client has a WebSocket.
    pub(in crate::host) fn is_websocket(&self) -> bool {
        self.lock().polling.is_none()
    }

    /// Returns `true` if the session has ended, or is ending and no data waits for the client any more.
    pub(super) fn is_over(&self) -> bool {
        let state = self.lock();
        state.dead || state.ending && state.queue.is_empty()
    }

    /// Returns the reason why the host has ended the session, if it has.
    pub(in crate::host) fn reason(&self) -> Option<&'static str> {
        self.lock().reason
    }

    /// Returns the options of the host.
    pub(super) fn options(&self) -> &Options {
        &self.context.options
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Returns the limit on the CONNECTs of the client.
    fn connect_rate(&self) -> &Rate {
        self.connect_rate.get_or_init(|| {
            let options = self.options();
            let events = options.clients.max_events_per_second.unwrap_or(usize::MAX);
            let per_second = (events / 10).clamp(1, MAX_CONNECTS);
            let burst = options.clients.max_namespaces_per_client;
            Box::new(Rate::with_burst(per_second, burst))
        })
    }

    /// Sets the WebSocket of the client.
    pub(super) fn attach(&self, io: TokioIo<Upgraded>) {
        self.lock().io = Some(io);
    }

    // --- sockets ---

    /// Records whether a CONNECT waits for a reload.
    pub(in crate::host) fn connect_postponed(&self, namespace: &str, is_postponed: bool) {
        self.lock().connects.postpone(namespace, is_postponed);
    }

    /// Records that socketioxide has begun to handle a CONNECT.
    pub(in crate::host) fn connect_begun(&self, namespace: &str) {
        self.lock().connects.begin(namespace);
    }

    /// Stores the state of an accepted client until its socket opens.
    pub(in crate::host) fn connect_accepted(&self, namespace: &str, kept: Kept) {
        let mut state = self.lock();
        if let Some(permit) = &mut state.permit {
            permit.connected();
        }
        // A session that is over would hold the state forever, because the state refers back to the session.
        let unwanted = match state.is_over() {
            true => Some(kept),
            false => state.connects.accept(namespace, kept),
        };
        drop(state);
        drop(unwanted);
    }

    /// Removes and returns the stored state of an accepted client.
    pub(in crate::host) fn take_accepted(&self, namespace: &str) -> Option<Kept> {
        self.lock().connects.take_accepted(namespace)
    }

    /// Records the end of a CONNECT: its socket is open, or the client has left. The packets that follow it are no
    /// longer held. A rejected CONNECT ends when socketioxide writes the rejection.
    pub(in crate::host) fn connect_ended(&self, namespace: &str) {
        self.lock().end_connect(namespace);
    }

    /// Answers a CONNECT, and adds its socket. Nothing is sent until the returned guard is dropped, so the client
    /// receives the answer after `on_connection` has run. Returns `None` if the client has left.
    pub(in crate::host) fn open_socket(
        self: &Arc<Self>,
        namespace: &Arc<str>,
        socket: Arc<dyn Receiver>,
        greeting: Greeting<'_>,
    ) -> Option<Hold> {
        let mut state = self.lock();
        if state.is_write_closed() || state.ending {
            return None;
        }
        let answer = packet::connected(namespace, socket.id(), greeting.pid);
        state.sockets.add(namespace, socket);
        state.held += 1;
        for frames in greeting.missed {
            state.queue.push(frames);
        }
        state.push_text(answer.as_bytes());
        Some(Hold(self.clone()))
    }

    /// Ends the socket with this id in a namespace. Returns `false` if it has already ended.
    pub(in crate::host) fn end_socket(&self, namespace: &str, id: &str) -> bool {
        let keep = self.options().clients.max_namespaces_per_client;
        let socket = self.lock().sockets.end(namespace, id, keep);
        socket.is_some()
    }

    /// Claims the end of a socket for the server, just before socketioxide receives it. Returns `false` if the socket
    /// has already ended: the client may have just left the namespace, and socketioxide would disconnect the client
    /// from all namespaces if it received both ends. Returns `true` if the session is over, because socketioxide may
    /// still hold the socket.
    pub(in crate::host) fn claim_disconnect(&self, namespace: &str, id: &str) -> bool {
        let keep = self.options().clients.max_namespaces_per_client;
        let mut state = self.lock();
        if state.is_over() {
            return true;
        }
        let socket = state.sockets.end(namespace, id, keep);
        state.unwritten_ends += usize::from(socket.is_some());
        drop(state);
        socket.is_some()
    }

    // --- sending ---

    /// Returns `true` if a volatile event would wait: other data still waits to be sent to the client, or the client
    /// does not poll.
    pub(in crate::host) fn is_busy(&self) -> bool {
        let state = self.lock();
        let is_ready = match &state.polling {
            Some(polling) => polling.is_polled,
            None => state.io.is_some() && !state.draining,
        };
        !is_ready || !state.queue.is_empty()
    }

    /// Sends the frames of a packet. They are written when the call that sends them has ended, or earlier if much data
    /// waits. Returns `false` if the client has disconnected.
    pub(in crate::host) fn send(self: &Arc<Self>, frames: impl Into<Frames>) -> bool {
        let mut state = self.lock();
        if state.is_write_closed() {
            return false;
        }
        state.queue.push(frames);
        if self.is_flush_scheduled(&mut state) {
            return true;
        }
        self.flush_now(state).is_ok()
    }

    /// Queues the frames of a packet, and writes nothing. Returns `true` if the caller must call
    /// [`Wire::write_waiting`], because nothing else writes the frames soon.
    pub(in crate::host) fn queue(self: &Arc<Self>, frames: impl Into<Frames>) -> bool {
        let mut state = self.lock();
        if state.is_write_closed() {
            return false;
        }
        state.queue.push(frames);
        !self.is_flush_scheduled(&mut state)
    }

    /// Schedules a flush for the end of the current call. Returns `false` if the queue must be flushed now, because
    /// there is no call, or much data waits.
    fn is_flush_scheduled(self: &Arc<Self>, state: &mut State) -> bool {
        state.schedule_flush = state.schedule_flush || schedule_flush(self);
        let waiting = state.queue.amount();
        let is_little =
            waiting.bytes < FLUSH_THRESHOLD_BYTES && waiting.is_within(self.context.max_backlog());
        state.schedule_flush && is_little
    }

    /// Returns frames for several clients. If they are large, their memory counts once for all of these clients.
    pub(in crate::host) fn share(&self, frames: Bytes) -> Frames {
        self.context.stalled.share(frames)
    }

    /// Sends a text packet.
    pub(super) fn send_text(self: &Arc<Self>, text: &[u8]) {
        let mut state = self.lock();
        if state.is_write_closed() {
            return;
        }
        state.push_text(text);
        // The error is ignored, because the reader also notices a broken connection.
        let _ = self.flush_now(state);
    }

    /// Writes the queued data, as far as the network accepts it.
    pub(in crate::host) fn write_waiting(self: &Arc<Self>) {
        let mut state = self.lock();
        state.schedule_flush = false;
        if state.queue.is_empty() {
            return;
        }
        // The error is ignored, because the reader also notices a broken connection.
        let _ = self.flush_now(state);
    }

    /// Accepts what socketioxide writes. Frames about the session itself do not reach the client, because the host has
    /// already sent the same, or because the client must not see them.
    pub(super) fn write(self: &Arc<Self>, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.lock();
        if state.dead {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if state.is_write_closed() {
            return Ok(());
        }
        for frame in server_frames::all(bytes) {
            match server_frames::classify(frame) {
                // The host has opened the session, and answers each CONNECT itself.
                Frame::Open | Frame::Connected => {}
                // socketioxide sends its first ping at once, but a client expects it after an interval, as Node sends
                // it. So the wire answers this one.
                Frame::Ping if !state.has_pinged => {
                    state.has_pinged = true;
                    state.hand_text(&[PONG]);
                }
                Frame::Disconnected => {
                    state.unwritten_ends = state.unwritten_ends.saturating_sub(1);
                    state.queue.push_slice(frame);
                }
                Frame::Refused(namespace) => {
                    if !state.refuses_connects {
                        state.queue.push_slice(frame);
                    }
                    // The CONNECT does not end sooner, because socketioxide would have ignored another CONNECT until
                    // about now.
                    state.end_connect(namespace);
                }
                // A polling client has no WebSocket to control.
                Frame::Control | Frame::Close if state.polling.is_some() => {}
                Frame::Close => {
                    state.has_closed = true;
                    state.queue.push_slice(frame);
                }
                Frame::Ping => {
                    state.unanswered_pings += 1;
                    state.queue.push_slice(frame);
                }
                _ => state.queue.push_slice(frame),
            }
        }
        let is_closing = state.closing;
        self.flush_now(state)?;
        if is_closing {
            self.finish_closing(false);
        }
        Ok(())
    }

    fn flush_now(self: &Arc<Self>, mut state: MutexGuard<'_, State>) -> io::Result<()> {
        if state.held > 0 || state.draining || state.queue.is_empty() {
            return self.bounded(state);
        }
        if state.polling.is_some() {
            state.wake_poll();
            return self.bounded(state);
        }
        state.write_queue(&mut Context::from_waker(Waker::noop()))?;
        if state.has_left() && state.ticket.is_none() {
            return Ok(());
        }
        if !state.has_left() {
            state.draining = true;
            tokio::spawn(Drain {
                wire: self.clone(),
                unread: Box::pin(sleep_until(
                    Instant::now() + self.options().transport.write_timeout,
                )),
                _busy: self.context.writes.token(),
            });
        }
        self.bounded(state)
    }

    /// Disconnects the client if too much data waits for it, and the slowest clients if too much data waits for all
    /// clients together.
    fn bounded(self: &Arc<Self>, mut state: MutexGuard<'_, State>) -> io::Result<()> {
        if !state.queue.amount().is_within(self.context.max_backlog()) {
            drop(state);
            self.disconnect_slow();
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if !state.is_stalled() {
            state.ticket = None;
            return Ok(());
        }
        let State { ticket, queue, .. } = &mut *state;
        let stalled = &self.context.stalled;
        let ticket = ticket.get_or_insert_with(|| {
            let client = Arc::downgrade(self);
            stalled.enter(client)
        });
        let is_exceeded = ticket.report(queue);
        drop(state);
        if is_exceeded {
            stalled.relieve();
        }
        Ok(())
    }

    // --- end of the session ---

    /// Ends all sockets of the client, and then the session: when all queued data has been sent, or after [`CLOSING`].
    pub(in crate::host) fn close(self: &Arc<Self>) {
        let sockets: Vec<_> = self.lock().sockets.live().cloned().collect();
        for socket in sockets {
            socket.disconnect();
        }
        self.lock().closing = true;
        self.finish_closing(false);
        let wire = self.clone();
        tokio::spawn(async move {
            sleep_until(Instant::now() + CLOSING).await;
            wire.write_waiting();
            wire.finish_closing(true);
        });
    }

    /// Ends a session that closes, if no data waits any more or `in_any_case` is `true`.
    fn finish_closing(&self, in_any_case: bool) {
        let mut state = self.lock();
        let is_due = state.closing && (in_any_case || state.unwritten_ends == 0);
        if !is_due || state.is_over() {
            return;
        }
        if state.polling.is_some() {
            (state.closing, state.lingers) = (false, true);
            // The next poll receives the waiting data.
            state.push_text(&[CLOSE]);
            state.hand_text(&[CLOSE]);
            state.wake_poll();
        } else if in_any_case || state.queue.is_empty() {
            state.abort_now(None);
        }
    }

    /// Releases the permit of a client that has announced its disconnect, because socketioxide may keep the client for
    /// a while.
    fn left(&self) {
        self.lock().permit = None;
    }

    /// Ends the session at once, for a reason in Node's wording, and discards the data that waits for the client.
    pub(in crate::host) fn abort(&self, reason: &'static str) {
        self.lock().abort_now(Some(reason));
    }

    /// Ends the session, because socketioxide has closed or dropped its stream. Waiting data may still be sent, for at
    /// most [`FINAL_DRAIN_TIMEOUT`].
    pub(super) fn end(self: &Arc<Self>) {
        self.write_waiting();
        let mut state = self.lock();
        state.ending = true;
        state.permit = None;
        let sockets = std::mem::take(&mut state.sockets);
        let connects = std::mem::take(&mut state.connects);
        state.wake_poll();
        state.wake_poster();
        wake(&mut state.reader);
        let waits = match &state.polling {
            // A poll receives the waiting data, and ends the session for the client.
            Some(polling) => !state.queue.is_empty() && (state.lingers || polling.is_polled),
            None => state.draining,
        };
        if !waits || state.dead {
            state.abort_now(None);
        } else {
            let wire = self.clone();
            tokio::spawn(async move {
                sleep_until(Instant::now() + FINAL_DRAIN_TIMEOUT).await;
                wire.lock().abort_now(None);
            });
        }
        drop(state);
        drop((sockets, connects));
    }
}

impl SlowClient for Wire {
    fn disconnect_slow(&self) {
        let mut state = self.lock();
        let waiting = state.queue.amount();
        // Read before the end, because another thread may then remove the sockets at once.
        let socket = state.socket_id();
        let is_first = state.abort_now(Some("transport error"));
        drop(state);
        if is_first {
            self.context.announcer.announce(HostEvent::SlowConsumer {
                peer: self.opening.peer,
                socket,
                queued_packets: waiting.packets,
                queued_bytes: waiting.bytes,
            });
        }
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
        self.context.sessions.remove(&self.sid);
        GONE.fetch_add(1, Ordering::Relaxed);
    }
}

/// Guard that holds back all data of the session while `on_connection` of a new socket runs.
pub(in crate::host) struct Hold(Arc<Wire>);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.lock().held -= 1;
        self.0.write_waiting();
    }
}

impl State {
    /// Returns the public id of one of the client's sockets, for announcements: the first one that has not ended.
    fn socket_id(&self) -> Option<String> {
        let first = self.sockets.live().next();
        first.map(|socket| socket.id().to_owned())
    }

    /// Returns `true` if the session has ended, or is ending and sends only the data that already waits.
    pub(super) const fn is_over(&self) -> bool {
        self.dead || self.ending
    }

    /// Ends the session at once. `reason` is set if the host ends it, in Node's wording. Returns `false` if the session
    /// has already ended.
    fn abort_now(&mut self, reason: Option<&'static str>) -> bool {
        let is_first = !std::mem::replace(&mut self.dead, true);
        self.reason = self.reason.or(reason);
        if !self.draining && !self.has_closed {
            self.close_websocket();
        }
        self.io = None;
        self.queue = SendQueue::default();
        self.ticket = None;
        self.wake_poll();
        self.wake_poster();
        wake(&mut self.reader);
        wake(&mut self.bridge);
        wake(&mut self.drainer);
        is_first
    }

    /// Returns `true` if the client does not empty the queue.
    fn is_stalled(&self) -> bool {
        let does_not_poll = self.polling.as_ref().is_some_and(|one| !one.is_polled);
        !self.queue.is_empty() && (self.draining || does_not_poll)
    }

    /// Reports the size of a queue that has not grown.
    fn report(&mut self) {
        if let Some(ticket) = &mut self.ticket {
            // An exceeded limit is ignored here: the next report of a queue that grows disconnects clients.
            let _ = ticket.report(&self.queue);
        }
    }

    /// Sends a close frame to the client, if the network accepts it at once.
    fn close_websocket(&mut self) {
        if let Some(io) = &mut self.io {
            let mut context = Context::from_waker(Waker::noop());
            // An error is ignored, because the end of the connection has the same meaning for the client.
            let _ = Pin::new(io).poll_write(&mut context, &server_frames::CLOSE);
        }
    }

    /// Stops holding packets behind CONNECTs, because the time limit is over. Returns `false` if the packets still
    /// wait: for a reload, or because socketioxide has ignored a CONNECT, which is passed to it again.
    pub(super) fn end_connect_hold(&mut self) -> bool {
        let ignored = self.connects.ignored();
        if ignored.is_empty() {
            return self.connects.give_up();
        }
        ignored.iter().for_each(|packet| self.hand_text(packet));
        false
    }

    /// Removes a CONNECT that is in progress. Packets are no longer held if it was the last one.
    fn end_connect(&mut self, namespace: &str) {
        self.connects.end(namespace);
        if !self.connects.hold_packets() {
            wake(&mut self.reader);
            self.wake_poster();
        }
    }

    /// Queues a text packet for the client.
    fn push_text(&mut self, text: &[u8]) {
        let mut frame = Vec::new();
        server_frames::push(&mut frame, OpCode::Data(Data::Text), text);
        self.queue.push_slice(&frame);
    }

    /// Passes a text packet to socketioxide.
    fn hand_text(&mut self, text: &[u8]) {
        self.hand(|inbox| client_frames::push(inbox, OpCode::Data(Data::Text), text));
    }

    /// Passes frames to socketioxide.
    fn hand(&mut self, push: impl FnOnce(&mut Vec<u8>)) {
        push(&mut self.inbox);
        self.is_idle = false;
        wake(&mut self.bridge);
    }

    /// Returns the frames that wait for socketioxide. If there are none, socketioxide has handled all earlier ones.
    pub(super) fn poll_inbox(&mut self, context: &Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        if !self.inbox.is_empty() {
            return Poll::Ready(Ok(std::mem::take(&mut self.inbox)));
        }
        self.is_idle = true;
        self.wake_poster();
        wake(&mut self.reader);
        if self.is_over() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if self.has_ended {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.bridge = Some(context.waker().clone());
        Poll::Pending
    }

    /// Reads the WebSocket.
    pub(super) fn poll_network(
        &mut self,
        context: &mut Context<'_>,
        read: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.wait(context);
        match &mut self.io {
            Some(io) if !self.ending => Pin::new(io).poll_read(context, read),
            _ => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
        }
    }

    /// Returns `true` if the next packet of the client can be handled at once.
    pub(super) fn is_free(&self) -> bool {
        self.is_idle() && !self.connects.hold_packets() && !self.is_over()
    }

    /// Completes when the reader may handle the next packet, or the session is over.
    pub(super) fn poll_free(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.is_free() || self.is_over() {
            return Poll::Ready(());
        }
        self.wait(context);
        Poll::Pending
    }

    /// Returns `true` if socketioxide has handled everything that the wire has passed to it.
    const fn is_idle(&self) -> bool {
        self.is_idle && self.inbox.is_empty()
    }

    /// Stores the waker of the reader, so that changes of the session wake the reader.
    fn wait(&mut self, context: &Context<'_>) {
        let waker = context.waker();
        if !self.reader.as_ref().is_some_and(|one| one.will_wake(waker)) {
            self.reader = Some(waker.clone());
        }
    }

    /// Returns `true` if the network has accepted everything.
    fn has_left(&self) -> bool {
        self.queue.is_empty() && !self.unflushed
    }

    /// Writes as much of the queue as the network accepts. Returns `true` if it accepted any bytes.
    fn write_queue(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let mut has_written = false;
        while !self.queue.is_empty() {
            let Some(io) = self.io.as_mut() else {
                return Err(io::ErrorKind::NotConnected.into());
            };
            let (written, all) = match self.queue.only() {
                Some(bytes) => (Pin::new(io).poll_write(context, bytes), Some(bytes.len())),
                None => {
                    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                    let slices = self.queue.slices(&mut slices);
                    (Pin::new(io).poll_write_vectored(context, slices), None)
                }
            };
            match written {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => {
                    has_written = true;
                    match all == Some(written) {
                        true => self.queue.clear(),
                        false => self.queue.advance(written),
                    }
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        if let Some(io) = self.io.as_mut() {
            let flushed = Pin::new(io).poll_flush(context)?;
            self.unflushed = flushed.is_pending();
        }
        Ok(has_written)
    }
}

/// Task that writes the queue as fast as the network accepts it, and disconnects a client that accepts nothing for
/// [`TransportOptions::write_timeout`]. The close of the host waits for the task.
struct Drain {
    wire: Arc<Wire>,
    unread: Pin<Box<Sleep>>,
    _busy: TaskTrackerToken,
}

impl Future for Drain {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self { wire, unread, .. } = &mut *self;
        let mut state = wire.lock();
        if !state.dead {
            state.drainer = Some(context.waker().clone());
            match state.write_queue(context) {
                Ok(has_written) if !state.has_left() => {
                    if has_written {
                        let end = Instant::now() + wire.options().transport.write_timeout;
                        unread.as_mut().reset(end);
                    }
                    state.report();
                    if unread.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    drop(state);
                    wire.disconnect_slow();
                    state = wire.lock();
                }
                Ok(_) => {}
                Err(_) => {
                    state.abort_now(Some("transport close"));
                }
            }
        }
        state.draining = false;
        state.drainer = None;
        state.shut_down_write();
        state.ticket = None;
        if state.ending || state.closing && state.unwritten_ends == 0 {
            state.abort_now(None);
        }
        Poll::Ready(())
    }
}

/// Wakes a task that waits.
fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
