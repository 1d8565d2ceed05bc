//! Replaces live closures with their counterparts in a newer version. They keep their captured variables.
//!
//! In: the handlers of a connection. Out: the same handlers with the new code. Closures in captured variables, in maps
//! and arrays there, and in other closures are replaced in place.
//!
//! A closure keeps its text if it has no counterpart, or if its new text captures a variable that it can get from
//! nowhere. Its definition is then added to the newer version, so that it stays callable.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use rhai::{Dynamic, FnPtr, INT, ImmutableString};

use super::{
    Handler, Hook, Version,
    captures::{address, captures, is_closure, write_cell},
    code::{Code, Runs},
    places::{Owner, Row},
    stale::Stale,
    transition::{Capture, Counterpart, Transition},
    values::{MAX_DEPTH, each_closure, holds_closure, read},
};

/// Use of a handler.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_enums, reason = "whoever swaps says what for")]
pub enum Use<'a> {
    /// Listener of an event.
    Listener(&'a str),
    /// Timer.
    Timer,
    /// Callback that waits for an ack, or a handler that is about to be called.
    Answer,
}

impl Use<'_> {
    /// Returns a key that is the same, in every version, for handlers with the same code and the same use.
    pub fn group(self, code: &str) -> String {
        match self {
            Self::Listener(event) => format!("on {code} {event}"),
            Self::Timer => format!("timer {code}"),
            Self::Answer => format!("answer {code}"),
        }
    }

    /// Returns `true` if a use of a named function in the text can be this use.
    fn fits(self, row: &Row) -> bool {
        match self {
            Self::Listener(event) => {
                row.is_listener() && row.event.as_ref().is_none_or(|named| named == event)
            }
            Self::Timer => matches!(row.word.as_str(), "set_timeout" | "set_interval" | "cron"),
            Self::Answer => false,
        }
    }
}

/// Handler after a swap.
#[derive(Debug)]
#[allow(
    clippy::exhaustive_enums,
    reason = "whoever swaps decides about each outcome"
)]
pub enum Swapped {
    /// The handler has the new code.
    Replaced(Handler, Rewritten),
    /// The handler keeps the older code.
    Unchanged(Handler),
    /// The code has been removed. The handler is for a value that still refers to it.
    Removed(Handler),
}

/// Differences between the old and the new text of the call that registers a handler.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Rewritten {
    /// Old and new event, if both are literals and differ.
    pub event: Option<(ImmutableString, ImmutableString)>,
    /// Old and new period, if both are literals and differ.
    pub period: Option<(INT, INT)>,
    /// New function, such as `once`, if it differs.
    pub word: Option<ImmutableString>,
}

impl Rewritten {
    fn new(old: &Row, new: &Row) -> Self {
        let is_listener = old.is_listener() && new.is_listener();
        let events = old.event.clone().zip(new.event.clone());
        let periods = old.number.zip(new.number);
        Self {
            event: events.filter(|(old, new)| is_listener && old != new),
            period: periods.filter(|(old, new)| old != new),
            word: (old.word != new.word).then(|| new.word.clone()),
        }
    }

    /// Returns the event to which a listener to `event` now listens.
    pub fn renamed<'a>(&'a self, event: &'a str) -> &'a str {
        match &self.event {
            Some((old, new)) if old == event => new,
            _ => event,
        }
    }
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
    /// Handle of the connection's own socket.
    pub socket: Dynamic,
    /// Function that returns the value of a global name, such as `io`.
    pub resolve: fn(&str) -> Option<Dynamic>,
    /// Hook that created the first closures.
    pub hook: Hook,
}

impl Handles {
    /// Creates the handles of a connection.
    pub const fn new(socket: Dynamic, resolve: fn(&str) -> Option<Dynamic>) -> Self {
        Self {
            socket,
            resolve,
            hook: Hook::Connection,
        }
    }

    /// Creates the handles of a namespace, whose closures have no socket.
    pub const fn for_namespace(resolve: fn(&str) -> Option<Dynamic>) -> Self {
        Self {
            socket: Dynamic::UNIT,
            resolve,
            hook: Hook::Load,
        }
    }
}

