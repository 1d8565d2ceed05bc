//! One compiled, immutable state of a script.

use std::{collections::BTreeSet, sync::Arc};

use parking_lot::Mutex;
use rhai::{Engine, FnPtr, GlobalRuntimeState, Module, NativeCallContext, ScriptFuncDef, Shared};

use super::{
    Known, Limits, Loader, call_cache,
    captures::definition,
    compile::{self, callable_later},
    constants,
    hook::Hook,
    source::{Rejected, SourceFile, hash},
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
    /// What code of the entry file runs in: its functions, imports and constants.
    base: GlobalRuntimeState,
    /// The same with constants of their own.
    by_thread: Vec<GlobalRuntimeState>,
    /// What calls of the entry file keep for the next ones.
    warm: Vec<call_cache::Place>,
    /// The same for the modules that handlers were made in so far.
    modules: Mutex<Vec<Arc<GlobalRuntimeState>>>,
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
        Ok(Self {
            number,
            entry: entry.into(),
            hash: hash(&loaded.files),
            files: loaded.files,
            on_connection: loaded.on_connection,
            engine: engine.clone(),
            limits: limits.clone(),
            warnings: loaded.warnings,
            by_thread: constants::copies(&loaded.state),
            warm: call_cache::places(&loaded.state),
            base: loaded.state,
            modules: Mutex::default(),
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

    /// The text of one of its files.
    pub fn source(&self, name: &str) -> Option<Arc<str>> {
        self.files
            .iter()
            .find(|f| &*f.name == name)
            .and_then(|f| f.text.clone())
    }

    /// Whether the entry file defines a hook.
    pub fn has(&self, hook: Hook) -> bool {
        self.registered(hook).is_some() || definition(&self.base, hook.name(), 0).is_some()
    }

    /// What the top level registered for a hook.
    pub(super) fn registered(&self, hook: Hook) -> Option<&FnPtr> {
        self.on_connection
            .as_ref()
            .filter(|_| hook == Hook::Connection)
    }

    /// The names of the entry file's functions, in order.
    pub(crate) fn functions(&self) -> Vec<String> {
        let libraries = self.base().lib.iter();
        let functions = libraries.flat_map(|library| library.iter_script_fn_info());
        let names: BTreeSet<_> = functions.map(|(.., name, _, _)| name.to_owned()).collect();
        names.into_iter().collect()
    }

    /// The path by which the file of a function is imported.
    pub(crate) fn import_of(&self, definition: &Arc<ScriptFuncDef>) -> Option<&str> {
        let (name, count) = (&definition.name, definition.params.len());
        self.imported()
            .find(|(_, module)| {
                let function = module.get_script_fn(name, count);
                function.is_some_and(|function| Arc::ptr_eq(function, definition))
            })
            .map(|(path, _)| path)
    }

    /// What a function of an imported file runs in, if a handler was made in that file: only then is it known.
    pub(super) fn state_of(
        &self,
        path: &str,
        name: &str,
        count: usize,
    ) -> Option<Arc<GlobalRuntimeState>> {
        let (_, module) = self.imported().find(|(imported, _)| *imported == path)?;
        let definition = module.get_script_fn(name, count)?;
        let runs = |state: &GlobalRuntimeState| {
            let functions = state
                .lib
                .iter()
                .filter_map(|l| l.get_script_fn(name, count));
            functions.into_iter().any(|f| Arc::ptr_eq(f, definition))
        };
        let modules = self.modules.lock();
        modules.iter().find(|state| runs(state)).cloned()
    }

    fn imported(&self) -> impl Iterator<Item = (&str, &Shared<Module>)> {
        let resolver = self.base.embedded_module_resolver.iter();
        resolver.flat_map(|modules| modules.iter())
    }

    pub(crate) fn base(&self) -> &GlobalRuntimeState {
        constants::of_this_thread(&self.by_thread).unwrap_or(&self.base)
    }

    /// What calls of the entry file on this thread keep; `None` when they may keep nothing.
    pub(super) fn warm(&self) -> Option<&call_cache::Place> {
        constants::of_this_thread(&self.warm)
    }

    /// What a handler made at `context` runs in; `None` is the entry file. Few states serve all handlers.
    pub(crate) fn module_state(
        &self,
        context: &NativeCallContext<'_>,
    ) -> Option<Arc<GlobalRuntimeState>> {
        let here = context.global_runtime_state();
        if is_like(&self.base, here) {
            return None;
        }
        let mut modules = self.modules.lock();
        if let Some(known) = modules.iter().find(|s| is_like(s, here)) {
            return Some(known.clone());
        }
        let state = Arc::new(callable_later(here));
        modules.push(state.clone());
        Some(state)
    }
}

/// Whether a closure made in either can be called in both.
fn is_like(a: &GlobalRuntimeState, b: &GlobalRuntimeState) -> bool {
    a.source == b.source
        && a.lib.len() == b.lib.len()
        && a.lib.iter().zip(&b.lib).all(|(x, y)| Arc::ptr_eq(x, y))
        && a.scan_imports_raw().count() == b.scan_imports_raw().count()
        && a.scan_imports_raw()
            .zip(b.scan_imports_raw())
            .all(|(x, y)| Arc::ptr_eq(x.1, y.1))
}
