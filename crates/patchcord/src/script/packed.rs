//! Handlers as plain data, so that another process can create them again: the places of their closures in the text,
//! and the values of the variables that these have captured.
//!
//! In: handlers of a version. Out: plain values, and the same handlers from them, for a version with the same text.
//! Variables that closures share are packed once. A value that exists in one process only, such as a timestamp, is
//! *lost*: [`replace_lost`] takes it from handlers that the same text has created anew.

use std::{collections::BTreeMap, sync::Arc};

use rhai::{Array, Dynamic, FnPtr, INT, ImmutableString, Map};

use super::{
    Handler, TimerHandle, Version,
    captures::{address, is_closure, write_cell},
    state_transfer::each_counterpart,
    values::read,
};
use crate::value::{is_leaf, packed_value, plain, unpacked_value};

/// Maximum depth at which a value may be other than plain data. What is not is lost. A level has up to three levels of
/// plain data.
const MAX_PACKED: usize = 32;
/// Key of a map that stands for a value that is not plain. It begins with a NUL, so a script rarely has such a key.
const KIND: &str = "\u{0}";
/// Key of the content in such a map.
const CONTENT: &str = "of";

/// Value in place of a lost one.
#[derive(Debug, Clone, Copy)]
struct Lost;

/// Packs the handlers of one connection.
pub struct Packer<'a> {
    version: &'a Arc<Version>,
    /// Returns plain data that identifies a value, such as a socket; `None` if it exists in this process only.
    name: &'a dyn Fn(&Dynamic) -> Option<Dynamic>,
    /// Numbers of the captured variables, by their addresses.
    numbers: BTreeMap<usize, usize>,
    cells: Array,
}

impl std::fmt::Debug for Packer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

impl<'a> Packer<'a> {
    /// Creates a packer for handlers of a version.
    pub fn new(version: &'a Arc<Version>, name: &'a dyn Fn(&Dynamic) -> Option<Dynamic>) -> Self {
        Self {
            version,
            name,
            numbers: BTreeMap::new(),
            cells: Array::new(),
        }
    }

    /// Packs a handler. Returns `None` if it has the code of an earlier version.
    pub fn handler(&mut self, handler: &Handler) -> Option<Dynamic> {
        let is_own = Arc::ptr_eq(handler.code(), self.version.own());
        is_own.then(|| self.function(handler.fn_ptr(), 0)).flatten()
    }

    /// Returns the captured variables, which belong to the packed handlers.
    pub fn into_cells(self) -> Array {
        self.cells
    }

    fn function(&mut self, function: &FnPtr, depth: usize) -> Option<Dynamic> {
        let name = function.fn_name();
        let code: Dynamic = match is_closure(name) {
            true => INT::try_from(self.version.places().row_of(name)?)
                .ok()?
                .into(),
            false => name.into(),
        };
        let captured = function.curry().iter();
        let captured: Array = captured.map(|value| self.value(value, depth + 1)).collect();
        Some(special(
            "fn",
            Dynamic::from_array(vec![code, captured.into()]),
        ))
    }

    fn value(&mut self, value: &Dynamic, depth: usize) -> Dynamic {
        if value.is_shared() {
            return self.cell(value).unwrap_or_else(lost);
        }
        if is_leaf(value) {
            return value.clone();
        }
        if depth > MAX_PACKED {
            let deep = plain(value).map(|value| special("plain", packed_value(&value)));
            return deep.unwrap_or_else(|_| lost());
        }
        if let Some(function) = value.read_lock::<FnPtr>() {
            return self.function(&function, depth).unwrap_or_else(lost);
        }
        if let Some(timer) = value.read_lock::<TimerHandle>() {
            return special("timer", INT::from(timer.0).into());
        }
        if let Ok(array) = value.as_array_ref() {
            let elements = array.iter().map(|element| self.value(element, depth + 1));
            return Dynamic::from_array(elements.collect());
        }
        if let Ok(map) = value.as_map_ref() {
            let values = map.iter();
            let packed = values.map(|(key, value)| (key.clone(), self.value(value, depth + 1)));
            let packed = Dynamic::from_map(packed.collect());
            return match map.contains_key(KIND) {
                true => special("map", packed),
                false => packed,
            };
        }
        (self.name)(value).map_or_else(lost, |name| special("named", name))
    }

    /// Packs a captured variable, and returns its number.
    fn cell(&mut self, cell: &Dynamic) -> Option<Dynamic> {
        let place = address(cell)?;
        let number = match self.numbers.get(&place) {
            Some(number) => *number,
            None => {
                let number = self.cells.len();
                self.numbers.insert(place, number);
                // The variable may contain itself.
                self.cells.push(Dynamic::UNIT);
                let value = read(cell).map_or_else(lost, |value| self.value(&value, 0));
                if let Some(packed) = self.cells.get_mut(number) {
                    *packed = packed_value(&value);
                }
                number
            }
        };
        Some(special("variable", INT::try_from(number).ok()?.into()))
    }
}

fn special(kind: &str, content: Dynamic) -> Dynamic {
    Dynamic::from_map(Map::from([
        (KIND.into(), kind.into()),
        (CONTENT.into(), content),
    ]))
}

fn lost() -> Dynamic {
    special("lost", Dynamic::UNIT)
}

/// Creates the handlers again that a [`Packer`] has packed.
pub struct Unpacker<'a> {
    version: &'a Arc<Version>,
    /// Returns the value that plain data identifies.
    named: &'a dyn Fn(&Dynamic) -> Option<Dynamic>,
    cells: Vec<Dynamic>,
}