/// Swap of the code of one connection.
pub struct Swap<'a> {
    old: &'a Arc<Version>,
    new: &'a Arc<Version>,
    handles: Handles,
    frames: Vec<Frame>,
    /// Variables that the hook itself created in a draft of the new version.
    fresh: Vec<(ImmutableString, Dynamic)>,
    /// Variables of each handler of that draft, by its key.
    drafted: HashMap<String, Vec<(ImmutableString, Dynamic)>>,
    /// Number of handlers that have been swapped, by their groups.
    groups: HashMap<String, usize>,
    /// Previous states of the handlers whose new code no longer captures all of their variables.
    shed: Vec<Handler>,
    /// Addresses of captured variables that were visited.
    seen: BTreeSet<usize>,
    stale: BTreeMap<Stale, usize>,
    swapped: usize,
    /// Nesting depth of the closures that are being replaced.
    depth: usize,
}

impl std::fmt::Debug for Swap<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Swap").finish_non_exhaustive()
    }
}

/// New code of a function value.
enum NewCode {
    Replaced(FnPtr, Rewritten),
    Unchanged,
    Removed,
}

impl<'a> Swap<'a> {
    /// Starts a swap of `handlers` from `old` to `new`.
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
            drafted: HashMap::new(),
            groups: HashMap::new(),
            shed: Vec::new(),
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

