//! WebSocket handshakes and upgrades: the host answers the handshake, and passes the WebSocket to the wire of its
//! session.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
        header::{
            CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
            UPGRADE,
        },
    },
};
use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tokio_tungstenite::tungstenite::{
    handshake::derive_accept_key,
    protocol::frame::coding::{Data, OpCode},
};

use super::{
    client_frames::{self, Content, First},
    endpoint::Endpoint,
    protocol::{PROBE, PROBED, UPGRADE as UPGRADED, VERSION},
    reader::Reader,
    request::Requested,
    response::{refuse, refuse_with, unknown_session},
    server_frames,
    wire::Wire,
};
use crate::host::options::Transport;

/// Version of the WebSocket protocol.
const WEBSOCKET: &str = "13";
/// Length of the random key of a handshake, in bytes.
const KEY: usize = 16;
/// Maximum payload of a frame before the end of an upgrade, in bytes.
const SMALL: usize = 128;

/// Answers the WebSocket handshake, and passes the WebSocket to the wire of its session when it is ready.
pub(super) fn answer(endpoint: Arc<Endpoint>, mut request: Request<Body>) -> Response<Body> {
    let asked = Requested::from_uri(request.uri());
    if let Some(refusal) = check(&asked) {
        return refusal;
    }
    let session = match asked.session.as_deref().map(|sid| endpoint.session(sid)) {
        Some(None) => return unknown_session(),
        Some(Some(wire)) => Some(wire),
        None => None,
    };
    let accept = match handshake(&request) {
        Ok(accept) => accept,
        Err(refusal) => return *refusal,
    };
    let (wire, is_new) = match session {
        Some(wire) => (wire, false),
        None => match endpoint.new_wire(&request, Transport::Websocket) {
            Ok(wire) => (wire, true),
            Err(refusal) => return refusal.response(),
        },
    };
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(io) = upgraded.await else {
            return;
        };
        let io = TokioIo::new(io);
        match is_new {
            true => {
                wire.attach(io);
                wire.send_text(endpoint.open_packet(&wire).as_bytes());
                endpoint.start(wire.clone()).await;
                Reader::start(wire, Vec::new());
            }
            false => upgrade(&endpoint, &wire, io).await,
        }
    });
    switching_protocols(accept)
}

/// Upgrades a session from polling to a WebSocket. The session continues with polling if the client does not finish the
/// upgrade.
async fn upgrade(endpoint: &Endpoint, wire: &Arc<Wire>, mut io: TokioIo<Upgraded>) {
    let Some(_probing) = wire.begin_upgrade() else {
        // The client already has a WebSocket; the second one is closed, as in Node.
        let _ = close(&mut io).await;
        return;
    };
    let mut read = Vec::new();
    let finished = timeout(
        endpoint.options().transport.upgrade_timeout,
        probe(wire, &mut io, &mut read),
    );
    match finished.await {
        Ok(Some(())) => {
            if wire.upgrade(io) {
                Reader::start(wire.clone(), read);
            }
        }
        _ => drop(close(&mut io).await),
    }
}

/// Answers the probe of a client, and waits for the end of its upgrade. Bytes that the client sent after that stay in
/// `read`.
async fn probe(wire: &Wire, io: &mut TokioIo<Upgraded>, read: &mut Vec<u8>) -> Option<()> {
    if next_text(io, read).await? != PROBE {
        return None;
    }
    let mut probed = Vec::new();
    server_frames::push(&mut probed, OpCode::Data(Data::Text), PROBED);
    io.write_all(&probed).await.ok()?;
    wire.release_poll();
    (next_text(io, read).await? == UPGRADED).then_some(())
}

/// Returns the next message of a WebSocket if it is a short text; `None` for anything else.
async fn next_text(io: &mut TokioIo<Upgraded>, read: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        match client_frames::first(read, SMALL) {
            First::Incomplete => {}
            First::Data(part, payload, length) if part.is_last => {
                let payload = payload.to_vec();
                read.drain(..length);
                return (part.begins == Some(Content::Text)).then_some(payload);
            }
            _ => return None,
        }
        if io.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}

async fn close(io: &mut TokioIo<Upgraded>) -> std::io::Result<()> {
    io.write_all(&server_frames::CLOSE).await?;
    io.shutdown().await
}

/// Returns the error response to an invalid query, in Node's wording.
fn check(asked: &Requested<'_>) -> Option<Response<Body>> {
    match (asked.transport.as_deref(), asked.version.as_deref()) {
        (Some("websocket"), Some(VERSION)) => None,
        (Some("websocket"), _) => Some(refuse(5, "Unsupported protocol version")),
        (Some("polling"), _) => Some(refuse(3, "Bad request")),
        _ => Some(refuse(0, "Transport unknown")),
    }
}

/// Checks a WebSocket handshake by RFC 6455, 4.2.1, and returns the key that accepts it.
fn handshake(request: &Request<Body>) -> Result<HeaderValue, Box<Response<Body>>> {
    let headers = request.headers();
    let version = headers.get(SEC_WEBSOCKET_VERSION);
    if request.method() != Method::GET {
        return Err(Box::new(refuse(2, "Bad handshake method")));
    }
    let asks = names(headers, "connection", "upgrade") && names(headers, "upgrade", "websocket");
    if asks && version.is_none_or(|version| version != WEBSOCKET) {
        let mut response = refuse_with(StatusCode::UPGRADE_REQUIRED, 3, "Bad request");
        let required = response.headers_mut();
        required.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(WEBSOCKET));
        required.insert(UPGRADE, HeaderValue::from_static("websocket"));
        return Err(Box::new(response));
    }
    let only = |name| headers.get_all(name).iter().count() == 1;
    let key = headers.get(SEC_WEBSOCKET_KEY);
    let is_key = |key: &&HeaderValue| {
        BASE64_STANDARD
            .decode(key.as_bytes())
            .is_ok_and(|key| key.len() == KEY)
    };
    let is_valid =
        asks && request.version() == Version::HTTP_11 && only(HOST) && only(SEC_WEBSOCKET_KEY);
    let key = key.filter(is_key).filter(|_| is_valid);
    let accept = key.map(|key| HeaderValue::from_str(&derive_accept_key(key.as_bytes())));
    match accept {
        Some(Ok(accept)) => Ok(accept),
        _ => Err(Box::new(refuse(3, "Bad request"))),
    }
}

/// Returns `true` if one of the values in a header, which are separated by commas, is `wanted`.
fn names(headers: &HeaderMap, header: &str, wanted: &str) -> bool {
    let lines = headers.get_all(header).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(wanted))
}

fn switching_protocols(accept: HeaderValue) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}
