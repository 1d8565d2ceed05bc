//! Takes connections and serves HTTP on them, whatever a client does before its first request is complete.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
    time::{Instant, sleep_until},
};
use tower::ServiceExt;

use crate::host::Host;

/// Bytes of a request line with its headers.
const MAX_HEAD: usize = 32 << 10;
/// When the system has no descriptor for one more connection, it may have one after this time.
const PAUSE: Duration = Duration::from_millis(500);

/// Serves until it is told to stop, and then until the requests that run have ended.
pub(super) async fn serve(
    host: Host,
    listener: TcpListener,
    app: Router,
    header_timeout: Duration,
    mut stop: oneshot::Receiver<()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(MAX_HEAD);
    let (end, ending) = watch::channel(());
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stop => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                failing = false;
                let connection = http
                    .serve_connection(TokioIo::new(prepared(stream)), app_for(&app, peer))
                    .with_upgrades();
                tokio::spawn(run(connection, ending.clone()));
            }
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                if !std::mem::replace(&mut failing, true) {
                    host.no_connection(&error);
                }
                sleep_until(Instant::now() + PAUSE).await;
            }
        }
    }
    drop((listener, ending));
    // Nobody listens when there is no connection.
    let _ = end.send(());
    end.closed().await;
}

/// Serves one connection until it ends, or until the request that runs has ended. What goes wrong on it ends it.
async fn run<S>(
    connection: http1::UpgradeableConnection<TokioIo<TcpStream>, S>,
    mut ending: watch::Receiver<()>,
) where
    S: hyper::service::HttpService<Incoming, ResBody = Body> + Send,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = ending.changed() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

/// Events are small and must not wait for each other in the kernel.
fn prepared(stream: TcpStream) -> TcpStream {
    // It works without, only slower.
    let _ = stream.set_nodelay(true);
    stream
}

fn app_for(
    app: &Router,
    peer: SocketAddr,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = Response<Body>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<Body>, Infallible>> + Send + use<>,
> + use<> {
    let app = app.clone();
    service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        app.clone().oneshot(request.map(Body::new))
    })
}

/// The client gave up before it was taken.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
