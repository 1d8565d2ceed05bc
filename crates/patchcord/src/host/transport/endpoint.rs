//! State that all requests to the Socket.IO path share: socketioxide's engine, the sessions, the limits.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    http::{Request, Uri},
};
use socketioxide::service::SocketIoService;
use tower::ServiceExt;

use super::{
    admission::{Admission, Refusal},
    bridge::Bridge,
    protocol::{OPEN, VERSION},
    request,
    wire::{Opening, Wire, WireContext},
};
use crate::{
    event::HostEvent,
    host::options::{Options, Transport},
};

/// Service of socketioxide. It would pass requests to other paths to the router, but the host never sends it any.
pub(in crate::host) type Engine = SocketIoService<Router>;

/// Socket.IO path of a host.
pub(in crate::host) struct Endpoint {
    engine: Engine,
    pub(super) context: Arc<WireContext>,
    /// URI of the requests that socketioxide receives.
    uri: Uri,
    admission: Arc<Admission>,
}

impl Endpoint {
    pub(in crate::host) fn new(engine: Engine, context: Arc<WireContext>) -> Arc<Self> {
        let path = &context.options.transport.path;
        Arc::new(Self {
            engine,
            admission: Admission::new(&context.options, context.announcer.clone()),
            uri: format!("{path}/?EIO={VERSION}&transport=websocket")
                .parse()
                .unwrap_or_default(),
            context,
        })
    }

    pub(super) fn options(&self) -> &Options {
        &self.context.options
    }

    /// Returns the session with an id, unless it has ended.
    pub(super) fn session(&self, sid: &str) -> Option<Arc<Wire>> {
        let session = self.context.sessions.find(sid);
        session.filter(|wire| !wire.is_over())
    }

    /// Returns the address of the client that sent a request, behind the proxies that the host trusts.
    pub(super) fn peer(&self, request: &Request<Body>) -> Option<SocketAddr> {
        request::client(
            request.headers(),
            request.extensions(),
            self.options().clients.trust_proxy,
        )
    }

    /// Announces that a request is rejected.
    pub(super) fn refused(&self, peer: Option<SocketAddr>, reason: &str) {
        self.context.announcer.announce(HostEvent::RequestRejected {
            peer,
            reason: reason.to_owned(),
            count: 1,
        });
    }

    /// Creates the wire of a new session.
    ///
    /// # Errors
    /// Returns the reason why the session is rejected, which was already announced.
    pub(super) fn new_wire(
        &self,
        request: &Request<Body>,
        by: Transport,
    ) -> Result<Arc<Wire>, Refusal> {
        let peer = self.peer(request);
        let permit = self.admission.admit(request, peer)?;
        let opening = Opening {
            peer,
            // Copied, because the original would keep a part of the connection's read buffer in memory for as long as
            // the session lives.
            uri: request.uri().to_string().into(),
            headers: self.admission.keep_headers(request.headers(), peer),
        };
        let polls = by == Transport::Polling;
        Ok(Wire::new(self.context.clone(), opening, permit, polls))
    }

    /// Starts a new session in socketioxide, which sees each client as a WebSocket.
    pub(super) async fn start(&self, wire: Arc<Wire>) {
        let mut head = Request::new(());
        *head.uri_mut() = self.uri.clone();
        head.extensions_mut().insert(wire.clone());
        // Boxed, because socketioxide's task stores the stream more than once. The result is ignored, because
        // socketioxide accepts every request that the host itself has written.
        let stream = Box::new(Bridge::new(wire));
        let _ = self.engine.clone().oneshot((stream, head)).await;
    }

    /// Returns the first packet of a session, which contains the session id.
    pub(super) fn open_packet(&self, wire: &Wire) -> String {
        let options = self.options();
        let can_upgrade =
            !wire.is_websocket() && options.transport.transports.contains(&Transport::Websocket);
        let upgrades = match can_upgrade {
            true => r#"["websocket"]"#,
            false => "[]",
        };
        let (interval, timeout) = (
            options.transport.ping_interval,
            options.transport.ping_timeout,
        );
        // The fields are in Node's order. The id needs no escape: it consists of letters and digits.
        format!(
            r#"{}{{"sid":"{}","upgrades":{upgrades},"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
            char::from(OPEN),
            wire.sid(),
            interval.as_millis(),
            timeout.as_millis(),
            options.transport.max_payload,
        )
    }
}
