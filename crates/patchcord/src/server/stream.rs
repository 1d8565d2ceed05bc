//! TCP stream of a client, whose writes have a time limit while it speaks HTTP.

use std::{
    error::Error,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use super::tcp_limit::Permit;

/// Error of a [`Stream`] whose client accepts no data.
#[derive(Debug, thiserror::Error)]
#[error("the client accepted nothing within the time limit")]
struct Unread;

/// Returns `true` if a connection failed because its client accepted no data.
pub(super) fn is_unread(error: &hyper::Error) -> bool {
    let error = error.source().and_then(|e| e.downcast_ref::<io::Error>());
    let inner = error.and_then(io::Error::get_ref);
    inner.is_some_and(|inner| inner.is::<Unread>())
}

/// Stream that fails if the client does not accept a single byte within a time limit.
///
/// After an upgrade the stream has no time limit, because the wire of the WebSocket limits the data that waits for its
/// client.
#[derive(Debug)]
pub(super) struct Stream {
    tcp: TcpStream,
    write_timeout: Duration,
    /// Timer that runs while a write waits for the network.
    timer: Option<Pin<Box<Sleep>>>,
    is_upgraded: Arc<AtomicBool>,
    /// Permit of the connection, which ends with its stream.
    _permit: Permit,
}

impl Stream {
    pub(super) fn new(tcp: TcpStream, write_timeout: Duration, permit: Permit) -> Self {
        Self {
            tcp,
            write_timeout,
            timer: None,
            is_upgraded: Arc::default(),
            _permit: permit,
        }
    }

    /// Returns the flag that has to be set when the connection is upgraded to a WebSocket.
    pub(super) fn is_upgraded(&self) -> Arc<AtomicBool> {
        self.is_upgraded.clone()
    }

    /// Returns the result of a write, or an error if writes have waited for too long.
    #[inline]
    fn timed(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written.is_ready() && self.timer.is_none() {
            true => written,
            false => self.after_waiting(context, written),
        }
    }

    /// Does the same as [`timed`](Self::timed) for a write that waits, or has waited.
    fn after_waiting(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() || self.is_upgraded.load(Ordering::Relaxed) {
            self.timer = None;
            return written;
        }
        let limit = self.write_timeout;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
        ready!(timer.as_mut().poll(context));
        self.timer = None;
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, Unread)))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write(context, bytes);
        self.timed(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.tcp).poll_write_vectored(context, parts);
        self.timed(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
