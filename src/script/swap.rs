//! Replaces live closures by their counterparts in a newer version. They keep the variables that they have captured.
//!
//! In: the handlers of a connection. Out: the same handlers with the new code. Closures in captured variables, in maps
//! and arrays there, and in other closures are replaced where they are.
//!
//! A closure without a counterpart, or one whose new text captures a variable that nobody has, keeps its text: the newer
//! version gets its definition, and it stays callable.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rhai::{Dynamic, FnPtr, INT, ImmutableString};

use super::{
    Handler, Version,
    captures::{address, captures, is_closure, write_cell},
    code::Code,
    places::Row,
    stale::Stale,
    transition::{Capture, Counterpart},
    values::{MAX_DEPTH, each_closure, holds_closure, read},
};

/// Handler after a swap.
#[derive(Debug)]
#[allow(
    clippy::exhaustive_enums,
    reason = "whoever swaps decides about each outcome"
)]
pub enum Swapped {
    /// It has the new code.
    New {
        /// The handler.
        handler: Handler,
        /// Event in the old and in the new text, where both are literals and differ.
        renamed: Renamed,
        /// Period in the old and in the new text, where both are literals and differ.
        period: Repeated,
    },
    /// It keeps the older code.
    Old(Handler),
    /// Its code is gone. The handler is for a value that still holds it.
    Gone(Handler),
}

/// Captured variables of one closure.
struct Frame {
    code: Arc<Code>,
    row: usize,
    names: Vec<(ImmutableString, Dynamic)>,
}

/// Handles that every closure of a connection can have.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Handles {
    /// Handle of the connection on itself.
    pub socket: Dynamic,
    /// Returns the value of a global name, such as `io`.
    pub resolve: fn(&str) -> Option<Dynamic>,
}

impl Handles {
    /// Creates the handles of a connection.
    pub const fn new(socket: Dynamic, resolve: fn(&str) -> Option<Dynamic>) -> Self {
        Self { socket, resolve }
    }
}

/// Swap of the code of one connection.
pub struct Swap<'a> {
    old: &'a Arc<Version>,
    new: &'a Arc<Version>,
    handles: Handles,
    frames: Vec<Frame>,
    /// Variables of `on_connection` that a draft of the new version made.
    fresh: Vec<(ImmutableString, Dynamic)>,
    /// Captured variables that were looked into.
    seen: BTreeSet<usize>,
    stale: BTreeMap<Stale, usize>,
    swapped: usize,
    /// Number of closures inside each other that are being replaced.
    depth: usize,
}

impl std::fmt::Debug for Swap<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Swap").finish_non_exhaustive()
    }
}

/// Event in the old and in the new text.
type Renamed = Option<(ImmutableString, ImmutableString)>;
/// Period in the old and in the new text.
type Repeated = Option<(INT, INT)>;

/// Literals of the call that a closure is given to.
struct Written {
    event: Option<ImmutableString>,
    number: Option<INT>,
}

impl Written {
    fn of(row: &Row) -> Self {
        Self {
            event: row.event.clone(),
            number: row.number,
        }
    }
}

enum Fate {
    /// It has new code. A closure comes with the literals of its old one.
    New(FnPtr, Option<Written>),
    Old,
    Gone,
}

