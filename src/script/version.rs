//! One compiled, immutable state of a script.

use std::{
    collections::BTreeSet,
    ops::Deref,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use rhai::{Engine, FnPtr, ImmutableString, ScriptFuncDef};

use super::{
    Known, Limits, Loader,
    captures::definition,
    compile,
    hook::Hook,
    places::{OwnSocket, Places},
    program::Program,
    reach::{Reach, Reaches},
    source::{Rejected, SourceFile, hash, reset_comments},
    transition::{CallMap, Transition},
};
use crate::diagnostic::Diagnostic;

/// One compiled, immutable state of a script: its entry file and everything it imports.
#[derive(Debug)]
pub struct Version {
    number: u64,
    entry: Arc<str>,
    files: Vec<SourceFile>,
    hash: Arc<str>,
    /// What the top level gave to `io.on("connection", ...)`.
    on_connection: Option<FnPtr>,
    engine: Arc<Engine>,
    limits: Limits,
    warnings: Vec<Diagnostic>,
    begins_anew: bool,
    places: Places,
    reaches: Reaches,
    /// The code that its calls can reach, as long as no closure of an earlier version is alive.
    program: Program,
    /// The same with that of earlier versions.
    program_with_earlier: ArcSwapOption<Program>,
    has_earlier: AtomicBool,
    /// Earlier versions whose closures are alive.
    earlier: Mutex<Vec<Arc<Self>>>,
    /// How the code of earlier versions becomes this one's.
    transitions: Mutex<Vec<(Weak<Self>, Arc<Transition>)>>,
}

/// The code that calls of a version can reach.
pub(super) enum Reachable<'a> {
    Own(&'a Program),
    WithEarlier(Arc<Program>),
}

impl Deref for Reachable<'_> {
    type Target = Program;

    fn deref(&self) -> &Program {
        match self {
            Self::Own(program) => program,
            Self::WithEarlier(program) => program,
        }
    }
}

impl Version {
    /// Reads, compiles, checks and runs the top level of `entry` and its imports. `number` is the version's own.
    ///
    /// # Errors
    /// What is wrong, and where. Nothing else has changed then.
    pub fn load(
        engine: &Arc<Engine>,
        known: &Known,
        limits: &Limits,
        loader: &dyn Loader,
        entry: &str,
        number: u64,
    ) -> Result<Self, Rejected> {
        let loaded = compile::entry(engine, known, limits, loader, entry)?;
        let program = Program::new(loaded.code.into());
        program.prepare(engine, limits).map_err(|error| Rejected {
            diagnostics: vec![Diagnostic::from_eval(&error, entry, &|_| None)],
            files: loaded.files.clone(),
        })?;
        Ok(Self {
            number,
            entry: entry.into(),
            hash: hash(&loaded.files),
            begins_anew: !reset_comments(&loaded.files).is_empty(),
            files: loaded.files,
            on_connection: loaded.on_connection,
            engine: engine.clone(),
            limits: limits.clone(),
            warnings: loaded.warnings,
            places: loaded.places,
            reaches: Reaches::default(),
            program,
            program_with_earlier: ArcSwapOption::empty(),
            has_earlier: AtomicBool::new(false),
            earlier: Mutex::default(),
            transitions: Mutex::default(),
        })
    }

    /// The number of this version: 1 for the script's first since the server started.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The name of the entry file.
    pub const fn entry(&self) -> &Arc<str> {
        &self.entry
    }

    /// Every file this version was read from.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// What is probably not meant in it.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// Its closures and named functions, with what identifies each in another version.
    pub const fn places(&self) -> &Places {
        &self.places
    }

    /// Code that a hook itself runs.
    pub fn reach(&self, hook: Hook) -> &Reach {
        let entry = self.registered(hook);
        let entry = entry.map_or(hook.name(), |closure| closure.fn_name());
        self.reaches.get(hook, &self.places, entry)
    }

