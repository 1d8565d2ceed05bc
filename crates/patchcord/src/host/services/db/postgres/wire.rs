//! Stream of a connection to a server, which looks at the messages that pass.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_postgres::config::Host;

use super::tls::{Stream, Tls, TlsFailure};
use crate::host::services::db::failure::Failure;

/// Size of the head of a message in bytes: its type, and its length.
const HEAD: usize = 5;
/// Size of the length of a message in bytes, which counts itself.
const LENGTH: u32 = 4;
/// Type of the message that the server sends when it has finished a request.
const READY: u8 = b'Z';
/// Status of a connection outside a transaction, in that message.
pub(super) const OUTSIDE_TRANSACTION: u8 = b'I';

/// State of a connection, as the server has reported it last.
#[derive(Debug, Default)]
pub(super) struct Seen {
    status: AtomicU8,
    is_too_large: AtomicBool,
}

impl Seen {
    /// Returns the status in the last message that a request is finished.
    pub(super) fn status(&self) -> u8 {
        self.status.load(Ordering::Acquire)
    }

    /// Returns `true` if the server has sent a message that is too large.
    pub(super) fn is_too_large(&self) -> bool {
        self.is_too_large.load(Ordering::Acquire)
    }
}

/// Stream of a connection. It ends with an error before a message that is larger than the maximum, which tokio-postgres
/// would read into memory as a whole.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    seen: Arc<Seen>,
    maximum: usize,
    /// Head of the current message, as far as it has arrived.
    head: Vec<u8>,
    /// Number of bytes of the current message that follow.
    body: usize,
    is_ready: bool,
}

impl Wire {
    /// Connects to a server. `maximum` is the size of the largest message that is read, in bytes.
    pub(super) async fn connect(
        host: &Host,
        port: u16,
        tls: &Tls,
        maximum: usize,
    ) -> Result<(Self, Arc<Seen>), Failure> {
        let failed = |reason: &str, error: &str| {
            Failure::with_detail(reason, &format!("{host:?} port {port}: {error}"))
        };
        let unreachable = |error: io::Error| {
            let reason = format!("the database cannot be reached: {}", error.kind());
            failed(&reason, &error.to_string())
        };
        let stream: Box<dyn Stream> = match host {
            Host::Tcp(name) => {
                let stream = tcp(name, port).await.map_err(unreachable)?;
                let encrypted = tls.encrypt(stream, name).await;
                encrypted.map_err(|failure| match failure {
                    TlsFailure::Network(error) => unreachable(error),
                    TlsFailure::Refused { reason, detail } => {
                        let reason =
                            format!("the connection to the database cannot be encrypted: {reason}");
                        failed(&reason, &detail)
                    }
                })?
            }
            Host::Unix(folder) => {
                let stream = UnixStream::connect(folder.join(format!(".s.PGSQL.{port}")));
                Box::new(stream.await.map_err(unreachable)?)
            }
        };
        let seen = Arc::<Seen>::default();
        let wire = Self {
            stream,
            seen: seen.clone(),
            maximum,
            head: Vec::with_capacity(HEAD),
            body: 0,
            is_ready: false,
        };
        Ok((wire, seen))
    }

    fn look(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some((first, rest)) = bytes.split_first() {
            if self.body > 0 {
                if std::mem::take(&mut self.is_ready) {
                    self.seen.status.store(*first, Ordering::Release);
                }
                let passed = self.body.min(bytes.len());
                self.body -= passed;
                bytes = bytes.get(passed..).unwrap_or_default();
                continue;
            }
            self.head.push(*first);
            bytes = rest;
            if let [kind, length @ ..] = self.head.as_slice()
                && let Ok(length) = <[u8; 4]>::try_from(length)
            {
                self.is_ready = *kind == READY;
                self.body = u32::from_be_bytes(length).saturating_sub(LENGTH) as usize;
                self.head.clear();
                if self.body > self.maximum {
                    self.seen.is_too_large.store(true, Ordering::Release);
                    return Err(io::Error::other("a message of the server is too large"));
                }
            }
        }
        Ok(())
    }
}

async fn tcp(name: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((name, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        Poll::Ready(self.look(read))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
