//! One call of script code. The call runs within its limits, and its failure affects nothing else.

use std::{
    cell::RefCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use rhai::{Dynamic, EvalAltResult, NativeCallContext, Position};

use super::{Limits, Version, budget, hook::Hook};

/// Error of a call of script code.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The script threw an error, or Rhai rejected one of its operations.
    Script(Box<EvalAltResult>),
    /// A native function panicked. The field is the panic message.
    Panic(String),
}

impl CallError {
    /// Returns the value that the script threw, or a function that refuses what a client has sent, if there is one.
    pub fn thrown(&self) -> Option<Dynamic> {
        match self {
            Self::Script(error) => match error.unwrap_inner() {
                EvalAltResult::ErrorRuntime(thrown, _) if thrown.tag() != MISUSE => {
                    Some(thrown.clone())
                }
                _ => None,
            },
            Self::Panic(_) => None,
        }
    }

    /// Returns `true` if the call exceeded its time limit.
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

/// Tag of a thrown value that clients must not see: see [`misuse`].
const MISUSE: i32 = 0x3157;

/// Returns the error of a native function that the script or the configuration calls wrongly. Unlike a value that a
/// script throws, and the refusal of what a client has sent, it is not told to clients.
pub(crate) fn misuse(problem: String) -> Box<EvalAltResult> {
    let mut value = Dynamic::from(problem);
    value.set_tag(MISUSE);
    EvalAltResult::ErrorRuntime(value, Position::NONE).into()
}

thread_local! {
    static RUNNING: RefCell<Option<Arc<Version>>> = const { RefCell::new(None) };
    /// File and position of the call of an application function that panicked.
    static PANICKED_AT: RefCell<Option<(String, Position)>> = const { RefCell::new(None) };
}

/// Returns the version whose code runs on this thread.
pub(crate) fn running() -> Option<Arc<Version>> {
    RUNNING.with_borrow(Clone::clone)
}

/// Returns a limit of the version whose code runs on this thread; `usize::MAX` if no version runs.
pub(crate) fn limit(of: fn(&Limits) -> usize) -> usize {
    RUNNING.with_borrow(|version| version.as_ref().map_or(usize::MAX, |v| of(v.limits())))
}

/// Runs `code` of `version` within its limits.
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

/// Returns the file whose code runs at `context`. It is the file of the last library, because a closure belongs to the
/// file in which it was created, whichever file calls it.
pub(crate) fn origin<'a>(context: &'a NativeCallContext<'_>) -> Option<&'a str> {
    let libraries = context.namespaces();
    let of_library = libraries.last().and_then(|library| library.id());
    of_library.or_else(|| context.call_source())
}

/// Returns the index of the call at `context` in the code that `on_connection` itself runs.
pub(crate) fn place_of_call(context: &NativeCallContext<'_>) -> Option<u32> {
    let version = running()?;
    let at = context.call_position();
    let reach = version.reach(Hook::Connection);
    reach.place_at(origin(context)?, at.line()?, at.position()?)
}

/// Runs a native function of a module. Its errors get the position of the call, which Rhai does not add for functions
/// that are called with a namespace.
pub(crate) fn placed<T>(
    context: &NativeCallContext<'_>,
    call: impl FnOnce() -> Result<T, Box<EvalAltResult>>,
) -> Result<T, Box<EvalAltResult>> {
    call().map_err(|error| with_position(error, context.call_position()))
}

/// Returns the position of a call, if it is known.
pub(crate) fn call_position(context: Option<&NativeCallContext<'_>>) -> Position {
    context.map_or(Position::NONE, NativeCallContext::call_position)
}

/// Returns the error with this position, unless it has one.
pub(crate) fn with_position(mut error: Box<EvalAltResult>, at: Position) -> Box<EvalAltResult> {
    if error.position().is_none() {
        error.set_position(at);
    }
    error
}

/// Calls a function of the application. If the function panics, the panic becomes an error that a script cannot catch.
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

/// Adds the position of the call that panicked, because Rhai drops the position of errors that a script cannot catch.
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
