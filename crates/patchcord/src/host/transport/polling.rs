//! Polling transport: requests that open a session, wait for packets, or deliver packets.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{
        HeaderValue, Method, Request, Response, StatusCode,
        header::{CACHE_CONTROL, CONTENT_TYPE},
    },
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use super::{
    endpoint::Endpoint,
    protocol::VERSION,
    request::Requested,
    response::{refuse, status, unknown_session},
    wire::Wire,
};
use crate::host::options::Transport;

/// Maximum time for a client to send the body of a request.
const BODY: Duration = Duration::from_secs(30);

/// Answers a request of the polling transport. A request with an unknown session id is rejected before its body is
/// read.
pub(super) async fn answer(endpoint: &Arc<Endpoint>, request: Request<Body>) -> Response<Body> {
    let asked = Requested::from_uri(request.uri());
    match asked.transport.as_deref() {
        Some("polling") => {}
        Some("websocket") => return refuse(3, "Bad request"),
        _ => return refuse(0, "Transport unknown"),
    }
    let session = match asked.session.as_deref().map(|sid| endpoint.session(sid)) {
        Some(None) => return unknown_session(),
        Some(Some(wire)) if wire.is_websocket() => return refuse(3, "Bad request"),
        Some(Some(wire)) => Some(wire),
        None => None,
    };
    let is_our_version = asked.version.as_deref() == Some(VERSION);
    match (request.method(), session) {
        (&Method::GET, None) if !is_our_version => refuse(5, "Unsupported protocol version"),
        (_, Some(_)) if !is_our_version => refuse(3, "Bad request"),
        (&Method::GET, None) => match endpoint.new_wire(&request, Transport::Polling) {
            Ok(wire) => open(endpoint, wire).await,
            Err(refusal) => refusal.response(),
        },
        (_, None) => refuse(2, "Bad handshake method"),
        (&Method::GET, Some(wire)) => match wire.poll().await {
            Some(payload) => text(payload.into()),
            None => status(StatusCode::BAD_REQUEST),
        },
        (&Method::POST, Some(wire)) => post(endpoint, &wire, request).await,
        _ => refuse(3, "Bad request"),
    }
}

/// Answers the first request of a session.
async fn open(endpoint: &Endpoint, wire: Arc<Wire>) -> Response<Body> {
    let open = endpoint.open_packet(&wire);
    endpoint.start(wire).await;
    text(open.into())
}

/// Answers a request that delivers packets, after all of them are handled.
async fn post(endpoint: &Endpoint, wire: &Arc<Wire>, request: Request<Body>) -> Response<Body> {
    let Some(posting) = wire.begin_post() else {
        return status(StatusCode::BAD_REQUEST);
    };
    let peer = endpoint.peer(&request);
    let limit = endpoint.options().transport.max_payload;
    let body = timeout(BODY, Limited::new(request.into_body(), limit).collect()).await;
    let payload = match body {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            endpoint.refused(peer, "the body of a request is larger than `max-payload`");
            wire.abort("transport error");
            return status(StatusCode::PAYLOAD_TOO_LARGE);
        }
        // The client has disconnected.
        Ok(Err(_)) => {
            wire.abort("transport error");
            return status(StatusCode::BAD_REQUEST);
        }
        Err(_) => {
            endpoint.refused(peer, "the body of a request did not come in time");
            wire.abort("transport error");
            return status(StatusCode::REQUEST_TIMEOUT);
        }
    };
    if wire.is_over() {
        return status(StatusCode::BAD_REQUEST);
    }
    let wire = wire.clone();
    // Runs in its own task, because the packets must be handled even if the client does not wait for the response.
    let taken = tokio::spawn(async move {
        wire.take_payload(&payload).await;
        drop(posting);
    });
    // An error means that a panic was already announced.
    let _ = taken.await;
    let mut response = text(Body::from("ok"));
    let html = HeaderValue::from_static("text/html");
    response.headers_mut().insert(CONTENT_TYPE, html);
    response
}

fn text(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    let text = HeaderValue::from_static("text/plain; charset=UTF-8");
    headers.insert(CONTENT_TYPE, text);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
