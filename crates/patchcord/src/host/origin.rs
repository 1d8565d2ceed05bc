//! Origins of pages, which browsers send in the header `Origin`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

const ANY: &str = "*";
/// Value that browsers send for pages without an origin.
const NULL: &str = "null";
/// Maximum length of an origin, in bytes.
const MAX_LENGTH: usize = 290;
/// Scheme of pages that were opened from disk.
const FILE: &str = "file";

/// Origin of a page: a scheme, a host and perhaps a port, such as `https://example.com` or `http://localhost:8080`. It
/// is parsed from text, and case is ignored.
///
/// `*` stands for every page, and `null` for pages without an origin, such as a sandboxed frame, which every page can
/// open. A page that only one of these allows connects without the credentials of its visitors: scripts see neither
/// `cookie` nor `authorization` in `socket.handshake.headers`, by either transport.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

/// Error for a text that is not an [`Origin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadOrigin {
    /// The text does not have the form of an origin.
    #[error("expected a scheme, a host and perhaps a port, such as `https://example.com`, or `*`")]
    NoOrigin,
    /// The text names pages that were opened from disk.
    #[error("a page of `file://` has no origin; a page that is served over HTTP has one")]
    File,
}

impl Origin {
    /// Returns `true` for `*`, which stands for every page.
    pub fn is_any(&self) -> bool {
        self.0 == ANY
    }

    /// Returns `true` for `null`, which stands for pages without an origin.
    pub fn is_null(&self) -> bool {
        self.0 == NULL
    }

    /// Returns advice for an operator whose server has rejected a page with the origin `text`; `None` if there is none.
    /// The advice never allows an origin that other pages can have too.
    #[cfg(feature = "internals")]
    #[doc(hidden)]
    pub fn hint(text: &str) -> Option<String> {
        match text.parse::<Self>() {
            Ok(origin) if origin.is_any() => None,
            Ok(origin) if !origin.is_null() => {
                Some(format!("`--origin {origin}` lets its pages connect"))
            }
            Err(BadOrigin::NoOrigin) => None,
            Ok(_) | Err(BadOrigin::File) => {
                Some("a page from disk has no origin; `--public DIR` serves it with one".to_owned())
            }
        }
    }

    /// Returns the scheme, and the host with its port; two empty texts for `*` and `null`.
    pub(super) fn parts(&self) -> (&str, &str) {
        self.0.split_once("://").unwrap_or_default()
    }
}

impl FromStr for Origin {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        if text == ANY || text == NULL {
            return Ok(Self(text.to_owned()));
        }
        let lower = text.to_ascii_lowercase();
        let (scheme, authority) = lower.split_once("://").ok_or(BadOrigin::NoOrigin)?;
        if scheme == FILE {
            return Err(BadOrigin::File);
        }
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let valid = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        if authority.is_empty()
            || authority.starts_with(':')
            || !authority.chars().all(valid)
            || !scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
            || scheme.is_empty()
            || text.len() > MAX_LENGTH
            || port(authority).is_some_and(|port| port.parse::<u16>().is_err())
        {
            return Err(BadOrigin::NoOrigin);
        }
        let authority = without_default_port(authority, scheme);
        Ok(Self(format!("{scheme}://{authority}")))
    }
}

impl TryFrom<String> for Origin {
    type Error = BadOrigin;

    fn try_from(text: String) -> Result<Self, BadOrigin> {
        text.parse()
    }
}

impl From<Origin> for String {
    fn from(parsed: Origin) -> Self {
        parsed.0
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn port(authority: &str) -> Option<&str> {
    let after_address = authority.rsplit(']').next()?;
    after_address.split_once(':').map(|(_, port)| port)
}

pub(super) fn without_default_port<'a>(authority: &'a str, scheme: &str) -> &'a str {
    let default = match scheme {
        "http" | "ws" => ":80",
        "https" | "wss" => ":443",
        _ => return authority,
    };
    authority.strip_suffix(default).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_as_browsers_write_them() {
        for (text, expected) in [
            ("https://Example.com/", "https://example.com"),
            ("https://example.com:443", "https://example.com"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://[::1]:80", "http://[::1]"),
            ("*", "*"),
            ("null", "null"),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap().to_string(), expected);
        }
        for text in [
            "",
            "example.com",
            "https://",
            "://a",
            "https://a/b",
            "https://a b",
            "http://a:x",
            "http://a:",
            "http://a:99999",
            "https://*.a.com",
            "http://:80",
            "file://",
            "file:///home/ada/page.html",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