    /// Adds the variables that a draft of the new version created, for closures that cannot get them from another
    /// closure. Each handler comes with its use.
    pub fn lend_from<'h>(&mut self, draft: impl Iterator<Item = (Use<'h>, &'h Handler)>) {
        let mut groups = HashMap::new();
        for (used, handler) in draft {
            let name = handler.fn_ptr().fn_name();
            let captured = handler.captured();
            // Closures in these cells already have the new code.
            let cells = captured.iter().filter_map(|(_, value)| address(value));
            self.seen.extend(cells);
            if let Some(row) = self.new.places().row_of(name) {
                let hook = self.handles.hook;
                let of_hook = captured
                    .iter()
                    .filter(|(name, _)| self.new.runs(row, name, hook) == Runs::Once);
                self.fresh.extend(of_hook.cloned());
            }
            let key = numbered(&mut groups, &used.group(name));
            self.drafted.insert(key, captured);
        }
    }

    /// Adds copies of a draft's variables, as [`lend_from`](Self::lend_from) adds the variables themselves, for a draft
    /// that is freed after the comparison.
    pub fn lend_copies_from<'h>(&mut self, draft: impl Iterator<Item = (Use<'h>, &'h Handler)>) {
        self.lend_from(draft);
        let mut copies = HashMap::new();
        let drafted = self.drafted.values_mut().flatten();
        for (_, value) in self.fresh.iter_mut().chain(drafted) {
            if let Some(place) = address(value) {
                let copy = copies.entry(place);
                let copy = copy.or_insert_with(|| value.flatten_clone().into_shared());
                *value = copy.clone();
            }
        }
    }

    /// Replaces the code of a handler.
    pub fn handler(&mut self, handler: &Handler, used: Use<'_>) -> Swapped {
        let fn_ptr = handler.fn_ptr();
        if !handler.is_defined() {
            let handler = handler.moved(fn_ptr.clone(), self.new);
            return Swapped::Replaced(handler, Rewritten::default());
        }
        let new_code = match is_closure(fn_ptr.fn_name()) {
            true => self.new_code(fn_ptr, Some(used)),
            false => self.registered_function(fn_ptr, used),
        };
        if let NewCode::Replaced(new, rewritten) = new_code {
            let moved = handler.moved(new, self.new);
            let now = moved.captured();
            let is_shed =
                |(name, _): &(ImmutableString, _)| now.iter().all(|(other, _)| other != name);
            if handler.captured().iter().any(is_shed) {
                self.shed.push(handler.kept(fn_ptr.clone(), self.new));
            }
            return Swapped::Replaced(moved, rewritten);
        }
        let mut kept = fn_ptr.clone();
        self.look_into(&mut kept, 0);
        let kept = handler.kept(kept, self.new);
        match new_code {
            NewCode::Removed => Swapped::Removed(kept),
            _ => Swapped::Unchanged(kept),
        }
    }

    /// Removes and returns the previous states of the handlers whose new code no longer captures all of their
    /// variables.
    pub fn take_shed(&mut self) -> Vec<Handler> {
        std::mem::take(&mut self.shed)
    }

    /// Returns the closures that keep an older text, each with its count, and the number of closures that have the new
    /// text.
    pub fn end(self) -> (BTreeMap<Stale, usize>, usize) {
        (self.stale, self.swapped)
    }

    /// Decides which code a function gets, and replaces the closures that it has captured.
    fn new_code(&mut self, fn_ptr: &FnPtr, used: Option<Use<'_>>) -> NewCode {
        let name = fn_ptr.fn_name();
        if !is_closure(name) {
            return self.named(fn_ptr);
        }
        if self.depth > MAX_DEPTH {
            self.keep_as_it_is(name);
            return NewCode::Unchanged;
        }
        if self.new.places().row_of(name).is_some() && self.old.origin(name).is_none() {
            // The closure is already new: it was created by a draft of the new version, or by another closure that was
            // swapped before.
            return NewCode::Replaced(fn_ptr.clone(), Rewritten::default());
        }
        let Some((code, row)) = self.old.origin(name) else {
            return NewCode::Unchanged;
        };
        let transition = self.new.transition_from(&code);
        let of_event = self.of_event((&code, row), &transition, used);
        let Some(to) = of_event.as_ref().or_else(|| transition.row(row)) else {
            return NewCode::Removed;
        };
        self.replace(fn_ptr, (&code, row), to, used)
    }

    /// Decides which code a registered named function gets: the new text may register another function, or a closure.
    fn registered_function(&mut self, fn_ptr: &FnPtr, used: Use<'_>) -> NewCode {
        let name = fn_ptr.fn_name();
        let origin = (!is_native(fn_ptr)).then(|| self.old.origin_of_function(name));
        let Some(code) = origin.flatten() else {
            return self.named(fn_ptr);
        };
        let uses = code.places().uses(name);
        let uses: Vec<_> = uses.filter(|(_, row)| used.fits(row)).collect();
        if uses.is_empty() {
            return self.named(fn_ptr);
        }
        let transition = self.new.transition_from(&code);
        let rows = uses.iter().map(|(row, _)| *row);
        let mut found: Vec<_> = rows
            .filter_map(|row| Some((row, transition.row(row)?)))
            .collect();
        // If the text has several uses, those that still register the same function come first.
        found.sort_by_key(|(_, to)| {
            let to = self.new.places().row(to.row);
            let is_same = to.is_some_and(|to| {
                used.fits(to) && self.new.places().code_name(to) == transition.function(name)
            });
            !is_same
        });
        match found.first() {
            Some((row, to)) => self.replace(fn_ptr, (&code, *row), to, Some(used)),
            // The text may register the function in another way, for example through a variable.
            None => {
                let name = transition.function(name);
                let fits = |row: &Row| used.fits(row);
                match self.new.places().may_register(name, &fits) {
                    true => self.named(fn_ptr),
                    false => NewCode::Removed,
                }
            }
        }
    }

    /// Replaces the code of a function with that of its counterpart.
    fn replace(
        &mut self,
        fn_ptr: &FnPtr,
        (code, row): (&Arc<Code>, usize),
        to: &Counterpart,
        used: Option<Use<'_>>,
    ) -> NewCode {
        let rows = code.places().row(row).zip(self.new.places().row(to.row));
        let is_waiting = matches!(used, None | Some(Use::Answer));
        if rows.is_some_and(|(from, to)| !is_waiting && from.is_registered_otherwise(to)) {
            return NewCode::Removed;
        }
        let rewritten = rows.map(|(from, to)| Rewritten::new(from, to));
        let rewritten = rewritten.unwrap_or_default();
        let key = used.map(|used| {
            let used = match used {
                Use::Listener(event) => Use::Listener(rewritten.renamed(event)),
                used => used,
            };
            numbered(&mut self.groups, &used.group(&to.definition.name))
        });
        match self.captures(fn_ptr, (code, row), to, key.as_deref()) {
            Ok(captured) => {
                let mut new = FnPtr::from(to.definition.clone());
                new.set_curry(captured);
                self.look_into(&mut new, 0);
                self.swapped += 1;
                NewCode::Replaced(new, rewritten)
            }
            Err(lacks) => {
                self.keep(code, row, Some(&lacks));
                NewCode::Unchanged
            }
        }
    }

    /// Returns the counterpart of a listener by its event, if the old text has no event name and the new text has
    /// several.
    fn of_event(
        &self,
        (code, row): (&Arc<Code>, usize),
        transition: &Transition,
        used: Option<Use<'_>>,
    ) -> Option<Counterpart> {
        let Some(Use::Listener(event)) = used else {
            return None;
        };
        let places = self.new.places();
        let (from, to) = (code.places().row(row)?, transition.row(row)?);
        let to = places.row(to.row)?;
        if from.event.is_some() || to.event.as_ref().is_none_or(|named| named == event) {
            return None;
        }
        let other = places.rows().iter().position(|other| {
            other.is_listener()
                && other.event.as_deref() == Some(event)
                && (other.parent, other.function) == (to.parent, to.function)
        });
        self.new.counterpart((code, row), other?)
    }

    fn named(&self, fn_ptr: &FnPtr) -> NewCode {
        let name = fn_ptr.fn_name();
        let origin = (!is_native(fn_ptr)).then(|| self.old.origin_of_function(name));
        let Some(code) = origin.flatten() else {
            return NewCode::Replaced(fn_ptr.clone(), Rewritten::default());
        };
        let transition = self.new.transition_from(&code);
        match self.new.own().definition(transition.function(name), 0) {
            Some(definition) => NewCode::Replaced(FnPtr::from(definition), Rewritten::default()),
            None => NewCode::Removed,
        }
    }

    /// Finds every variable that the new text of a closure captures. Fails with the name of the first variable that is
    /// not found.
    fn captures(
        &self,
        fn_ptr: &FnPtr,
        from: (&Arc<Code>, usize),
        to: &Counterpart,
        key: Option<&str>,
    ) -> Result<Vec<Dynamic>, ImmutableString> {
        let mut captured = Vec::with_capacity(to.captures.len());
        for capture in &to.captures {
            let found = match capture {
                Capture::Has(place) => fn_ptr.curry().get(*place).cloned(),
                Capture::Lacks(name) => self.lend(fn_ptr, from, (to.row, name), key),
            };
            match (found, capture) {
                (Some(value), _) => captured.push(value),
                (None, Capture::Lacks(name)) => return Err(name.clone()),
                (None, Capture::Has(_)) => return Err("".into()),
            }
        }
        Ok(captured)
    }

    /// Finds a variable that a closure did not capture: in a closure of the same run, in the same handler of the draft,
    /// or in the hook, which has run once.
    fn lend(
        &self,
        fn_ptr: &FnPtr,
        from: (&Arc<Code>, usize),
        (row, name): (usize, &ImmutableString),
        key: Option<&str>,
    ) -> Option<Dynamic> {
        let global = (self.handles.resolve)(name);
        if global.is_some() {
            return global;
        }
        if self.new.is_own_socket(row, name) {
            return Some(self.handles.socket.clone());
        }
        let places = self.new.places();
        let owner = places.owner(row, name)?;
        if !places.is_unique(row, name) {
            return None;
        }
        let named = |(own, _): &&(ImmutableString, Dynamic)| own == name;
        let drafted = || {
            let drafted = self.drafted.get(key?)?;
            drafted.iter().find(named).map(|(_, value)| value.clone())
        };
        let fresh = || {
            let runs = self.new.runs(row, name, self.handles.hook);
            let mut fresh = self.fresh.iter().filter(|_| runs == Runs::Once);
            fresh.find(named).map(|(_, value)| value.clone())
        };
        self.of_same_run((fn_ptr, from), owner, name)
            .or_else(drafted)
            .or_else(fresh)
    }

    /// Finds a variable in closures of the same run. Such closures share a variable of that run with this closure, or
    /// with another closure of the run. The hook runs once, so all closures that have a variable of the hook belong to
    /// the same run.
    fn of_same_run(
        &self,
        (fn_ptr, (code, row)): (&FnPtr, (&Arc<Code>, usize)),
        owner: Owner,
        name: &str,
    ) -> Option<Dynamic> {
        let definition = self.old.definition(fn_ptr.fn_name(), fn_ptr.curry().len());
        let own = Frame {
            code: code.clone(),
            row,
            names: captures(definition.as_deref(), fn_ptr),
        };
        let entry = self.new.entry_of(self.handles.hook);
        let mut cells = self.cells(&own, owner);
        let mut frames: Vec<_> = self.frames.iter().collect();
        let mut found = None;
        loop {
            let (touching, others): (Vec<_>, Vec<_>) = frames.into_iter().partition(|frame| {
                let theirs = self.cells(frame, owner);
                entry == Some(owner) && !theirs.is_empty() || !theirs.is_disjoint(&cells)
            });
            for frame in &touching {
                let Some(value) = self.get(frame, owner, name) else {
                    continue;
                };
                let is_other = |other: &Dynamic| address(other) != address(&value);
                if found.as_ref().is_some_and(is_other) {
                    return None;
                }
                found = Some(value);
            }
            if touching.is_empty() {
                return found;
            }
            cells.extend(touching.iter().flat_map(|frame| self.cells(frame, owner)));
            frames = others;
        }
    }

    /// Returns a variable of a closure, if a run of `owner` created it.
    fn get(&self, frame: &Frame, owner: Owner, name: &str) -> Option<Dynamic> {
        let (_, value) = frame.names.iter().find(|(own, _)| own == name)?;
        let is_unique = frame.code.places().is_unique(frame.row, name);
        let of = self.new.owner((&frame.code, frame.row), name);
        (is_unique && of == Some(owner)).then(|| value.clone())
    }

    /// Returns the addresses of a closure's variables that `owner`, or a closure inside it, created.
    fn cells(&self, frame: &Frame, owner: Owner) -> BTreeSet<usize> {
        let of_run = frame.names.iter().filter(|(name, _)| {
            let of = self.new.owner((&frame.code, frame.row), name);
            of.is_some_and(|of| self.new.places().is_within(of, owner))
        });
        of_run.filter_map(|(_, value)| address(value)).collect()
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
        // The cell is not locked while its closures are replaced, because one of them may have captured it.
        let holds_closure = cell
            .read_lock::<Dynamic>()
            .is_some_and(|value| holds_closure(&value, 0));
        if let Some(mut value) = holds_closure.then(|| read(cell)).flatten()
            && self.value(&mut value, depth + 1)
        {
            write_cell(cell, value);
        }
    }

    /// Replaces the closures in a value. Returns `false` if there are none.
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
            match self.new_code(&function, None) {
                NewCode::Replaced(new, _) => *value = new.into(),
                new_code => {
                    if matches!(new_code, NewCode::Removed) {
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

    /// Records that something still refers to a closure whose code has been removed.
    pub fn still_held(&mut self, handler: &Handler) {
        self.held(handler.fn_ptr());
    }

    fn held(&mut self, function: &FnPtr) {
        match self.old.origin(function.fn_name()) {
            Some((code, row)) => self.keep(&code, row, None),
            None => self.keep_as_it_is(function.fn_name()),
        }
    }

    /// Lets a function keep its older text, and does not report it.
    fn keep_as_it_is(&self, name: &str) {
        let closure = || self.old.origin(name).map(|(code, _)| code);
        let code = closure().or_else(|| self.old.origin_of_function(name));
        if let Some(code) = code {
            self.new.keep(&code);
        }
    }

    /// Lets a closure keep its older text, and reports it.
    fn keep(&mut self, code: &Arc<Code>, row: usize, lacks: Option<&str>) {
        self.new.keep(code);
        if let Some(row) = code.places().row(row) {
            let stale = Stale::new(row, code.number(), lacks);
            *self.stale.entry(stale).or_default() += 1;
        }
    }
}

/// Returns the key of the next handler of a group.
fn numbered(groups: &mut HashMap<String, usize>, group: &str) -> String {
    let nth = groups.entry(group.to_owned()).or_default();
    *nth += 1;
    format!("{group} {nth}")
}

fn may_hold_closure(captured: &Dynamic) -> bool {
    captured.is_shared() || holds_closure(captured, 0)
}

/// Returns `true` for a function of the host, such as an ack. Rhai shows this only in its debug format.
fn is_native(fn_ptr: &FnPtr) -> bool {
    fn_ptr.curry().is_empty() && format!("{fn_ptr:?}").starts_with("Fn#")
}
