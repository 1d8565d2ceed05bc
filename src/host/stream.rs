//! The stream that the Socket.IO crate is handed for a WebSocket: the crate's end of a [`Wire`].

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::BytesMut;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{
    cut::too_many,
    frames::Scanner,
    wire::{GATE, Wire},
};

/// How a WebSocket ends: a frame of a client without payload.
const CLOSE: [u8; 6] = [0x88, 0x80, 0, 0, 0, 0];

type OnEnd = Box<dyn FnOnce() + Send>;

/// The crate's end of a [`Wire`].
pub(super) struct WireStream {
    wire: Arc<Wire>,
    scanner: Scanner,
    /// Read, but behind a CONNECT that was not answered yet.
    held: BytesMut,
    gate: Option<Pin<Box<Sleep>>>,
    /// The crate was told that the client is gone.
    ended: bool,
    on_end: Option<OnEnd>,
}

impl WireStream {
    /// A stream over `io`, from which `read` was read already. `None` when the wire has a stream.
    pub(super) fn new(wire: Arc<Wire>, io: TokioIo<Upgraded>, read: BytesMut) -> Option<Self> {
        {
            let mut state = wire.lock();
            if state.io.is_some() || state.dead {
                return None;
            }
            state.io = Some(io);
        }
        wire.unpolled.clear();
        Some(Self {
            wire,
            scanner: Scanner::default(),
            held: read,
            gate: None,
            ended: false,
            on_end: None,
        })
    }

    /// Calls this when the stream ends.
    pub(super) fn on_end(&mut self, call: impl FnOnce() + Send + 'static) {
        self.on_end = Some(Box::new(call));
    }

    /// Whether frames may pass; otherwise the task is woken when they may.
    fn poll_gate(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(gate) = &mut self.gate else {
            return Poll::Ready(());
        };
        let mut state = self.wire.lock();
        if state.connects > 0 && !state.dead {
            state.wait(context);
            drop(state);
            ready!(gate.as_mut().poll(context));
            while !self.wire.lock().give_up() {
                gate.as_mut().reset(Instant::now() + GATE);
                ready!(gate.as_mut().poll(context));
            }
        }
        self.gate = None;
        Poll::Ready(())
    }

    /// Hands on what may pass of bytes that were read, and keeps the rest.
    fn pass(&mut self, bytes: &[u8]) -> usize {
        let passed = self.scanner.pass(bytes);
        let attachments = self.scanner.attachments();
        if attachments > 0 && attachments > self.wire.max_attachments() {
            self.wire.cut_off(too_many(attachments));
        }
        if let Some(namespace) = self.scanner.connect() {
            self.wire.ensure(namespace);
            self.wire.connect_passed();
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
        // The answers to what was read before.
        this.wire.flush();
        ready!(this.poll_gate(context));
        if !this.held.is_empty() {
            let mut held = std::mem::take(&mut this.held);
            let fits = held.split_to(held.len().min(buffer.remaining()));
            let passed = this.pass(&fits);
            let (now, later) = fits.split_at(passed);
            buffer.put_slice(now);
            this.held.extend_from_slice(later);
            this.held.extend_from_slice(&held);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        {
            let mut state = this.wire.lock();
            state.wait(context);
            let io = match &mut state.io {
                Some(io) if !buffer.initialize_unfilled().is_empty() => io,
                Some(_) => return Poll::Ready(Ok(())),
                None => return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
            };
            let read = ready!(Pin::new(io).poll_read(context, buffer));
            if (read.is_err() || buffer.filled().len() == before) && !this.ended {
                this.ended = true;
                // As in Node, a client that goes without a word has closed its transport.
                if this.scanner.is_between_frames() && buffer.remaining() >= CLOSE.len() {
                    buffer.put_slice(&CLOSE);
                    return Poll::Ready(Ok(()));
                }
            }
            read?;
        }
        let new = buffer.filled().get(before..).unwrap_or_default();
        let passed = this.pass(new);
        this.held
            .extend_from_slice(new.get(passed..).unwrap_or_default());
        buffer.set_filled(before + passed);
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

    /// The crate flushes when it has written all there is.
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
