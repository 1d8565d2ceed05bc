//! Public files of a folder.
//!
//! In: requests for files. Out: regular files in the folder, with their type. Invariant: no file is served that is
//! outside the folder, even through a link, that is hidden, or that only the operator should see.

use std::{
    ffi::OsStr,
    fs::{self, Metadata},
    io,
    path::{Component, Path, PathBuf},
    pin::Pin,
    sync::Arc,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, Response, Uri, header},
    middleware::{self, Next},
};
use tower_http::services::fs::{Backend, ServeDir, TokioBackend, TokioFile};

use super::error::ServerError;

/// Suffix of the names of scripts.
const SCRIPT: &str = ".rhai";
/// Characters that editors append to the names of copies of a file.
const COPY_ENDS: [char; 2] = ['~', '#'];
/// Folder that is public although its name begins with a dot (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// Returns an app that serves the files of a folder, except the files at `private`.
///
/// # Errors
/// Returns [`ServerError`] if there is no such folder.
pub(super) fn router(folder: &Path, private: &[PathBuf]) -> Result<Router, ServerError> {
    let no_folder = |_| ServerError::NoFolder(folder.to_owned());
    let root = fs::canonicalize(folder).map_err(no_folder)?;
    if !root.is_dir() {
        return Err(ServerError::NoFolder(folder.to_owned()));
    }
    // A file that does not exist yet has no real path.
    let real = |path: &PathBuf| fs::canonicalize(path).ok();
    let public = Public {
        root: root.clone().into(),
        private: private.iter().filter_map(real).collect(),
    };
    let files = ServeDir::with_backend(root, public);
    Ok(Router::new()
        .fallback_service(files)
        .layer(middleware::from_fn(described)))
}

/// Corrects the headers of a response for browsers: the target of a redirect, and the content type.
async fn described(request: Request, next: Next) -> Response<Body> {
    let uri = request.uri().clone();
    let mut response = next.run(request).await;
    let is_redirect = response.status().is_redirection();
    let headers = response.headers_mut();
    if is_redirect && headers.contains_key(header::LOCATION) {
        match to_folder(&uri) {
            Some(location) => headers.insert(header::LOCATION, location),
            None => headers.remove(header::LOCATION),
        };
    }
    if let Some(kind) = headers.get(header::CONTENT_TYPE) {
        let kind = content_type(uri.path(), kind);
        headers.insert(header::CONTENT_TYPE, kind);
    }
    response
}

/// Returns the address of a folder, relative to the same address without a trailing slash. A browser would interpret an
/// absolute `//folder/` as another server, and behind a proxy that removes a prefix, the prefix would be missing.
fn to_folder(uri: &Uri) -> Option<HeaderValue> {
    let folder = uri.path().rsplit('/').next()?;
    let query = uri
        .query()
        .map_or_else(String::new, |query| format!("?{query}"));
    HeaderValue::from_str(&format!("./{folder}/{query}")).ok()
}

/// Returns the type of a file: texts are UTF-8, and a source map is JSON.
fn content_type(path: &str, guessed: &HeaderValue) -> HeaderValue {
    let Ok(guess) = guessed.to_str() else {
        return guessed.clone();
    };
    if path.ends_with(".map") && guess == "text/plain" {
        return HeaderValue::from_static("application/json");
    }
    let is_bare_text = guess.starts_with("text/") && !guess.contains(';');
    match is_bare_text.then(|| HeaderValue::from_str(&format!("{guess}; charset=utf-8"))) {
        Some(Ok(text)) => text,
        _ => guessed.clone(),
    }
}

/// Public files, which the file service reads.
#[derive(Debug, Clone)]
struct Public {
    /// Real path of the folder.
    root: Arc<Path>,
    /// Real paths of files that are never served.
    private: Arc<[PathBuf]>,
}

impl Public {
    /// Returns the real path of a file or folder, if it is public. To clients, all other files appear not to exist.
    fn find(&self, path: &Path) -> io::Result<(PathBuf, Metadata)> {
        let real = fs::canonicalize(path).map_err(|_| missing())?;
        let is_public = [path, &real].into_iter().all(|path| {
            let inside = path.strip_prefix(&self.root);
            inside.is_ok_and(|inside| inside.components().all(is_public))
        });
        let metadata = fs::metadata(&real).map_err(|_| missing())?;
        // Opening a pipe would block its thread until another process opens the pipe for writing.
        let is_readable = metadata.is_file() || metadata.is_dir();
        match is_public && is_readable && !self.private.contains(&real) {
            true => Ok((real, metadata)),
            false => Err(missing()),
        }
    }

    /// Does the same as [`Public::find`], on a thread that may block on the disk.
    async fn found(self, path: PathBuf) -> io::Result<(PathBuf, Metadata)> {
        tokio::task::spawn_blocking(move || self.find(&path))
            .await
            .map_err(io::Error::other)?
    }
}

impl Backend for Public {
    type File = TokioFile;
    type Metadata = Metadata;
    type OpenFuture = Pin<Box<dyn Future<Output = io::Result<TokioFile>> + Send>>;
    type MetadataFuture = Pin<Box<dyn Future<Output = io::Result<Metadata>> + Send>>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        let found = self.clone().found(path);
        Box::pin(async move {
            let (real, metadata) = found.await?;
            match metadata.is_file() {
                true => TokioBackend.open(real).await,
                false => Err(missing()),
            }
        })
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        let found = self.clone().found(path);
        Box::pin(async move { Ok(found.await?.1) })
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

/// Returns `true` if a part of a path is public: it is neither hidden nor a script.
fn is_public(part: Component<'_>) -> bool {
    let Component::Normal(name) = part else {
        return false;
    };
    let text = name.to_string_lossy().to_ascii_lowercase();
    let is_hidden = text.starts_with('.') && name != OsStr::new(WELL_KNOWN);
    let is_script = text.trim_end_matches(COPY_ENDS).ends_with(SCRIPT);
    !is_hidden && !is_script
}
