//! How much memory a value takes, for limits on what is kept or made.

use rhai::Dynamic;

use crate::value::{
    MAX_DEPTH,
    walk::{Cells, Shape},
};

/// What one value takes by itself.
const ONE: usize = size_of::<Dynamic>();
/// What an entry of a map takes beside its key and its value.
const ENTRY: usize = 32;

/// Bytes of memory that `value` takes, about. What is nested too deep, and what belongs to the host, counts as one value.
#[must_use]
pub fn weight(value: &Dynamic) -> usize {
    within(value, MAX_DEPTH, &Cells::new())
}

fn within(value: &Dynamic, depth: usize, cells: &Cells) -> usize {
    let Some(inside) = depth.checked_sub(1) else {
        return ONE;
    };
    let content = match Shape::of(value) {
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
