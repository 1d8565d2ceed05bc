//! Errors of the HTTP API, as its clients receive them.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::host::NamespaceError;

/// Header of an answer in JSON.
pub(super) const JSON: [(HeaderName, HeaderValue); 1] = [(
    header::CONTENT_TYPE,
    HeaderValue::from_static("application/json"),
)];

/// Error of a request, or of one element of a batch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ApiError {
    #[serde(skip)]
    pub(super) status: StatusCode,
    /// Identifies the kind of the error for programs.
    code: &'static str,
    message: String,
    /// Map that a script has thrown.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    /// Time after which the request may succeed, in seconds.
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            data: None,
            retry_after: None,
        }
    }

    /// Creates the error of a malformed request.
    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// Creates the error of a body that cannot be read.
    pub(super) fn json(error: &serde_json::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_json", error.to_string())
    }

    /// Adds the time after which the request may succeed, in seconds.
    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds.max(1));
        self
    }

    /// Returns `true` if a part of the operation may have been done.
    pub(super) fn was_begun(&self) -> bool {
        matches!(
            self.code,
            "failed" | "thrown" | "timeout" | "too_many_rooms"
        )
    }

    /// Returns the body of the response.
    pub(super) fn body(&self) -> Value {
        json!({ "error": self })
    }
}

impl From<NamespaceError> for ApiError {
    fn from(error: NamespaceError) -> Self {
        let (status, code) = match &error {
            NamespaceError::NotServed(_) => (StatusCode::NOT_FOUND, "no_namespace"),
            NamespaceError::NoSockets(_) => (StatusCode::NOT_FOUND, "no_sockets"),
            NamespaceError::NoHook(_) => (StatusCode::NOT_FOUND, "no_on_api"),
            NamespaceError::TooManyRooms { .. } => (StatusCode::CONFLICT, "too_many_rooms"),
            NamespaceError::Thrown { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "thrown"),
            NamespaceError::Failed(_) | NamespaceError::Unanswered(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "failed")
            }
            NamespaceError::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            NamespaceError::Ended(_) => (StatusCode::SERVICE_UNAVAILABLE, "ended"),
            NamespaceError::Event(_) | NamespaceError::Arguments(_) | NamespaceError::RoomName => {
                (StatusCode::BAD_REQUEST, "bad_request")
            }
        };
        let mut refused = Self::new(status, code, error.to_string());
        if status == StatusCode::SERVICE_UNAVAILABLE {
            refused = refused.retry_after(1);
        }
        if let NamespaceError::Thrown { data, .. } = error {
            refused.data = data;
        }
        refused
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, JSON, self.body().to_string()).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}
