//! Copies of closures and of all their captured variables, for the rehearsal of an adoption.
//!
//! Invariant: no copy captures a variable of an original, and copies of closures that share a variable share its copy.

use std::collections::BTreeMap;

use rhai::{Dynamic, FnPtr};

use super::{
    Handler,
    captures::{address, write_cell},
    values::{MAX_DEPTH, read},
};

/// Maximum depth of closures, captured variables, arrays and maps. Deeper values are `()` in a copy.
const MAX_COPIED: usize = 4 * MAX_DEPTH;

/// Copies of the closures of one connection.
#[derive(Debug, Default)]
pub struct Copies {
    /// Copies of captured variables, by the addresses of the originals.
    cells: BTreeMap<usize, Dynamic>,
}

impl Copies {
    /// Copies a handler. Its connection must not run a call at the same time.
    pub fn handler(&mut self, handler: &Handler) -> Handler {
        handler.with(self.function(handler.fn_ptr(), 0))
    }

    /// Clears every captured variable, so that closures that captured themselves are freed.
    pub fn release(self) {
        for cell in self.cells.values() {
            write_cell(cell, Dynamic::UNIT);
        }
    }

    fn function(&mut self, function: &FnPtr, depth: usize) -> FnPtr {
        let mut copy = function.clone();
        if !function.curry().is_empty() {
            let captured = function.curry().iter();
            let captured: Vec<_> = captured.map(|value| self.value(value, depth + 1)).collect();
            copy.set_curry(captured);
        }
        copy
    }

    fn value(&mut self, value: &Dynamic, depth: usize) -> Dynamic {
        if value.is_shared() {
            return self.cell(value, depth);
        }
        if depth > MAX_COPIED {
            return Dynamic::UNIT;
        }
        if let Some(function) = value.read_lock::<FnPtr>() {
            return self.function(&function, depth).into();
        }
        let mut copy = value.clone();
        if let Ok(mut array) = copy.as_array_mut() {
            for element in array.iter_mut() {
                *element = self.value(element, depth + 1);
            }
        } else if let Ok(mut map) = copy.as_map_mut() {
            for element in map.values_mut() {
                *element = self.value(element, depth + 1);
            }
        }
        copy
    }

    fn cell(&mut self, cell: &Dynamic, depth: usize) -> Dynamic {
        let copy = Dynamic::UNIT.into_shared();
        // A cell that was left unusable by a panic has no value.
        let Some(place) = address(cell) else {
            return copy;
        };
        if let Some(known) = self.cells.get(&place) {
            return known.clone();
        }
        self.cells.insert(place, copy.clone());
        if let Some(value) = read(cell) {
            let value = self.value(&value, depth + 1);
            write_cell(&copy, value);
        }
        copy
    }
}
