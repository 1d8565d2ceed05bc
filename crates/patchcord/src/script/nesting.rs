//! Checks for unlimited nesting of values (arrays in arrays, closures that captured closures), and for maps that grow
//! key by key.
//!
//! Rhai visits nested values recursively when it copies, measures or drops them, and has no limit for their depth.
//! Closures that capture closures can even grow by one level with each event. Rhai also does not measure a map that
//! gets one more key or value, nor what closures have captured. But Rhai reports each read of a variable, and nothing
//! grows without a read. Checking each read would cost too much, so reads are sampled at random: a value can become a
//! little larger than allowed before this is noticed, but it is then still far from overflowing the stack.

use std::{cell::Cell, collections::BTreeMap};

use rhai::{Dynamic, Engine, FnPtr};

use super::{
    budget,
    captures::{address, write_cell},
    limits::{CAPTURED, Limits},
};

/// Maximum nesting of arrays, maps and closures.
const MAX_NESTING: usize = 128;
/// Average number of reads per checked read.
const LOOK_EVERY: u32 = 64;
/// Maximum number of values that one check visits. A value with more is wide rather than deep.
const MAX_VALUES: usize = 100_000;

/// Mark of a cell that is being visited: see [`Walk::cells`].
const WITHIN: usize = 0;

thread_local! {
    static CHANCE: Cell<u32> = const { Cell::new(0x9E37_79B9) };
}

/// Returns `true` if this read of a variable is checked.
pub(super) fn is_looked_at() -> bool {
    let mut next = CHANCE.get();
    next ^= next << 13;
    next ^= next >> 17;
    next ^= next << 5;
    CHANCE.set(next);
    next.is_multiple_of(LOOK_EVERY)
}

/// Returns the token of the limit that a value exceeds, for the error that ends the call.
pub(super) fn excess(value: &Dynamic, room: Room) -> Option<&'static str> {
    let mut walk = Walk {
        cells: BTreeMap::new(),
        room,
        left: MAX_VALUES,
    };
    // A value that captured itself does not count as too deep.
    match walk.is_deeper(value, MAX_NESTING) {
        true => Some(budget::DEPTH),
        false => walk.room.excess(),
    }
}

/// Returns the reason why a value from outside is too large for a script: the exceeded limit, with its option.
pub(crate) fn result_excess(value: &Dynamic, limits: &Limits) -> Option<String> {
    let room = Room {
        keys: limits.map_size.saturating_add(1),
        elements: limits.array_size.saturating_add(1),
        text: limits.string_size.saturating_add(1),
    };
    let excess = match excess(value, room)? {
        budget::DEPTH => "is nested more deeply than `max-nesting` allows",
        budget::KEYS => "has more keys than `max-map-size` allows",
        _ => "is larger than `max-string-size` or `max-array-size` allows",
    };
    Some(format!("the result {excess}"))
}

/// Remaining size for the value of a variable, including everything that its closures have captured. Each count starts
/// at its limit plus one, so that 0 means exceeded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Keys of maps.
    keys: usize,
    /// Elements of arrays and bytes of blobs.
    elements: usize,
    /// Bytes of strings and keys.
    text: usize,
}

impl Room {
    /// Returns the sizes that the limits of an engine allow. Rhai itself enforces these limits within one value without
    /// closures, except for maps that grow.
    pub(super) fn new(engine: &Engine) -> Self {
        // For Rhai, 0 means unlimited.
        let room = |max: usize, times: usize| match max {
            0 => usize::MAX,
            max => max.saturating_mul(times).saturating_add(1),
        };
        Self {
            keys: room(engine.max_map_size(), 1),
            elements: room(engine.max_array_size(), CAPTURED),
            text: room(engine.max_string_size(), CAPTURED),
        }
    }

    const fn excess(&self) -> Option<&'static str> {
        match (self.keys, self.elements, self.text) {
            (0, ..) => Some(budget::KEYS),
            (_, 0, _) | (_, _, 0) => Some(budget::LARGE),
            _ => None,
        }
    }
}

/// Replaces the value of a variable with `()`.
pub(super) fn empty(variable: &mut Dynamic) {
    match variable.is_shared() {
        true => write_cell(variable, Dynamic::UNIT),
        false => *variable = Dynamic::UNIT,
    }
}

struct Walk {
    /// Visited cells, each with the depth that remained there; [`WITHIN`] for cells that are being visited.
    cells: BTreeMap<usize, usize>,
    room: Room,
    left: usize,
}

