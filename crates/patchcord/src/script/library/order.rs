//! Order of values. Integers and floats are compared with each other; strings, characters and booleans only with their
//! own kind.

use std::cmp::Ordering;

use rhai::{Array, Dynamic};

use super::Fallible;
use crate::diagnostic::type_word;

/// Returns a value as a float, if it is an integer or a float.
#[expect(
    clippy::cast_precision_loss,
    reason = "beyond 2^53 the nearest float is compared, as in JavaScript"
)]
pub(super) fn number(value: &Dynamic) -> Option<f64> {
    let int = || value.as_int().ok().map(|int| int as f64);
    value.as_float().ok().or_else(int)
}

/// Reason why two values cannot be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoSum {
    /// The sum is outside the range of integers.
    TooLarge,
    /// The first value is not a number; its type is the field.
    First(String),
    /// The second value is not a number; its type is the field.
    Second(String),
}

/// Adds two numbers. The sum is an integer if both numbers are integers.
pub(crate) fn sum(a: &Dynamic, b: &Dynamic) -> Result<Dynamic, NoSum> {
    if let (Ok(a), Ok(b)) = (a.as_int(), b.as_int()) {
        return a.checked_add(b).map(Dynamic::from).ok_or(NoSum::TooLarge);
    }
    let word = |value: &Dynamic| type_word(value.type_name());
    let first = number(a).ok_or_else(|| NoSum::First(word(a)))?;
    let second = number(b).ok_or_else(|| NoSum::Second(word(b)))?;
    Ok((first + second).into())
}

/// Compares two values. `NaN` comes after all other numbers.
pub(super) fn compare(a: &Dynamic, b: &Dynamic) -> Fallible<Ordering> {
    if let (Ok(a), Ok(b)) = (a.as_int(), b.as_int()) {
        return Ok(a.cmp(&b));
    }
    if let (Some(a), Some(b)) = (number(a), number(b)) {
        let by_value = a.partial_cmp(&b);
        return Ok(by_value.unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())));
    }
    if let (Ok(a), Ok(b)) = (a.as_immutable_string_ref(), b.as_immutable_string_ref()) {
        return Ok(a.as_str().cmp(b.as_str()));
    }
    if let (Ok(a), Ok(b)) = (a.as_char(), b.as_char()) {
        return Ok(a.cmp(&b));
    }
    if let (Ok(a), Ok(b)) = (a.as_bool(), b.as_bool()) {
        return Ok(a.cmp(&b));
    }
    let (a, b) = (type_word(a.type_name()), type_word(b.type_name()));
    let problem = format!("{a} and {b} have no order");
    Err(format!("{problem}: sort by a closure, as in `sort(|a, b| a.age - b.age)`").into())
}

/// Comparison function that returns `true` if the first value comes after the second.
pub(super) type ComesAfter<'a> = &'a mut dyn FnMut(&Dynamic, &Dynamic) -> Fallible<bool>;

/// Sorts an array. The sort is stable. Stops at the first error, and terminates even if the comparison is inconsistent.
pub(super) fn sorted(mut list: Array, comes_after: ComesAfter<'_>) -> Fallible<Array> {
    if list.len() < 2 {
        return Ok(list);
    }
    let right = list.split_off(list.len() / 2);
    let left = sorted(list, comes_after)?;
    let right = sorted(right, comes_after)?;
    let mut merged = Array::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let from_right = comes_after(a, b)?;
        merged.extend(match from_right {
            true => right.next(),
            false => left.next(),
        });
    }
    merged.extend(left.chain(right));
    Ok(merged)
}
