//! Files that are served alongside Socket.IO: the built-in pages or a folder, and the official client's bundle.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Response, StatusCode, header},
    middleware::{self, Next},
    response::IntoResponse,
    routing::get,
};
use tower_http::compression::CompressionLayer;

use super::{config::Config, error::ServerError, folder};
use crate::host::{Cors, Host};

const INDEX: &str = include_str!("pages/index.html");
const STYLE: &str = include_str!("pages/style.css");
/// Small Socket.IO client, which the built-in pages and the presets share.
pub const CLIENT_SCRIPT: &str = include_str!("pages/client.js");
const PAGE: &str = include_str!("pages/page.js");
const WHITEBOARD: &str = include_str!("pages/whiteboard.html");
const WHITEBOARD_SCRIPT: &str = include_str!("pages/whiteboard.js");
const WHITEBOARD_STYLE: &str = include_str!("pages/whiteboard.css");

/// Text in a page that contains the path of the Socket.IO endpoint.
const SOCKET_IO: &str = "content=\"socket.io/\"";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Restrictions for the built-in pages: they may use only their own files and this server, and no page may frame them.
const RESTRICTIONS: [(HeaderName, HeaderValue); 2] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
    ),
    (
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    ),
];
/// Header value that keeps browsers from guessing the type of a response.
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Returns the app around the Socket.IO path of a host.
///
/// # Errors
/// Returns [`ServerError`] if a path of files to serve is not a folder.
pub(super) fn router(config: &Config, host: &Host) -> Result<Router, ServerError> {
    let socket_io = &host.options().transport.path;
    let mut router = match &config.public {
        Some(public) => folder::router(public, &config.private)?,
        None => built_in(socket_io),
    };
    if let Some(files) = &config.client_dist {
        let bundle = bundle(folder::router(files, &config.private)?, host.cors());
        router = router.nest_service(socket_io, bundle);
    }
    let missing = Arc::new(MissingBundle::new(host));
    let router = router.layer(middleware::from_fn_with_state(
        missing,
        report_missing_bundle,
    ));
    Ok(router.layer(middleware::map_response(unsniffed)))
}

/// State of the announcement that a page has requested the official client's bundle, which is not served. It is
/// announced once.
struct MissingBundle {
    host: Host,
    /// Prefix of the paths of the bundle's files.
    prefix: String,
    is_reported: AtomicBool,
}

impl MissingBundle {
    fn new(host: &Host) -> Self {
        Self {
            prefix: format!("{}/socket.io.", host.options().transport.path),
            host: host.clone(),
            is_reported: AtomicBool::new(false),
        }
    }
}

async fn report_missing_bundle(
    State(missing): State<Arc<MissingBundle>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let path = request.uri().path();
    let asked =
        (path.starts_with(&missing.prefix) && path.ends_with(".js")).then(|| path.to_owned());
    let response = next.run(request).await;
    if let Some(path) = asked
        && response.status() == StatusCode::NOT_FOUND
        && !missing.is_reported.swap(true, Ordering::Relaxed)
    {
        missing.host.bundle_missing(path);
    }
    response
}

/// Adds compression to the official client's bundle, and the headers with which pages of other origins can load it,
/// even as a module.
fn bundle(files: Router, cors: Arc<Cors>) -> Router {
    files
        .layer(CompressionLayer::new())
        .layer(middleware::map_response(tagged))
        .layer(middleware::from_fn_with_state(cors, shared))
}

/// Marks the entity tag of a compressed response as weak, because the same tag also identifies the uncompressed bytes.
async fn tagged(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    let is_compressed = headers.contains_key(header::CONTENT_ENCODING);
    let strong = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let weak = strong
        .filter(|tag| is_compressed && tag.starts_with('"'))
        .and_then(|tag| HeaderValue::from_str(&format!("W/{tag}")).ok());
    if let Some(weak) = weak {
        headers.insert(header::ETAG, weak);
    }
    response
}

/// Adds the CORS headers for pages that may connect.
async fn shared(State(cors): State<Arc<Cors>>, request: Request, next: Next) -> Response<Body> {
    let answer = |request| {
        let next = next.clone();
        async { next.run(request).await }
    };
    let mut response = cors.around(request, answer).await;
    // Caches must not reuse the response to a request without an origin for a page of another origin.
    let headers = response.headers_mut();
    let mut vary = headers.get_all(header::VARY).iter();
    if !vary.any(|names| names == header::ORIGIN.as_str()) {
        headers.append(header::VARY, HeaderValue::from_name(header::ORIGIN));
    }
    response
}

fn built_in(socket_io: &str) -> Router {
    let path = socket_io.trim_start_matches('/');
    let page = |text: &str| {
        let text = text.replace(SOCKET_IO, &format!("content=\"{path}/\""));
        get(([(header::CONTENT_TYPE, HTML)], text))
    };
    let asset =
        |kind: &'static str, text: &'static str| get(([(header::CONTENT_TYPE, kind)], text));
    Router::new()
        .route("/", page(INDEX))
        .route("/echo", page(INDEX))
        .route("/whiteboard", page(WHITEBOARD))
        .route("/assets/style.css", asset(CSS, STYLE))
        .route("/assets/client.js", asset(JAVASCRIPT, CLIENT_SCRIPT))
        .route("/assets/page.js", asset(JAVASCRIPT, PAGE))
        .route("/assets/whiteboard.css", asset(CSS, WHITEBOARD_STYLE))
        .route(
            "/assets/whiteboard.js",
            asset(JAVASCRIPT, WHITEBOARD_SCRIPT),
        )
        .layer(middleware::map_response(restricted))
}

async fn restricted(response: Response<Body>) -> impl IntoResponse {
    (RESTRICTIONS, response)
}

/// Keeps browsers from guessing the type of a response.
pub(super) async fn unsniffed(response: Response<Body>) -> impl IntoResponse {
    ([(header::X_CONTENT_TYPE_OPTIONS, NO_SNIFF)], response)
}
