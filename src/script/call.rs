//! One call of script code: within its limits, and never the end of more than itself.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rhai::{Dynamic, EvalAltResult, GlobalRuntimeState, NativeCallContext, Position};

use super::{Limits, Version, budget};

/// Why a call of script code has no value.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The script threw, or Rhai refused something it did.
    Script(Box<EvalAltResult>),
    /// A native function panicked; the text of the panic.
    Panic(String),
}

impl CallError {
    /// What the script threw on purpose, if it did.
    pub fn thrown(&self) -> Option<Dynamic> {
        match self {
            Self::Script(error) => match error.unwrap_inner() {
                EvalAltResult::ErrorRuntime(thrown, _) => Some(thrown.clone()),
                _ => None,
            },
            Self::Panic(_) => None,
        }
    }

    /// Whether the call took longer than it may.
    pub fn is_time(&self) -> bool {
        let Self::Script(error) = self else {
            return false;
        };
        let EvalAltResult::ErrorTerminated(token, _) = error.unwrap_inner() else {
            return false;
        };
        token
            .as_immutable_string_ref()
            .is_ok_and(|token| *token == budget::TIME)
    }
}

thread_local! {
    static RUNNING: RefCell<Option<Arc<Version>>> = const { RefCell::new(None) };
}

/// The version whose code runs on this thread.
pub(crate) fn running() -> Option<Arc<Version>> {
    RUNNING.with_borrow(Clone::clone)
}

/// A limit of the version whose code runs on this thread; without one there is none.
pub(crate) fn limit(of: fn(&Limits) -> usize) -> usize {
    RUNNING.with_borrow(|version| version.as_ref().map_or(usize::MAX, |v| of(v.limits())))
}

/// Calls `code` of `version` in the surroundings `state`.
pub(crate) fn run(
    version: &Arc<Version>,
    state: &GlobalRuntimeState,
    name: &str,
    code: impl FnOnce(&NativeCallContext<'_>) -> Result<Dynamic, Box<EvalAltResult>>,
) -> Result<Dynamic, CallError> {
    let _budget = budget::start(version.limits());
    let _running = Running {
        before: RUNNING.replace(Some(version.clone())),
    };
    let context =
        NativeCallContext::new_with_all_fields(version.engine(), name, None, state, Position::NONE);
    match catch_unwind(AssertUnwindSafe(|| code(&context))) {
        Ok(result) => result.map_err(CallError::Script),
        Err(payload) => Err(CallError::Panic(panic_text(payload.as_ref()))),
    }
}

/// Calls a function of the program: its panic becomes an error that no script can catch.
pub(crate) fn catch_panic(
    call: impl FnOnce() -> Result<Dynamic, Box<EvalAltResult>>,
) -> Result<Dynamic, Box<EvalAltResult>> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        let text = panic_text(payload.as_ref());
        Err(budget::ended(&format!("{}{text}", budget::PANIC)))
    })
}

struct Running {
    before: Option<Arc<Version>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.replace(self.before.take());
    }
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a native function panicked".to_owned())
}