impl<'a> Swap<'a> {
    /// Begins a swap of `handlers` from `old` to `new`.
    pub fn begin<'h>(
        (old, new): (&'a Arc<Version>, &'a Arc<Version>),
        handles: Handles,
        handlers: impl Iterator<Item = &'h Handler>,
    ) -> Self {
        let mut swap = Self {
            old,
            new,
            handles,
            frames: Vec::new(),
            fresh: Vec::new(),
            seen: BTreeSet::new(),
            stale: BTreeMap::new(),
            swapped: 0,
            depth: 0,
        };
        if old.lends_to(new) {
            handlers.for_each(|handler| swap.gather(handler.fn_ptr(), 0));
            swap.seen.clear();
        }
        swap
    }

    /// Adds the variables of `on_connection` that a draft of the new version made, for closures that nobody else can lend
    /// them.
    pub fn lend_from<'h>(&mut self, draft: impl Iterator<Item = &'h Handler>) {
        for handler in draft {
            let name = handler.fn_ptr().fn_name();
            if let Some(row) = self.new.places().row_of(name)
                && self.new.is_of_connection(row)
            {
                self.fresh.extend(handler.captured());
            }
        }
    }

    /// Does the same with copies, for what is freed after it was compared.
    pub fn lend_copies_from<'h>(&mut self, draft: impl Iterator<Item = &'h Handler>) {
        self.lend_from(draft);
        for (_, value) in &mut self.fresh {
            if value.is_shared() {
                *value = value.flatten_clone().into_shared();
            }
        }
    }

    /// Replaces the code of a handler.
    pub fn handler(&mut self, handler: &Handler) -> Swapped {
        let fn_ptr = handler.fn_ptr();
        if !handler.is_defined() {
            return Swapped::New {
                handler: handler.moved(fn_ptr.clone(), self.new),
                renamed: None,
                period: None,
            };
        }
        let fate = self.fate(fn_ptr);
        if let Fate::New(new, from) = fate {
            let (renamed, period) = self.literals(&new, from);
            return Swapped::New {
                handler: handler.moved(new, self.new),
                renamed,
                period,
            };
        }
        let mut kept = fn_ptr.clone();
        self.look_into(&mut kept, 0);
        let kept = handler.kept(kept, self.new);
        match fate {
            Fate::Gone => Swapped::Gone(kept),
            _ => Swapped::Old(kept),
        }
    }

    /// Returns the closures that keep an older text, each with how many there are, and how many have the new one.
    pub fn end(self) -> (BTreeMap<Stale, usize>, usize) {
        (self.stale, self.swapped)
    }

    /// Decides about a function, and replaces the closures that it has captured.
    fn fate(&mut self, fn_ptr: &FnPtr) -> Fate {
        let name = fn_ptr.fn_name();
        if !is_closure(name) {
            return self.named(fn_ptr);
        }
        if self.depth > MAX_DEPTH {
            self.keep_as_it_is(name);
            return Fate::Old;
        }
        if self.new.places().row_of(name).is_some() && self.old.origin(name).is_none() {
            // It is new already: a draft of the new version made it, or another closure that was swapped before.
            return Fate::New(fn_ptr.clone(), None);
        }
        let Some((code, row)) = self.old.origin(name) else {
            return Fate::Old;
        };
        let transition = self.new.transition_from(&code);
        let Some(to) = transition.row(row) else {
            return Fate::Gone;
        };
        match self.captures(fn_ptr, to) {
            Ok(captured) => {
                let mut new = FnPtr::from(to.definition.clone());
                new.set_curry(captured);
                self.look_into(&mut new, 0);
                self.swapped += 1;
                let written = code.places().row(row);
                Fate::New(new, written.map(Written::of))
            }
            Err(lacks) => {
                self.keep(&code, row, Some(&lacks));
                Fate::Old
            }
        }
    }

    fn named(&mut self, fn_ptr: &FnPtr) -> Fate {
        let name = fn_ptr.fn_name();
        let origin = (!is_native(fn_ptr)).then(|| self.old.origin_of_function(name));
        let Some(code) = origin.flatten() else {
            return Fate::New(fn_ptr.clone(), None);
        };
        let transition = self.new.transition_from(&code);
        match self.new.own().definition(transition.function(name), 0) {
            Some(definition) => Fate::New(FnPtr::from(definition), None),
            None => Fate::Gone,
        }
    }

    /// Finds everything that the new text of a closure captures.
    fn captures(&self, fn_ptr: &FnPtr, to: &Counterpart) -> Result<Vec<Dynamic>, ImmutableString> {
        let mut captured = Vec::with_capacity(to.captures.len());
        for capture in &to.captures {
            let found = match capture {
                Capture::Has(place) => fn_ptr.curry().get(*place).cloned(),
                Capture::Lacks(name) => self.lend(fn_ptr, to.row, name),
            };
            match (found, capture) {
                (Some(value), _) => captured.push(value),
                (None, Capture::Lacks(name)) => return Err(name.clone()),
                (None, Capture::Has(_)) => return Err("".into()),
            }
        }
        Ok(captured)
    }

    /// Finds a variable that a closure did not capture: in a closure of the same activation; in `on_connection`, which
    /// has run once; or in the draft.
    fn lend(&self, fn_ptr: &FnPtr, row: usize, name: &ImmutableString) -> Option<Dynamic> {
        let global = (self.handles.resolve)(name);
        if global.is_some() {
            return global;
        }
        if self.new.is_own_socket(row, name) {
            return Some(self.handles.socket.clone());
        }
        if !self.new.places().is_unique(row, name) {
            return None;
        }
        let of_connection = || {
            let frames = self.frames.iter();
            let of_connection = frames.filter_map(|frame| frame.of_connection(name)).next();
            let fresh = || self.fresh.iter().find(|(fresh, _)| fresh == name);
            of_connection.or_else(|| fresh().map(|(_, value)| value.clone()))
        };
        let is_of_connection = self.new.is_captured_from_connection(row, name);
        self.of_same_activation(fn_ptr, name)
            .or_else(|| is_of_connection.then(of_connection).flatten())
    }

    /// Finds a variable in a closure that shares a variable with this one, or shares one with such a closure.
    fn of_same_activation(&self, fn_ptr: &FnPtr, name: &str) -> Option<Dynamic> {
        let mut cells: BTreeSet<usize> = fn_ptr.curry().iter().filter_map(address).collect();
        let mut frames: Vec<_> = self.frames.iter().collect();
        loop {
            let (touching, others): (Vec<_>, Vec<_>) =
                frames.into_iter().partition(|frame| frame.touches(&cells));
            if touching.is_empty() {
                return None;
            }
            if let Some(found) = touching.iter().find_map(|frame| frame.get(name)) {
                return Some(found);
            }
            cells.extend(touching.iter().flat_map(|frame| frame.cells()));
            frames = others;
        }
    }

    fn gather(&mut self, fn_ptr: &FnPtr, depth: usize) {
        let Some((code, row)) = self.old.origin(fn_ptr.fn_name()) else {
            return;
        };
        let definition = self.old.definition(fn_ptr.fn_name(), fn_ptr.curry().len());
        let names = captures(definition.as_deref(), fn_ptr);
        for (_, captured) in &names {
            let value = match address(captured) {
                Some(place) if self.seen.insert(place) => read(captured),
                Some(_) => None,
                None => Some(captured.clone()),
            };
            if depth < MAX_DEPTH {
                value.iter().for_each(|value| {
                    each_closure(value, 0, &mut |inner| self.gather(inner, depth + 1));
                });
            }
        }
        self.frames.push(Frame { code, row, names });
    }

    /// Replaces the closures that a function has captured.
    fn look_into(&mut self, fn_ptr: &mut FnPtr, depth: usize) {
        if depth > MAX_DEPTH || !fn_ptr.curry().iter().any(may_hold_closure) {
            return;
        }
        self.depth += 1;
        let captured: Vec<_> = fn_ptr
            .curry()
            .iter()
            .map(|captured| {
                let mut captured = captured.clone();
                match address(&captured) {
                    Some(place) => self.cell(&captured, place, depth),
                    None => drop(self.value(&mut captured, depth)),
                }
                captured
            })
            .collect();
        fn_ptr.set_curry(captured);
        self.depth -= 1;
    }

    fn cell(&mut self, cell: &Dynamic, place: usize, depth: usize) {
        if !self.seen.insert(place) {
            return;
        }
        // It is not locked while its closures are replaced, because one of them may have captured it.
        let holds_closure = cell
            .read_lock::<Dynamic>()
            .is_some_and(|value| holds_closure(&value, 0));
        if let Some(mut value) = holds_closure.then(|| read(cell)).flatten()
            && self.value(&mut value, depth + 1)
        {
            write_cell(cell, value);
        }
    }

    /// Replaces the closures in a value; returns `false` if there are none.
    fn value(&mut self, value: &mut Dynamic, depth: usize) -> bool {
        if depth > MAX_DEPTH {
            return false;
        }
        if let Some(place) = address(value) {
            let cell = value.clone();
            self.cell(&cell, place, depth);
            return false;
        }
        let function = value.read_lock::<FnPtr>().map(|function| function.clone());
        if let Some(mut function) = function {
            match self.fate(&function) {
                Fate::New(new, _) => *value = new.into(),
                fate => {
                    if matches!(fate, Fate::Gone) {
                        self.held(&function);
                    }
                    self.look_into(&mut function, depth + 1);
                    *value = function.into();
                }
            }
            return true;
        }
        let mut replaced = false;
        if let Ok(mut array) = value.as_array_mut() {
            for element in array.iter_mut() {
                replaced |= self.value(element, depth + 1);
            }
        } else if let Ok(mut map) = value.as_map_mut() {
            for element in map.values_mut() {
                replaced |= self.value(element, depth + 1);
            }
        }
        replaced
    }

    /// Notes that something still holds a closure whose code is gone.
    pub fn still_held(&mut self, handler: &Handler) {
        self.held(handler.fn_ptr());
    }

    fn held(&mut self, function: &FnPtr) {
        match self.old.origin(function.fn_name()) {
            Some((code, row)) => self.keep(&code, row, None),
            None => self.keep_as_it_is(function.fn_name()),
        }
    }

    /// Lets a function keep its older text, and notes nothing.
    fn keep_as_it_is(&self, name: &str) {
        let closure = || self.old.origin(name).map(|(code, _)| code);
        let code = closure().or_else(|| self.old.origin_of_function(name));
        if let Some(code) = code {
            self.new.keep(&code);
        }
    }

    /// Lets a closure keep its older text.
    fn keep(&mut self, code: &Arc<Code>, row: usize, lacks: Option<&str>) {
        self.new.keep(code);
        if let Some(row) = code.places().row(row) {
            let stale = Stale::new(row, code.number(), lacks);
            *self.stale.entry(stale).or_default() += 1;
        }
    }

    /// Compares the literals of the calls that two texts of a closure are given to.
    fn literals(&self, new: &FnPtr, from: Option<Written>) -> (Renamed, Repeated) {
        let places = self.new.places();
        let row = places.row_of(new.fn_name());
        let to = row.and_then(|row| places.row(row)).map(Written::of);
        let (Some(from), Some(to)) = (from, to) else {
            return (None, None);
        };
        let events = from.event.zip(to.event);
        let periods = from.number.zip(to.number);
        (
            events.filter(|(old, new)| old != new),
            periods.filter(|(old, new)| old != new),
        )
    }
}

impl Frame {
    fn get(&self, name: &str) -> Option<Dynamic> {
        let found = self.names.iter().find(|(own, _)| own == name)?;
        let is_unique = self.code.places().is_unique(self.row, name);
        is_unique.then(|| found.1.clone())
    }

    /// Returns a variable of `on_connection` that the closure has captured.
    fn of_connection(&self, name: &str) -> Option<Dynamic> {
        let is_of_connection = || self.code.is_captured_from_connection(self.row, name);
        self.get(name).filter(|_| is_of_connection())
    }

    fn cells(&self) -> impl Iterator<Item = usize> {
        self.names.iter().filter_map(|(_, value)| address(value))
    }

    fn touches(&self, cells: &BTreeSet<usize>) -> bool {
        self.cells().any(|cell| cells.contains(&cell))
    }
}

fn may_hold_closure(captured: &Dynamic) -> bool {
    captured.is_shared() || holds_closure(captured, 0)
}

/// Returns `true` for a function of the host, such as an ack. Rhai shows this only in its debug format.
fn is_native(fn_ptr: &FnPtr) -> bool {
    fn_ptr.curry().is_empty() && format!("{fn_ptr:?}").starts_with("Fn#")
}
