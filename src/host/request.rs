//! What a script can know of the request that opened a connection.

use std::{collections::BTreeMap, net::SocketAddr, time::SystemTime};

use axum::http::{HeaderMap, Uri, header::ORIGIN};
use rhai::{Dynamic, Identifier, Map};

/// The headers of a request, a line each with its end: less than half of what a `HeaderMap` takes for as long as the
/// connection lives.
#[derive(Debug)]
pub(super) struct Headers(Box<str>);

impl Headers {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut lines = String::new();
        for (name, value) in headers {
            lines.push_str(name.as_str());
            lines.push(':');
            lines.push_str(&String::from_utf8_lossy(value.as_bytes()));
            lines.push('\n');
        }
        Self(lines.into())
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.lines().filter_map(|line| line.split_once(':'))
    }

    /// Names in lower case; values of one name are joined, as in Node.
    fn map(&self) -> Map {
        let mut joined = BTreeMap::<_, String>::new();
        for (name, value) in self.iter() {
            joined
                .entry(name)
                .and_modify(|all| *all = format!("{all}, {value}"))
                .or_insert_with(|| value.to_owned());
        }
        let fields = joined.into_iter();
        fields
            .map(|(name, all)| (name.into(), all.into()))
            .collect()
    }
}

/// The request as `socket.handshake` has it.
pub(super) fn describe(uri: &Uri, headers: &Headers, peer: Option<SocketAddr>) -> Map {
    let url = uri.path_and_query().map_or("/", |url| url.as_str());
    let text = |text: &str| Dynamic::from(text.to_owned());
    let fields: [(&str, Dynamic); 7] = [
        ("headers", headers.map().into()),
        ("query", query(uri.query().unwrap_or_default()).into()),
        (
            "address",
            peer.map_or(Dynamic::UNIT, |peer| text(&peer.ip().to_string())),
        ),
        ("url", text(url)),
        ("time", text(&httpdate::fmt_http_date(SystemTime::now()))),
        (
            "secure",
            uri.scheme_str()
                .is_some_and(|scheme| scheme == "https")
                .into(),
        ),
        (
            "xdomain",
            headers.iter().any(|(name, _)| ORIGIN == name).into(),
        ),
    ];
    fields
        .into_iter()
        .map(|(name, value)| (name.into(), value))
        .collect()
}

fn query(query: &str) -> Map {
    let pairs = form_urlencoded::parse(query.as_bytes());
    pairs
        .map(|(name, value)| (Identifier::from(&*name), value.into_owned().into()))
        .collect()
}
