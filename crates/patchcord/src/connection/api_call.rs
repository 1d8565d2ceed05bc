//! Call of a backend to a namespace, which `on_api` answers.

use std::sync::Arc;

use parking_lot::Mutex;
use rhai::Dynamic;
use tokio::sync::oneshot;

/// Call of `on_api` that waits for its turn. The caller learns of every outcome; if the call is dropped, the namespace
/// has ended.
#[derive(Debug)]
pub struct ApiCall {
    /// Name of the call.
    pub name: String,
    /// Arguments.
    pub args: Vec<Dynamic>,
    /// Name of the API key; `None` for a call of the application.
    pub key: Option<String>,
    answer: oneshot::Sender<Result<String, ApiFailure>>,
}

/// Reason why a call of `on_api` has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiFailure {
    /// The script has no `on_api`.
    NoHook,
    /// Too many calls wait for the namespace.
    Busy,
    /// The script threw a value on purpose: its text, and the value itself as JSON if it is a map.
    Thrown {
        /// Text of the value.
        message: String,
        /// JSON of a thrown map.
        data: Option<String>,
    },
    /// The call failed, which the host has announced.
    Failed,
    /// The script has forgotten `reply` without calling it.
    Unanswered,
}

impl ApiCall {
    /// Creates a call, and the receiver of its answer as JSON.
    pub fn new(
        name: String,
        args: Vec<Dynamic>,
        key: Option<String>,
    ) -> (Self, oneshot::Receiver<Result<String, ApiFailure>>) {
        let (answer, answered) = oneshot::channel();
        let call = Self {
            name,
            args,
            key,
            answer,
        };
        (call, answered)
    }

    /// Returns `true` if the caller no longer waits.
    pub fn is_abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    /// Answers the call.
    pub fn answer(self, answer: Result<String, ApiFailure>) {
        // The caller may have stopped waiting.
        let _ = self.answer.send(answer);
    }
}

/// Answer that a script gives later. Copies are the same answer, and the first one counts.
#[derive(Debug, Clone)]
pub struct ApiReply(Arc<Pending>);

#[derive(Debug)]
struct Pending(Mutex<Option<ApiCall>>);

impl ApiReply {
    /// Creates the answer of a call.
    pub fn new(call: ApiCall) -> Self {
        Self(Arc::new(Pending(Mutex::new(Some(call)))))
    }

    /// Answers the call, unless it has been answered.
    pub fn answer(&self, answer: Result<String, ApiFailure>) {
        let call = self.0.0.lock().take();
        if let Some(call) = call {
            call.answer(answer);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(call) = self.0.get_mut().take() {
            call.answer(Err(ApiFailure::Unanswered));
        }
    }
}
