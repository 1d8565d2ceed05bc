//! Runs a request: one operation, or a batch of them, in order.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Value, json, value::RawValue};
use tokio::time::{Instant, timeout_at};

use super::{answers::Kept, error::ApiError, keys::Holder, operation::Operation, task::Task};
use crate::host::Host;

/// Maximum number of operations in a batch.
const MAX_BATCH: usize = 100;
/// Size of the answers of a batch from which on further operations are not done, in bytes.
const MAX_ANSWERS_SIZE: usize = 4 << 20;

/// Runs the operations of a body, and returns the answer: that of the operation, or an array with those of a batch.
///
/// # Errors
/// Returns the error for the client, if nothing was done.
pub(super) async fn run(
    host: Host,
    operation: Operation,
    holder: Arc<Holder>,
    body: String,
    deadline: Instant,
) -> Result<Kept, ApiError> {
    let runner = Runner {
        host,
        operation,
        holder,
        deadline,
    };
    if !body.trim_start().starts_with('[') {
        let task = runner.read(&body)?;
        return Ok(match runner.run(&task).await {
            Ok(answer) => kept(StatusCode::OK, &answer),
            Err(error) if error.was_begun() => kept(error.status, &error.body()),
            Err(error) => return Err(error),
        });
    }
    let elements: Vec<&RawValue> =
        serde_json::from_str(&body).map_err(|error| ApiError::json(&error))?;
    if elements.is_empty() || elements.len() > MAX_BATCH {
        let message = format!("a batch has 1 to {MAX_BATCH} elements");
        return Err(ApiError::bad_request(message));
    }
    runner.holder.take_more(elements.len() - 1);
    let mut answers = String::from("[");
    for element in elements {
        if answers.len() > 1 {
            answers.push(',');
        }
        let answer = match answers.len() < MAX_ANSWERS_SIZE {
            true => runner.element(element.get()).await,
            false => too_large(),
        };
        answers += &answer.to_string();
        // Other tasks of this thread run between two operations.
        tokio::task::yield_now().await;
    }
    answers.push(']');
    Ok(Kept {
        status: StatusCode::OK,
        body: answers.into(),
    })
}

/// Returns the answer to an operation that is not done, because the answers before it are too large.
fn too_large() -> Value {
    let message = format!(
        "not done: the answers before this one have more than {MAX_ANSWERS_SIZE} bytes; send it in another request"
    );
    let error = ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", message);
    answer_of(&error)
}

fn answer_of(error: &ApiError) -> Value {
    json!({ "status": error.status.as_u16(), "body": error.body() })
}

fn kept(status: StatusCode, body: &Value) -> Kept {
    Kept {
        status,
        body: body.to_string().into(),
    }
}

/// Runner of the operations of one request.
struct Runner {
    host: Host,
    operation: Operation,
    holder: Arc<Holder>,
    deadline: Instant,
}

impl Runner {
    /// Runs an element of a batch, and returns its answer.
    async fn element(&self, body: &str) -> Value {
        let done = match self.read(body) {
            Ok(task) => self.run(&task).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(answer) => json!({ "status": 200, "body": answer }),
            Err(error) => answer_of(&error),
        }
    }

    /// Reads an operation, and checks that the key may use its namespace.
    fn read<'a>(&self, body: &'a str) -> Result<Task<'a>, ApiError> {
        let task = Task::read(self.operation, body)?;
        if !self.holder.key.allows_namespace(task.namespace()) {
            let message = format!("this key may not use the namespace `{}`", task.namespace());
            return Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message));
        }
        Ok(task)
    }

    async fn run(&self, task: &Task<'_>) -> Result<Value, ApiError> {
        let late = || {
            ApiError::new(
                StatusCode::GATEWAY_TIMEOUT,
                "timeout",
                "the script has not answered in time",
            )
        };
        if Instant::now() >= self.deadline {
            return Err(late());
        }
        let done = timeout_at(self.deadline, task.run(&self.host, self.holder.key.name())).await;
        let done = done.unwrap_or_else(|_| Err(late()));
        let counters = self.host.counters();
        match &done {
            Ok(_) => counters.api_operations.add(),
            Err(_) => counters.api_operations_failed.add(),
        }
        done
    }
}
