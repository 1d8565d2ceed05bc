//! The HTTP side: requests to the Socket.IO path go to the crate, WebSockets over a [`Wire`]; all others to the app.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll},
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    http::{
        Extensions, HeaderMap, HeaderValue, Request, Response, StatusCode, Uri,
        header::{CONTENT_TYPE, UPGRADE},
    },
};
use socketioxide::service::SocketIoService;
use tower::{Service, ServiceExt};

use super::{
    Inner, Options, Transport,
    backlog::Amount,
    forwarded,
    origin::{Grant, Origins},
    request::Headers,
    seats::Seats,
    wire::Wire,
};
use crate::connection::{Driver, HostEvent};

/// The crate's service, around the app it passes other requests to; we never send it any.
pub(super) type Engine = SocketIoService<Router>;

/// Everything under one address: the Socket.IO path and the app around it.
#[derive(Clone)]
pub(super) struct HostService {
    shared: Arc<Shared>,
    app: Router,
}

/// What all requests share.
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) host: Arc<Inner>,
    /// The wires of sessions that began with polling, by session id: their upgrade needs it.
    pub(super) polling: Mutex<HashMap<String, Weak<Wire>>>,
    origins: Origins,
    seats: Arc<Seats>,
}

impl HostService {
    pub(super) fn new(engine: Engine, host: Arc<Inner>, app: Router) -> Self {
        let Options {
            origins,
            trust_proxy,
            max_connections,
            ..
        } = &host.options;
        let shared = Shared {
            origins: Origins::new(origins.clone(), *trust_proxy > 0),
            seats: Seats::new(*max_connections),
            engine,
            host,
            polling: Mutex::default(),
        };
        Self {
            shared: Arc::new(shared),
            app,
        }
    }

    fn is_ours(&self, uri: &Uri) -> bool {
        let path = uri.path();
        path.strip_suffix('/').unwrap_or(path) == self.shared.host.options.path
    }
}

impl Service<Request<Body>> for HostService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if !self.is_ours(request.uri()) {
            return Box::pin(self.app.clone().oneshot(request));
        }
        let shared = self.shared.clone();
        Box::pin(async move { Ok(shared.answer(request).await) })
    }
}

impl Shared {
    /// Answers a request to the Socket.IO path, for a page that may connect or for no page.
    async fn answer(self: Arc<Self>, request: Request<Body>) -> Response<Body> {
        let grant = match self.origins.check(&request) {
            Ok(grant) => grant,
            Err(refused) => {
                self.host.counters.origins_refused.add();
                if refused.is_new {
                    let origin = refused.origin;
                    self.host.announce(HostEvent::OriginRefused { origin });
                }
                return refuse_with(StatusCode::FORBIDDEN, 4, "origin not allowed");
            }
        };
        let mut response = match grant.as_ref().and_then(|_| Grant::preflight(&request)) {
            Some(preflight) => preflight,
            None => self.transport(request).await,
        };
        if let Some(grant) = grant {
            grant.write(response.headers_mut());
        }
        response
    }

    async fn transport(self: Arc<Self>, request: Request<Body>) -> Response<Body> {
        let upgrade = wants_websocket(request.headers());
        let asked = query(request.uri(), "transport").unwrap_or_default();
        let known = [Transport::Polling, Transport::Websocket];
        let off = |t: &Transport| !self.host.options.transports.contains(t);
        if known.iter().any(|t| t.name() == asked && off(t)) {
            return refuse(0, "Transport unknown");
        }
        match upgrade {
            true => self.upgrade(request),
            false => self.poll(request).await,
        }
    }

    pub(super) async fn ask(&self, request: Request<Body>) -> Response<Body> {
        match self.engine.clone().oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }

    /// Who sent a request, as far as the host's proxies are believed.
    pub(super) fn peer(&self, request: &Request<Body>) -> Option<SocketAddr> {
        client(
            request.headers(),
            request.extensions(),
            self.host.options.trust_proxy,
        )
    }

    /// Announces that a request is not taken.
    pub(super) fn refused(&self, peer: Option<SocketAddr>, reason: &str) {
        self.host.announce(HostEvent::Refused {
            peer,
            reason: reason.to_owned(),
            times: 1,
        });
    }

    pub(super) fn polling_wire(&self, sid: &str) -> Option<Arc<Wire>> {
        self.polling
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(sid)
            .and_then(Weak::upgrade)
    }

    /// The wire of a new session; `None` when there are as many as may be.
    pub(super) fn new_wire(&self, request: &Request<Body>, by: Transport) -> Option<Arc<Wire>> {
        let peer = self.peer(request);
        let Some(seat) = self.seats.take() else {
            self.refused(peer, "`max-connections` clients are connected");
            return None;
        };
        let host = Arc::downgrade(&self.host);
        Some(Wire::new(
            peer,
            Headers::of(request.headers()),
            seat,
            Amount {
                packets: self.host.options.max_backlog_packets,
                bytes: self.host.options.max_backlog,
            },
            (by == Transport::Polling).then(Box::default),
            host,
            |wire, waiting| {
                if let Some(host) = wire.host.upgrade() {
                    host.announce(HostEvent::SlowConsumer {
                        peer: wire.peer(),
                        socket: wire.id(),
                        packets: waiting.packets,
                        backlog: waiting.bytes,
                    });
                }
            },
        ))
    }
}

/// A copy of a request's head without headers. It keeps no part of the connection's read buffer alive for as long as
/// the connection lives; the headers are kept by its [`Wire`].
pub(super) fn head(request: &Request<Body>) -> Option<Request<()>> {
    let copy = Request::builder()
        .method(request.method().clone())
        .uri(request.uri().to_string());
    copy.body(()).ok()
}

/// The address of the client that made a request, behind `proxies` proxies.
pub(super) fn client(
    headers: &HeaderMap,
    extensions: &Extensions,
    proxies: usize,
) -> Option<SocketAddr> {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    forwarded::client(peer.map(|info| info.0), headers, proxies)
}

fn wants_websocket(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

pub(super) fn query<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let pairs = uri.query().unwrap_or_default().split('&');
    pairs
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

pub(super) fn sid(uri: &Uri) -> Option<&str> {
    query(uri, "sid")
}

/// The answer when there are as many clients as may be.
pub(super) fn full() -> Response<Body> {
    let message = "the server has as many connections as it takes";
    refuse_with(StatusCode::SERVICE_UNAVAILABLE, 4, message)
}

pub(super) fn refuse(code: u8, message: &str) -> Response<Body> {
    refuse_with(StatusCode::BAD_REQUEST, code, message)
}

fn refuse_with(status: StatusCode, code: u8, message: &str) -> Response<Body> {
    let body = Body::from(format!(r#"{{"code":{code},"message":"{message}"}}"#));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
