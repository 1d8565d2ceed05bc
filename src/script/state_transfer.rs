//! Variables that live through an edit: the three-way merge of what closures captured.
//!
//! *Base* is what the old code makes of a connection now, *new* what the new code makes, *live* what the connection
//! holds. A variable keeps its cell, the shared place that every closure over it reads and writes, so that handlers
//! of both codes, timers and pending acks go on seeing one variable. The value in it follows the code only where
//! the connection has not changed it. Closures and handles are code: the new one is always taken.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{Dynamic, FnPtr, GlobalRuntimeState};

use super::{
    Handler,
    captures::{address, captures, write_cell},
};
use crate::value::{Binary, same};

/// How deep closures in values of variables are looked for.
const MAX_DEPTH: usize = 16;

/// What became of the variables of one connection, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Carried {
    /// Kept the value that the connection gave them.
    pub kept: BTreeSet<String>,
    /// Had a value that the connection gave them, and are no longer captured.
    pub lost: BTreeSet<String>,
    /// Lost that value because the edit changed the type of the initial one.
    pub retyped: BTreeSet<String>,
}

/// Gives the handlers of `new` the variables of `live`. Each handler comes with a key that names it in all three.
///
/// Cannot fail, and changes nothing but the values of cells in `live`.
pub fn carry<K: AsRef<str>>(
    base: &[(K, Handler)],
    new: &[(K, Handler)],
    live: &[(K, Handler)],
) -> (Vec<Handler>, Carried) {
    let [base, fresh, live] = [base, new, live].map(Cells::of);
    let mut merge = Merge {
        ambiguous: [&base, &fresh, &live]
            .into_iter()
            .flat_map(Cells::ambiguous)
            .collect(),
        base,
        live,
        done: BTreeMap::new(),
        carried: Carried::default(),
    };
    let handlers = new
        .iter()
        .map(|(key, handler)| {
            let mut fn_ptr = handler.fn_ptr().clone();
            merge.closure(handler.state(), &mut fn_ptr, key.as_ref(), 0);
            handler.with(fn_ptr)
        })
        .collect();
    merge.find_lost(&fresh);
    merge.release();
    (handlers, merge.carried)
}

/// Empties every variable that these handlers captured, so that closures which captured themselves, or each other, are
/// freed. Nothing may call the handlers any more.
pub fn release<'a>(handlers: impl Iterator<Item = &'a Handler>) {
    let mut cells = Cells::default();
    for (nth, handler) in handlers.enumerate() {
        cells.closure(handler.state(), handler.fn_ptr(), &nth.to_string(), 0);
    }
    cells.release();
}

/// A captured variable: its cell, and the paths of closures it is reached by.
struct Variable {
    name: String,
    cell: Dynamic,
}

/// The variables of a set of handlers, by path: the handler's key and the names of captured variables down to it.
#[derive(Default)]
struct Cells {
    by_path: BTreeMap<String, Variable>,
    /// Cells whose closures were looked into: closures that capture each other would be followed for ever.
    seen: BTreeSet<usize>,
}

impl Cells {
    fn of<K: AsRef<str>>(handlers: &[(K, Handler)]) -> Self {
        let mut cells = Self::default();
        for (key, handler) in handlers {
            cells.closure(handler.state(), handler.fn_ptr(), key.as_ref(), 0);
        }
        cells
    }

    fn closure(&mut self, state: &GlobalRuntimeState, fn_ptr: &FnPtr, path: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        for (name, cell) in captures(state, fn_ptr) {
            let path = format!("{path}/{name}");
            if !cell.is_shared() || self.by_path.contains_key(&path) {
                continue;
            }
            let (Some(place), Some(value)) = (address(&cell), read(&cell)) else {
                continue;
            };
            self.by_path.insert(
                path.clone(),
                Variable {
                    name: name.to_string(),
                    cell,
                },
            );
            if self.seen.insert(place) {
                each_closure(&value, 0, &mut |inner| {
                    self.closure(state, inner, &path, depth + 1);
                });
            }
        }
    }

    fn release(&self) {
        for variable in self.by_path.values() {
            write_cell(&variable.cell, Dynamic::UNIT);
        }
    }

    /// Names that mean more than one cell.
    fn ambiguous(&self) -> BTreeSet<String> {
        let mut seen = BTreeMap::new();
        let mut ambiguous = BTreeSet::new();
        for variable in self.by_path.values() {
            let here = address(&variable.cell);
            if *seen.entry(&variable.name).or_insert(here) != here {
                ambiguous.insert(variable.name.clone());
            }
        }
        ambiguous
    }

    fn find(&self, name: &str, path: &str, by_path: bool) -> Option<&Dynamic> {
        let variable = match by_path {
            true => self.by_path.get(path),
            false => self
                .by_path
                .get(path)
                .or_else(|| self.by_path.values().find(|v| v.name == name)),
        };
        variable.map(|v| &v.cell)
    }
}

