//! WebSockets: the handshake is answered here, and the crate is handed a stream of ours.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{
        HeaderValue, Method, Request, Response, StatusCode, Uri,
        header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE},
    },
};
use bytes::BytesMut;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tower::ServiceExt;

use super::{
    Transport, frames,
    service::{Shared, full, head, query, refuse, sid},
    stream::WireStream,
    wire::Wire,
};

impl Shared {
    /// Answers the WebSocket handshake, and hands the stream to the crate once it is there.
    pub(super) fn upgrade(self: Arc<Self>, mut request: Request<Body>) -> Response<Body> {
        if let Some(refusal) = check_query(request.uri()) {
            return refusal;
        }
        let Some(key) = request
            .headers()
            .get(SEC_WEBSOCKET_KEY)
            .filter(|_| request.method() == Method::GET)
        else {
            return refuse(3, "Bad request");
        };
        let accept = derive_accept_key(key.as_bytes());
        let Some(mut head) = head(&request) else {
            return refuse(3, "Bad request");
        };
        let session = sid(request.uri()).map(str::to_owned);
        let wire = match &session {
            None => match self.new_wire(&request, Transport::Websocket) {
                Some(wire) => wire,
                None => return full(),
            },
            Some(sid) => match self.polling_wire(sid) {
                Some(wire) if wire.has_stream() => return refuse(3, "Bad request"),
                Some(wire) => wire,
                None => return refuse(1, "Session ID unknown"),
            },
        };
        head.extensions_mut().insert(wire.clone());
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            if let Ok(io) = upgraded.await {
                self.websocket(TokioIo::new(io), wire, head, session).await;
            }
        });
        switching_protocols(&accept)
    }

    /// Hands a WebSocket to the crate; one that belongs to a polling session only when the client begins to probe it,
    /// for the session goes on by polling if it never does.
    async fn websocket(
        self: Arc<Self>,
        mut io: TokioIo<Upgraded>,
        wire: Arc<Wire>,
        head: Request<()>,
        session: Option<String>,
    ) {
        let mut read = BytesMut::new();
        if session.is_some() {
            let probe =
                tokio::time::timeout(self.host.options.upgrade_timeout, io.read_buf(&mut read));
            if !matches!(probe.await, Ok(Ok(_))) || !frames::begins_with_text(&read) {
                return;
            }
        }
        let Some(mut stream) = WireStream::new(wire, io, read) else {
            return;
        };
        if let Some(sid) = session {
            let shared = self.clone();
            stream.on_end(move || drop(tokio::spawn(shared.close_session(sid))));
        }
        // The query was checked, so the crate takes it. It keeps the stream in its task more than once.
        let _ = self.engine.clone().oneshot((Box::new(stream), head)).await;
    }

    /// Ends a session. It is needed when the WebSocket of one that began with polling has ended. After an upgrade that failed, the crate answers its polls with
    /// nothing and pings it no more, for ever; after one that succeeded there is nothing left to end.
    pub(super) async fn close_session(self: Arc<Self>, sid: String) {
        let uri = format!(
            "{}/?EIO=4&transport=polling&sid={sid}",
            self.host.options.path
        );
        if let Ok(request) = Request::post(uri).body(Body::from("1")) {
            self.ask(request).await;
        }
    }
}

/// The answer to an upgrade request that the crate would not take, as Node words it.
fn check_query(uri: &Uri) -> Option<Response<Body>> {
    match (query(uri, "transport"), query(uri, "EIO")) {
        (Some("websocket"), Some("4")) => None,
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
