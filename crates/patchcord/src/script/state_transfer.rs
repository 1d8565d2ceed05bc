//! Transfers variables across an edit of `on_connection`, by a three-way merge of the variables that its closures
//! captured.
//!
//! *Base* is what the old code produces for a connection, *new* is what the new code produces, and *live* is what the
//! connection holds. The closures of all three already have the new code (see [`Swap`](super::Swap)). A variable keeps
//! its cell, which is the shared storage that all closures over the variable read and write. The value in the cell
//! follows the code only if the connection has not changed it.

pub(super) mod reset;

use std::collections::{BTreeMap, BTreeSet};

use rhai::{Dynamic, FnPtr, ImmutableString};

use super::{
    Handler,
    captures::{address, write_cell},
    merge::{Merged, merge},
    places::Owner,
    timer::TimerHandle,
    values::{MAX_DEPTH, each_closure_at, holds_closure, key_at, place_at, read},
};

/// Outcome of an edit for one variable of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The variable has the new initial value.
    Followed,
    /// The variable keeps the value that the connection gave it, although the edit changed the initial value.
    Kept,
    /// The variable is a map: some keys have the new initial values, and the others are kept.
    Merged,
    /// The variable had a value of the connection's own, but now has the new initial value, because the type has
    /// changed.
    Reset,
    /// The variable had a value of the connection's own, and is no longer captured.
    Lost,
}

/// Initial values of a variable in the old and in the new code, as a script would write them.
pub type Initial = (Option<String>, Option<String>);

/// Outcomes for the variables of one connection, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CarriedState {
    /// Variables whose initial value the edit has changed. Several variables may have the same name.
    pub outcomes: BTreeMap<(String, Outcome), Initial>,
    /// Types of the variables that are now captured, if variables are lost.
    pub captured: BTreeMap<String, &'static str>,
    /// Types of the variables that are lost: of the initial value, and of the last value.
    pub lost_types: BTreeMap<String, [&'static str; 2]>,
}

impl CarriedState {
    /// Records the outcome of a merge, if the initial value has changed. Returns the new value, if the variable gets
    /// one.
    pub(crate) fn note(
        &mut self,
        name: &str,
        (base, new): (Option<&Dynamic>, Option<&Dynamic>),
        merged: Merged,
    ) -> Option<Option<Dynamic>> {
        let (outcome, value) = match merged {
            Merged::Same => return None,
            Merged::Kept => (Outcome::Kept, None),
            Merged::Followed(value) => (Outcome::Followed, Some(value)),
            Merged::Both(value) if value.is_map() => (Outcome::Merged, Some(Some(value))),
            Merged::Both(value) => (Outcome::Kept, Some(Some(value))),
            Merged::Reset(value) => (Outcome::Reset, Some(value)),
        };
        let initial = (base.map(text), new.map(text));
        self.outcomes.insert((name.to_owned(), outcome), initial);
        value
    }

    /// Records that a variable keeps its value, although its initial value has changed.
    fn keep(&mut self, name: &str) {
        let kept = (name.to_owned(), Outcome::Kept);
        self.outcomes.insert(kept, Initial::default());
    }

    /// Records variables that no closure captures any more, with their last values and, if known, their initial values.
    /// `now` contains the variables that are captured instead.
    pub fn note_lost(
        &mut self,
        lost: Vec<(ImmutableString, Option<&Dynamic>, Dynamic)>,
        now: Vec<(ImmutableString, Dynamic)>,
    ) {
        for (name, initial, value) in lost {
            let types = [initial.unwrap_or(&value).type_name(), value.type_name()];
            self.lost_types.insert(name.to_string(), types);
            let lost = (name.to_string(), Outcome::Lost);
            self.outcomes.insert(lost, (initial.map(text), None));
        }
        let types = now
            .into_iter()
            .map(|(name, value)| (name.to_string(), value.type_name()));
        self.captured.extend(types);
    }
}

/// Puts the variables of `live` into the handlers of `new`. Each handler has a key that identifies it in all three
/// sets.
///
/// Never fails, and changes only the values of cells in `live`.
pub fn transfer_state<K: AsRef<str>>(
    base: &[(K, Handler)],
    new: &[(K, Handler)],
    live: &[(K, Handler)],
) -> (Vec<Handler>, CarriedState) {
    let [base, fresh, live] = [base, new, live].map(Cells::of);
    let mut transfer = Transfer {
        base,
        live,
        fresh: Fresh::new(&fresh),
        done: BTreeMap::new(),
        carried: CarriedState::default(),
        wants: None,
    };
    let handlers = new
        .iter()
        .map(|(key, handler)| {
            let mut fn_ptr = handler.fn_ptr().clone();
            transfer.closure(handler, &mut fn_ptr, key.as_ref(), 0);
            handler.with(fn_ptr)
        })
        .collect();
    transfer.release();
    (handlers, transfer.carried)
}

