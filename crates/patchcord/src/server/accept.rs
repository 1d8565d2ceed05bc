//! Accepts connections and serves HTTP on them. Stays within the limits of a server, whatever clients do.

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    net::SocketAddr,
    os::fd::AsFd,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo, http::StatusCode};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    task::{JoinError, JoinHandle},
    time::{Instant, sleep_until, timeout_at},
};
use tower::ServiceExt;

use super::{
    config::Config,
    head::{self, MAX_HEAD},
    stream::{Stream, is_unread},
    tcp_limit::{Over, Permit, TcpLimit},
};
use crate::host::Host;

/// Delay after a failed accept. By then the system may have a free descriptor again.
const PAUSE: Duration = Duration::from_millis(500);

/// Maximum time from the accept of a connection to the response to its first request, for which a shutdown waits: the
/// client knows nothing of the shutdown, and is about to send its request.
const FIRST_REQUEST_GRACE: Duration = Duration::from_secs(2);

/// Stage of a server, which its connections follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    /// The server accepts no more connections.
    Stopping,
    /// Each connection ends with its running request.
    Ending,
}

/// Server that accepts connections, while it runs.
#[derive(Debug)]
pub(super) struct Accepting {
    listener: Arc<TcpListener>,
    stop: oneshot::Sender<()>,
    /// Receives when no connection waits for its first response any more.
    answered: oneshot::Receiver<()>,
    serving: JoinHandle<()>,
}

impl Accepting {
    /// Accepts connections on `listener` from now on.
    pub(super) fn start(host: &Host, listener: TcpListener, app: Router, config: &Config) -> Self {
        let listener = Arc::new(listener);
        let (stop, stopped) = oneshot::channel();
        let (tell, answered) = oneshot::channel();
        let serving = serve(
            host.clone(),
            listener.clone(),
            app,
            config.clone(),
            stopped,
            tell,
        );
        Self {
            listener,
            stop,
            answered,
            serving: tokio::spawn(serving),
        }
    }

    /// Returns a second handle of the listening socket, which keeps it open when the server ends.
    pub(super) fn listener(&self) -> io::Result<std::net::TcpListener> {
        Ok(self.listener.as_fd().try_clone_to_owned()?.into())
    }

    /// Waits until the server ends, which happens only if it panics.
    pub(super) async fn join(&mut self) -> Result<(), JoinError> {
        (&mut self.serving).await
    }

    /// Stops accepting connections, and waits until those that are new have their first response. Returns the task,
    /// which ends with the last connection.
    pub(super) async fn stop(self) -> JoinHandle<()> {
        let Self {
            listener,
            stop,
            answered,
            serving,
        } = self;
        drop(listener);
        // The receiver is gone if the server has already ended.
        let _ = stop.send(());
        let _ = answered.await;
        serving
    }
}

/// Accepts connections until `stop` resolves, and then waits until the running requests have ended. Sends `answered`
/// when no new connection waits for its first response any more.
async fn serve(
    host: Host,
    listener: Arc<TcpListener>,
    app: Router,
    config: Config,
    mut stop: oneshot::Receiver<()>,
    answered: oneshot::Sender<()>,
) {
    let (stages, stage) = watch::channel(Stage::Serving);
    let (all_fresh, fresh) = watch::channel(());
    let mut failing = false;
    let server = Acceptor {
        limit: TcpLimit::new(&config, host.options().clients.trust_proxy),
        host,
        app,
        http: http(config.header_timeout),
        stage,
        fresh,
    };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                failing = false;
                server.take(stream, peer);
            }
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    server.host.accept_failed(&error);
                }
                sleep_until(Instant::now() + PAUSE).await;
            }
        }
    }
    drop((listener, server));
    // Sending fails if there is no connection, which is fine.
    let _ = stages.send(Stage::Stopping);
    all_fresh.closed().await;
    let _ = answered.send(());
    let _ = stages.send(Stage::Ending);
    stages.closed().await;
}

/// Returns an HTTP server that closes a connection whose client does not send the head of a request in time. This holds
/// for the first request and for later ones.
fn http(header_timeout: Duration) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(MAX_HEAD);
    http
}

/// State that all connections of a server share.
struct Acceptor {
    host: Host,
    app: Router,
    http: http1::Builder,
    limit: Arc<TcpLimit>,
    stage: watch::Receiver<Stage>,
    /// Held by each connection that waits for its first response.
    fresh: watch::Receiver<()>,
}

impl Acceptor {
    /// Serves a new connection, or closes it at a limit.
    fn take(&self, stream: TcpStream, peer: SocketAddr) {
        match self.limit.admit(peer.ip()) {
            Ok(permit) => self.serve(stream, peer, permit),
            Err(over) => self.refuse(&stream, peer, over),
        }
    }

