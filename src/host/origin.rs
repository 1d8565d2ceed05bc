//! Which pages may connect, over polling and WebSocket alike.
//!
//! A browser says with `Origin` which page a request comes from. Pages that this server serves may connect, those of
//! listed origins too, and whoever sends no `Origin`, which is no page. The browser must hear of it to let the page
//! read the answers (CORS).

use std::{
    collections::HashSet,
    fmt,
    str::FromStr,
    sync::{Mutex, PoisonError},
};

use axum::{
    body::Body,
    http::{
        HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
            ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, VARY,
        },
    },
};

use super::forwarded;

const ANY: &str = "*";
/// What browsers say for pages without an address.
const NULL: &str = "null";
/// So many refused origins are announced; they come from outside and must not fill the memory.
const MOST_ANNOUNCED: usize = 1000;
const LONGEST: usize = 300;

/// Where a page comes from: `https://example.com`, `http://localhost:8080`; `*` is every page, with whatever its
/// visitors are logged in to left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin(String);

/// A text that names no origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a scheme, a host and perhaps a port, such as `https://example.com`, or `*`")]
#[non_exhaustive]
pub struct BadOrigin;

impl Origin {
    /// Whether it is every page.
    pub fn is_any(&self) -> bool {
        self.0 == ANY
    }

    fn parts(&self) -> (&str, &str) {
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

fn without_default_port<'a>(authority: &'a str, scheme: &str) -> &'a str {
    let default = match scheme {
        "http" | "ws" => ":80",
        "https" | "wss" => ":443",
        _ => return authority,
    };
    authority.strip_suffix(default).unwrap_or(authority)
}

/// The origins that a server takes.
pub(super) struct Origins {
    allowed: Vec<Origin>,
    behind_proxy: bool,
    refused: Mutex<HashSet<String>>,
}

/// A page that may not connect.
pub(super) struct Refused {
    pub(super) origin: String,
    /// It was not refused before.
    pub(super) is_new: bool,
}

impl Origins {
    pub(super) fn new(allowed: Vec<Origin>, behind_proxy: bool) -> Self {
        Self {
            allowed,
            behind_proxy,
            refused: Mutex::default(),
        }
    }

    /// What the browser is to hear with the answer; nothing if no page asks.
    pub(super) fn check(&self, request: &Request<Body>) -> Result<Option<Grant>, Refused> {
        let Some(header) = request.headers().get(ORIGIN) else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(header.as_bytes());
        let origin: Option<Origin> = text.parse().ok();
        let listed = origin.as_ref().is_some_and(|origin| {
            !origin.is_any() && (self.allowed.contains(origin) || self.is_own(origin, request))
        });
        if listed {
            return Ok(Some(Grant {
                origin: header.clone(),
                credentials: true,
            }));
        }
        if self.allowed.iter().any(Origin::is_any) {
            return Ok(Some(Grant {
                origin: HeaderValue::from_static(ANY),
                credentials: false,
            }));
        }
        Err(self.refuse(&text))
    }

    /// Whether the page comes from this server. Its scheme tells nothing: a proxy may speak TLS in our place.
    fn is_own(&self, origin: &Origin, request: &Request<Body>) -> bool {
        let (scheme, authority) = origin.parts();
        let headers = request.headers();
        let forwarded = forwarded::host(headers).filter(|_| self.behind_proxy);
        let named = || headers.get(HOST)?.to_str().ok();
        let host = forwarded.or_else(named).unwrap_or_default();
        let host = host.to_ascii_lowercase();
        !authority.is_empty() && without_default_port(&host, scheme) == authority
    }

    fn refuse(&self, text: &str) -> Refused {
        let shown = text.chars().filter(|c| !c.is_control());
        let origin: String = shown.take(LONGEST).collect();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        Refused {
            is_new: refused.len() < MOST_ANNOUNCED && refused.insert(origin.clone()),
            origin,
        }
    }
}

/// What a page may do, in the words of CORS.
pub(super) struct Grant {
    origin: HeaderValue,
    credentials: bool,
}

impl Grant {
    /// The answer to a browser that asks before it sends the request of a page.
    pub(super) fn preflight(request: &Request<Body>) -> Option<Response<Body>> {
        let asks = request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if request.method() != Method::OPTIONS || !asks {
            return None;
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        let methods = HeaderValue::from_static("GET, POST");
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        if let Some(wanted) = request.headers().get(ACCESS_CONTROL_REQUEST_HEADERS) {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        Some(response)
    }

    /// Tells the browser that the page may read the answer.
    pub(super) fn write(self, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, self.origin);
        headers.append(VARY, HeaderValue::from(ORIGIN));
        if self.credentials {
            let yes = HeaderValue::from_static("true");
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
    }
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

    #[test]
    fn the_servers_own_pages_are_told_by_host_and_port() {
        let own = |origin: &str, headers: &[(&'static str, &str)], proxy| {
            let mut request = Request::get("/");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(Body::empty()).unwrap();
            Origins::new(Vec::new(), proxy).is_own(&origin.parse().unwrap(), &request)
        };
        let direct = [("host", "a.com:3000")];
        assert!(own("http://a.com:3000", &direct, false));
        assert!(own("https://A.com:3000", &direct, false), "scheme ignored");
        assert!(!own("http://a.com", &direct, false));
        assert!(!own("http://b.com:3000", &direct, false));
        assert!(!own("null", &direct, false) && !own("null", &[], false));
        assert!(own("https://a.com", &[("host", "a.com")], false));
        assert!(own("http://a.com", &[("host", "a.com:80")], false));
        let proxied = [("host", "127.0.0.1:3000"), ("x-forwarded-host", "a.com")];
        assert!(own("https://a.com", &proxied, true));
        assert!(!own("https://a.com", &proxied, false));
    }

    #[test]
    fn refused_origins_are_new_once_and_their_number_is_bounded() {
        let origins = Origins::new(Vec::new(), false);
        assert!(origins.refuse("http://a").is_new && !origins.refuse("http://a").is_new);
        for n in 0..MOST_ANNOUNCED {
            origins.refuse(&n.to_string());
        }
        assert!(!origins.refuse("http://late").is_new);
    }
}