/// Clears every variable that these handlers captured, so that closures that captured themselves or each other are
/// freed. The handlers must not be called any more.
pub fn release<'a>(handlers: impl Iterator<Item = &'a Handler>) {
    let mut cells = Cells::default();
    for (nth, handler) in handlers.enumerate() {
        cells.closure(handler, handler.fn_ptr(), &nth.to_string(), 0);
    }
    cells.release();
}

/// Clears the variables that contain closures, and that `gone` captured and `live` did not, so that closures that
/// captured themselves are freed.
pub fn release_lost<'a>(
    gone: impl Iterator<Item = &'a Handler>,
    live: impl Iterator<Item = &'a Handler>,
) {
    let (mut lost, mut kept) = (Cells::default(), Cells::default());
    for (nth, handler) in gone.enumerate() {
        lost.closure(handler, handler.fn_ptr(), &nth.to_string(), 0);
    }
    if lost.by_path.is_empty() {
        return;
    }
    for (nth, handler) in live.enumerate() {
        kept.closure(handler, handler.fn_ptr(), &nth.to_string(), 0);
    }
    let is_kept = |variable: &Variable| {
        address(&variable.cell).is_none_or(|place| kept.seen.contains(&place))
    };
    let holds_closure =
        |variable: &Variable| read(&variable.cell).is_some_and(|value| holds_closure(&value, 0));
    lost.by_path
        .retain(|_, variable| !is_kept(variable) && holds_closure(variable));
    lost.release();
}

/// Returns the variables that these handlers have captured, and those that closures in these variables have captured,
/// by name. Each variable occurs once; handles are left out.
pub fn captured<'a>(
    handlers: impl Iterator<Item = &'a Handler>,
) -> Vec<(ImmutableString, Dynamic)> {
    let mut cells = Cells::default();
    for (nth, handler) in handlers.enumerate() {
        cells.closure(handler, handler.fn_ptr(), &nth.to_string(), 0);
    }
    let mut seen = BTreeSet::new();
    let variables = cells.by_path.into_values();
    let variables = variables
        .filter(|variable| address(&variable.cell).is_some_and(|place| seen.insert(place)));
    variables
        .filter_map(|variable| Some((variable.name.into(), read(&variable.cell)?)))
        .collect()
}

/// Applies `change` to every value that these handlers captured, and to the values in it.
pub fn each_captured<'a>(
    handlers: impl Iterator<Item = &'a Handler>,
    change: &mut impl FnMut(&mut Dynamic) -> bool,
) {
    let mut cells = Cells::default();
    for (nth, handler) in handlers.enumerate() {
        cells.closure(handler, handler.fn_ptr(), &nth.to_string(), 0);
    }
    let mut seen = BTreeSet::new();
    for variable in cells.by_path.values() {
        if address(&variable.cell).is_some_and(|place| seen.insert(place))
            && let Some(mut value) = read(&variable.cell)
            && change_within(&mut value, 0, change)
        {
            write_cell(&variable.cell, value);
        }
    }
}

/// Replaces the captured variables of handlers by what `change` returns for each, and for the variable of `others` that
/// corresponds to it. Each handler has a key that identifies it in both sets.
pub(super) fn each_counterpart<K: AsRef<str>>(
    handlers: &[(K, Handler)],
    others: &[(K, Handler)],
    change: &dyn Fn(&Dynamic, Option<&Dynamic>) -> Option<Dynamic>,
) {
    let [cells, others] = [handlers, others].map(Cells::of);
    for (path, variable) in &cells.by_path {
        let named = (variable.name.as_str(), variable.owner);
        let other = others.find(std::slice::from_ref(path), named, |_| true);
        let value = read(&variable.cell);
        let changed = value.and_then(|value| change(&value, other.and_then(read).as_ref()));
        if let Some(changed) = changed {
            write_cell(&variable.cell, changed);
        }
    }
}

fn change_within(
    value: &mut Dynamic,
    depth: usize,
    change: &mut impl FnMut(&mut Dynamic) -> bool,
) -> bool {
    let mut changed = change(value);
    if depth > MAX_DEPTH || value.is_shared() {
        return changed;
    }
    if let Ok(mut array) = value.as_array_mut() {
        for element in array.iter_mut() {
            changed |= change_within(element, depth + 1, change);
        }
    } else if let Ok(mut map) = value.as_map_mut() {
        for element in map.values_mut() {
            changed |= change_within(element, depth + 1, change);
        }
    }
    changed
}

