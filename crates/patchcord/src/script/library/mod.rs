//! Functions on strings, arrays, maps and numbers that Rhai lacks, or that behave differently in Rhai.
//!
//! In: an engine. Out: the same engine with the functions. They charge the call for their results, as the functions of
//! `bounded` do. A function that changes a string in place also returns the changed string.

mod bytes;
mod hash;
mod json;
mod lists;
mod maps;
mod numbers;
mod order;
mod regex;
mod secret;
mod shape;
mod text;
mod time;
mod url;
mod valid;

use std::ops::{Range, RangeInclusive};

use rhai::{Dynamic, Engine, EvalAltResult, INT, Module};

#[cfg(any(feature = "http", feature = "jwt"))]
pub(crate) use json::parse as parse_json;
pub(crate) use order::{NoSum, sum};
pub(crate) use regex::pattern_problem;
pub(crate) use valid::shape_problem;

use crate::value::register_content;

type Fallible<T = ()> = Result<T, Box<EvalAltResult>>;

/// Registers the functions, which take precedence over Rhai's own functions of the same names. All are in one module,
/// because Rhai looks for a function in one module after the other.
pub(super) fn register(engine: &mut Engine) {
    register_content::<Range<INT>>(|range| bounds(range.start, range.end));
    register_content::<RangeInclusive<INT>>(|range| bounds(*range.start(), *range.end()));
    let mut module = Module::new();
    text::register(&mut module);
    lists::register(&mut module);
    maps::register(&mut module);
    numbers::register(engine, &mut module);
    valid::register(&mut module);
    regex::register(&mut module);
    secret::register(&mut module);
    engine.register_global_module(module.into());
    json::register(engine);
    bytes::register(engine);
    hash::register(engine);
    time::register(engine);
    url::register(engine);
}

/// Returns the content of a range, by which two ranges are compared.
fn bounds(start: INT, end: INT) -> Option<Dynamic> {
    Some(Dynamic::from_array(vec![start.into(), end.into()]))
}

/// Returns the range from `start` up to, but not including, `end`. A negative index counts from the end.
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
