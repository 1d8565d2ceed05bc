//! URL of a request: where it goes.

use std::net::IpAddr;

use hyper::Uri;

use crate::host::options::Destination;

/// Maximum length of a URL, in bytes.
const MAX_URL: usize = 8 << 10;
/// Message for a URL that cannot be used.
const EXPECTED: &str = "expected a URL such as `https://example.com/path`";

/// URL of a request: `http` or `https`, with a host.
#[derive(Debug, Clone)]
pub(in crate::host::services) struct Target {
    pub(super) uri: Uri,
    scheme: &'static str,
    host: String,
    port: u16,
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, &'static str> {
        let expected = EXPECTED;
        if url.len() > MAX_URL {
            return Err("the URL is too long");
        }
        if !url.is_ascii() || url.contains(char::is_whitespace) {
            return Err(
                "a URL has neither spaces nor letters such as `ä`: `url::encode` escapes them",
            );
        }
        let (url, _fragment) = url.split_once('#').unwrap_or((url, ""));
        Self::of_uri(url.parse().map_err(|_| expected)?)
    }

    pub(super) fn of_uri(uri: Uri) -> Result<Self, &'static str> {
        let expected = EXPECTED;
        let (scheme, port) = match uri.scheme_str() {
            Some("http") => ("http", 80),
            Some("https") => ("https", 443),
            _ => return Err(expected),
        };
        let authority = uri.authority().ok_or(expected)?;
        if authority.as_str().contains('@') {
            return Err("a URL has no user name and password; a header `authorization` has them");
        }
        let host = authority.host().to_ascii_lowercase();
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = bare.unwrap_or(&host);
        // A name may end with a dot, and an address be written in several ways.
        let host = match host.parse::<IpAddr>() {
            Ok(address) => address.to_canonical().to_string(),
            Err(_) => host.strip_suffix('.').unwrap_or(host).to_owned(),
        };
        let has_port = authority
            .as_str()
            .rsplit(']')
            .next()
            .is_some_and(|end| end.contains(':'));
        let is_letter = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        if host.is_empty()
            || !host.chars().all(is_letter)
            || has_port && authority.port_u16().is_none()
        {
            return Err(expected);
        }
        let port = authority.port_u16().unwrap_or(port);
        Ok(Self {
            uri,
            scheme,
            host,
            port,
        })
    }

    /// Parses the beginning of a URL; `None` if it does not contain the whole host.
    pub(super) fn of_beginning(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let end = rest.find(['/', '?'])?;
        Self::parse(&format!("{scheme}://{}/", rest.get(..end)?)).ok()
    }

    /// Returns the URL as text.
    pub(in crate::host::services) fn url(&self) -> String {
        self.uri.to_string()
    }

    pub(super) fn destination(&self) -> Destination<'_> {
        Destination {
            scheme: self.scheme,
            host: &self.host,
            port: self.port,
        }
    }

    /// Returns the host, with the port unless it is the one of the scheme.
    pub(in crate::host::services) fn host_and_port(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match (self.scheme, self.port) {
            ("http", 80) | ("https", 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}