/// Captured variable: its cell, its name, and the code that creates it.
struct Variable {
    name: String,
    cell: Dynamic,
    owner: Option<Owner>,
}

impl Variable {
    fn is_same(&self, name: &str, owner: Option<Owner>) -> bool {
        owner.is_some() && self.owner == owner && self.name == name
    }
}

/// Variables of a set of handlers, by path: the handler's key and the names of captured variables down to it.
#[derive(Default)]
struct Cells {
    by_path: BTreeMap<String, Variable>,
    /// Cells whose closures were visited, because closures that capture each other would be followed forever.
    seen: BTreeSet<usize>,
}

impl Cells {
    fn of<K: AsRef<str>>(handlers: &[(K, Handler)]) -> Self {
        let mut cells = Self::default();
        for (key, handler) in handlers {
            cells.closure(handler, handler.fn_ptr(), key.as_ref(), 0);
        }
        cells
    }

    fn closure(&mut self, of: &Handler, fn_ptr: &FnPtr, path: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        for (name, cell) in of.captured_by(fn_ptr) {
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
                    owner: of.owner(fn_ptr, &name),
                    name: name.to_string(),
                    cell,
                },
            );
            if self.seen.insert(place) {
                each_closure_at(&value, &path, 0, &mut |inner, path| {
                    self.closure(of, inner, path, depth + 1);
                });
            }
        }
    }

    fn release(&self) {
        for variable in self.by_path.values() {
            write_cell(&variable.cell, Dynamic::UNIT);
        }
    }

    /// Returns the paths of each cell.
    fn by_cell(&self) -> BTreeMap<usize, Vec<String>> {
        let mut cells: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (path, variable) in &self.by_path {
            if let Some(place) = address(&variable.cell) {
                cells.entry(place).or_default().push(path.clone());
            }
        }
        cells
    }

    /// Finds a variable by one of its paths, or else by its name and the code that creates it, if only one variable has
    /// these. `counts` returns `true` for a cell that may be the variable.
    fn find(
        &self,
        paths: &[String],
        (name, owner): (&str, Option<Owner>),
        counts: impl Fn(&Dynamic) -> bool,
    ) -> Option<&Dynamic> {
        let mut known = paths.iter().filter_map(|path| self.by_path.get(path));
        if let Some(variable) = known.find(|variable| counts(&variable.cell)) {
            return Some(&variable.cell);
        }
        let mut same = self
            .by_path
            .values()
            .filter(|variable| variable.is_same(name, owner) && counts(&variable.cell));
        let first = same.next()?;
        let place = address(&first.cell);
        same.all(|other| address(&other.cell) == place)
            .then_some(&first.cell)
    }
}

/// Cells of the new code.
#[derive(Default)]
struct Fresh {
    /// All paths of each cell, by its address.
    paths: BTreeMap<usize, Vec<String>>,
    /// Names of the variables, the code that creates them, and their addresses.
    variables: Vec<(String, Owner, usize)>,
}

impl Fresh {
    fn new(cells: &Cells) -> Self {
        let variables = cells.by_path.values().filter_map(|variable| {
            let place = address(&variable.cell)?;
            Some((variable.name.clone(), variable.owner?, place))
        });
        Self {
            paths: cells.by_cell(),
            variables: variables.collect(),
        }
    }

    /// Returns `true` if `owner` creates only one variable with this name. A second run of that code would create a
    /// second variable.
    fn is_only(&self, name: &str, owner: Owner) -> bool {
        let mut places = self.variables.iter();
        let mut same = places
            .by_ref()
            .filter(|(own, of, _)| own == name && *of == owner);
        let first = same.next().map(|(.., place)| *place);
        same.all(|(.., place)| Some(*place) == first)
    }
}

struct Transfer<'a> {
    base: Cells,
    live: Cells,
    fresh: Fresh,
    /// Cells of the new code by address, each with the cell that replaces it.
    done: BTreeMap<usize, (Dynamic, Dynamic)>,
    carried: CarriedState,
    /// Filter for the names of variables that may change in a reset; `None` if all variables may change.
    wants: Option<&'a dyn Fn(&str) -> bool>,
}

