//! What is served beside Socket.IO: the built-in page or a folder, and the official client's bundle.

use std::path::Path;

use axum::{
    Router,
    http::{HeaderName, header},
    response::Html,
    routing::get,
};
use tower_http::services::ServeDir;

use super::{Config, ServerError};

const INDEX: &str = include_str!("pages/index.html");
const STYLE: &str = include_str!("pages/style.css");
const CLIENT: &str = include_str!("pages/client.js");
const PAGE: &str = include_str!("pages/page.js");
const WHITEBOARD: &str = include_str!("pages/whiteboard.html");

/// The app around the Socket.IO path `socket_io`.
pub(super) fn router(config: &Config, socket_io: &str) -> Result<Router, ServerError> {
    let mut router = match &config.public {
        Some(folder) => Router::new().fallback_service(ServeDir::new(existing(folder)?)),
        None => built_in(),
    };
    if let Some(bundle) = &config.client_dist {
        router = router.nest_service(socket_io, ServeDir::new(existing(bundle)?));
    }
    Ok(router)
}

fn existing(folder: &Path) -> Result<&Path, ServerError> {
    match folder.is_dir() {
        true => Ok(folder),
        false => Err(ServerError::NoFolder(folder.to_owned())),
    }
}

fn built_in() -> Router {
    Router::new()
        .route("/", get(Html(INDEX)))
        .route("/echo", get(Html(INDEX)))
        .route("/whiteboard", get(Html(WHITEBOARD)))
        .route("/assets/style.css", get(asset("text/css", STYLE)))
        .route("/assets/client.js", get(asset("text/javascript", CLIENT)))
        .route("/assets/page.js", get(asset("text/javascript", PAGE)))
}

const fn asset(
    kind: &'static str,
    text: &'static str,
) -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(header::CONTENT_TYPE, kind)], text)
}
