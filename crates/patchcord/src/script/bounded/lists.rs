//! Arrays and maps: removal of adjacent equal elements, comparison, search and padding.

use std::iter;

use rhai::{Array, Dynamic, Engine, EvalAltResult, FnPtr, INT, Map, NativeCallContext};

use super::{ARRAY, Fallible, too_large};
use crate::{
    script::{Limits, budget},
    value::{MAX_DEPTH, weight},
};

pub(super) fn register(engine: &mut Engine, limits: &Limits) {
    deduplicating(engine);
    comparing(engine);
    finding(engine);
    filling(engine, limits.array_size);
}

/// Registers `dedup`. Rhai's own function continues when the closure fails, or when the call has used up its budget.
fn deduplicating(engine: &mut Engine) {
    engine.register_fn(
        "dedup",
        |context: NativeCallContext<'_>, list: &mut Array, same: FnPtr| -> Fallible {
            dedup(list, |a, b| {
                let same = same.call_raw(&context, None, [a.clone(), b.clone()])?;
                Ok(same.as_bool().unwrap_or(false))
            })
        },
    );
    engine.register_fn(
        "dedup",
        |context: NativeCallContext<'_>, list: &mut Array| -> Fallible {
            dedup(list, |a, b| equal(&context, a, b, 0))
        },
    );
}

fn dedup(list: &mut Array, mut same: impl FnMut(&Dynamic, &Dynamic) -> Fallible<bool>) -> Fallible {
    let mut kept: Array = Array::with_capacity(list.len());
    for value in std::mem::take(list) {
        let repeats = match kept.last() {
            Some(last) => same(last, &value)?,
            None => false,
        };
        if !repeats {
            kept.push(value);
        }
    }
    *list = kept;
    Ok(())
}

/// Registers `==` and `!=`. Rhai's own operators recurse as deeply as the values are nested.
fn comparing(engine: &mut Engine) {
    type Context<'a> = NativeCallContext<'a>;
    engine.register_fn("==", |context: Context<'_>, a: &mut Array, b: Array| {
        arrays(&context, a, &b, 0)
    });
    engine.register_fn("!=", |context: Context<'_>, a: &mut Array, b: Array| {
        arrays(&context, a, &b, 0).map(|equal| !equal)
    });
    engine.register_fn("==", |context: Context<'_>, a: &mut Map, b: Map| {
        maps(&context, a, &b, 0)
    });
    engine.register_fn("!=", |context: Context<'_>, a: &mut Map, b: Map| {
        maps(&context, a, &b, 0).map(|equal| !equal)
    });
}

/// Registers searches. Rhai's own functions copy the wanted value for each element.
fn finding(engine: &mut Engine) {
    type Context<'a> = NativeCallContext<'a>;
    engine.register_fn(
        "contains",
        |context: Context<'_>, list: &mut Array, value: Dynamic| {
            position(&context, list, &value, 0).map(|found| found >= 0)
        },
    );
    engine.register_fn(
        "index_of",
        |context: Context<'_>, list: &mut Array, value: Dynamic| {
            position(&context, list, &value, 0)
        },
    );
    engine.register_fn(
        "index_of",
        |context: Context<'_>, list: &mut Array, value: Dynamic, start: INT| {
            position(&context, list, &value, start)
        },
    );
}

/// Returns the index of the first element, starting at `start`, that is equal to `value`, or -1 if there is none. A
/// negative `start` counts from the end.
fn position(
    context: &NativeCallContext<'_>,
    list: &Array,
    value: &Dynamic,
    start: INT,
) -> Fallible<INT> {
    let from_end = usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX);
    let start = match usize::try_from(start) {
        Ok(start) => start,
        Err(_) => list.len().saturating_sub(from_end),
    };
    for (place, element) in list.iter().enumerate().skip(start) {
        if equal(context, element, value, 0)? {
            return Ok(INT::try_from(place).unwrap_or(INT::MAX));
        }
    }
    Ok(-1)
}

fn arrays(context: &NativeCallContext<'_>, a: &Array, b: &Array, depth: usize) -> Fallible<bool> {
    if a.len() != b.len() {
        return Ok(false);
    }
    all(iter::zip(a, b), context, depth)
}

fn maps(context: &NativeCallContext<'_>, a: &Map, b: &Map, depth: usize) -> Fallible<bool> {
    if a.len() != b.len() || a.keys().ne(b.keys()) {
        return Ok(false);
    }
    all(iter::zip(a.values(), b.values()), context, depth)
}

fn all<'a>(
    mut pairs: impl Iterator<Item = (&'a Dynamic, &'a Dynamic)>,
    context: &NativeCallContext<'_>,
    depth: usize,
) -> Fallible<bool> {
    if depth >= MAX_DEPTH {
        return Err(
            format!("values nested more than {MAX_DEPTH} levels deep are not compared").into(),
        );
    }
    let differs = pairs.find_map(|(a, b)| match equal(context, a, b, depth + 1) {
        Ok(true) => None,
        other => Some(other),
    });
    differs.unwrap_or(Ok(true))
}

/// Returns `true` if two values are equal, as with `==`.
pub(in crate::script) fn equal(
    context: &NativeCallContext<'_>,
    a: &Dynamic,
    b: &Dynamic,
    depth: usize,
) -> Fallible<bool> {
    if let (Ok(a), Ok(b)) = (a.as_array_ref(), b.as_array_ref()) {
        return arrays(context, &a, &b, depth);
    }
    if let (Ok(a), Ok(b)) = (a.as_map_ref(), b.as_map_ref()) {
        return maps(context, &a, &b, depth);
    }
    let is_container = |value: &Dynamic| value.is_array() || value.is_map();
    if is_container(a) || is_container(b) {
        return Ok(false);
    }
    let (mut a, mut b) = (a.clone(), b.clone());
    match context.call_native_fn_raw("==", true, &mut [&mut a, &mut b]) {
        Ok(equal) => Ok(equal.as_bool().unwrap_or(false)),
        Err(error) if matches!(*error, EvalAltResult::ErrorFunctionNotFound(..)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Registers `pad`. Rhai's own function multiplies sizes without an overflow check, and then requests more memory than
/// there is.
fn filling(engine: &mut Engine, max: usize) {
    engine.register_fn(
        "pad",
        move |list: &mut Array, len: INT, value: Dynamic| -> Fallible {
            let len = usize::try_from(len).unwrap_or_default();
            let missing = len.saturating_sub(list.len());
            if missing == 0 {
                return Ok(());
            }
            if len > max {
                return too_large(ARRAY);
            }
            budget::produce(missing.saturating_mul(weight(&value)))?;
            list.resize(len, value);
            Ok(())
        },
    );
}
