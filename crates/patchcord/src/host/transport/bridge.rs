//! Stream that socketioxide receives for each client, as if the client had a WebSocket: the side of a [`Wire`] that
//! socketioxide uses.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::wire::Wire;

/// Side of a [`Wire`] that socketioxide uses.
pub(super) struct Bridge {
    wire: Arc<Wire>,
    /// Bytes from the inbox of the wire, which socketioxide reads.
    handing: Vec<u8>,
    /// Number of bytes of `handing` that socketioxide has read.
    handed: usize,
}

impl Bridge {
    pub(super) const fn new(wire: Arc<Wire>) -> Self {
        Self {
            wire,
            handing: Vec::new(),
            handed: 0,
        }
    }
}

impl AsyncRead for Bridge {
    /// Reads the frames that wait for socketioxide.
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.handing.is_empty() {
            let inbox = self.wire.lock().poll_inbox(context);
            self.handing = ready!(inbox)?;
        }
        let rest = self.handing.get(self.handed..).unwrap_or_default();
        let (now, later) = rest.split_at(rest.len().min(buffer.remaining()));
        buffer.put_slice(now);
        let (count, is_last) = (now.len(), later.is_empty());
        match is_last {
            true => (self.handing, self.handed) = (Vec::new(), 0),
            false => self.handed += count,
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Bridge {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.wire.write(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.wire.end();
    }
}
