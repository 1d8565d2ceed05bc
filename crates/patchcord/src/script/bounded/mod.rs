//! Functions of Rhai's standard packages that could run long, grow large or nest without end, within the limits.
//!
//! Rhai checks a size when the value is there, counts no operation inside a native function and follows nested values
//! as deep as they go. The functions here say the same to a script as Rhai's own, but look before they build, stop at
//! the limits, charge the call for what they make, and end at a depth. `tests/fixtures/functions.txt` lists every
//! function that there is, so that none comes in unseen.

mod characters;
mod lists;
mod text;

use rhai::{Engine, EvalAltResult, Position};

pub(super) use lists::equal;

use super::Limits;

type Fallible<T = ()> = Result<T, Box<EvalAltResult>>;

/// Puts the bounded functions before Rhai's own.
pub(super) fn register(engine: &mut Engine, limits: &Limits) {
    characters::register(engine);
    text::register(engine, limits);
    lists::register(engine, limits);
}

/// What Rhai says of a value that is too large; `what` is in its words.
fn too_large<T>(what: &str) -> Fallible<T> {
    Err(EvalAltResult::ErrorDataTooLarge(what.to_owned(), Position::NONE).into())
}

/// See [`too_large`].
const STRING: &str = "Length of string";
/// See [`too_large`].
const ARRAY: &str = "Size of array/BLOB";

/// Bytes of one value in an array.
const ELEMENT: usize = size_of::<rhai::Dynamic>();
