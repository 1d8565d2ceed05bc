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
    http::{Request, Response, Uri, header::HOST},
    response::IntoResponse,
};
use tower::{Layer, Service, ServiceExt};

use super::{
    cors::Cors,
    endpoint::Endpoint,
    host_check::HostCheck,
    polling,
    request::{Requested, wants_websocket},
    response::refuse,
    upgrade,
};
use crate::host::options::Transport;

/// Service for everything under one address: the Socket.IO path and the app around it.
#[derive(Clone)]
pub struct HostService {
    endpoint: Arc<Endpoint>,
    cors: Arc<Cors>,
    /// Host names that requests may have; `None` if all names are allowed.
    hosts: Option<Arc<HostCheck>>,
    app: Router,
    /// State of the host, which lives as long as this service may serve clients.
    _host: Arc<dyn Any + Send + Sync>,
}

impl HostService {
    pub(in crate::host) fn new(
        endpoint: Arc<Endpoint>,
        app: Router,
        cors: Arc<Cors>,
        hosts: Option<Arc<HostCheck>>,
        host: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        Self {
            endpoint,
            cors,
            hosts,
            app,
            _host: host,
        }
    }

    fn matches_path(&self, uri: &Uri) -> bool {
        let path = uri.path();
        path.strip_suffix('/').unwrap_or(path) == self.endpoint.options().transport.path
    }

    /// Answers a request to the Socket.IO path, if it comes from a page that may connect, or from no page.
    async fn answer(self, request: Request<Body>) -> Response<Body> {
        let endpoint = self.endpoint;
        let answer = |request| by_transport(endpoint.clone(), request);
        self.cors.around(request, answer).await
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
        if request.headers().get_all(HOST).iter().count() > 1 {
            // A proxy and a server may choose different ones of several `Host` headers (RFC 9112, 3.2).
            return Box::pin(async { Ok(refuse(3, "Bad request")) });
        }
        let refusal = |check: &Arc<HostCheck>| check.refusal(&request);
        if let Some(refusal) = self.hosts.as_ref().and_then(refusal) {
            return Box::pin(async { Ok(refusal) });
        }
        if !self.matches_path(request.uri()) {
            return Box::pin(self.app.clone().oneshot(request));
        }
        let service = self.clone();
        Box::pin(async move { Ok(service.answer(request).await) })
    }
}

impl std::fmt::Debug for HostService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostService").finish_non_exhaustive()
    }
}

/// Layer of a [`Host`](crate::Host) for tower: requests to the Socket.IO path go to the host, all others to the service
/// inside. [`Host::layer`](crate::Host::layer) returns it.
#[derive(Debug, Clone)]
pub struct HostLayer {
    service: HostService,
}

impl HostLayer {
    /// Creates the layer from a service, whose app is replaced in each use.
    pub(in crate::host) const fn new(service: HostService) -> Self {
        Self { service }
    }
}

impl<S> Layer<S> for HostLayer
where
    S: Service<Request<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Response: IntoResponse,
    S::Future: Send + 'static,
{
    type Service = HostService;

    fn layer(&self, inner: S) -> HostService {
        HostService {
            app: Router::new().fallback_service(inner),
            ..self.service.clone()
        }
    }
}

async fn by_transport(endpoint: Arc<Endpoint>, request: Request<Body>) -> Response<Body> {
    let asked = Requested::from_uri(request.uri()).transport;
    let known = [Transport::Polling, Transport::Websocket];
    let mut off = known
        .into_iter()
        .filter(|t| !endpoint.options().transport.transports.contains(t));
    if off.any(|t| Some(t.name()) == asked.as_deref()) {
        return refuse(0, "Transport unknown");
    }
    match wants_websocket(request.headers()) {
        true => upgrade::answer(endpoint, request),
        false => polling::answer(&endpoint, request).await,
    }
}
