//! Functions and closures that a script has passed to the host, and their calls.

use std::{hash::Hash, sync::Arc};

use rhai::{Dynamic, FnPtr, ImmutableString, NativeCallContext, Position, ScriptFuncDef};

use super::{
    CallError, Version,
    call::{self, origin, run},
    call_cache::Slot,
    captures::{captures, is_same_variable, split_value_name, value_name},
    code::Code,
    hook::Hook,
    places::Owner,
    program::Program,
    tokens::hash,
};

/// Callable of a script: a closure with its captured variables, or a named function.
///
/// Accepts any number of arguments: surplus arguments are dropped, and missing ones are `()`.
#[derive(Debug, Clone)]
pub struct Handler {
    fn_ptr: FnPtr,
    version: Arc<Version>,
    /// Code of the earlier version whose text the callable has; `None` if it has the text of the version in which it
    /// runs.
    earlier: Option<Arc<Code>>,
    definition: Option<Arc<ScriptFuncDef>>,
}

impl Handler {
    /// Creates the callable for a function pointer that a native function received at `context`. Returns `None` outside
    /// a script call.
    pub fn new(fn_ptr: FnPtr, context: &NativeCallContext<'_>) -> Option<Self> {
        let version = call::running()?;
        let file = origin(context).filter(|file| *file != &**version.entry());
        let file = file.and_then(|name| version.file(name));
        Some(match file {
            Some(file) => Self::imported(fn_ptr, version, &file),
            None => Self::build(fn_ptr, version),
        })
    }

    /// Returns the function of a hook, if the entry file of `version` defines or registers it.
    pub fn of_hook(version: &Arc<Version>, hook: Hook) -> Option<Self> {
        match version.registered(hook) {
            Some(closure) => Some(Self::build(closure.clone(), version.clone())),
            None => Self::named(version, hook.name()),
        }
    }

    /// Returns a function of the entry file of `version`, if the file defines it.
    pub(crate) fn named(version: &Arc<Version>, name: &str) -> Option<Self> {
        if !version.defines(name) {
            return None;
        }
        Some(Self::build(FnPtr::new(name).ok()?, version.clone()))
    }

    /// Creates a callable that comes from an imported file. Outside that file, a named function has another name.
    fn imported(fn_ptr: FnPtr, version: Arc<Version>, file: &str) -> Self {
        let name = value_name(fn_ptr.fn_name(), file);
        let value = (!fn_ptr.is_anonymous())
            .then(|| version.definition(&name, fn_ptr.curry().len()))
            .flatten();
        let fn_ptr = match value {
            Some(value) => {
                let mut linked = FnPtr::from(value);
                linked.set_curry(fn_ptr.curry().iter().cloned());
                linked
            }
            None => fn_ptr,
        };
        Self::build(fn_ptr, version)
    }

    /// Creates the callable for a function pointer with the code of `version`.
    pub(super) fn build(fn_ptr: FnPtr, version: Arc<Version>) -> Self {
        let definition = version.definition(fn_ptr.fn_name(), fn_ptr.curry().len());
        let origin = version.origin(fn_ptr.fn_name());
        let earlier = origin.map(|(origin, _)| origin);
        Self {
            fn_ptr,
            earlier: earlier.filter(|earlier| !Arc::ptr_eq(earlier, version.own())),
            version,
            definition,
        }
    }

    /// Returns the same callable with the code of a newer version.
    pub(super) fn moved(&self, fn_ptr: FnPtr, version: &Arc<Version>) -> Self {
        Self {
            definition: version.definition(fn_ptr.fn_name(), fn_ptr.curry().len()),
            fn_ptr,
            version: version.clone(),
            earlier: None,
        }
    }

    /// Returns the same callable in a newer version, with its current code.
    pub(super) fn kept(&self, fn_ptr: FnPtr, version: &Arc<Version>) -> Self {
        Self {
            definition: self.definition.clone(),
            fn_ptr,
            version: version.clone(),
            earlier: Some(self.code().clone()),
        }
    }

    /// Returns the same callable with other captured variables.
    pub(super) fn with(&self, fn_ptr: FnPtr) -> Self {
        Self {
            fn_ptr,
            ..self.clone()
        }
    }

    /// Calls the callable within the limits of its version.
    ///
    /// # Errors
    /// Returns what the script threw, what Rhai rejected, or the panic of a native function.
    pub fn call(&self, args: Vec<Dynamic>) -> Result<Dynamic, CallError> {
        self.call_on(|| None, args)
    }

    /// Calls the callable with a value for `this`. The value is created only if the code mentions `this`.
    ///
    /// # Errors
    /// Returns the errors of [`Handler::call`].
    pub fn call_on(
        &self,
        this: impl FnOnce() -> Option<Dynamic>,
        args: Vec<Dynamic>,
    ) -> Result<Dynamic, CallError> {
        let args = self.fit(args);
        let (program, engine) = (self.version.program(), self.version.engine());
        let state = program.state(engine);
        let state = state.map_err(CallError::Script)?;
        let name = self.fn_ptr.fn_name();
        let mut this = match program.mentions_this(name) {
            true => this(),
            false => None,
        };
        run(&self.version, || match self.cache(&program) {
            Some(cache) => {
                let function = (&self.fn_ptr, self.definition.as_ref());
                cache.call(engine, state, function, this, args)
            }
            None => {
                let context = NativeCallContext::new_with_all_fields(
                    engine,
                    name,
                    None,
                    state,
                    Position::NONE,
                );
                self.fn_ptr.call_raw(&context, this.as_mut(), args)
            }
        })
    }

