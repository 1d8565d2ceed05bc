//! Bounded replacements for functions of Rhai's standard packages that could run too long, or whose results could grow
//! or nest without limit.
//!
//! Rhai checks a size only after it has built the value, counts no operations inside a native function, and follows
//! nested values to any depth. For a script, the functions here behave like Rhai's own. But they check a size before
//! they build a value, stop at the limits, charge the call for their results, and stop at a maximum depth.
//! `tests/fixtures/functions.txt` lists every function of the engine, so that no new function goes unnoticed.

mod characters;
mod lists;
mod text;

use rhai::{Engine, EvalAltResult, Position};

pub(super) use lists::equal;

use super::Limits;

type Fallible<T = ()> = Result<T, Box<EvalAltResult>>;

/// Registers the bounded functions, which take precedence over Rhai's own.
pub(super) fn register(engine: &mut Engine, limits: &Limits) {
    characters::register(engine);
    text::register(engine, limits);
    lists::register(engine, limits);
}

/// Returns Rhai's error for a value that is too large. `what` is in Rhai's wording: [`STRING`] or [`ARRAY`].
fn too_large<T>(what: &str) -> Fallible<T> {
    Err(EvalAltResult::ErrorDataTooLarge(what.to_owned(), Position::NONE).into())
}

/// Rhai's wording for the length of a string, for [`too_large`].
const STRING: &str = "Length of string";
/// Rhai's wording for the size of an array, for [`too_large`].
const ARRAY: &str = "Size of array/BLOB";

/// Size of one array element, in bytes.
const ELEMENT: usize = size_of::<rhai::Dynamic>();