impl std::fmt::Debug for Unpacker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unpacker").finish_non_exhaustive()
    }
}

impl<'a> Unpacker<'a> {
    /// Creates the captured variables of packed handlers, for a version with the text of the version that they had.
    pub fn new(
        version: &'a Arc<Version>,
        named: &'a dyn Fn(&Dynamic) -> Option<Dynamic>,
        packed: &[Dynamic],
    ) -> Self {
        let cells = packed.iter().map(|_| Dynamic::UNIT.into_shared());
        let unpacker = Self {
            version,
            named,
            cells: cells.collect(),
        };
        for (cell, value) in unpacker.cells.iter().zip(packed) {
            let value = unpacked_value(value).map(|value| unpacker.value(&value));
            write_cell(cell, value.unwrap_or_else(|| Dynamic::from(Lost)));
        }
        unpacker
    }

    /// Returns a handler; `None` if it is malformed, or the version does not have its code.
    pub fn handler(&self, packed: &Dynamic) -> Option<Handler> {
        let value = self.value(packed);
        let function = value.read_lock::<FnPtr>()?.clone();
        Some(Handler::build(function, self.version.clone()))
    }

    fn value(&self, packed: &Dynamic) -> Dynamic {
        if let Ok(array) = packed.as_array_ref() {
            return Dynamic::from_array(array.iter().map(|element| self.value(element)).collect());
        }
        let Ok(map) = packed.as_map_ref() else {
            return packed.clone();
        };
        let kind = map
            .get(KIND)
            .and_then(|kind| kind.as_immutable_string_ref().ok());
        match (kind, map.get(CONTENT)) {
            (Some(kind), Some(content)) => {
                let special = self.special(&kind, content);
                special.unwrap_or_else(|| Dynamic::from(Lost))
            }
            _ => self.map(&map),
        }
    }

    fn map(&self, packed: &Map) -> Dynamic {
        let values = packed
            .iter()
            .map(|(key, value)| (key.clone(), self.value(value)));
        Dynamic::from_map(values.collect())
    }

    fn special(&self, kind: &ImmutableString, content: &Dynamic) -> Option<Dynamic> {
        match kind.as_str() {
            "variable" => self.cells.get(index(content)?).cloned(),
            "fn" => self.function(content).map(Dynamic::from),
            "timer" => {
                let number = u32::try_from(content.as_int().ok()?).ok()?;
                Some(Dynamic::from(TimerHandle::new(number)))
            }
            "map" => {
                let map = content.as_map_ref().ok()?;
                Some(self.map(&map))
            }
            "plain" => unpacked_value(content),
            "named" => (self.named)(content),
            _ => None,
        }
    }

    fn function(&self, content: &Dynamic) -> Option<FnPtr> {
        let content = content.as_array_ref().ok()?;
        let [code, captured] = content.as_slice() else {
            return None;
        };
        let captured = captured.as_array_ref().ok()?;
        let definition = match index(code) {
            Some(row) => self.version.definition_of(self.version.places().row(row)?),
            None => {
                let name = code.as_immutable_string_ref().ok()?;
                match self.version.definition(&name, captured.len()) {
                    Some(definition) => Some(definition),
                    // A function of the host.
                    None => {
                        let mut function = FnPtr::new(name.as_str()).ok()?;
                        function.set_curry(captured.iter().map(|value| self.value(value)));
                        return Some(function);
                    }
                }
            }
        };
        let definition = definition.filter(|one| captured.len() <= one.params.len())?;
        let mut function = FnPtr::from(definition);
        if !captured.is_empty() {
            function.set_curry(captured.iter().map(|value| self.value(value)));
        }
        Some(function)
    }
}

fn index(number: &Dynamic) -> Option<usize> {
    usize::try_from(number.as_int().ok()?).ok()
}

/// Replaces the lost values in the captured variables of handlers by those of their counterparts in `fresh`, handlers
/// that the same text has created. A value without a counterpart becomes `()`. Each handler has a key that identifies
/// it in both sets.
pub fn replace_lost<K: AsRef<str>>(handlers: &[(K, Handler)], fresh: &[(K, Handler)]) {
    each_counterpart(handlers, fresh, &found);
}

/// Returns a value without its lost parts; `None` if it has none.
fn found(value: &Dynamic, counterpart: Option<&Dynamic>) -> Option<Dynamic> {
    if value.is::<Lost>() {
        return Some(counterpart.cloned().unwrap_or_default());
    }
    if value.is_shared() {
        return None;
    }
    let mut changed = false;
    let mut part = |value: &Dynamic, counterpart: Option<&Dynamic>| match found(value, counterpart)
    {
        Some(found) => {
            changed = true;
            found
        }
        None => value.clone(),
    };
    let new = if let Ok(array) = value.as_array_ref() {
        let others = counterpart.and_then(|other| other.as_array_ref().ok());
        let elements = array.iter().enumerate();
        let new = elements.map(|(nth, value)| {
            let other = others.as_ref().and_then(|others| others.get(nth));
            part(value, other)
        });
        Dynamic::from_array(new.collect())
    } else if let Ok(map) = value.as_map_ref() {
        let others = counterpart.and_then(|other| other.as_map_ref().ok());
        let new = map.iter().map(|(key, value)| {
            let other = others.as_ref().and_then(|others| others.get(key));
            (key.clone(), part(value, other))
        });
        Dynamic::from_map(new.collect())
    } else {
        return None;
    };
    changed.then_some(new)
}
