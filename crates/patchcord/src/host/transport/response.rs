//! Responses of the endpoint itself, without socketioxide, in Node's form.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE},
};

/// Returns the response to a request with an unknown session id.
pub(super) fn unknown_session() -> Response<Body> {
    refuse(1, "Session ID unknown")
}

pub(super) fn refuse(code: u8, message: &str) -> Response<Body> {
    refuse_with(StatusCode::BAD_REQUEST, code, message)
}

pub(super) fn refuse_with(status: StatusCode, code: u8, message: &str) -> Response<Body> {
    let body = Body::from(format!(r#"{{"code":{code},"message":"{message}"}}"#));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Returns a response without a body.
pub(super) fn status(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