impl Transfer<'_> {
    /// Puts the transferred cells into a closure of the new code.
    fn closure(&mut self, of: &Handler, fn_ptr: &mut FnPtr, path: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        let cells: Vec<_> = of
            .captured_by(fn_ptr)
            .into_iter()
            .map(|(name, cell)| match cell.is_shared() {
                true => self.cell((of, fn_ptr), &name, &cell, &format!("{path}/{name}"), depth),
                false => cell,
            })
            .collect();
        if cells.len() == fn_ptr.curry().len() {
            fn_ptr.set_curry(cells);
        }
    }

    fn cell(
        &mut self,
        (of, fn_ptr): (&Handler, &FnPtr),
        name: &ImmutableString,
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
        let paths = match self.fresh.paths.get(&here) {
            Some(paths) => paths.clone(),
            None => vec![path.to_owned()],
        };
        let owner = of.owner(fn_ptr, name);
        let variable = (
            name.as_str(),
            owner.filter(|owner| self.fresh.is_only(name, *owner)),
        );
        // A variable that was borrowed from the draft does not belong to the connection itself.
        let is_own = |cell: &Dynamic| {
            address(cell).is_none_or(|place| !self.fresh.paths.contains_key(&place))
        };
        let live = self.live.find(&paths, variable, is_own).cloned();
        let kept = live.clone().unwrap_or_else(|| cell.clone());
        self.done.insert(here, (cell.clone(), kept.clone()));
        if holds_closure(&value, 0) {
            self.values(of, &mut value, path, depth);
        }
        match live {
            Some(live) => self.value(&paths, variable, &live, &value),
            None => write_cell(cell, value),
        }
        kept
    }

    fn value(
        &mut self,
        paths: &[String],
        (name, owner): (&str, Option<Owner>),
        live: &Dynamic,
        new: &Dynamic,
    ) {
        let base = self
            .base
            .find(paths, (name, owner), |_| true)
            .and_then(read);
        let (Some(base), Some(now)) = (base, read(live)) else {
            return;
        };
        if self.wants.is_some_and(|wants| !wants(name)) {
            return;
        }
        if self.wants.is_some() && (holds_timer(&now, 0) || holds_timer(new, 0)) {
            self.carried.keep(name);
            return;
        }
        let merged = merge(Some(&base), Some(new), Some(&now));
        if let Some(value) = self.carried.note(name, (Some(&base), Some(new)), merged) {
            write_cell(live, value.unwrap_or_default());
        }
    }

    /// Puts the transferred cells into the closures in a value.
    fn values(&mut self, of: &Handler, value: &mut Dynamic, path: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        if value.is_fnptr() {
            if let Some(mut inner) = value.write_lock::<FnPtr>() {
                self.closure(of, &mut inner, path, depth + 1);
            }
        } else if let Ok(mut array) = value.as_array_mut() {
            for (nth, element) in array.iter_mut().enumerate() {
                self.values(of, element, &place_at(path, nth), depth + 1);
            }
        } else if let Ok(mut map) = value.as_map_mut() {
            for (key, element) in map.iter_mut() {
                self.values(of, element, &key_at(path, key), depth + 1);
            }
        }
    }

    /// Clears the cells of both drafts that are no longer used, so that closures that captured themselves are freed.
    fn release(&self) {
        // A variable that was borrowed from the new draft is in all three.
        let live = self.live.by_path.values().map(|variable| &variable.cell);
        let live = live.chain(self.done.values().map(|(_, kept)| kept));
        let live: BTreeSet<_> = live.filter_map(address).collect();
        let base = self.base.by_path.values().map(|variable| &variable.cell);
        for cell in base.chain(self.done.values().map(|(new, _)| new)) {
            if address(cell).is_some_and(|place| !live.contains(&place)) {
                write_cell(cell, Dynamic::UNIT);
            }
        }
    }
}

/// Returns `true` if a value contains the handle of a timer.
fn holds_timer(value: &Dynamic, depth: usize) -> bool {
    if depth > MAX_DEPTH || value.is_shared() {
        return false;
    }
    if let Ok(array) = value.as_array_ref() {
        return array.iter().any(|v| holds_timer(v, depth + 1));
    }
    if let Ok(map) = value.as_map_ref() {
        return map.values().any(|v| holds_timer(v, depth + 1));
    }
    value.is::<TimerHandle>()
}

/// Maximum length of a value in a report, in characters.
const MAX_TEXT: usize = 40;

/// Returns a value as a script would write it, for a report.
fn text(value: &Dynamic) -> String {
    if value.is_fnptr() {
        return "a closure".to_owned();
    }
    let text = match value.as_immutable_string_ref() {
        Ok(text) => format!("\"{}\"", text.as_str()),
        Err(_) if holds_closure(value, 0) => value.type_name().to_owned(),
        Err(_) => value.to_string(),
    };
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
