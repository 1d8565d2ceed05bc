//! The polling transport, in front of the crate: sessions get a wire, and what follows a CONNECT in one payload waits
//! until the socket exists.

use std::{borrow::Cow, net::SocketAddr, sync::Arc, time::Duration};

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
    response::{full, refuse, status},
    wire::Wire,
};
use crate::host::options::Transport;

/// So long a client has to send the body of a request.
const BODY: Duration = Duration::from_secs(30);

/// Answers a request of the polling transport.
pub(super) async fn answer(endpoint: &Arc<Endpoint>, request: Request<Body>) -> Response<Body> {
    let Some(mut head) = head(&request) else {
        return refuse(3, "Bad request");
    };
    let session = Asked::of(request.uri()).session.map(Cow::into_owned);
    let response = if let (&Method::GET, None) = (request.method(), &session) {
        match endpoint.new_wire(&request, Transport::Polling) {
            Some(wire) => open(endpoint, head, wire).await,
            None => return full(),
        }
    } else {
        request.headers().clone_into(head.headers_mut());
        match (request.method(), session) {
            (&Method::POST, Some(sid)) => {
                let peer = endpoint.peer(&request);
                post(endpoint, &head, peer, &sid, request.into_body()).await
            }
            (&Method::GET, Some(sid)) => wait(endpoint, head, &sid).await,
            _ => endpoint.ask(head.map(|()| Body::empty())).await,
        }
    };
    match response.status() {
        StatusCode::BAD_REQUEST => in_nodes_form(response).await,
        _ => response,
    }
}

/// The first request of a session opens its wire.
async fn open(endpoint: &Arc<Endpoint>, mut head: Request<()>, wire: Arc<Wire>) -> Response<Body> {
    head.extensions_mut().insert(wire.clone());
    let response = endpoint.ask(head.map(|()| Body::empty())).await;
    match response.status() {
        StatusCode::OK => opened(endpoint, &wire, response).await,
        _ => response,
    }
}

/// Learns the id of a new polling session from the answer that tells it to the client.
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
        parts.headers.remove(CONTENT_LENGTH);
    }
    if let Some(sid) = opened_sid(&bytes) {
        endpoint.remember(sid, wire);
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// A request that waits for packets.
async fn wait(endpoint: &Endpoint, head: Request<()>, session: &str) -> Response<Body> {
    let response = endpoint.ask(head.map(|()| Body::empty())).await;
    let Some(wire) = endpoint.polling_wire(session) else {
        return response;
    };
    let (parts, body) = response.into_parts();
    let body = collect(body).await.unwrap_or_default();
    wire.polled(&body);
    Response::from_parts(parts, Body::from(body))
}

/// A payload of packets. It is cut behind each CONNECT, and the crate gets the next part when that is answered.
async fn post(
    endpoint: &Endpoint,
    head: &Request<()>,
    peer: Option<SocketAddr>,
    session: &str,
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
        // The client is gone.
        Ok(Err(_)) => return status(StatusCode::BAD_REQUEST),
        Err(_) => {
            endpoint.refused(peer, "the body of a request did not come in time");
            return status(StatusCode::REQUEST_TIMEOUT);
        }
    };
    let wire = endpoint.polling_wire(session);
    if let Some(wire) = &wire {
        wire.count_attachments(packets(&payload));
    }
    let leaves = packets(&payload).any(|packet| packet == CLOSE.as_bytes());
    let mut parts = parts(&payload).into_iter().peekable();
    loop {
        let part = parts.next().unwrap_or_default();
        if let (Some(wire), Some(namespace)) = (&wire, connect_at_end(&part)) {
            wire.connect_requested(&namespace);
        }
        let response = endpoint.ask(head.clone().map(|()| Body::from(part))).await;
        if parts.peek().is_none() || response.status() != StatusCode::OK {
            if let Some(wire) = wire.filter(|_| leaves) {
                wire.left();
            }
            return response;
        }
        if let Some(wire) = &wire {
            wire.connects_answered().await;
        }
    }
}

/// The crate gives the codes of its errors as text, Node as numbers.
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

/// The crate offers an upgrade to a WebSocket although that transport is off.
fn without_upgrades(handshake: &[u8]) -> Bytes {
    let offer = "\"upgrades\":[\"websocket\"]";
    String::from_utf8_lossy(handshake)
        .replace(offer, "\"upgrades\":[]")
        .into()
}

/// The `sid` in the body of an Engine.IO handshake: `0{"sid":"...",...}`.
fn opened_sid(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Open {
        sid: String,
    }
    let open: Open = serde_json::from_slice(body.strip_prefix(&[OPEN])?).ok()?;
    Some(open.sid)
}
