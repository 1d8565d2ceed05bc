//! Compiled code of one version of a script. It never changes.

use std::{collections::BTreeSet, sync::Arc};

use rhai::{Dynamic, Engine, FnPtr, ScriptFuncDef};

use super::{
    Limits, Loader, SymbolTable,
    captures::definition,
    compile::{self, Entry},
    hook::Hook,
    places::{OwnSocket, Owner, Places, Row},
    program::Program,
    reach::{Reach, Reaches},
    source::{Rejected, SourceFile, hash, reset_comments},
    values::holds_closure,
};
use crate::diagnostic::Diagnostic;

/// Compiled code of a script: its entry file and everything it imports.
#[derive(Debug)]
pub struct Code {
    number: u64,
    entry: Arc<str>,
    files: Vec<SourceFile>,
    hash: Arc<str>,
    /// Closure that the top level passed to `io.on("connection", ...)`.
    on_connection: Option<FnPtr>,
    engine: Arc<Engine>,
    limits: Limits,
    warnings: Vec<Diagnostic>,
    starts_over: bool,
    places: Places,
    reaches: Reaches,
    /// Values that the top levels of this version and of earlier ones have computed.
    made: Vec<RememberedValue>,
    program: Program,
}

/// Maximum number of values of earlier versions that are remembered in case an edit is undone.
const MAX_REMEMBERED: usize = 256;

/// Value of a top level, with the code that computed it.
#[derive(Debug, Clone)]
struct RememberedValue {
    file: Arc<str>,
    name: String,
    code: u64,
    value: Dynamic,
}

impl RememberedValue {
    fn is(&self, file: &str, name: &str, code: u64) -> bool {
        *self.file == *file && self.name == name && self.code == code
    }
}

/// Sets the values of the top levels to the values that the same code computed before, so that a random value, or the
/// time of the start, is computed only once. Returns all remembered values.
fn made_once(loaded: &mut Entry, before: &[RememberedValue]) -> Vec<RememberedValue> {
    let Entry {
        code: files,
        places,
        ..
    } = loaded;
    let mut made = Vec::new();
    for (file, name, value) in files.globals_mut() {
        let code = Reach::of_global(places, file, name);
        if code.is_empty() || holds_closure(value, 0) {
            continue;
        }
        let known = before
            .iter()
            .find(|known| known.is(file, name, code.hash()));
        if let Some(known) = known {
            *value = known.value.clone();
        }
        made.push(RememberedValue {
            file: file.clone(),
            name: name.to_owned(),
            code: code.hash(),
            value: value.clone(),
        });
    }
    let is_made = |old: &&RememberedValue| {
        made.iter()
            .any(|new| new.is(&old.file, &old.name, old.code))
    };
    let earlier: Vec<_> = before
        .iter()
        .filter(|old| !is_made(old))
        .take(MAX_REMEMBERED)
        .cloned()
        .collect();
    made.extend(earlier);
    if let Some(listener) = &mut loaded.on_connection {
        loaded.code.capture_constants(listener);
    }
    made
}

/// Number of times that a piece of code runs for a connection or for a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runs {
    /// The code is the hook itself, and runs once.
    Once,
    /// The hook calls the code, perhaps several times.
    InHook,
    /// Handlers may run the code, any number of times.
    AnyTimes,
}

impl Code {
    /// Reads, compiles, checks and runs the top level of `entry` and its imports. `number` is the number of the new
    /// version. Constants that are computed by the same code in the version `before` keep their values, unless the
    /// script resets its state.
    ///
    /// # Errors
    /// Returns the diagnostics and the files that were read. In this case, nothing has changed.
    pub fn load(
        engine: &Arc<Engine>,
        known: &SymbolTable,
        limits: &Limits,
        loader: &dyn Loader,
        entry: &str,
        number: u64,
        before: Option<&Self>,
    ) -> Result<Self, Rejected> {
        let mut loaded = compile::entry(engine, known, limits, loader, entry)?;
        let starts_over = !reset_comments(&loaded.files).is_empty();
        let before = before.filter(|_| !starts_over);
        let made = made_once(&mut loaded, before.map_or(&[], |before| &before.made));
        let program = Program::new(loaded.code.into());
        program.prepare(engine).map_err(|error| Rejected {
            diagnostics: vec![Diagnostic::from_eval(&error, entry, &|_| None)],
            files: loaded.files.clone(),
        })?;
        Ok(Self {
            number,
            entry: entry.into(),
            hash: hash(&loaded.files),
            starts_over,
            files: loaded.files,
            on_connection: loaded.on_connection,
            engine: engine.clone(),
            limits: limits.clone(),
            warnings: loaded.warnings,
            places: loaded.places,
            reaches: Reaches::default(),
            made,
            program,
        })
    }

    /// Returns the number of this version: 1 for the script's first version since the server started.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Returns the name of the entry file.
    pub const fn entry(&self) -> &Arc<str> {
        &self.entry
    }

