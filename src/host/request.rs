//! What a script can know of the request that opened a connection.

use std::{net::SocketAddr, time::SystemTime};

use axum::http::{HeaderMap, header::ORIGIN, request::Parts};
use rhai::{Dynamic, Identifier, Map};

/// The request as `socket.handshake` has it.
pub(super) fn describe(parts: &Parts, peer: Option<SocketAddr>) -> Map {
    let url = parts.uri.path_and_query().map_or("/", |url| url.as_str());
    let text = |text: &str| Dynamic::from(text.to_owned());
    let fields: [(&str, Dynamic); 7] = [
        ("headers", headers(&parts.headers).into()),
        ("query", query(parts.uri.query().unwrap_or_default()).into()),
        (
            "address",
            peer.map_or(Dynamic::UNIT, |peer| text(&peer.ip().to_string())),
        ),
        ("url", text(url)),
        ("time", text(&httpdate::fmt_http_date(SystemTime::now()))),
        (
            "secure",
            parts
                .uri
                .scheme_str()
                .is_some_and(|scheme| scheme == "https")
                .into(),
        ),
        ("xdomain", parts.headers.contains_key(ORIGIN).into()),
    ];
    fields
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect()
}

/// Names in lower case; values of one name are joined, as in Node.
fn headers(headers: &HeaderMap) -> Map {
    let mut map = Map::new();
    for name in headers.keys() {
        let values: Vec<_> = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        map.insert(name.as_str().into(), values.join(", ").into());
    }
    map
}

fn query(query: &str) -> Map {
    let pairs = form_urlencoded::parse(query.as_bytes());
    pairs
        .map(|(name, value)| (Identifier::from(&*name), value.into_owned().into()))
        .collect()
}
