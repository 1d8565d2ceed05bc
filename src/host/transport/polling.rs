//! Polling transport, in front of socketioxide: gives each session a wire, and holds what follows a CONNECT in one
//! payload until the socket exists.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Method, Request, Response, StatusCode, header::CONTENT_LENGTH},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Collected, LengthLimitError, Limited};
use tokio::time::timeout;

use super::{
    endpoint::Endpoint,
    payload::{connect_at_end, packets, parts},
    protocol::{CLOSE, OPEN},
    request::{Asked, head},
    response::{refuse, status, unknown_session},
    wire::Wire,
};
use crate::host::options::Transport;

/// Maximum time for a client to send the body of a request.
const BODY: Duration = Duration::from_secs(30);

/// Answers a request of the polling transport. The host answers a request whose id no client has before it reads the
/// body, and socketioxide does not see that request.
pub(super) async fn answer(endpoint: &Arc<Endpoint>, request: Request<Body>) -> Response<Body> {
    let asked = Asked::of(request.uri());
    if !matches!(asked.transport.as_deref(), Some("polling" | "websocket")) {
        return refuse(0, "Transport unknown");
    }
    let Ok(session) = endpoint.session(&asked) else {
        return unknown_session();
    };
    let sid = session.as_ref().map(|(sid, _)| &**sid);
    let Some(mut head) = head(&request, &asked, sid) else {
        return refuse(3, "Bad request");
    };
    if session.is_some() {
        request.headers().clone_into(head.headers_mut());
    }
    let response = match (request.method(), session) {
        (&Method::GET, None) => match endpoint.new_wire(&request, Transport::Polling) {
            Ok(wire) => open(endpoint, head, wire).await,
            Err(refusal) => return refusal.response(),
        },
        (&Method::POST, Some((_, wire))) => {
            let peer = endpoint.peer(&request);
            post(endpoint, &head, peer, &wire, request.into_body()).await
        }
        (&Method::GET, Some((_, wire))) => wait(endpoint, head, &wire).await,
        _ => endpoint.ask(head.map(|()| Body::empty())).await,
    };
    match response.status() {
        StatusCode::BAD_REQUEST => in_nodes_form(response).await,
        _ => response,
    }
}

/// Answers the first request of a session, which opens the session's wire.
async fn open(endpoint: &Arc<Endpoint>, mut head: Request<()>, wire: Arc<Wire>) -> Response<Body> {
    head.extensions_mut().insert(wire.clone());
    let response = endpoint.ask(head.map(|()| Body::empty())).await;
    match response.status() {
        StatusCode::OK => opened(endpoint, &wire, response).await,
        _ => response,
    }
}

/// Replaces the id of a new session by a secret one, in the answer that carries the id to the client.
async fn opened(
    endpoint: &Arc<Endpoint>,
    wire: &Arc<Wire>,
    response: Response<Body>,
) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    let Some(mut bytes) = collect(body).await else {
        return refuse(3, "Bad request");
    };
    if !endpoint
        .options()
        .transports
        .contains(&Transport::Websocket)
    {
        bytes = without_upgrades(&bytes);
    }
    if let Some(sid) = opened_sid(&bytes) {
        let secret = endpoint.remember(&sid, wire);
        bytes = String::from_utf8_lossy(&bytes)
            .replacen(&sid, &secret, 1)
            .into();
    }
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(bytes))
}

/// Answers a request that waits for packets.
async fn wait(endpoint: &Endpoint, head: Request<()>, wire: &Wire) -> Response<Body> {
    let response = endpoint.ask(head.map(|()| Body::empty())).await;
    let (parts, body) = response.into_parts();
    let body = collect(body).await.unwrap_or_default();
    wire.polled(&body);
    Response::from_parts(parts, Body::from(body))
}

/// Answers a request with a payload of packets. The host cuts the payload behind each CONNECT, and passes the next part
/// to socketioxide when the CONNECT is answered.
async fn post(
    endpoint: &Endpoint,
    head: &Request<()>,
    peer: Option<SocketAddr>,
    wire: &Wire,
    body: Body,
) -> Response<Body> {
    let limit = endpoint.options().max_payload;
    let body = timeout(BODY, Limited::new(body, limit).collect()).await;
    let payload = match body {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            endpoint.refused(peer, "the body of a request is larger than `max-payload`");
            return status(StatusCode::PAYLOAD_TOO_LARGE);
        }
        // The client has disconnected.
        Ok(Err(_)) => return status(StatusCode::BAD_REQUEST),
        Err(_) => {
            endpoint.refused(peer, "the body of a request did not come in time");
            return status(StatusCode::REQUEST_TIMEOUT);
        }
    };
    wire.count_attachments(packets(&payload));
    let leaves = packets(&payload).any(|packet| packet == CLOSE.as_bytes());
    let mut parts = parts(&payload).into_iter().peekable();
    loop {
        let part = parts.next().unwrap_or_default();
        if let Some(namespace) = connect_at_end(&part) {
            wire.connect_requested(&namespace);
        }
        let response = endpoint.ask(head.clone().map(|()| Body::from(part))).await;
        if parts.peek().is_none() || response.status() != StatusCode::OK {
            if leaves {
                wire.left();
            }
            return response;
        }
        wire.connects_answered().await;
    }
}

/// Rewrites an error response: socketioxide writes the codes of its errors as text, Node as numbers.
async fn in_nodes_form(response: Response<Body>) -> Response<Body> {
    #[derive(serde::Deserialize)]
    struct Refusal {
        code: String,
        message: String,
    }
    let (parts, body) = response.into_parts();
    let bytes = collect(body).await.unwrap_or_default();
    let refusal: Option<Refusal> = serde_json::from_slice(&bytes).ok();
    match refusal.and_then(|r| Some((r.code.parse().ok()?, r.message))) {
        Some((code, message)) => refuse(code, &message),
        None => Response::from_parts(parts, Body::from(bytes)),
    }
}

async fn collect(body: Body) -> Option<Bytes> {
    body.collect().await.ok().map(Collected::to_bytes)
}

/// Removes the offer of an upgrade from a handshake: socketioxide offers a WebSocket even if that transport is off.
fn without_upgrades(handshake: &[u8]) -> Bytes {
    let offer = "\"upgrades\":[\"websocket\"]";
    String::from_utf8_lossy(handshake)
        .replace(offer, "\"upgrades\":[]")
        .into()
}

/// Returns the `sid` in the body of an Engine.IO handshake: `0{"sid":"...",...}`.
fn opened_sid(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Open {
        sid: String,
    }
    let open: Open = serde_json::from_slice(body.strip_prefix(&[OPEN])?).ok()?;
    Some(open.sid)
}