    /// Returns the cache for calls of this callable, if they can use one.
    fn cache<'a>(&self, program: &'a Program) -> Option<&'a Slot> {
        program.cache().filter(|_| self.is_defined())
    }

    /// Returns the number of declared parameters, without captured variables; `None` for a native function, which
    /// receives all arguments.
    pub fn parameters(&self) -> Option<usize> {
        let all = self.definition.as_ref()?.params.len();
        Some(all.saturating_sub(self.fn_ptr.curry().len()))
    }

    /// Returns the version in which the callable runs.
    pub const fn version(&self) -> &Arc<Version> {
        &self.version
    }

    /// Returns the code of the callable: that of its version, or that of an earlier one.
    pub fn code(&self) -> &Arc<Code> {
        self.earlier.as_ref().unwrap_or_else(|| self.version.own())
    }

    /// Returns `true` if the callable has the code of an earlier version.
    pub const fn is_stale(&self) -> bool {
        self.earlier.is_some()
    }

    /// Returns the file in which the callable was created.
    pub fn file(&self) -> &str {
        let code = self.code();
        let name = self.fn_ptr.fn_name();
        let row = code.places().row_of(name);
        match row.and_then(|row| code.places().row(row)) {
            Some(row) => &row.file,
            None => split_value_name(name).1.unwrap_or_else(|| code.entry()),
        }
    }

    /// Returns the line and column, counted from 1, at which the code starts.
    pub fn position(&self) -> Option<(usize, usize)> {
        let begins = self.definition.as_ref()?.body.start_position();
        Some((begins.line()?, begins.position().unwrap_or(1)))
    }

    /// Returns the name of the function, if the callable is not a closure.
    pub fn name(&self) -> Option<&str> {
        (!self.fn_ptr.is_anonymous()).then(|| split_value_name(self.fn_ptr.fn_name()).0)
    }

    /// Returns the name of the function; for a closure, the name that Rhai generates.
    pub fn function(&self) -> &str {
        self.fn_ptr.fn_name()
    }

    /// Returns `true` if both are the same function with the same captured variables.
    pub fn is(&self, other: &FnPtr) -> bool {
        let (ours, theirs) = (self.fn_ptr.curry(), other.curry());
        split_value_name(self.fn_ptr.fn_name()).0 == other.fn_name()
            && ours.len() == theirs.len()
            && ours.iter().zip(theirs).all(|(a, b)| is_same_variable(a, b))
    }

    /// Returns a hash of the callable's code and of its use. After an edit is undone, the hash is the same as before.
    pub(crate) fn identity(&self, used: impl Hash) -> u64 {
        let name = self.fn_ptr.fn_name();
        let places = self.code().places();
        let row = places.row_of(name).and_then(|row| places.row(row));
        hash(&(row.map(|row| row.body), row.is_none().then_some(name), used))
    }

    /// Returns the captured strings, which distinguish timers that are set in the same line.
    pub(crate) fn captured_texts(&self) -> Vec<(ImmutableString, String)> {
        let captured = self.captured().into_iter();
        let texts = captured.filter_map(|(name, value)| {
            let text = value.flatten().into_immutable_string().ok()?;
            Some((name, text.to_string()))
        });
        texts.collect()
    }

    /// Returns the captured variables, by name.
    pub(crate) fn captured(&self) -> Vec<(ImmutableString, Dynamic)> {
        captures(self.definition.as_deref(), &self.fn_ptr)
    }

    /// Returns the code that creates a variable that `closure` has captured. The closure runs in the same version.
    pub(super) fn owner(&self, closure: &FnPtr, name: &str) -> Option<Owner> {
        let own = self.code().places().row_of(closure.fn_name());
        let of_code = own.map(|row| (self.code().clone(), row));
        let (code, row) = of_code.or_else(|| self.version.origin(closure.fn_name()))?;
        self.version.owner((&code, row), name)
    }

    /// Returns the variables that `closure` has captured. The closure runs in the same version.
    pub(super) fn captured_by(&self, closure: &FnPtr) -> Vec<(ImmutableString, Dynamic)> {
        let (name, count) = (closure.fn_name(), closure.curry().len());
        let definition = match name == self.fn_ptr.fn_name() {
            true => self.definition.clone(),
            // If the code of a closure has been removed, only the closure's own version knows it.
            false => self
                .version
                .definition(name, count)
                .or_else(|| self.code().definition(name, count)),
        };
        captures(definition.as_deref(), closure)
    }

    /// Returns the function pointer with its captured variables.
    pub(super) const fn fn_ptr(&self) -> &FnPtr {
        &self.fn_ptr
    }

    pub(super) const fn is_defined(&self) -> bool {
        self.definition.is_some()
    }

    fn fit(&self, mut args: Vec<Dynamic>) -> Vec<Dynamic> {
        if let Some(count) = self.parameters() {
            args.resize(count, Dynamic::UNIT);
        }
        args
    }
}
