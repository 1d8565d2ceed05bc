//! Code that is allowed at the top level of a script: constants, imports, and `io.on("connection", ...)`.
//!
//! Connections cannot share top-level variables, because their calls run concurrently, and an edit would lose the
//! variables. So if the listener uses such a variable, the script is rejected when it is loaded.

use std::{cell::RefCell, collections::BTreeSet};

use rhai::{AST, ASTFlags, FnPtr, GlobalRuntimeState, Position, Stmt};

use super::captures::{captures, definition};
use crate::diagnostic::Diagnostic;

/// Closure that a top level passed to `io.on("connection", ...)`.
pub(super) struct Listener {
    closure: FnPtr,
    pub(super) position: Position,
}

thread_local! {
    /// `Some` while a top level runs on this thread.
    static RUNNING: RefCell<Option<Option<Listener>>> = const { RefCell::new(None) };
}

/// Runs a top level. Also returns the closure that the top level registered for connections, if any.
pub(super) fn run<T>(top_level: impl FnOnce() -> T) -> (T, Option<Listener>) {
    let before = RUNNING.replace(Some(None));
    let result = top_level();
    (result, RUNNING.replace(before).flatten())
}

/// Returns `true` if a top level is running on this thread, rather than a call.
pub(crate) fn is_running() -> bool {
    RUNNING.with_borrow(Option::is_some)
}

/// Registers `closure` for the running top level, to be called for each connection. Returns `false` if no top level is
/// running, or if it has already registered a closure.
pub(crate) fn listen(closure: FnPtr, position: Position) -> bool {
    RUNNING.with_borrow_mut(|running| match running {
        Some(listener @ None) => {
            *listener = Some(Listener { closure, position });
            true
        }
        _ => false,
    })
}

/// Returns the closure of a listener, if it captured only constants.
pub(super) fn callable_by_all(
    ast: &AST,
    listener: Listener,
    state: &GlobalRuntimeState,
) -> Result<FnPtr, Box<Diagnostic>> {
    let mut closure = listener.closure;
    let variables = variables(ast);
    let function = definition(state, closure.fn_name(), closure.curry().len());
    let captured = captures(function.as_deref(), &closure);
    if let Some((name, value)) = captured
        .iter()
        .find(|(name, _)| variables.contains(&**name))
    {
        return Err(Box::new(would_be_shared(
            name,
            value.flatten_clone().is_fnptr(),
        )));
    }
    closure.set_curry(captured.iter().map(|(_, value)| value.flatten_clone()));
    Ok(closure)
}

fn would_be_shared(name: &str, is_closure: bool) -> Diagnostic {
    let problem = Diagnostic::error(format!("`{name}` would be shared by all connections"));
    match is_closure {
        true => problem.hint(format!(
            "write it as a function: `fn {name}(...) {{ ... }}`"
        )),
        false => problem.hint(format!("keep it in `io.data.{name}`")),
    }
}

/// Returns the names of the top-level variables, without constants and functions.
fn variables(ast: &AST) -> BTreeSet<&str> {
    let declared = ast
        .statements()
        .iter()
        .filter_map(|statement| match statement {
            Stmt::Var(variable, flags, _) if !flags.contains(ASTFlags::CONSTANT) => {
                Some(variable.0.name.as_str())
            }
            _ => None,
        });
    let is_function = |name: &str| ast.iter_functions().any(|function| function.name == name);
    declared.filter(|name| !is_function(name)).collect()
}
