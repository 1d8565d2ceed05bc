//! HTTP API for backends: they send events to sockets, and call scripts.
//!
//! In: requests `POST /api/OPERATION` of a client that has a key. Out: JSON, for errors too. The operations are those of
//! [`NamespaceHandle`](crate::host::NamespaceHandle).
//!
//! Invariants: nothing of a request is read before its key is known; every list, rate and time has a limit.

mod answers;
mod batch;
mod error;
mod fields;
mod key;
mod keys;
mod operation;
mod pattern;
mod request;
mod task;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, Method, StatusCode},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use tokio::time::Instant;

pub use key::{ApiKey, BadApiKey};
pub use keys::ApiKeys;
pub use operation::Operation;

use crate::host::Host;
use answers::{Fingerprint, Kept, Known};
use error::{ApiError, JSON};
use keys::Holder;

/// Maximum time of a request, from its head to its answer. A script that has not answered by then is no longer waited
/// for.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Description of the API in OpenAPI 3.1.
const OPENAPI: &str = include_str!("openapi.json");

/// State that all requests share.
struct Api {
    host: Host,
    keys: ApiKeys,
}

/// Returns the routes of the API.
pub(super) fn router(host: Host, keys: ApiKeys) -> Router {
    let api = Arc::new(Api { host, keys });
    let openapi = get((JSON, OPENAPI)).fallback(answer);
    Router::new()
        .route("/api/openapi.json", openapi)
        .route("/api", any(answer))
        .route("/api/", any(answer))
        .route("/api/{*operation}", any(answer))
        .with_state(api)
}

async fn answer(State(api): State<Arc<Api>>, request: Request) -> Response {
    let operation = request.uri().path().strip_prefix("/api/");
    let operation = operation.unwrap_or_default().to_owned();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|info| info.0);
    match handle(&api, &operation, request).await {
        Ok(answer) => answer,
        Err(refused) => {
            api.note_refused(peer, &refused);
            refused.error.into_response()
        }
    }
}

/// Error of a request, and the name of its key, if the key is known.
struct Refused {
    error: ApiError,
    key: Option<String>,
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self { error, key: None }
    }
}

async fn handle(api: &Api, operation: &str, request: Request) -> Result<Response, Refused> {
    let deadline = Instant::now() + TIMEOUT;
    let operation = Operation::named(operation).ok_or_else(|| {
        let names = Operation::ALL.map(Operation::name).join("`, `");
        let message = format!("there is no operation `{operation}`; there are `{names}`");
        ApiError::new(StatusCode::NOT_FOUND, "no_operation", message)
    })?;
    if request.method() != Method::POST {
        let message = format!("`/api/{}` takes POST only", operation.name());
        return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method", message).into());
    }
    let holder = request::bearer(request.headers()).and_then(|key| api.keys.find(key));
    let holder = holder.ok_or_else(|| {
        let message = "the header `Authorization: Bearer KEY` is missing, or the key is unknown";
        ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    })?;
    let answered = admitted(api, operation, &holder, request, deadline).await;
    answered.map_err(|error| Refused {
        error,
        key: Some(holder.key.name().to_owned()),
    })
}

/// Handles a request whose key is known.
async fn admitted(
    api: &Api,
    operation: Operation,
    holder: &Arc<Holder>,
    request: Request,
    deadline: Instant,
) -> Result<Response, ApiError> {
    if !holder.key.allows(operation) {
        let message = format!("this key may not use `{}`", operation.name());
        return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message));
    }
    holder.take().map_err(|wait| {
        let message = "this key has used its `max-requests-per-second`";
        let seconds = wait.as_millis().div_ceil(1_000);
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message)
            .retry_after(u64::try_from(seconds).unwrap_or(u64::MAX))
    })?;
    let idempotency = request::idempotency_key(request.headers())?;
    let idempotency = idempotency.filter(|_| operation.has_effect());
    let body = request::body(request, deadline).await?;
    let Some(key) = idempotency else {
        let done = batch::run(api.host.clone(), operation, holder.clone(), body, deadline).await;
        return done.map(response);
    };
    let fingerprint = request::fingerprint(operation, &body);
    once(api, operation, holder, (key, fingerprint), body, deadline).await
}

/// Runs a request unless it was run before.
async fn once(
    api: &Api,
    operation: Operation,
    holder: &Arc<Holder>,
    (key, fingerprint): (String, Fingerprint),
    body: String,
    deadline: Instant,
) -> Result<Response, ApiError> {
    match holder.answers().begin(&key, fingerprint) {
        Known::New => {}
        Known::Answered(kept) => {
            let mut response = response(kept);
            let replayed = HeaderValue::from_static("true");
            response
                .headers_mut()
                .insert("idempotency-replayed", replayed);
            return Ok(response);
        }
        Known::Running => {
            let message = "a request with this `Idempotency-Key` is still running";
            return Err(ApiError::new(StatusCode::CONFLICT, "running", message).retry_after(1));
        }
        Known::Other => {
            let message = "another request has used this `Idempotency-Key`";
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return Err(ApiError::new(status, "idempotency_key", message));
        }
    }
    let (host, holder) = (api.host.clone(), holder.clone());
    // A task of its own, because a client that goes away may come back for the answer.
    let running = tokio::spawn(async move {
        let mut pending = Pending {
            holder: &holder,
            key: Some(&key),
        };
        let done = batch::run(host, operation, holder.clone(), body, deadline).await;
        // An error means that nothing was done, so the request may be repeated.
        if let Ok(kept) = &done {
            pending.key = None;
            holder.answers().keep(&key, kept.clone());
        }
        done
    });
    match running.await {
        Ok(done) => done.map(response),
        Err(_) => Err(ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "failed",
            "the request has failed",
        )),
    }
}

/// Request with an idempotency key, which is forgotten when this is dropped, unless its answer is kept.
struct Pending<'a> {
    holder: &'a Holder,
    key: Option<&'a str>,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.holder.answers().forget(key);
        }
    }
}

fn response(kept: Kept) -> Response {
    (kept.status, JSON, Body::from(kept.body)).into_response()
}

impl Api {
    /// Counts and announces a request that was refused because of its key.
    fn note_refused(&self, peer: Option<SocketAddr>, refused: &Refused) {
        let key = refused.key.as_deref().unwrap_or_default();
        let reason = match refused.error.status {
            StatusCode::UNAUTHORIZED => "HTTP API: no key, or an unknown one".to_owned(),
            StatusCode::FORBIDDEN => format!("HTTP API: beyond the scopes of the key `{key}`"),
            StatusCode::TOO_MANY_REQUESTS => {
                format!("HTTP API: beyond `max-requests-per-second` of the key `{key}`")
            }
            _ => return,
        };
        self.host.counters().api_requests_refused.add();
        if let Some(peer) = peer {
            self.host.refused(peer, &reason);
        }
    }
}
