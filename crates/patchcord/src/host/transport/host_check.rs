//! Rejects requests for host names that are not the server's.
//!
//! A page of another site can point its own name at this machine (DNS rebinding). The browser then regards this server
//! as that site: the page can read every response, and its `Origin` is the server's own. But the browser still sends
//! the name of the site in `Host`, so the host rejects names that are not the server's, on every path.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{
        HeaderValue, Request, Response, StatusCode,
        header::{CONTENT_TYPE, HOST, X_CONTENT_TYPE_OPTIONS},
    },
};

use super::forwarded;
use crate::{
    event::HostEvent,
    host::{
        allowed_host::{AllowedHost, is_local, name},
        announce::{
            Announcer,
            once::{Once, shown},
        },
    },
};

/// Host names that requests may have, besides IP addresses and `localhost`.
#[derive(Debug)]
pub(crate) struct HostCheck {
    allowed: Vec<AllowedHost>,
    behind_proxy: bool,
    announcer: Arc<Announcer>,
    announced: Once,
}

impl HostCheck {
    pub(in crate::host) fn new(
        allowed: Vec<AllowedHost>,
        behind_proxy: bool,
        announcer: Arc<Announcer>,
    ) -> Self {
        Self {
            allowed,
            behind_proxy,
            announcer,
            announced: Once::default(),
        }
    }

    /// Returns the response that rejects a request, if its host name is not the server's.
    pub(crate) fn refusal(&self, request: &Request<Body>) -> Option<Response<Body>> {
        let headers = request.headers();
        // A proxy may pass on the host name of the client's request, or use its own name for the server. But a page
        // could write the header of the proxy itself. So both names must be allowed.
        let forwarded = forwarded::host(headers).filter(|_| self.behind_proxy);
        let named = headers.get_all(HOST).iter().map(HeaderValue::as_bytes);
        let uri = request.uri().authority().map(|uri| uri.as_str().as_bytes());
        let mut names = named
            .chain(uri)
            .chain(forwarded.into_iter().map(str::as_bytes));
        let refused = names.find(|name| !self.allows(name))?;
        Some(self.refuse(&shown(refused)))
    }

    fn allows(&self, host: &[u8]) -> bool {
        let name = std::str::from_utf8(host).ok().and_then(name);
        name.is_some_and(|name| {
            is_local(&name) || self.allowed.iter().any(|entry| entry.matches(&name))
        })
    }

    fn refuse(&self, host: &str) -> Response<Body> {
        self.announcer.counters().hosts_refused.add();
        if self.announced.is_new(host) {
            let host = host.to_owned();
            self.announcer.announce(HostEvent::HostRefused { host });
        }
        let hint =
            AllowedHost::hint(host).map_or_else(String::new, |hint| format!("hint: {hint}\n"));
        let text = format!("this server does not answer requests for the host `{host}`\n{hint}");
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = StatusCode::FORBIDDEN;
        let headers = response.headers_mut();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(CONTENT_TYPE, plain);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}
