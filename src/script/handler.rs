//! A function or closure that a script gave to the host, and how it is called.

use std::sync::Arc;

use rhai::{Dynamic, FnPtr, GlobalRuntimeState, NativeCallContext, Position, ScriptFuncDef};

use super::{
    CallError, Version,
    call::{self, run},
    call_cache::Place,
    captures::{definition, is_same_variable},
    hook::Hook,
};

/// A callable of a script: a closure with the variables it captured, or a named function.
///
/// It is called with any number of arguments: the first ones reach its parameters, missing ones are `()`.
#[derive(Debug, Clone)]
pub struct Handler {
    fn_ptr: FnPtr,
    version: Arc<Version>,
    module: Option<Arc<GlobalRuntimeState>>,
    definition: Option<Arc<ScriptFuncDef>>,
}

impl Handler {
    /// A callable that a native function received at `context`. `None` outside a script call.
    pub fn new(fn_ptr: FnPtr, context: &NativeCallContext<'_>) -> Option<Self> {
        let version = call::running()?;
        let module = version.module_state(context);
        Some(Self::build(fn_ptr, version, module))
    }

    /// The function of a hook, if the entry file of `version` defines it.
    pub fn of_hook(version: &Arc<Version>, hook: Hook) -> Option<Self> {
        match version.registered(hook) {
            Some(closure) => Some(Self::build(closure.clone(), version.clone(), None)),
            None => Self::named(version, hook.name()),
        }
    }

    /// A function of the entry file of `version`.
    pub(crate) fn named(version: &Arc<Version>, name: &str) -> Option<Self> {
        let handler = Self::build(FnPtr::new(name).ok()?, version.clone(), None);
        handler.is_defined().then_some(handler)
    }

    /// A function of a file that `version` imports as `path`.
    fn imported(version: &Arc<Version>, path: &str, name: &str, count: usize) -> Option<Self> {
        let state = version.state_of(path, name, count)?;
        let function = FnPtr::new(name).ok()?;
        Some(Self::build(function, version.clone(), Some(state)))
    }

    fn build(
        fn_ptr: FnPtr,
        version: Arc<Version>,
        module: Option<Arc<GlobalRuntimeState>>,
    ) -> Self {
        let mut handler = Self {
            fn_ptr,
            version,
            module,
            definition: None,
        };
        handler.definition = handler.find_definition();
        handler
    }

    /// The same callable around other captured variables.
    pub(super) fn with(&self, fn_ptr: FnPtr) -> Self {
        Self {
            fn_ptr,
            ..self.clone()
        }
    }

    /// Calls it within the limits of its version.
    ///
    /// # Errors
    /// What the script threw or did wrong, or the panic of a native function.
    pub fn call(&self, args: Vec<Dynamic>) -> Result<Dynamic, CallError> {
        let args = self.fit(args);
        let version = &self.version;
        run(version, || match self.warm() {
            Some(place) => place.call(version.engine(), version.base(), &self.fn_ptr, args),
            None => self.fn_ptr.call_raw(&self.context(), None, args),
        })
    }

    /// What calls of it keep, if it is a function of the entry file.
    fn warm(&self) -> Option<&Place> {
        let is_of_entry = self.module.is_none() && self.is_defined();
        self.version.warm().filter(|_| is_of_entry)
    }

    fn context(&self) -> NativeCallContext<'_> {
        NativeCallContext::new_with_all_fields(
            self.version.engine(),
            self.fn_ptr.fn_name(),
            None,
            self.state(),
            Position::NONE,
        )
    }

    /// How many parameters it declares; `None` for a native function, which takes what it is given.
    pub fn parameters(&self) -> Option<usize> {
        let all = self.definition.as_ref()?.params.len();
        Some(all.saturating_sub(self.fn_ptr.curry().len()))
    }

    /// The version whose code it is.
    pub const fn version(&self) -> &Arc<Version> {
        &self.version
    }

    /// The file it was made in.
    pub fn file(&self) -> &str {
        self.state()
            .source()
            .unwrap_or_else(|| self.version.entry())
    }

    /// The line and column, from 1, at which its code begins.
    pub fn position(&self) -> Option<(usize, usize)> {
        let begins = self.definition.as_ref()?.body.start_position();
        Some((begins.line()?, begins.position().unwrap_or(1)))
    }

    /// The name of its function, if it is not a closure.
    pub fn name(&self) -> Option<&str> {
        (!self.fn_ptr.is_anonymous()).then(|| self.fn_ptr.fn_name())
    }

    /// Whether both are the same function around the same captured variables.
    pub fn is(&self, other: &FnPtr) -> bool {
        let (ours, theirs) = (self.fn_ptr.curry(), other.curry());
        self.fn_ptr.fn_name() == other.fn_name()
            && ours.len() == theirs.len()
            && ours.iter().zip(theirs).all(|(a, b)| is_same_variable(a, b))
    }

    /// A named function as `version` defines it, in the entry file or in the imported file it is of; anything else stays
    /// as it is, and so does a `private` function of an imported file, which is not known from outside.
    #[must_use]
    pub fn follow(self, version: &Arc<Version>) -> Self {
        let newest = match (self.name(), &self.module) {
            (None, _) => None,
            (Some(name), None) => Self::named(version, name),
            (Some(name), Some(_)) => self.definition.as_ref().and_then(|definition| {
                let path = self.version.import_of(definition)?;
                Self::imported(version, path, name, definition.params.len())
            }),
        };
        newest.unwrap_or(self)
    }

    /// The function pointer with what it captured.
    pub(super) const fn fn_ptr(&self) -> &FnPtr {
        &self.fn_ptr
    }

    const fn is_defined(&self) -> bool {
        self.definition.is_some()
    }

    /// What its code runs in.
    pub(super) fn state(&self) -> &GlobalRuntimeState {
        self.module
            .as_deref()
            .unwrap_or_else(|| self.version.base())
    }

    fn fit(&self, mut args: Vec<Dynamic>) -> Vec<Dynamic> {
        if let Some(count) = self.parameters() {
            args.resize(count, Dynamic::UNIT);
        }
        args
    }

    fn find_definition(&self) -> Option<Arc<ScriptFuncDef>> {
        definition(
            self.state(),
            self.fn_ptr.fn_name(),
            self.fn_ptr.curry().len(),
        )
    }
}
