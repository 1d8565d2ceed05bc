//! State that all requests to the Socket.IO path share: socketioxide's engine, the sessions that poll, the limits.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Weak},
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response},
};
use parking_lot::Mutex;
use socketioxide::service::SocketIoService;
use tower::ServiceExt;

use super::{
    admission::{Admission, Refusal},
    protocol::{CLOSE, VERSION},
    request::{self, Asked},
    secret,
    wire::{Wire, WireContext},
};
use crate::{
    event::HostEvent,
    host::options::{Options, Transport},
};

/// Service of socketioxide, around the app to which it would pass other requests; the host never sends it any.
pub(in crate::host) type Engine = SocketIoService<Router>;

/// Socket.IO path of a host.
pub(in crate::host) struct Endpoint {
    pub(super) engine: Engine,
    pub(super) context: Arc<WireContext>,
    /// Sessions that began with polling, by the secret ids that their clients have.
    sessions: Mutex<HashMap<String, Known>>,
    admission: Arc<Admission>,
}

/// Id at socketioxide of a session that began with polling, and its wire.
pub(super) type PollingSession = (Arc<str>, Arc<Wire>);

/// No session has the id of a request.
pub(super) struct UnknownSession;

/// Session that began with polling.
struct Known {
    /// Its id at socketioxide, which is public.
    sid: Arc<str>,
    wire: Weak<Wire>,
}

impl Endpoint {
    pub(in crate::host) fn new(engine: Engine, context: Arc<WireContext>) -> Arc<Self> {
        Arc::new(Self {
            engine,
            admission: Admission::new(&context.options, context.announcer.clone()),
            context,
            sessions: Mutex::default(),
        })
    }

    pub(super) fn options(&self) -> &Options {
        &self.context.options
    }

    /// Lets socketioxide answer a request.
    pub(super) async fn ask(&self, request: Request<Body>) -> Response<Body> {
        match self.engine.clone().oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }

    /// Returns the address of the client that sent a request, as far as the host trusts its proxies.
    pub(super) fn peer(&self, request: &Request<Body>) -> Option<SocketAddr> {
        request::client(
            request.headers(),
            request.extensions(),
            self.options().trust_proxy,
        )
    }

    /// Announces that a request is rejected.
    pub(super) fn refused(&self, peer: Option<SocketAddr>, reason: &str) {
        self.context.announcer.announce(HostEvent::Refused {
            peer,
            reason: reason.to_owned(),
            times: 1,
        });
    }

    /// Creates the wire of a new session.
    ///
    /// # Errors
    /// The limit that the session would exceed; it is announced.
    pub(super) fn new_wire(
        &self,
        request: &Request<Body>,
        by: Transport,
    ) -> Result<Arc<Wire>, Refusal> {
        let peer = self.peer(request);
        let seat = self.admission.admit(request, peer)?;
        Ok(Wire::new(
            self.context.clone(),
            peer,
            self.admission.keep_headers(request.headers(), peer),
            seat,
            (by == Transport::Polling).then(Box::default),
        ))
    }

    /// Returns the session that a request belongs to: its id at socketioxide, and its wire. `None` for a request that opens
    /// one.
    ///
    /// # Errors
    /// When no client of a session that began with polling has the id of the request.
    pub(super) fn session(
        &self,
        asked: &Asked<'_>,
    ) -> Result<Option<PollingSession>, UnknownSession> {
        let Some(secret) = asked.session.as_deref() else {
            return Ok(None);
        };
        let sessions = self.sessions.lock();
        let known = sessions.get(secret).ok_or(UnknownSession)?;
        let wire = known.wire.upgrade().ok_or(UnknownSession)?;
        Ok(Some((known.sid.clone(), wire)))
    }

    /// Records a session that began with polling, and how its wire ends it. Returns the secret id for its client.
    pub(super) fn remember(self: &Arc<Self>, sid: &str, wire: &Arc<Wire>) -> String {
        let (secret, sid) = (secret::new(), Arc::<str>::from(sid));
        let known = Known {
            sid: sid.clone(),
            wire: Arc::downgrade(wire),
        };
        let mut sessions = self.sessions.lock();
        if sessions.len() == sessions.capacity() {
            sessions.retain(|_, known| known.wire.strong_count() > 0);
        }
        sessions.insert(secret.clone(), known);
        drop(sessions);
        let endpoint = Arc::downgrade(self);
        if let Some(session) = &wire.session {
            session.ends_by(move || {
                if let Some(endpoint) = endpoint.upgrade() {
                    tokio::spawn(endpoint.close_session(sid.clone()));
                }
            });
        }
        secret
    }

    /// Ends a session. This is necessary when the WebSocket of a session that began with polling has ended. After an
    /// upgrade that failed, socketioxide answers its polls with nothing, and never pings it again; after one that
    /// succeeded there is nothing left to end.
    pub(super) async fn close_session(self: Arc<Self>, sid: Arc<str>) {
        let path = &self.options().path;
        let uri = format!("{path}/?EIO={VERSION}&transport=polling&sid={sid}");
        if let Ok(request) = Request::post(uri).body(Body::from(CLOSE)) {
            self.ask(request).await;
        }
    }
}
