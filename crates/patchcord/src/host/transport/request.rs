//! Reads the head of a request: its client, its Engine.IO parameters, and its description for scripts.

use std::{borrow::Cow, collections::BTreeMap, net::SocketAddr};

use axum::{
    extract::ConnectInfo,
    http::{
        Extensions, HeaderMap, Uri,
        header::{COOKIE, ORIGIN, UPGRADE},
    },
};
use percent_encoding::percent_decode_str;
use rhai::{Dynamic, Identifier, Map};

use super::forwarded;

/// Maximum size in bytes of the headers of a request that the host keeps. The same maximum applies to its path and
/// query.
pub(super) const MAX_KEPT: usize = 8 << 10;
/// Maximum number of header names in an announcement.
const MAX_NAMES: usize = 8;
/// Maximum length of a header name in an announcement, in characters.
const MAX_NAME: usize = 64;

/// Headers of a request as text, one line each. They use less than half the memory of a `HeaderMap`, for as long as the
/// session lives.
#[derive(Debug)]
pub(in crate::host) struct Headers(Box<str>);

impl Headers {
    /// Returns the headers that [`Headers::keep`] keeps.
    pub(in crate::host) fn new(headers: &HeaderMap) -> Self {
        Self::keep(headers).0
    }

    /// Returns the headers up to [`MAX_KEPT`] bytes, and the names of the first ones that are left out. A header that
    /// does not fit is left out, but later headers that fit are kept.
    pub(super) fn keep(headers: &HeaderMap) -> (Self, Vec<String>) {
        let (mut lines, mut left_out) = (String::new(), Vec::new());
        for (name, value) in headers {
            let line = format!("{name}:{}\n", String::from_utf8_lossy(value.as_bytes()));
            if lines.len() + line.len() <= MAX_KEPT {
                lines.push_str(&line);
            } else if left_out.len() < MAX_NAMES {
                left_out.push(name.as_str().chars().take(MAX_NAME).collect());
            }
        }
        (Self(lines.into()), left_out)
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.lines().filter_map(|line| line.split_once(':'))
    }

    /// Returns the cookies of the request. Of several cookies with one name, the first one counts: browsers send the
    /// most specific one first.
    fn cookies(&self) -> Map {
        let headers = self.iter().filter(|(name, _)| COOKIE == *name);
        let cookies = headers.flat_map(|(_, all)| all.split(';'));
        let mut map = Map::new();
        for (name, value) in cookies.filter_map(|cookie| cookie.split_once('=')) {
            map.entry(name.trim().into())
                .or_insert_with(|| cookie_value(value.trim()).into());
        }
        map
    }

    /// Returns the headers as a map. Names are in lower case, and the values of one name are joined, as in Node.
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

/// Returns a cookie's value without its quotes, and with its escapes decoded if they are UTF-8.
fn cookie_value(value: &str) -> String {
    let quoted = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'));
    let value = quoted.unwrap_or(value);
    let decoded = percent_decode_str(value).decode_utf8();
    decoded.map_or_else(|_| value.to_owned(), Cow::into_owned)
}

/// Returns the description of a request that scripts read as `socket.handshake`.
pub(in crate::host) fn describe(uri: &Uri, headers: &Headers, peer: Option<SocketAddr>) -> Map {
    let url = uri.path_and_query().map_or("/", |url| url.as_str());
    let text = |text: &str| Dynamic::from(text.to_owned());
    let fields: [(&str, Dynamic); 7] = [
        ("cookies", headers.cookies().into()),
        ("headers", headers.map().into()),
        ("query", query(uri.query().unwrap_or_default()).into()),
        (
            "address",
            peer.map_or(Dynamic::UNIT, |peer| text(&peer.ip().to_string())),
        ),
        ("url", text(url)),
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
    pairs(query)
        .map(|(name, value)| (Identifier::from(&*name), value.into_owned().into()))
        .collect()
}

/// Returns the pairs of a query, percent-decoded.
fn pairs(query: &str) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(query.as_bytes())
}

/// Engine.IO parameters in the query of a request, as Node reads them: if a name occurs twice, the last one counts.
#[derive(Debug, Default)]
pub(super) struct Requested<'a> {
    /// Value of `EIO`.
    pub(super) version: Option<Cow<'a, str>>,
    /// Value of `transport`.
    pub(super) transport: Option<Cow<'a, str>>,
    /// Value of `sid`; `None` if it is missing or empty.
    pub(super) session: Option<Cow<'a, str>>,
}

impl<'a> Requested<'a> {
    pub(super) fn from_uri(uri: &'a Uri) -> Self {
        let mut asked = Self::default();
        for (name, value) in pairs(uri.query().unwrap_or_default()) {
            match &*name {
                "EIO" => asked.version = Some(value),
                "transport" => asked.transport = Some(value),
                "sid" => asked.session = Some(value).filter(|sid| !sid.is_empty()),
                _ => {}
            }
        }
        asked
    }
}

/// Returns the address of the client that sent a request, behind `proxies` proxies.
pub(in crate::host) fn client(
    headers: &HeaderMap,
    extensions: &Extensions,
    proxies: usize,
) -> Option<SocketAddr> {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    forwarded::client(peer.map(|info| info.0), headers, proxies)
}

pub(super) fn wants_websocket(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}
