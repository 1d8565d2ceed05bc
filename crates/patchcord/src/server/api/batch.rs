//! Runs a request: one operation, or a batch of them, in order.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Value, json, value::RawValue};
use tokio::time::{Instant, timeout_at};

use super::{answers::Kept, error::ApiError, keys::Holder, operation::Operation, task::Task};
use crate::host::Host;

/// Maximum number of operations in a batch.
const MAX_BATCH: usize = 100;

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
    let mut answers = Vec::with_capacity(elements.len());
    for element in elements {
        answers.push(runner.element(element.get()).await);
        // Other tasks of this thread run between two operations.
        tokio::task::yield_now().await;
    }
    Ok(kept(StatusCode::OK, &Value::Array(answers)))
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
            Err(error) => json!({ "status": error.status.as_u16(), "body": error.body() }),
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
