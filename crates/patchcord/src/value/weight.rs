//! Memory size of a value, for limits on stored and produced values.

use rhai::Dynamic;

use crate::value::{
    MAX_DEPTH,
    walk::{Cells, Shape},
};

/// Size of a value without its content, in bytes.
const ONE: usize = size_of::<Dynamic>();
/// Size of an entry of a map without its key and its value, in bytes.
const ENTRY: usize = 32;

/// Returns the approximate memory size of `value`, in bytes. A value that is nested too deeply, or that belongs to the
/// host, counts without its content.
#[must_use]
pub fn weight(value: &Dynamic) -> usize {
    within(value, MAX_DEPTH, &Cells::new())
}

fn within(value: &Dynamic, depth: usize, cells: &Cells) -> usize {
    let Some(inside) = depth.checked_sub(1) else {
        return ONE;
    };
    let content = match Shape::new(value) {
        Shape::Str(text) => text.len(),
        Shape::Blob(blob) => blob.len(),
        Shape::Binary(binary) => binary.len(),
        Shape::Array(list) => list.iter().map(|v| within(v, inside, cells)).sum(),
        Shape::Map(map) => {
            let entries = map.iter();
            entries
                .map(|(key, v)| ENTRY + key.len() + within(v, inside, cells))
                .sum()
        }
        Shape::Shared(content) if cells.open().is_some() => within(&content, inside, cells),
        _ => 0,
    };
    ONE + content
}
