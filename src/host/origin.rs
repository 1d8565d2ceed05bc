//! Origins of pages, as browsers send them in `Origin`.

use std::{fmt, str::FromStr};

const ANY: &str = "*";
/// Origin that browsers send for pages without an address.
const NULL: &str = "null";
/// Origin of a page: `https://example.com`, `http://localhost:8080`. `*` stands for every page, and leaves out the
/// credentials of its visitors.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin(String);

/// Error for a text that names no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a scheme, a host and perhaps a port, such as `https://example.com`, or `*`")]
#[non_exhaustive]
pub struct BadOrigin;

impl Origin {
    /// Returns whether the origin stands for every page.
    pub fn is_any(&self) -> bool {
        self.0 == ANY
    }

    /// Returns the scheme, and the host with its port.
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
        let (scheme, authority) = lower.split_once("://").ok_or(BadOrigin)?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let valid = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        if authority.is_empty()
            || authority.starts_with(':')
            || !authority.chars().all(valid)
            || !scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
            || scheme.is_empty()
            || port(authority).is_some_and(|port| port.parse::<u16>().is_err())
        {
            return Err(BadOrigin);
        }
        let authority = without_default_port(authority, scheme);
        Ok(Self(format!("{scheme}://{authority}")))
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
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }
}
