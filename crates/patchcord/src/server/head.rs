//! Size of the head of a request: the request line and the headers.

use axum::body::Body;
use hyper::{
    Request, Response, StatusCode,
    header::{CONNECTION, HeaderValue},
};

/// Maximum size of the head of a request, in bytes.
pub(super) const MAX_HEAD: usize = 32 << 10;
/// Size of a request line without its method and target, in bytes: two spaces, the version, and the end of the line.
const REQUEST_LINE: usize = " ".len() * 2 + "HTTP/1.1\r\n".len();
/// Size of a header line without its name and value, in bytes.
const HEADER_LINE: usize = ": \r\n".len();

/// Returns `true` if the head of a request is larger than [`MAX_HEAD`]. hyper itself rejects only heads that do not fit
/// into its buffer, and one read can exceed the maximum size of its buffer.
pub(super) fn is_too_large<T>(request: &Request<T>) -> bool {
    let target = request.uri().path_and_query();
    let target = target.map_or(0, |target| target.as_str().len());
    let headers = request.headers().iter();
    let headers: usize = headers
        .map(|(name, value)| name.as_str().len() + value.len() + HEADER_LINE)
        .sum();
    let end = "\r\n".len();
    request.method().as_str().len() + target + REQUEST_LINE + headers + end > MAX_HEAD
}

/// Returns the response to a request whose head is too large, the same as hyper's.
pub(super) fn too_large() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_may_have_32_kib() {
        let empty = "GET /socket.io/?EIO=4 HTTP/1.1\r\nHost: localhost\r\nCookie: \r\n\r\n".len();
        let head = |length: usize| {
            let cookie = "x".repeat(length - empty);
            let request = Request::get("/socket.io/?EIO=4").header("host", "localhost");
            request.header("cookie", cookie).body(()).unwrap()
        };
        assert!(!is_too_large(&head(MAX_HEAD)));
        assert!(is_too_large(&head(MAX_HEAD + 1)));
    }
}
