//! HTTP service of a host: requests to the Socket.IO path go to the [`Endpoint`], all others to the app.

use std::{
    any::Any,
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode, Uri},
};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::{
    cors::Cors,
    endpoint::Endpoint,
    polling,
    request::{Asked, wants_websocket},
    response::{refuse, refuse_with},
    upgrade,
};
use crate::{event::HostEvent, host::options::Transport};

/// Service for everything under one address: the Socket.IO path and the app around it.
#[derive(Clone)]
pub(in crate::host) struct HostService {
    endpoint: Arc<Endpoint>,
    cors: Arc<Cors>,
    app: Router,
    /// State of the host, which lives as long as this service may serve clients.
    _host: Arc<dyn Any + Send + Sync>,
}

impl HostService {
    pub(in crate::host) fn new(
        endpoint: Arc<Endpoint>,
        app: Router,
        host: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        let options = endpoint.options();
        Self {
            cors: Arc::new(Cors::new(options.origins.clone(), options.trust_proxy > 0)),
            endpoint,
            app,
            _host: host,
        }
    }

    fn is_ours(&self, uri: &Uri) -> bool {
        let path = uri.path();
        path.strip_suffix('/').unwrap_or(path) == self.endpoint.options().path
    }

    /// Answers a request to the Socket.IO path, if it comes from a page that may connect, or from no page.
    async fn answer(self, request: Request<Body>) -> Response<Body> {
        let endpoint = self.endpoint;
        match self.cors.check(&request) {
            Ok(None) => by_transport(endpoint, request).await,
            Ok(Some(cors)) => {
                let answer = service_fn(|request| async {
                    Ok::<_, Infallible>(by_transport(endpoint.clone(), request).await)
                });
                match cors.layer(answer).oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            }
            Err(refused) => {
                let announcer = &endpoint.context.announcer;
                announcer.counters().origins_refused.add();
                if refused.is_new {
                    let origin = refused.origin;
                    announcer.announce(HostEvent::OriginRefused { origin });
                }
                refuse_with(StatusCode::FORBIDDEN, 4, "origin not allowed")
            }
        }
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
        let service = self.clone();
        Box::pin(async move { Ok(service.answer(request).await) })
    }
}

async fn by_transport(endpoint: Arc<Endpoint>, request: Request<Body>) -> Response<Body> {
    let asked = Asked::of(request.uri()).transport;
    let known = [Transport::Polling, Transport::Websocket];
    let mut off = known
        .into_iter()
        .filter(|t| !endpoint.options().transports.contains(t));
    if off.any(|t| Some(t.name()) == asked.as_deref()) {
        return refuse(0, "Transport unknown");
    }
    match wants_websocket(request.headers()) {
        true => upgrade::answer(endpoint, request),
        false => polling::answer(&endpoint, request).await,
    }
}
