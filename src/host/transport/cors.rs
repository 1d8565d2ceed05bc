//! Decides which pages may connect, over polling and WebSocket alike.
//!
//! A browser says with `Origin` which page a request comes from. Pages that this server serves may connect, and so may
//! pages of listed origins. A client that sends no `Origin` is not a page, and may connect too. The answer must tell
//! the browser so (CORS), or the browser does not let the page read it.

use std::collections::HashSet;

use axum::{
    body::Body,
    http::{
        Method, Request,
        header::{HOST, ORIGIN},
    },
};
use parking_lot::Mutex;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::forwarded;
use crate::host::origin::{Origin, without_default_port};

/// Maximum rejected origins that are announced; they come from outside and must not fill the memory.
const MOST_ANNOUNCED: usize = 1000;
const LONGEST: usize = 300;

/// Decides which pages may connect.
pub(super) struct Cors {
    allowed: Vec<Origin>,
    behind_proxy: bool,
    refused: Mutex<HashSet<String>>,
    /// CORS headers for a page whose origin is listed, or is the server's own.
    listed: CorsLayer,
    /// CORS headers for any other page.
    any: CorsLayer,
}

/// Page that may not connect.
pub(super) struct Refused {
    pub(super) origin: String,
    /// The origin was not rejected before.
    pub(super) is_new: bool,
}

impl Cors {
    pub(super) fn new(allowed: Vec<Origin>, behind_proxy: bool) -> Self {
        Self {
            allowed,
            behind_proxy,
            refused: Mutex::default(),
            listed: layer(AllowOrigin::mirror_request()).allow_credentials(true),
            any: layer(AllowOrigin::any()),
        }
    }

    /// Returns the CORS headers for the answer; `None` if the request comes from no page.
    pub(super) fn check(&self, request: &Request<Body>) -> Result<Option<&CorsLayer>, Refused> {
        let Some(header) = request.headers().get(ORIGIN) else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(header.as_bytes());
        let origin: Option<Origin> = text.parse().ok();
        let listed = origin.as_ref().is_some_and(|origin| {
            !origin.is_any() && (self.allowed.contains(origin) || self.is_own(origin, request))
        });
        if listed {
            return Ok(Some(&self.listed));
        }
        if self.allowed.iter().any(Origin::is_any) {
            return Ok(Some(&self.any));
        }
        Err(self.refuse(&text))
    }

    /// Returns whether the page comes from this server. Its scheme says nothing, because a proxy may speak TLS in place
    /// of the server.
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
        let mut refused = self.refused.lock();
        Refused {
            is_new: refused.len() < MOST_ANNOUNCED && refused.insert(origin.clone()),
            origin,
        }
    }
}

/// Returns the CORS headers for an origin; they allow what the official client does.
fn layer(origin: AllowOrigin) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .vary([ORIGIN])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_pages_are_told_by_host_and_port() {
        let own = |origin: &str, headers: &[(&'static str, &str)], proxy| {
            let mut request = Request::get("/");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(Body::empty()).unwrap();
            Cors::new(Vec::new(), proxy).is_own(&origin.parse().unwrap(), &request)
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
        let cors = Cors::new(Vec::new(), false);
        assert!(cors.refuse("http://a").is_new && !cors.refuse("http://a").is_new);
        for n in 0..MOST_ANNOUNCED {
            cors.refuse(&n.to_string());
        }
        assert!(!cors.refuse("http://late").is_new);
    }
}
