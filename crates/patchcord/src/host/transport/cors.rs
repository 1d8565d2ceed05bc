//! Decides which pages may connect, over both polling and WebSocket.
//!
//! A browser names in `Origin` the page that a request comes from. Pages that this server serves may connect, and so
//! may pages of listed origins. A client that sends no `Origin` is not a page, and may connect too. The response must
//! have the headers of CORS, or the browser does not let the page read it.
//!
//! Some pages may connect only because every page may. Such a page must not act on behalf of its visitors' accounts, so
//! its requests reach scripts without cookies and without `Authorization`. The same holds for `null`, because every
//! page can open a frame whose origin is `null`.

use std::{convert::Infallible, sync::Arc};

use axum::{
    body::Body,
    http::{
        Method, Request, Response, StatusCode,
        header::{AUTHORIZATION, COOKIE, HOST, ORIGIN},
    },
};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use super::{forwarded, response::refuse_with};
use crate::{
    event::HostEvent,
    host::{
        announce::{
            Announcer,
            once::{Once, shown},
        },
        options::Options,
        origin::{Origin, without_default_port},
    },
};

/// Check of the pages that may connect.
pub(crate) struct Cors {
    allowed: Vec<Origin>,
    behind_proxy: bool,
    announcer: Arc<Announcer>,
    announced: Once,
    /// CORS headers for a page whose origin is listed, or is the server's own.
    listed: CorsLayer,
    /// CORS headers for any other page.
    any: CorsLayer,
}

/// Reason why a page may connect.
enum Grant {
    /// The origin is listed, or is the server's own.
    Listed,
    /// Every page may connect.
    Any,
}

/// Error for a page that must not connect.
struct Refused;

impl std::fmt::Debug for Cors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cors")
            .field("allowed", &self.allowed)
            .finish_non_exhaustive()
    }
}

impl Cors {
    pub(in crate::host) fn new(options: &Options, announcer: Arc<Announcer>) -> Self {
        Self {
            allowed: options.clients.origins.clone(),
            behind_proxy: options.clients.trust_proxy > 0,
            announcer,
            announced: Once::default(),
            listed: layer(AllowOrigin::mirror_request()).allow_credentials(true),
            any: layer(AllowOrigin::any()),
        }
    }

    /// Answers a request by `answer` if it comes from a page that may connect, or from no page, and adds the CORS
    /// headers for that page. Rejects any other request.
    pub(crate) async fn around<F>(
        &self,
        mut request: Request<Body>,
        answer: impl Fn(Request<Body>) -> F,
    ) -> Response<Body>
    where
        F: Future<Output = Response<Body>>,
    {
        let cors = match self.check(&request) {
            Ok(None) => return answer(request).await,
            Ok(Some(Grant::Listed)) => &self.listed,
            Ok(Some(Grant::Any)) => {
                without_credentials(&mut request);
                &self.any
            }
            Err(Refused) => return self.refuse(&request),
        };
        let answer = service_fn(|request| async { Ok::<_, Infallible>(answer(request).await) });
        match cors.layer(answer).oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Returns the reason why the page of a request may connect; `None` if the request comes from no page.
    fn check(&self, request: &Request<Body>) -> Result<Option<Grant>, Refused> {
        let Some(header) = request.headers().get(ORIGIN) else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(header.as_bytes());
        let origin: Option<Origin> = text.parse().ok();
        let origin = origin.filter(|origin| !origin.is_any());
        let listed = |origin: &Origin| self.allowed.contains(origin);
        match origin {
            Some(origin) if origin.is_null() && listed(&origin) => Ok(Some(Grant::Any)),
            Some(origin) if listed(&origin) || self.is_own(&origin, request) => {
                Ok(Some(Grant::Listed))
            }
            _ if self.allowed.iter().any(Origin::is_any) => Ok(Some(Grant::Any)),
            _ => Err(Refused),
        }
    }

    /// Returns `true` if the page comes from this server. Ignores the scheme, because a proxy may terminate TLS for the
    /// server.
    fn is_own(&self, origin: &Origin, request: &Request<Body>) -> bool {
        let (scheme, authority) = origin.parts();
        let headers = request.headers();
        let forwarded = forwarded::host(headers).filter(|_| self.behind_proxy);
        let named = || headers.get(HOST)?.to_str().ok();
        let host = forwarded.or_else(named).unwrap_or_default();
        let host = host.to_ascii_lowercase();
        !authority.is_empty() && without_default_port(&host, scheme) == authority
    }

    fn refuse(&self, request: &Request<Body>) -> Response<Body> {
        self.announcer.counters().origins_refused.add();
        let origin = request.headers().get(ORIGIN);
        let origin = origin.map_or_else(String::new, |origin| shown(origin.as_bytes()));
        if self.announced.is_new(&origin) {
            self.announcer.announce(HostEvent::OriginRefused { origin });
        }
        refuse_with(StatusCode::FORBIDDEN, 4, "origin not allowed")
    }
}

/// Removes the credentials of a page's visitor from its request. With polling, the browser hides the response from a
/// page that sends credentials without permission. But it sends credentials with every WebSocket, whichever page opens
/// it.
fn without_credentials(request: &mut Request<Body>) {
    for name in [COOKIE, AUTHORIZATION] {
        request.headers_mut().remove(name);
    }
}

/// Returns the CORS headers for an origin, which allow everything that the official client does.
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
            let mut options = Options::default();
            options.clients.trust_proxy = usize::from(proxy);
            let cors = Cors::new(&options, Announcer::new(Vec::new()));
            cors.is_own(&origin.parse().unwrap(), &request)
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
}