    /// Returns every file that this version was read from.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// Returns the warnings about code that probably does something unintended.
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    /// Returns the closures and named functions of this version, with the data that identifies each of them in another
    /// version.
    pub const fn places(&self) -> &Places {
        &self.places
    }

    /// Returns the code that a hook itself runs.
    pub fn reach(&self, hook: Hook) -> &Reach {
        let entry = self.registered(hook);
        let entry = entry.map_or(hook.name(), |closure| closure.fn_name());
        self.reaches.get(hook, &self.places, entry)
    }

    /// Returns the hash that identifies the text of this version: see [`hash`].
    pub const fn hash(&self) -> &Arc<str> {
        &self.hash
    }

    /// Returns the limits of calls of this version.
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Returns `true` if this version resets the state of live connections: see
    /// [`reset_comments`](super::reset_comments).
    pub const fn starts_over(&self) -> bool {
        self.starts_over
    }

    /// Returns the text of one of this version's files.
    pub fn source(&self, name: &str) -> Option<Arc<str>> {
        self.files
            .iter()
            .find(|f| &*f.name == name)
            .and_then(|f| f.text.clone())
    }

    /// Returns the name of one of this version's files.
    pub(super) fn file(&self, name: &str) -> Option<Arc<str>> {
        let mut files = self.files.iter();
        files
            .find(|file| &*file.name == name)
            .map(|file| file.name.clone())
    }

    /// Returns `true` if the entry file defines or registers a hook.
    pub fn has(&self, hook: Hook) -> bool {
        self.registered(hook).is_some() || self.defines(hook.name())
    }

    /// Returns the closure that the top level registered for a hook.
    pub(super) fn registered(&self, hook: Hook) -> Option<&FnPtr> {
        self.on_connection
            .as_ref()
            .filter(|_| hook == Hook::Connection)
    }

    /// Returns the names of the entry file's functions, sorted.
    pub(crate) fn functions(&self) -> Vec<String> {
        let functions = self.program.files().entry.functions.iter();
        let names: BTreeSet<_> = functions
            .map(|function| function.name.to_string())
            .collect();
        names.into_iter().collect()
    }

    /// Returns `true` if the entry file defines a function. Functions that exist only in earlier versions do not count.
    pub(super) fn defines(&self, name: &str) -> bool {
        let mut functions = self.program.files().entry.functions.iter();
        functions.any(|function| function.name == name)
    }

    /// Returns the code that calls of this version can reach, without the code of earlier versions.
    pub(super) const fn program(&self) -> &Program {
        &self.program
    }

    /// Returns the function with this name and at least `captured` parameters.
    pub(super) fn definition(&self, name: &str, captured: usize) -> Option<Arc<ScriptFuncDef>> {
        let state = self.program.state(&self.engine).ok()?;
        definition(state, name, captured)
    }

    /// Returns the definition of the code of a row.
    pub(super) fn definition_of(&self, row: &Row) -> Option<Arc<ScriptFuncDef>> {
        let name = self.places.code_name(row);
        let count = row.captured.len() + row.params;
        let definition = self.definition(&name, count)?;
        (row.named.is_some() || definition.params.len() == count).then_some(definition)
    }

    /// Returns `true` if a name refers to the connection's own socket in the closure of a row.
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

    /// Returns how often a hook runs the code that creates a variable captured by the closure of a row.
    pub(super) fn runs(&self, row: usize, name: &str, hook: Hook) -> Runs {
        let Some(owner) = self.places.owner(row, name) else {
            return Runs::AnyTimes;
        };
        if !self.places.is_unique(row, name) {
            return Runs::AnyTimes;
        }
        match self.entry_of(hook) == Some(owner) {
            true => Runs::Once,
            false if self.is_run_by(hook, owner) => Runs::InHook,
            false => Runs::AnyTimes,
        }
    }

    /// Returns the closure or the function that implements a hook.
    pub(super) fn entry_of(&self, hook: Hook) -> Option<Owner> {
        match self.registered(hook) {
            Some(closure) => self.places.row_of(closure.fn_name()).map(Owner::Closure),
            None => self.places.in_entry(hook.name()),
        }
    }

    /// Returns `true` if a hook itself runs this code.
    fn is_run_by(&self, hook: Hook, owner: Owner) -> bool {
        let begins = match owner {
            Owner::Closure(row) => self.places.row(row).map(|row| (&row.file, row.position)),
            Owner::Function(function) => {
                let function = self.places.functions().get(function);
                function.map(|function| (&function.file, function.position))
            }
            Owner::TopLevel(_) => None,
        };
        let reach = self.reach(hook);
        begins.is_some_and(|(file, (line, column))| reach.place_at(file, line, column).is_some())
    }

    /// Returns a hash of the code that does not depend on comments and layout.
    pub(crate) fn code(&self) -> u64 {
        self.places.code()
    }
}