impl Walk {
    fn is_deeper(&mut self, value: &Dynamic, depth: usize) -> bool {
        if !value.is_shared() {
            self.count_bytes(value);
        }
        let is_plain =
            !(value.is_array() || value.is_map() || value.is_fnptr() || value.is_shared());
        if is_plain || self.left == 0 {
            return false;
        }
        self.left -= 1;
        let Some(inside) = depth.checked_sub(1) else {
            return true;
        };
        if value.is_shared() {
            return self.is_cell_deeper(value, inside);
        }
        if let Ok(list) = value.as_array_ref() {
            self.room.elements = self.room.elements.saturating_sub(list.len());
            return list.iter().any(|value| self.is_deeper(value, inside));
        }
        if let Ok(map) = value.as_map_ref() {
            self.room.keys = self.room.keys.saturating_sub(map.len());
            let text: usize = map.keys().map(|key| key.len()).sum();
            self.room.text = self.room.text.saturating_sub(text);
            return map.values().any(|value| self.is_deeper(value, inside));
        }
        value.read_lock::<FnPtr>().is_some_and(|closure| {
            closure
                .curry()
                .iter()
                .any(|value| self.is_deeper(value, inside))
        })
    }

    fn count_bytes(&mut self, value: &Dynamic) {
        if let Ok(text) = value.as_immutable_string_ref() {
            self.room.text = self.room.text.saturating_sub(text.len());
        } else if let Ok(blob) = value.as_blob_ref() {
            self.room.elements = self.room.elements.saturating_sub(blob.len());
        }
    }

    fn is_cell_deeper(&mut self, cell: &Dynamic, depth: usize) -> bool {
        let Some(place) = address(cell) else {
            return false;
        };
        // If the cell is already being visited, it contains itself. If it was visited with no more remaining depth than
        // now, the result is known.
        if self.cells.get(&place).is_some_and(|room| *room <= depth) {
            return false;
        }
        self.cells.insert(place, WITHIN);
        let is_deeper = cell
            .read_lock::<Dynamic>()
            .is_some_and(|content| self.is_deeper(&content, depth));
        self.cells.insert(place, depth);
        is_deeper
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn room(keys: usize) -> Room {
        Room {
            keys: keys + 1,
            elements: 1_000,
            text: 1_000,
        }
    }

    #[test]
    fn nesting_is_measured_through_arrays_maps_and_cells() {
        let mut value = Dynamic::from(1_i64);
        for _ in 0..MAX_NESTING {
            value = Dynamic::from_array(vec![0.into(), value]);
        }
        assert_eq!(excess(&value, room(10)), None);
        let deeper = Dynamic::from_array(vec![value.clone()]);
        assert_eq!(excess(&deeper, room(10)), Some(budget::DEPTH));
        let map = Dynamic::from_map([("key".into(), value.into_shared())].into());
        assert_eq!(excess(&map, room(10)), Some(budget::DEPTH));
    }

    #[test]
    fn what_holds_itself_is_not_too_deep() {
        let cell = Dynamic::UNIT.into_shared();
        let inner = Dynamic::from_array(vec![cell.clone()]);
        write_cell(&cell, Dynamic::from_array(vec![inner]));
        assert_eq!(excess(&cell, room(10)), None);
        empty(&mut cell.clone());
    }

    #[test]
    fn keys_are_counted_in_all_maps_of_a_value() {
        let map = |keys: usize| (0..keys).map(|key| (key.to_string().into(), Dynamic::UNIT));
        let two = [5, 6].map(|keys| Dynamic::from_map(map(keys).collect()));
        let value = Dynamic::from_array(two.to_vec());
        assert_eq!(excess(&value, room(11)), None);
        assert_eq!(excess(&value, room(10)), Some(budget::KEYS));
    }

    #[test]
    fn texts_keys_and_elements_are_counted_through_closures() {
        let text = |len: usize| Dynamic::from("x".repeat(len));
        let closure = |value: Dynamic| {
            let mut closure = FnPtr::new("f").unwrap();
            closure.add_curry(value.into_shared());
            Dynamic::from(closure)
        };
        let closures = |len| Dynamic::from_array(vec![closure(text(len)), closure(text(500))]);
        assert_eq!(excess(&closures(499), room(10)), None);
        assert_eq!(excess(&closures(500), room(10)), Some(budget::LARGE));
        let map = Dynamic::from_map([("k".repeat(400).into(), text(600))].into());
        assert_eq!(excess(&map, room(10)), Some(budget::LARGE));
        let lists = vec![closure(vec![Dynamic::UNIT; 999].into())];
        assert_eq!(excess(&lists.into(), room(10)), Some(budget::LARGE));
    }
}
