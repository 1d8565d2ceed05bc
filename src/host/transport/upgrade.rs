//! WebSockets: the host answers the handshake, and passes a stream of its own to socketioxide.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{
        HeaderValue, Method, Request, Response, StatusCode,
        header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE},
    },
};
use bytes::BytesMut;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{io::AsyncReadExt, time::timeout};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tower::ServiceExt;

use super::{
    endpoint::{Endpoint, UnknownSession},
    protocol::VERSION,
    request::{Asked, head},
    response::{refuse, unknown_session},
    wire::Wire,
    ws_frames,
    ws_stream::WireStream,
};
use crate::host::options::Transport;

/// Answers the WebSocket handshake, and passes the stream to socketioxide when it is ready.
pub(super) fn answer(endpoint: Arc<Endpoint>, mut request: Request<Body>) -> Response<Body> {
    let asked = Asked::of(request.uri());
    if let Some(refusal) = check(&asked) {
        return refusal;
    }
    let session = match endpoint.session(&asked) {
        Ok(Some((_, wire))) if wire.has_stream() => return refuse(3, "Bad request"),
        Ok(session) => session,
        Err(UnknownSession) => return unknown_session(),
    };
    let Some(key) = request
        .headers()
        .get(SEC_WEBSOCKET_KEY)
        .filter(|_| request.method() == Method::GET)
    else {
        return refuse(3, "Bad request");
    };
    let accept = derive_accept_key(key.as_bytes());
    let sid = session.as_ref().map(|(sid, _)| &**sid);
    let Some(mut head) = head(&request, &asked, sid) else {
        return refuse(3, "Bad request");
    };
    let (sid, wire) = match session {
        Some((sid, wire)) => (Some(sid), wire),
        None => match endpoint.new_wire(&request, Transport::Websocket) {
            Ok(wire) => (None, wire),
            Err(refusal) => return refusal.response(),
        },
    };
    head.extensions_mut().insert(wire.clone());
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(io) = upgraded.await {
            serve(endpoint, TokioIo::new(io), wire, head, sid).await;
        }
    });
    switching_protocols(&accept)
}

/// Passes a WebSocket to socketioxide. A WebSocket of a polling session is passed only when the client begins to probe
/// it, because the session continues with polling if the client never does.
async fn serve(
    endpoint: Arc<Endpoint>,
    mut io: TokioIo<Upgraded>,
    wire: Arc<Wire>,
    head: Request<()>,
    sid: Option<Arc<str>>,
) {
    let mut read = BytesMut::new();
    if sid.is_some() {
        let probe = timeout(endpoint.options().upgrade_timeout, io.read_buf(&mut read));
        if !matches!(probe.await, Ok(Ok(_))) || !ws_frames::begins_with_text(&read) {
            return;
        }
    }
    let Some(mut stream) = WireStream::new(wire, io, read) else {
        return;
    };
    if let Some(sid) = sid {
        let endpoint = endpoint.clone();
        stream.on_end(move || drop(tokio::spawn(endpoint.close_session(sid))));
    }
    // The query was checked, so socketioxide accepts it. Boxed, because socketioxide's task stores the stream more than
    // once.
    let engine = endpoint.engine.clone();
    drop(endpoint);
    let _ = engine.oneshot((Box::new(stream), head)).await;
}

/// Returns the error response to an upgrade request that socketioxide would not accept, as Node words it.
fn check(asked: &Asked<'_>) -> Option<Response<Body>> {
    match (asked.transport.as_deref(), asked.version.as_deref()) {
        (Some("websocket"), Some(VERSION)) => None,
        (Some("websocket"), _) => Some(refuse(5, "Unsupported protocol version")),
        (Some("polling"), _) => Some(refuse(3, "Bad request")),
        _ => Some(refuse(0, "Transport unknown")),
    }
}

fn switching_protocols(accept: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}
