//! Requests and answers: one JSON object in each line.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Maximum length of a request, in bytes.
pub(crate) const MAX_REQUEST: usize = 64 << 10;

/// One request.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Id that the client chooses; the answer repeats it.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub id: Value,
    pub command: String,
    #[serde(default)]
    pub arguments: Map<String, Value>,
    /// Token of the TCP port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Answer to a request that succeeded.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Result as data.
    pub(super) result: Value,
    /// Result as human-readable text.
    pub(super) text: String,
}

impl Reply {
    pub(super) fn new(result: impl Serialize, text: impl Into<String>) -> Self {
        Self {
            result: serde_json::to_value(result).unwrap_or_default(),
            text: text.into(),
        }
    }
}

/// Answer to a request that was rejected or failed.
#[derive(Debug)]
pub(crate) struct Refusal {
    kind: Kind,
    error: String,
    hint: Option<String>,
    result: Value,
    text: String,
}

/// Kind of the reason for a [`Refusal`].
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// The request itself is invalid.
    Usage,
    /// The host rejected the request, or the request failed.
    Refused,
}

impl Refusal {
    /// Creates the answer to a request that is invalid itself.
    pub(super) fn usage(error: impl Into<String>) -> Self {
        Self {
            kind: Kind::Usage,
            ..Self::new(error)
        }
    }

    /// Creates the answer to a request that the host rejected, or that failed.
    pub(super) fn new(error: impl Into<String>) -> Self {
        Self {
            kind: Kind::Refused,
            error: error.into(),
            hint: None,
            result: Value::Null,
            text: String::new(),
        }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }

    /// Adds details, as data and as human-readable text.
    pub(super) fn details(self, result: impl Serialize, text: impl Into<String>) -> Self {
        let Reply { result, text } = Reply::new(result, text);
        Self {
            result,
            text,
            ..self
        }
    }
}

/// Encodes an answer as a line.
pub(super) fn line(id: &Value, answer: Result<Reply, Refusal>) -> String {
    let mut line = match answer {
        Ok(Reply { result, text }) => {
            serde_json::json!({ "id": id, "ok": true, "result": result, "text": text })
        }
        Err(Refusal {
            kind,
            error,
            hint,
            result,
            text,
        }) => serde_json::json!({
            "id": id, "ok": false, "kind": kind, "error": error, "hint": hint, "result": result, "text": text,
        }),
    }
    .to_string();
    line.push('\n');
    line
}
