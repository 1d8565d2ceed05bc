//! Closures in values: in arrays, in maps, and in captured variables.

use rhai::{Dynamic, FnPtr};

/// Maximum depth at which closures in values are looked for.
pub(super) const MAX_DEPTH: usize = 64;

/// Returns the value of a captured variable; `None` for one that a panic has left unusable.
pub(super) fn read(cell: &Dynamic) -> Option<Dynamic> {
    cell.read_lock::<Dynamic>().map(|value| value.clone())
}

/// Calls `found` for each closure in a value.
pub(super) fn each_closure(value: &Dynamic, depth: usize, found: &mut impl FnMut(&FnPtr)) {
    if depth > MAX_DEPTH || value.is_shared() {
        return;
    }
    if let Some(inner) = value.read_lock::<FnPtr>() {
        found(&inner);
    } else if let Ok(array) = value.as_array_ref() {
        array.iter().for_each(|v| each_closure(v, depth + 1, found));
    } else if let Ok(map) = value.as_map_ref() {
        map.values().for_each(|v| each_closure(v, depth + 1, found));
    }
}

/// Returns `true` if a closure is in a value.
pub(super) fn holds_closure(value: &Dynamic, depth: usize) -> bool {
    if depth > MAX_DEPTH || value.is_shared() {
        return false;
    }
    if let Ok(array) = value.as_array_ref() {
        return array.iter().any(|v| holds_closure(v, depth + 1));
    }
    if let Ok(map) = value.as_map_ref() {
        return map.values().any(|v| holds_closure(v, depth + 1));
    }
    value.is_fnptr()
}
