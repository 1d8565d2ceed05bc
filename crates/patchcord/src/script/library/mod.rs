//! Functions on texts, arrays, maps and numbers that Rhai does not have, or that behave differently there.
//!
//! In: an engine. Out: the same engine with the functions. They charge the call for their results, as those of
//! `bounded` do. A function that changes a text in place also returns the changed text.

mod json;
mod lists;
mod maps;
mod numbers;
mod order;
mod shape;
mod text;
mod valid;

use std::ops::Range;

use rhai::{Engine, EvalAltResult, INT, Module};

pub(crate) use order::{NoSum, sum};
pub(crate) use valid::shape_problem;

type Fallible<T = ()> = Result<T, Box<EvalAltResult>>;

/// Registers the functions, which take precedence over Rhai's own of the same names. All are in one module, because
/// Rhai searches one module after the other for a function.
pub(super) fn register(engine: &mut Engine) {
    let mut module = Module::new();
    text::register(&mut module);
    lists::register(&mut module);
    maps::register(&mut module);
    numbers::register(engine, &mut module);
    valid::register(&mut module);
    engine.register_global_module(module.into());
    json::register(engine);
}

/// Returns the range from `start` up to, but not including, `end`. Negative places count from the end.
fn part(len: usize, start: INT, end: INT) -> Range<usize> {
    let place = |place: INT| match usize::try_from(place) {
        Ok(place) => place.min(len),
        Err(_) => {
            let back = usize::try_from(place.unsigned_abs()).unwrap_or(usize::MAX);
            len.saturating_sub(back)
        }
    };
    let (start, end) = (place(start), place(end));
    start..end.max(start)
}
