//! Parts of a request.

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode, header},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout_at};

use super::{answers::Fingerprint, error::ApiError, operation::Operation};

/// Maximum size of the body of a request, in bytes.
const MAX_BODY: usize = 256 << 10;
/// Maximum length of an idempotency key, in bytes.
const MAX_IDEMPOTENCY_KEY: usize = 255;

/// Returns the key of a request.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else {
        return None;
    };
    let (scheme, key) = value.as_bytes().split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| key.trim_ascii())
}

/// Returns the idempotency key of a request.
///
/// # Errors
/// Returns the error for the client if the key is empty, too long or not ASCII.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let mut given = headers.get_all("idempotency-key").iter();
    let Some(value) = given.next() else {
        return Ok(None);
    };
    let key = value
        .to_str()
        .ok()
        .filter(|key| given.next().is_none() && (1..=MAX_IDEMPOTENCY_KEY).contains(&key.len()));
    let key = key.ok_or_else(|| {
        ApiError::bad_request(format!(
            "`Idempotency-Key` is not one text of 1 to {MAX_IDEMPOTENCY_KEY} visible characters of ASCII"
        ))
    })?;
    Ok(Some(key.to_owned()))
}

/// Reads the body of a request.
///
/// # Errors
/// Returns the error for the client if the body is too large, too slow or not UTF-8.
pub(super) async fn body(request: Request, deadline: Instant) -> Result<String, ApiError> {
    let body = Limited::new(request.into_body(), MAX_BODY);
    let Ok(read) = timeout_at(deadline, body.collect()).await else {
        let message = "the body of the request has not arrived in time";
        return Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            message,
        ));
    };
    let read = read.map_err(|error| match error.is::<LengthLimitError>() {
        true => {
            let message = format!("the body has more than {} KiB", MAX_BODY >> 10);
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
        }
        false => ApiError::bad_request("the body of the request has ended early"),
    })?;
    String::from_utf8(read.to_bytes().into())
        .map_err(|_| ApiError::bad_request("the body is not UTF-8"))
}

/// Returns the hash that identifies a request.
pub(super) fn fingerprint(operation: Operation, body: &str) -> Fingerprint {
    let hash = Sha256::new_with_prefix(operation.name());
    hash.chain_update([0]).chain_update(body).finalize().into()
}
