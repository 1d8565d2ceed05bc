//! Closures in values: in arrays, in maps, and in captured variables.

use rhai::{Dynamic, FnPtr};

/// Maximum depth at which closures in values are searched for.
pub(super) const MAX_DEPTH: usize = 64;

/// Returns the value of a captured variable; `None` if it was left unusable by a panic.
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

/// Calls `found` for each closure in a value, with its path: the path of the value, followed by keys and indices.
pub(super) fn each_closure_at(
    value: &Dynamic,
    path: &str,
    depth: usize,
    found: &mut impl FnMut(&FnPtr, &str),
) {
    if depth > MAX_DEPTH || value.is_shared() {
        return;
    }
    if let Some(inner) = value.read_lock::<FnPtr>() {
        found(&inner, path);
    } else if let Ok(array) = value.as_array_ref() {
        for (nth, element) in array.iter().enumerate() {
            each_closure_at(element, &place_at(path, nth), depth + 1, found);
        }
    } else if let Ok(map) = value.as_map_ref() {
        for (key, element) in map.iter() {
            each_closure_at(element, &key_at(path, key), depth + 1, found);
        }
    }
}

/// Returns the path of an element of an array.
pub(super) fn place_at(path: &str, nth: usize) -> String {
    format!("{path}[{nth}]")
}

/// Returns the path of a value in a map.
pub(super) fn key_at(path: &str, key: &str) -> String {
    format!("{path}.{key}")
}

/// Returns `true` if a value contains a closure.
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
