//! Equality of values, for merging live state when a script is replaced.
//!
//! In: two values. Out: `true` if an edit left them equal. A value of a type of the host, such as a secret or a regular
//! expression, is compared by its content, a plain value that its type determines ([`register_type`]). Of everything
//! else that is not state (closures, timestamps, types of an application), only the types are compared. Rhai's own
//! `Hash` panics on such values.

use std::{any::TypeId, collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;
use rhai::{Dynamic, Module};

use crate::value::{
    MAX_DEPTH, Refusal,
    walk::{Cells, Shape},
};

/// Function that returns the content of a value; `None` if the value equals nothing now.
type Content = Arc<dyn Fn(&Dynamic) -> Option<Dynamic> + Send + Sync>;

/// Contents of values, by their types. They belong to the types and not to an engine, so all hosts share them.
static CONTENTS: RwLock<BTreeMap<TypeId, Content>> = RwLock::new(BTreeMap::new());

/// Registers a type of values of scripts: its name, and the function that returns the content by which two values are
/// compared. Without a content (`None`), a value equals nothing.
#[allow(clippy::disallowed_methods, reason = "all others call this function")]
pub(crate) fn register_type<T: Clone + Send + Sync + 'static>(
    module: &mut Module,
    name: &str,
    content: fn(&T) -> Option<Dynamic>,
) {
    module.set_custom_type::<T>(name);
    register_content(content);
}

/// Registers the content of a type whose name is known already.
pub(crate) fn register_content<T: Clone + Send + Sync + 'static>(
    content: fn(&T) -> Option<Dynamic>,
) {
    let content = move |value: &Dynamic| content(&*value.read_lock::<T>()?);
    CONTENTS
        .write()
        .insert(TypeId::of::<T>(), Arc::new(content));
}

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
        (Shape::Foreign(_), Shape::Foreign(_)) => has_same_content(a, b, inside, cells),
        _ => false,
    }
}

/// Compares two values that JSON cannot represent, whose contents may contain `depth` more levels. It is a function of
/// its own, because [`same_within`] calls itself at each level, and must need little of the stack.
#[inline(never)]
fn has_same_content(a: &Dynamic, b: &Dynamic, depth: Option<usize>, cells: &Cells) -> bool {
    if a.type_id() != b.type_id() {
        return false;
    }
    let Some(content) = CONTENTS.read().get(&a.type_id()).cloned() else {
        return true;
    };
    match (content(a), content(b), depth) {
        (Some(a), Some(b), Some(depth)) => same_within(&a, &b, depth, cells),
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