    fn serve(&self, stream: TcpStream, peer: SocketAddr, permit: Permit) {
        // Events are small, and must not wait for each other in the kernel. If the call fails, the connection is only
        // slower.
        let _ = stream.set_nodelay(true);
        let stream = Stream::new(stream, self.host.options().transport.write_timeout, permit);
        let client = Client {
            host: self.host.clone(),
            address: peer,
            is_upgraded: stream.is_upgraded(),
            is_answered: Arc::default(),
        };
        let life = Life {
            stage: self.stage.clone(),
            fresh: Some(self.fresh.clone()),
            since: Instant::now(),
            is_answered: client.is_answered.clone(),
        };
        let app = app_for(self.app.clone(), client.clone());
        let connection = self
            .http
            .serve_connection(TokioIo::new(stream), app)
            .with_upgrades();
        tokio::spawn(run(connection, life, client));
    }

    /// Rejects a connection at a limit, with a response that states the reason, if the network accepts the response at
    /// once.
    fn refuse(&self, stream: &TcpStream, peer: SocketAddr, over: Over) {
        let counters = self.host.counters();
        let (counter, status, reason) = match over {
            Over::All => (
                &counters.over_max_tcp_connections,
                StatusCode::SERVICE_UNAVAILABLE,
                "`max-tcp-connections` are open",
            ),
            Over::Address => (
                &counters.over_max_tcp_connections_per_address,
                StatusCode::TOO_MANY_REQUESTS,
                "`max-tcp-connections-per-address` of this address are open",
            ),
        };
        counter.add();
        self.host.refused(peer, reason);
        let head = "Retry-After: 5\r\nContent-Length: 0\r\nConnection: close";
        let response = format!("HTTP/1.1 {status}\r\n{head}\r\n\r\n");
        let _ = stream.try_write(response.as_bytes());
    }
}

/// Client of a connection that speaks HTTP.
#[derive(Clone)]
struct Client {
    host: Host,
    address: SocketAddr,
    is_upgraded: Arc<AtomicBool>,
    /// `true` from the first response on.
    is_answered: Arc<AtomicBool>,
}

impl Client {
    /// Announces that the head of a request is larger than [`MAX_HEAD`].
    fn head_too_large(&self) {
        self.host.counters().requests_too_long.add();
        let reason = "the head of a request is larger than 32 KiB";
        self.host.refused(self.address, reason);
    }
}

/// State of a connection that decides when a shutdown ends it.
struct Life {
    stage: watch::Receiver<Stage>,
    /// Delays the shutdown while it is held.
    fresh: Option<watch::Receiver<()>>,
    since: Instant,
    is_answered: Arc<AtomicBool>,
}

impl Life {
    /// Returns when the connection has to end. The task that waits must also be the one that sets `is_answered`.
    async fn ending(&mut self) {
        // Fails if the server has failed, which ends its connections, too.
        let _ = self
            .stage
            .wait_for(|stage| *stage != Stage::Serving)
            .await
            .is_ok();
        let answered = poll_fn(|_| match self.is_answered.load(Ordering::Relaxed) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        let _ = timeout_at(self.since + FIRST_REQUEST_GRACE, answered).await;
        self.fresh = None;
        let _ = self
            .stage
            .wait_for(|stage| *stage == Stage::Ending)
            .await
            .is_ok();
    }
}

/// Serves one connection until it ends, or during a shutdown until the running request has ended. An error ends only
/// this connection.
async fn run<S>(
    connection: http1::UpgradeableConnection<TokioIo<Stream>, S>,
    mut life: Life,
    client: Client,
) where
    S: hyper::service::HttpService<Incoming, ResBody = Body> + Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        // In this order, because the connection sets the flag for which its `life` waits.
        biased;
        ended = connection.as_mut() => ended,
        () = life.ending() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    match ended {
        Err(error) if is_unread(&error) => client.host.response_unread(client.address),
        Err(error) if error.is_parse_too_large() => client.head_too_large(),
        _ => {}
    }
}

fn app_for(
    app: Router,
    client: Client,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<Body>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Body>, Infallible>> + Send + use<>,
> + use<> {
    service_fn(move |request| answer(app.clone(), request, client.clone()))
}

async fn answer(
    app: Router,
    mut request: Request<Incoming>,
    client: Client,
) -> Result<Response<Body>, Infallible> {
    if head::is_too_large(&request) {
        client.is_answered.store(true, Ordering::Relaxed);
        client.head_too_large();
        return Ok(head::too_large());
    }
    request.extensions_mut().insert(ConnectInfo(client.address));
    let response = app.oneshot(request.map(Body::new)).await?;
    client.is_answered.store(true, Ordering::Relaxed);
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        client.is_upgraded.store(true, Ordering::Relaxed);
    }
    Ok(response)
}

/// Returns `true` if the client closed its connection before it was accepted.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