    /// What its text is known by: see [`hash`].
    pub const fn hash(&self) -> &Arc<str> {
        &self.hash
    }

    /// The limits its calls keep.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Whether live connections begin anew with it: see [`reset_comments`](super::reset_comments).
    pub const fn begins_anew(&self) -> bool {
        self.begins_anew
    }

    /// The text of one of its files.
    pub fn source(&self, name: &str) -> Option<Arc<str>> {
        self.files
            .iter()
            .find(|f| &*f.name == name)
            .and_then(|f| f.text.clone())
    }

    /// Returns the name of one of its files.
    pub(super) fn file(&self, name: &str) -> Option<Arc<str>> {
        let mut files = self.files.iter();
        files
            .find(|file| &*file.name == name)
            .map(|file| file.name.clone())
    }

    /// Whether the entry file defines a hook.
    pub fn has(&self, hook: Hook) -> bool {
        self.registered(hook).is_some() || self.defines(hook.name())
    }

    /// What the top level registered for a hook.
    pub(super) fn registered(&self, hook: Hook) -> Option<&FnPtr> {
        self.on_connection
            .as_ref()
            .filter(|_| hook == Hook::Connection)
    }

    /// The names of the entry file's functions, in order.
    pub(crate) fn functions(&self) -> Vec<String> {
        let program = self.program();
        let functions = program.files().entry.functions.iter();
        let names: BTreeSet<_> = functions
            .map(|function| function.name.to_string())
            .collect();
        names.into_iter().collect()
    }

    /// Returns `true` if the entry file defines a function; one that only an earlier version has does not count.
    pub(super) fn defines(&self, name: &str) -> bool {
        let program = self.program();
        let mut functions = program.files().entry.functions.iter();
        functions.any(|function| function.name == name)
    }

