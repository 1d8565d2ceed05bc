//! Stream that socketioxide receives for a WebSocket: the side of a [`Wire`] that socketioxide uses.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, BufMut, BytesMut};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, OpCode},
};

use super::{connects::GATE, wire::Wire, ws_frames::Scanner};

/// Maximum bytes of one read from the network.
const AT_ONCE: usize = 16 * 1024;
/// Number of bytes whose answers leave together. The answers leave sooner if nothing more has been read.
const ANSWERED_AT_ONCE: usize = 1024;

thread_local! {
    /// Buffer for the current read.
    static READ: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

type OnEnd = Box<dyn FnOnce() + Send>;

/// Side of a [`Wire`] that socketioxide uses.
pub(super) struct WireStream {
    wire: Arc<Wire>,
    scanner: Scanner,
    /// Bytes that were read, but that exceed the room in socketioxide's buffer, or come behind a CONNECT without an
    /// answer.
    held: BytesMut,
    /// Number of bytes that socketioxide has received since answers last left.
    unanswered: usize,
    gate: Option<Pin<Box<Sleep>>>,
    /// `true` after socketioxide was informed that the client has disconnected.
    ended: bool,
    on_end: Option<OnEnd>,
}

impl WireStream {
    /// Creates a stream over `io`, from which `read` was read already. Returns `None` if the wire has a stream.
    pub(super) fn new(wire: Arc<Wire>, io: TokioIo<Upgraded>, read: BytesMut) -> Option<Self> {
        {
            let mut state = wire.lock();
            if state.io.is_some() || state.dead {
                return None;
            }
            state.io = Some(io);
        }
        if let Some(session) = &wire.session {
            session.unpolled.clear();
        }
        Some(Self {
            wire,
            scanner: Scanner::default(),
            held: read,
            unanswered: 0,
            gate: None,
            ended: false,
            on_end: None,
        })
    }

    /// Sets a function that is called when the stream ends.
    pub(super) fn on_end(&mut self, call: impl FnOnce() + Send + 'static) {
        self.on_end = Some(Box::new(call));
    }

    /// Returns ready if frames may pass; otherwise wakes the task when they may.
    fn poll_gate(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(gate) = &mut self.gate else {
            return Poll::Ready(());
        };
        let mut state = self.wire.lock();
        if state.connects.hold_frames() && !state.dead {
            state.wait(context);
            drop(state);
            ready!(gate.as_mut().poll(context));
            while !self.wire.lock().connects.give_up() {
                gate.as_mut().reset(Instant::now() + GATE);
                ready!(gate.as_mut().poll(context));
            }
        }
        self.gate = None;
        Poll::Ready(())
    }

    /// Reads all available bytes, however little room socketioxide's buffer has: this buffer is small, because it is
    /// kept as long as the connection.
    fn poll_network(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = READ.take();
        bytes.resize(AT_ONCE, 0);
        let mut read = ReadBuf::new(&mut bytes);
        let polled = {
            let mut state = self.wire.lock();
            state.wait(context);
            let io = state.io.as_mut();
            io.map(|io| Pin::new(io).poll_read(context, &mut read))
        };
        let handed = self.hand_on(read.filled(), buffer);
        let rest = read.filled().get(handed..).unwrap_or_default();
        self.held.extend_from_slice(rest);
        let read_nothing = read.filled().is_empty();
        READ.set(bytes);
        match polled {
            Some(Poll::Ready(_)) if read_nothing && self.says_goodbye(buffer) => {
                Poll::Ready(Ok(()))
            }
            Some(polled) => polled,
            None => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
        }
    }

    /// Reports to socketioxide that a client which disconnects without a close frame has closed its transport, as in
    /// Node.
    fn says_goodbye(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let first = !std::mem::replace(&mut self.ended, true);
        let close = FrameHeader {
            opcode: OpCode::Control(Control::Close),
            // Frames of a client have a mask.
            mask: Some([0; 4]),
            ..FrameHeader::default()
        };
        let says = first && self.scanner.is_between_frames() && buffer.remaining() >= close.len(0);
        says && close.format(0, &mut buffer.writer()).is_ok()
    }

    /// Passes on as many bytes as may pass and fit the buffer, and returns their number.
    fn hand_on(&mut self, bytes: &[u8], buffer: &mut ReadBuf<'_>) -> usize {
        let (fits, _) = bytes.split_at(bytes.len().min(buffer.remaining()));
        let passed = self.pass(fits);
        buffer.put_slice(fits.get(..passed).unwrap_or_default());
        self.unanswered += passed;
        passed
    }

    /// Returns how many of these bytes may pass.
    fn pass(&mut self, bytes: &[u8]) -> usize {
        let passed = self.scanner.pass(bytes);
        let attachments = self.scanner.attachments();
        if attachments > 0 {
            self.wire.check_attachments(attachments);
        }
        if self.scanner.has_upgraded() {
            self.wire.upgraded();
        }
        if let Some(namespace) = self.scanner.connect() {
            self.wire.connect_requested(namespace);
            self.gate = Some(Box::pin(sleep_until(Instant::now() + GATE)));
        }
        passed
    }
}

impl AsyncRead for WireStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.held.is_empty() || this.gate.is_some() || this.unanswered >= ANSWERED_AT_ONCE {
            this.wire.write_waiting();
            this.unanswered = 0;
        }
        ready!(this.poll_gate(context));
        if this.held.is_empty() {
            return this.poll_network(context, buffer);
        }
        let mut held = std::mem::take(&mut this.held);
        let handed = this.hand_on(&held, buffer);
        if handed < held.len() {
            held.advance(handed);
            this.held = held;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WireStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.wire.write(bytes).map(|()| bytes.len()))
    }

    /// Handles a flush: socketioxide flushes when it has written everything.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = self.wire.lock();
        if state.closing && state.backlog.next().is_empty() {
            state.die();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for WireStream {
    fn drop(&mut self) {
        self.wire.end();
        if let Some(ended) = self.on_end.take() {
            ended();
        }
    }
}
