//! Accepts connections and serves HTTP on them. Stays within the limits of a server, whatever clients do.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo, http::StatusCode};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    time::{Instant, sleep_until},
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

/// Accepts connections until `stop` resolves, and then waits until the running requests have ended.
pub(super) async fn serve(
    host: Host,
    listener: TcpListener,
    app: Router,
    config: Config,
    mut stop: oneshot::Receiver<()>,
) {
    let (end, ending) = watch::channel(());
    let mut failing = false;
    let server = Acceptor {
        limit: TcpLimit::new(&config, host.options().clients.trust_proxy),
        host,
        app,
        http: http(config.header_timeout),
        ending,
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
    let _ = end.send(());
    end.closed().await;
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
    ending: watch::Receiver<()>,
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
        };
        let app = app_for(self.app.clone(), client.clone());
        let connection = self
            .http
            .serve_connection(TokioIo::new(stream), app)
            .with_upgrades();
        tokio::spawn(run(connection, self.ending.clone(), client));
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
}

impl Client {
    /// Announces that the head of a request is larger than [`MAX_HEAD`].
    fn head_too_large(&self) {
        self.host.counters().requests_too_long.add();
        let reason = "the head of a request is larger than 32 KiB";
        self.host.refused(self.address, reason);
    }
}

/// Serves one connection until it ends, or during a shutdown until the running request has ended. An error ends only
/// this connection.
async fn run<S>(
    connection: http1::UpgradeableConnection<TokioIo<Stream>, S>,
    mut ending: watch::Receiver<()>,
    client: Client,
) where
    S: hyper::service::HttpService<Incoming, ResBody = Body> + Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = ending.changed() => {
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
        client.head_too_large();
        return Ok(head::too_large());
    }
    request.extensions_mut().insert(ConnectInfo(client.address));
    let response = app.oneshot(request.map(Body::new)).await?;
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
