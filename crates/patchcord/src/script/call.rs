//! One call of script code: within its limits, and never the end of more than itself.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rhai::{Dynamic, EvalAltResult, NativeCallContext, Position};

use super::{Limits, Version, budget, hook::Hook};

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
    /// The file and the place of the call of a function of the program that panicked.
    static PANICKED_AT: RefCell<Option<(String, Position)>> = const { RefCell::new(None) };
}

/// The version whose code runs on this thread.
pub(crate) fn running() -> Option<Arc<Version>> {
    RUNNING.with_borrow(Clone::clone)
}

/// A limit of the version whose code runs on this thread; without one there is none.
pub(crate) fn limit(of: fn(&Limits) -> usize) -> usize {
    RUNNING.with_borrow(|version| version.as_ref().map_or(usize::MAX, |v| of(v.limits())))
}

/// Runs `code` of `version`.
pub(crate) fn run(
    version: &Arc<Version>,
    code: impl FnOnce() -> Result<Dynamic, Box<EvalAltResult>>,
) -> Result<Dynamic, CallError> {
    let _budget = budget::start(version.limits());
    let _running = Running {
        before: RUNNING.replace(Some(version.clone())),
    };
    match catch_unwind(AssertUnwindSafe(code)) {
        Ok(result) => result.map_err(|error| CallError::Script(with_place(*error))),
        Err(payload) => Err(CallError::Panic(panic_text(payload.as_ref()))),
    }
}

/// Returns the file whose code runs at `context`. It is the last library's: a closure keeps the file it was made in, whichever
/// file calls it.
pub(crate) fn origin<'a>(context: &'a NativeCallContext<'_>) -> Option<&'a str> {
    let libraries = context.namespaces();
    let of_library = libraries.last().and_then(|library| library.id());
    of_library.or_else(|| context.call_source())
}

/// Returns the place of the call at `context` among those that `on_connection` makes.
pub(crate) fn place_of_call(context: &NativeCallContext<'_>) -> Option<u32> {
    let version = running()?;
    let at = context.call_position();
    let reach = version.reach(Hook::Connection);
    reach.place_at(origin(context)?, at.line()?, at.position()?)
}

/// Calls a function of the program: its panic becomes an error that no script can catch.
pub(crate) fn catch_panic(
    context: Option<NativeCallContext<'_>>,
    call: impl FnOnce(Option<NativeCallContext<'_>>) -> Result<Dynamic, Box<EvalAltResult>>,
) -> Result<Dynamic, Box<EvalAltResult>> {
    let given = context.as_ref().map(|context| {
        NativeCallContext::new_with_all_fields(
            context.engine(),
            context.fn_name(),
            context.fn_source(),
            context.global_runtime_state(),
            context.call_position(),
        )
    });
    catch_unwind(AssertUnwindSafe(|| call(given))).unwrap_or_else(|payload| {
        PANICKED_AT.set(context.map(|context| {
            let file = origin(&context).unwrap_or_default();
            (file.to_owned(), context.call_position())
        }));
        let text = panic_text(payload.as_ref());
        Err(budget::ended(&format!("{}{text}", budget::PANIC)))
    })
}

/// Rhai forgets the place of what no script can catch, and a panic is in a call of a known place.
fn with_place(error: EvalAltResult) -> Box<EvalAltResult> {
    match (PANICKED_AT.take(), error) {
        (Some((file, at)), EvalAltResult::ErrorTerminated(token, before)) => {
            let panic = EvalAltResult::ErrorTerminated(token, at).into();
            EvalAltResult::ErrorInFunctionCall(String::new(), file, panic, before).into()
        }
        (_, error) => error.into(),
    }
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
