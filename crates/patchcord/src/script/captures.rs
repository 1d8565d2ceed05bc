//! Variables that a closure has captured: their names, their cells, and their identity.
//!
//! Rhai passes them as the first arguments of the closure's function. A cell is the shared storage that all closures
//! over a variable read and write.

use std::sync::Arc;

use rhai::{
    AST, Dynamic, FnPtr, GlobalRuntimeState, ImmutableString, Module, ScriptFuncDef, Shared,
};

use crate::value::same;

/// Maximum number of parameters with which a function is looked up by its name. No function has this many parameters.
const MAX_PARAMETERS: usize = 32;

/// Returns the address of a captured variable. Clones of a shared value have the same address, because they are the
/// same variable. Returns `None` if the value is not shared, is in use, or was left unusable by a panic.
pub(super) fn address(cell: &Dynamic) -> Option<usize> {
    if !cell.is_shared() {
        return None;
    }
    Some(std::ptr::from_ref(&*cell.read_lock::<Dynamic>()?).addr())
}

/// Writes a value into a captured variable.
pub(super) fn write_cell(cell: &Dynamic, value: Dynamic) {
    let mut cell = cell.clone();
    // The previous value is dropped after the lock is released, because it may contain the cell itself.
    let before = cell
        .write_lock::<Dynamic>()
        .map(|mut place| std::mem::replace(&mut *place, value));
    drop(before);
}

/// Returns `true` if two captures are the same variable, or are equal constants.
pub(super) fn is_same_variable(a: &Dynamic, b: &Dynamic) -> bool {
    match (a.is_shared(), b.is_shared()) {
        (true, true) => address(a).is_some_and(|at| address(b) == Some(at)),
        (false, false) => same(a, b),
        _ => false,
    }
}

/// Returns `true` for the name of a closure, which Rhai generates.
pub(super) fn is_closure(name: &str) -> bool {
    name.starts_with("anon$")
}

/// Separator between the name of a function and its imported file, in the name by which a value refers to it.
const OF_FILE: char = '@';

/// Returns the name by which a value refers to a function of an imported file.
pub(super) fn value_name(function: &str, file: &str) -> String {
    format!("{function}{OF_FILE}{file}")
}

/// Splits the name by which a value refers to a function into the function's name and its imported file, if it has one.
pub(super) fn split_value_name(name: &str) -> (&str, Option<&str>) {
    match name.split_once(OF_FILE) {
        Some((function, file)) => (function, Some(file)),
        None => (name, None),
    }
}

/// Returns an AST that has only this function, because Rhai exposes the body of a function only to a walk over an AST.
pub(super) fn ast_of(function: &Shared<ScriptFuncDef>) -> AST {
    let mut library = Module::new();
    library.set_script_fn(function.clone());
    AST::new([], library)
}

/// Returns the definition of a name. If there are several, returns the one with the most parameters.
pub(super) fn definition(
    state: &GlobalRuntimeState,
    name: &str,
    captured: usize,
) -> Option<Arc<ScriptFuncDef>> {
    let arities = (captured..captured + MAX_PARAMETERS).rev();
    state
        .lib
        .iter()
        .rev()
        .find_map(|lib| arities.clone().find_map(|n| lib.get_script_fn(name, n)))
        .cloned()
}

/// Returns the captured variables of a closure with their names, which are the first parameters of its function.
pub(super) fn captures(
    definition: Option<&ScriptFuncDef>,
    fn_ptr: &FnPtr,
) -> Vec<(ImmutableString, Dynamic)> {
    let names = definition.iter().flat_map(|d| d.params.iter().cloned());
    names.zip(fn_ptr.curry().iter().cloned()).collect()
}