struct Merge {
    base: Cells,
    live: Cells,
    ambiguous: BTreeSet<String>,
    /// Each cell of the new code, and the one that stands for it from now on.
    done: BTreeMap<usize, (Dynamic, Dynamic)>,
    carried: Carried,
}

impl Merge {
    /// Puts the carried cells into a closure of the new code.
    fn closure(
        &mut self,
        state: &GlobalRuntimeState,
        fn_ptr: &mut FnPtr,
        path: &str,
        depth: usize,
    ) {
        if depth > MAX_DEPTH {
            return;
        }
        let cells: Vec<_> = captures(state, fn_ptr)
            .into_iter()
            .map(|(name, cell)| match cell.is_shared() {
                true => self.cell(state, &name, &cell, &format!("{path}/{name}"), depth),
                false => cell,
            })
            .collect();
        if cells.len() == fn_ptr.curry().len() {
            fn_ptr.set_curry(cells);
        }
    }

    fn cell(
        &mut self,
        state: &GlobalRuntimeState,
        name: &str,
        cell: &Dynamic,
        path: &str,
        depth: usize,
    ) -> Dynamic {
        let (Some(here), Some(mut value)) = (address(cell), read(cell)) else {
            return cell.clone();
        };
        if let Some((_, known)) = self.done.get(&here) {
            return known.clone();
        }
        let by_path = self.ambiguous.contains(name);
        let live = self.live.find(name, path, by_path).cloned();
        let kept = live.clone().unwrap_or_else(|| cell.clone());
        self.done.insert(here, (cell.clone(), kept.clone()));
        if holds_code(&value, 0) {
            self.values(state, &mut value, path, depth);
            write_cell(&kept, value);
        } else if let Some(live) = live {
            self.value(name, path, by_path, &live, value);
        }
        kept
    }

    fn value(&mut self, name: &str, path: &str, by_path: bool, live: &Dynamic, new: Dynamic) {
        let Some(base) = self.base.find(name, path, by_path) else {
            return;
        };
        let unchanged = same(live, base);
        let retyped = read(base).is_none_or(|base| base.type_id() != new.type_id());
        if unchanged || retyped {
            if !unchanged {
                self.carried.retyped.insert(name.to_owned());
            }
            write_cell(live, new);
        } else {
            self.carried.kept.insert(name.to_owned());
        }
    }

    /// Carries the closures that stand in a value.
    fn values(
        &mut self,
        state: &GlobalRuntimeState,
        value: &mut Dynamic,
        path: &str,
        depth: usize,
    ) {
        if value.is_fnptr() {
            if let Some(mut inner) = value.write_lock::<FnPtr>() {
                self.closure(state, &mut inner, path, depth + 1);
            }
        } else if let Ok(mut array) = value.as_array_mut() {
            array
                .iter_mut()
                .for_each(|v| self.values(state, v, path, depth + 1));
        } else if let Ok(mut map) = value.as_map_mut() {
            map.values_mut()
                .for_each(|v| self.values(state, v, path, depth + 1));
        }
    }

    /// Empties the cells of both drafts that nothing uses any more, so that closures which captured themselves are
    /// freed.
    fn release(&self) {
        self.base.release();
        for (new, kept) in self.done.values() {
            if address(new) != address(kept) {
                write_cell(new, Dynamic::UNIT);
            }
        }
    }

    fn find_lost(&mut self, new: &Cells) {
        for (path, variable) in &self.live.by_path {
            let by_path = self.ambiguous.contains(&variable.name);
            let gone = new.find(&variable.name, path, by_path).is_none();
            let base = self.base.find(&variable.name, path, by_path);
            if gone && base.is_some_and(|base| !same(&variable.cell, base)) {
                self.carried.lost.insert(variable.name.clone());
            }
        }
    }
}

/// What is in a cell; `None` for one that a panic has left unusable.
fn read(cell: &Dynamic) -> Option<Dynamic> {
    cell.read_lock::<Dynamic>().map(|value| value.clone())
}

fn each_closure(value: &Dynamic, depth: usize, found: &mut impl FnMut(&FnPtr)) {
    if depth > MAX_DEPTH {
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

/// Whether a closure or a handle stands in a value.
fn holds_code(value: &Dynamic, depth: usize) -> bool {
    if depth > MAX_DEPTH {
        return false;
    }
    if let Ok(array) = value.as_array_ref() {
        return array.iter().any(|v| holds_code(v, depth + 1));
    }
    if let Ok(map) = value.as_map_ref() {
        return map.values().any(|v| holds_code(v, depth + 1));
    }
    value.is_fnptr() || (value.is_variant() && !value.is::<Binary>())
}
