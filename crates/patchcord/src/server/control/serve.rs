//! Listeners of the control channel, and the answers to requests.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{
        AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, copy, sink,
    },
    net::{TcpListener, UnixStream},
    sync::Semaphore,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    commands,
    protocol::{self, MAX_REQUEST, Refusal, Reply, Request},
    token::is_same,
    unix::UnixSocket,
};
use crate::host::Host;

/// Maximum number of open connections; further connections are closed with an error.
const MAX_CONNECTIONS: usize = 64;
/// Maximum time for a client to send its next request.
const IDLE: Duration = Duration::from_secs(600);
/// Maximum time for a client to accept an answer.
const TAKING: Duration = Duration::from_secs(10);
/// Maximum time in which further input of a client is read before the connection is closed, so that the client receives
/// the last answer.
const LINGER: Duration = Duration::from_secs(1);
/// Delay after a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(500);

/// Listeners for requests, and their connections.
#[derive(Debug)]
pub(super) struct Listeners {
    host: Host,
    seats: Arc<Semaphore>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

/// Kind of a line that a client sent.
enum Line {
    Request,
    TooLong,
    End,
}

impl Listeners {
    pub(super) fn new(host: Host) -> Arc<Self> {
        Arc::new(Self {
            host,
            seats: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        })
    }

    pub(super) async fn shutdown(&self, limit: Duration) {
        self.closing.cancel();
        self.tasks.close();
        // Requests that still run after this time end with the process.
        let _ = timeout(limit, self.tasks.wait()).await;
    }

    pub(super) fn serve_unix(self: Arc<Self>, socket: UnixSocket) {
        let this = self.clone();
        self.tasks.spawn(async move {
            while let Some(accepted) = this.until_closed(socket.listener.accept()).await {
                match accepted {
                    Ok((stream, _)) if is_own(&stream) => this.accept(stream, None),
                    Ok(_) => {}
                    Err(_) => sleep_until(Instant::now() + PAUSE).await,
                }
            }
        });
    }

    pub(super) fn serve_tcp(self: Arc<Self>, listener: TcpListener, token: Arc<str>) {
        let this = self.clone();
        self.tasks.spawn(async move {
            while let Some(accepted) = this.until_closed(listener.accept()).await {
                match accepted {
                    Ok((stream, _)) => this.accept(stream, Some(token.clone())),
                    Err(_) => sleep_until(Instant::now() + PAUSE).await,
                }
            }
        });
    }

    async fn until_closed<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => None,
            done = future => Some(done),
        }
    }

    fn accept<S>(self: &Arc<Self>, mut stream: S, token: Option<Arc<str>>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (this, seat) = (self.clone(), self.seats.clone().try_acquire_owned());
        self.tasks.spawn(async move {
            match seat {
                // On an error, the client is gone or accepts no data.
                Ok(_seat) => drop(this.talk(stream, token.as_deref()).await),
                Err(_) => {
                    let refusal = Refusal::new("too many control connections are open");
                    drop(send(&mut stream, &answer(Err(refusal))).await);
                }
            }
        });
    }

    /// Answers the requests of a connection, one after the other.
    async fn talk<S>(&self, stream: S, token: Option<&str>) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            let next = timeout(IDLE, read(&mut stream, &mut line));
            let Some(Ok(next)) = self.until_closed(next).await else {
                return Ok(());
            };
            match next? {
                Line::End => return Ok(()),
                Line::TooLong => {
                    let error = format!("a request is longer than {MAX_REQUEST} bytes");
                    send(&mut stream, &answer(Err(Refusal::usage(error)))).await?;
                    return close_gracefully(stream).await;
                }
                Line::Request if line.trim_ascii().is_empty() => {}
                Line::Request => {
                    let (answer, is_trusted) = self.answer(&line, token).await;
                    send(&mut stream, &answer).await?;
                    if !is_trusted {
                        return close_gracefully(stream).await;
                    }
                }
            }
        }
    }

    /// Returns the answer to a line, with `true` if the client may send further ones.
    async fn answer(&self, line: &[u8], token: Option<&str>) -> (String, bool) {
        let Request {
            id,
            command,
            arguments,
            token: given,
        } = match serde_json::from_slice(line) {
            Ok(request) => request,
            Err(error) => {
                let refusal = Refusal::usage(format!("not a request: {error}"))
                    .hint("a request is one line such as `{\"command\": \"versions\"}`");
                return (answer(Err(refusal)), token.is_none());
            }
        };
        if token.is_some_and(|token| !is_same(token, &given.unwrap_or_default())) {
            let refusal = Refusal::new("the token is missing or wrong");
            return (protocol::line(&id, Err(refusal)), false);
        }
        let done = commands::run(self.host.clone(), &command, arguments).await;
        (protocol::line(&id, done), true)
    }
}

/// Returns `true` if the other end belongs to the user of this process, or to the superuser.
fn is_own(stream: &UnixStream) -> bool {
    let own = rustix::process::getuid().as_raw();
    let peer = stream.peer_cred().map(|peer| peer.uid());
    peer.is_ok_and(|peer| peer == own || peer == 0)
}

fn answer(answer: Result<Reply, Refusal>) -> String {
    protocol::line(&serde_json::Value::Null, answer)
}

/// Reads a line, of at most [`MAX_REQUEST`] bytes.
async fn read<S: AsyncRead + Unpin>(
    stream: &mut BufReader<S>,
    line: &mut Vec<u8>,
) -> io::Result<Line> {
    let mut bounded = stream.take(MAX_REQUEST as u64 + 1);
    bounded.read_until(b'\n', line).await?;
    Ok(match line.last() {
        None => Line::End,
        Some(_) if line.len() > MAX_REQUEST => Line::TooLong,
        Some(_) => Line::Request,
    })
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, line: &str) -> io::Result<()> {
    let sent = timeout(TAKING, async {
        stream.write_all(line.as_bytes()).await?;
        stream.flush().await
    });
    sent.await?
}

/// Ends a connection so that its client still receives the last answer.
async fn close_gracefully<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufReader<S>,
) -> io::Result<()> {
    stream.shutdown().await?;
    // A client that sends for longer than this loses its connection.
    let _ = timeout(LINGER, copy(&mut stream, &mut sink())).await;
    Ok(())
}