    /// Returns the code that its calls can reach.
    pub(super) fn program(&self) -> Reachable<'_> {
        // Most versions have no code of earlier ones, and a call of them pays for none.
        match self.has_earlier.load(Ordering::Acquire) {
            false => Reachable::Own(&self.program),
            true => match self.program_with_earlier.load_full() {
                Some(program) => Reachable::WithEarlier(program),
                None => Reachable::Own(&self.program),
            },
        }
    }

    /// Returns the function of a name, with at least so many parameters.
    pub(super) fn definition(&self, name: &str, captured: usize) -> Option<Arc<ScriptFuncDef>> {
        let program = self.program();
        let state = program.state(&self.engine, &self.limits).ok()?;
        definition(state, name, captured)
    }

    /// Returns the version and the row of a closure that is alive in this one: its own, or one of an earlier version.
    pub(super) fn origin(self: &Arc<Self>, closure: &str) -> Option<(Arc<Self>, usize)> {
        if let Some(row) = self.places.row_of(closure) {
            return Some((self.clone(), row));
        }
        let earlier = self.earlier.lock();
        let mut found = earlier.iter().rev();
        found.find_map(|version| Some((version.clone(), version.places.row_of(closure)?)))
    }

    /// Keeps the code of an earlier version callable in this one.
    pub(super) fn keep(&self, earlier: &Arc<Self>) {
        let mut all = self.earlier.lock();
        if all.iter().any(|known| Arc::ptr_eq(known, earlier)) {
            return;
        }
        let files = earlier.program().files().clone();
        let program = Arc::new(self.program().and(files));
        self.program_with_earlier.store(Some(program));
        self.has_earlier.store(true, Ordering::Release);
        all.push(earlier.clone());
    }

    /// Returns how the code of an earlier version becomes this one's.
    pub(super) fn transition_from(&self, earlier: &Arc<Self>) -> Arc<Transition> {
        let mut transitions = self.transitions.lock();
        let known = transitions
            .iter()
            .find(|(of, _)| std::ptr::eq(of.as_ptr(), Arc::as_ptr(earlier)));
        if let Some((_, transition)) = known {
            return transition.clone();
        }
        transitions.retain(|(of, _)| of.strong_count() > 0);
        let define = |name: &str, count| {
            let definition = self.definition(name, count)?;
            (definition.params.len() == count).then_some(definition)
        };
        let transition = Transition::between(&earlier.places, &self.places, define);
        let transition = Arc::new(transition);
        transitions.push((Arc::downgrade(earlier), transition.clone()));
        transition
    }

    /// Returns which calls of this version's `on_connection` are which of an earlier version's.
    pub(crate) fn calls_from(&self, earlier: &Arc<Self>) -> Arc<CallMap> {
        let hook = Hook::Connection;
        let compare = || CallMap::between(earlier.reach(hook), self.reach(hook));
        self.transition_from(earlier).calls(compare)
    }

    /// Returns `true` if closures of this version may need variables of others when `new` serves.
    pub(super) fn lends_to(self: &Arc<Self>, new: &Self) -> bool {
        let earlier = self.earlier.lock().clone();
        let mut all = earlier.iter().chain([self]);
        all.any(|version| new.transition_from(version).lends())
    }

    /// Returns `true` if closures that live in an earlier version need variables of `on_connection` that they have not captured:
    /// a draft makes those that nobody has.
    pub(crate) fn needs_variables(&self, earlier: &Arc<Self>) -> bool {
        let others = earlier.earlier.lock().clone();
        let mut all = others.iter().chain([earlier]);
        all.any(|version| {
            let transition = self.transition_from(version);
            transition.lacking().any(|(row, name)| {
                self.is_captured_from_connection(row, name) && !self.is_own_socket(row, name)
            })
        })
    }

    /// Returns the names that closures of an earlier version capture, and none of this one.
    pub(crate) fn dropped_since(&self, earlier: &Arc<Self>) -> BTreeSet<ImmutableString> {
        self.transition_from(earlier).dropped().clone()
    }

    /// Returns `true` if `on_connection` itself makes the closure of a row.
    pub(super) fn is_of_connection(&self, row: usize) -> bool {
        let Some(row) = self.places.row(row) else {
            return false;
        };
        match (self.registered(Hook::Connection), row.parent) {
            (Some(hook), Some(parent)) => self.places.row_of(hook.fn_name()) == Some(parent),
            (None, None) => self.places.is_in_entry(row, Hook::Connection.name()),
            _ => false,
        }
    }

    /// Returns `true` if a name means the connection's own socket in the closure of a row.
    pub(super) fn is_own_socket(&self, row: usize, name: &str) -> bool {
        let registered = self.registered(Hook::Connection);
        let (hook, captured) = match registered {
            Some(closure) => (closure.fn_name(), closure.curry().len()),
            None => (Hook::Connection.name(), 0),
        };
        let definition = self.definition(hook, captured);
        let parameter = definition
            .as_ref()
            .and_then(|hook| hook.params.get(captured));
        let hook = match registered {
            Some(_) => self.places.row_of(hook).map(Err),
            None => Some(Ok(hook)),
        };
        let (Some(parameter), Some(hook)) = (parameter, hook) else {
            return false;
        };
        self.places
            .is_own_socket(row, name, OwnSocket { hook, parameter })
    }

    /// Returns `true` if a variable that the closure of a row captures is one of `on_connection`, which has run once.
    pub(super) fn is_captured_from_connection(&self, row: usize, name: &str) -> bool {
        let mut outermost = row;
        while !self.is_of_connection(outermost)
            && let Some(parent) = self.places.row(outermost).and_then(|row| row.parent)
            && let Some(of) = self.places.row(parent)
            && of.captured.iter().any(|captured| captured == name)
        {
            outermost = parent;
        }
        self.is_of_connection(outermost) && self.places.is_unique(row, name)
    }

    /// Returns a hash that only a change of the code changes.
    pub(crate) fn code(&self) -> u64 {
        self.places.code()
    }
}
