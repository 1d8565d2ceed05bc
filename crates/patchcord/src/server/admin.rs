//! Second listener, for the operator: metrics, health, and the HTTP API for backends. Its address should be one that clients cannot reach.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{Response, StatusCode},
    middleware::{self, Next},
    routing::get,
};
use tokio::net::TcpListener;

use super::{accept::Accepting, api, config::Config, metrics, pages};
use crate::host::{Host, HostCheck};

/// Listener for the operator, while it serves.
#[derive(Debug)]
pub(super) struct Admin {
    pub(super) address: SocketAddr,
    pub(super) accepting: Accepting,
}

impl Admin {
    pub(super) fn serve(
        host: &Host,
        listener: TcpListener,
        address: SocketAddr,
        hosts: Option<Arc<HostCheck>>,
        config: &Config,
        draining: &Arc<AtomicBool>,
    ) -> Self {
        let app = router(host, hosts, config, draining.clone());
        Self {
            address,
            accepting: Accepting::start(host, listener, app, config),
        }
    }

    /// Stops accepting requests, and returns when all running ones have ended, or after `timeout`.
    pub(super) async fn shutdown(self, timeout: Duration) {
        let serving = self.accepting.stop().await;
        let _ = tokio::time::timeout(timeout, serving).await;
    }
}

fn router(
    host: &Host,
    hosts: Option<Arc<HostCheck>>,
    config: &Config,
    draining: Arc<AtomicBool>,
) -> Router {
    let asked = host.clone();
    let api = config.api_keys.clone();
    let api = api.map(|keys| api::router(host.clone(), keys));
    api.unwrap_or_default()
        .route("/healthz", get("ok"))
        .route("/readyz", get(async move || ready(&asked, &draining)))
        .merge(metrics::router(host.clone()))
        .layer(middleware::map_response(pages::unsniffed))
        .layer(middleware::from_fn_with_state(hosts, checked))
}

/// Reports whether clients can connect.
fn ready(host: &Host, draining: &AtomicBool) -> (StatusCode, &'static str) {
    if draining.load(Ordering::Relaxed) {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "the server is shutting down",
        );
    }
    match host.is_ready() {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "no script serves"),
    }
}

/// Rejects requests whose host name is not one of this server's.
async fn checked(
    State(hosts): State<Option<Arc<HostCheck>>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let refusal = hosts.and_then(|hosts| hosts.refusal(&request));
    match refusal {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}
