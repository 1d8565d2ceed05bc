//! Equality of values, for merging live state when a script is replaced.
//!
//! In: two values. Out: `true` if an edit left them equal. Code and handles (closures, timestamps, types of the host)
//! are not state, so only their types are compared; secrets are compared by their texts. Rhai's own `Hash` panics on such values.

use rhai::Dynamic;

use crate::value::{
    MAX_DEPTH, Refusal, Secret,
    walk::{Cells, Shape},
};

/// Returns `true` if `a` and `b` have the same type and content.
///
/// `1` and `1.0` differ, NaN equals NaN, and shared cells are read through. Values that are nested too deeply, and
/// variables that are in use, are equal to nothing.
#[must_use]
pub fn same(a: &Dynamic, b: &Dynamic) -> bool {
    same_within(a, b, MAX_DEPTH, &Cells::new())
}

/// Compares two values that may contain `depth` more levels of arrays, maps and nested cells.
fn same_within(a: &Dynamic, b: &Dynamic, depth: usize, cells: &Cells) -> bool {
    let inside = depth.checked_sub(1);
    match (Shape::new(a), Shape::new(b)) {
        (Shape::Foreign(Refusal::Locked), _) | (_, Shape::Foreign(Refusal::Locked)) => false,
        (Shape::Shared(content), _) => {
            open(&content, depth, cells).is_some_and(|depth| same_within(&content, b, depth, cells))
        }
        (_, Shape::Shared(content)) => {
            open(&content, depth, cells).is_some_and(|depth| same_within(a, &content, depth, cells))
        }
        (Shape::Unit, Shape::Unit) => true,
        (Shape::Bool(a), Shape::Bool(b)) => a == b,
        (Shape::Int(a), Shape::Int(b)) => a == b,
        (Shape::Float(a), Shape::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
        (Shape::Char(a), Shape::Char(b)) => a == b,
        (Shape::Str(a), Shape::Str(b)) => *a == *b,
        (Shape::Blob(a), Shape::Blob(b)) => *a == *b,
        (Shape::Binary(a), Shape::Binary(b)) => *a == *b,
        (Shape::Array(a), Shape::Array(b)) => inside.is_some_and(|depth| {
            let mut pairs = a.iter().zip(b.iter());
            a.len() == b.len() && pairs.all(|(a, b)| same_within(a, b, depth, cells))
        }),
        (Shape::Map(a), Shape::Map(b)) => inside.is_some_and(|depth| {
            let mut pairs = a.iter().zip(b.iter());
            a.len() == b.len()
                && pairs
                    .all(|((key, a), (other, b))| key == other && same_within(a, b, depth, cells))
        }),
        (Shape::Foreign(_), Shape::Foreign(_)) => {
            match (a.read_lock::<Secret>(), b.read_lock::<Secret>()) {
                (Some(a), Some(b)) => a.is_same(&b),
                _ => a.type_id() == b.type_id(),
            }
        }
        _ => false,
    }
}

/// Returns the remaining depth for the content of a cell.
fn open(content: &Dynamic, depth: usize, cells: &Cells) -> Option<usize> {
    cells.open()?;
    if content.is_shared() {
        depth.checked_sub(1)
    } else {
        Some(depth)
    }
}
