//! Per-thread cache of the evaluation state for calls into an entry file.
//!
//! For each call, Rhai copies the evaluation state, and for every function that the code calls, it searches one library
//! after the other. It remembers the results only until the call ends. The cache keeps both the state and the results
//! between calls, separately for each thread.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use rhai::{
    Caches, Dynamic, Engine, EvalAltResult, EvalContext, FnPtr, GlobalRuntimeState, Module, Scope,
    ScriptFuncDef, Shared, StaticVec,
};

use super::{
    captures::{definition as find, is_closure},
    constants::COPIES,
    last_use::{self, LastUses},
};

/// Maximum number of cached function lookups. A script may use any number of names, and Rhai also caches names that it
/// did not find.
const MAX_CACHED_FUNCTIONS: usize = 1024;

/// Cache of one thread, or of a few threads. No two slots share a CPU cache line, because a slot is written at every
/// call.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Slot(Mutex<Option<Box<CachedCalls>>>);

#[derive(Debug)]
struct CachedCalls {
    state: GlobalRuntimeState,
    caches: Caches,
    scope: Scope<'static>,
    /// Frames, by the addresses of their definitions. The frames keep the definitions alive.
    frames: BTreeMap<usize, Frame>,
}

/// Closure that was called before, with a scope that already has the names of its parameters. Without it, Rhai would
/// copy each name at each call.
#[derive(Debug)]
struct Frame {
    definition: Arc<ScriptFuncDef>,
    /// Name of the same function without parameters, in the last library of the state. No script can write this name.
    name: String,
    scope: Scope<'static>,
    last_uses: LastUses,
}

impl Frame {
    fn new(definition: &Arc<ScriptFuncDef>, state: &GlobalRuntimeState) -> Self {
        let mut scope = Scope::new();
        for name in &definition.params {
            scope.push_dynamic(name.clone(), Dynamic::UNIT);
        }
        Self {
            name: format!("{}$frame", definition.name),
            definition: definition.clone(),
            scope,
            last_uses: LastUses::new(definition, |name| find(state, name, 0).is_some()),
        }
    }

    /// Returns the function to run in the scope: the closure without its parameters.
    fn without_parameters(&self) -> ScriptFuncDef {
        ScriptFuncDef {
            name: self.name.as_str().into(),
            params: Default::default(),
            ..(*self.definition).clone()
        }
    }

    /// Sets the parameters. A parameter without a value becomes `()`.
    fn fill(&mut self, mut values: impl Iterator<Item = Dynamic>) {
        let mut is_large = false;
        for name in &self.definition.params {
            if let Some(parameter) = self.scope.get_mut(name) {
                *parameter = values.next().unwrap_or_default();
                is_large |= last_use::is_worth_moving(parameter);
            }
        }
        if is_large {
            self.last_uses.mark(&mut self.scope);
        }
    }
}

/// Returns slots for the threads that call a script. A script with imports has no slots, because two of its files may
/// have functions of the same name, and Rhai would use the cached function of one file in the other.
pub(super) fn slots(is_plain: bool) -> Vec<Slot> {
    let count = if is_plain { COPIES } else { 0 };
    (0..count).map(|_| Slot::default()).collect()
}

impl Slot {
    /// Calls a function that the entry file defines.
    pub(super) fn call(
        &self,
        engine: &Engine,
        state: &GlobalRuntimeState,
        (fn_ptr, definition): (&FnPtr, Option<&Arc<ScriptFuncDef>>),
        this: Option<Dynamic>,
        args: Vec<Dynamic>,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        let mut kept = self.take().unwrap_or_else(|| CachedCalls::new(state));
        let count = fn_ptr.curry().len() + args.len();
        let has_frame = |definition: &&Arc<ScriptFuncDef>| {
            is_closure(&definition.name) && definition.params.len() == count && count > 0
        };
        // After an error the state may be inconsistent, so it is not kept.
        let result = match definition.filter(has_frame) {
            Some(definition) => kept.call_closure(engine, (fn_ptr, definition), this, args),
            None => kept.call(engine, fn_ptr, this, args),
        }?;
        if kept.caches.fn_resolution_cache_mut().dict.len() <= MAX_CACHED_FUNCTIONS {
            self.put(kept);
        }
        Ok(result)
    }

    fn take(&self) -> Option<Box<CachedCalls>> {
        self.0.try_lock()?.take()
    }

    fn put(&self, kept: Box<CachedCalls>) {
        if let Some(mut slot) = self.0.try_lock() {
            *slot = Some(kept);
        }
    }
}

impl CachedCalls {
    fn new(state: &GlobalRuntimeState) -> Box<Self> {
        let mut state = state.clone();
        let mut frames = Module::new();
        if let Some(id) = state.lib.last().and_then(|library| library.id()) {
            frames.set_id(id);
        }
        state.lib.push(frames.into());
        Box::new(Self {
            state,
            caches: Caches::new(),
            scope: Scope::new(),
            frames: BTreeMap::new(),
        })
    }

    /// Calls a closure in its own scope, which is kept for later calls.
    fn call_closure(
        &mut self,
        engine: &Engine,
        (fn_ptr, definition): (&FnPtr, &Arc<ScriptFuncDef>),
        mut this: Option<Dynamic>,
        args: Vec<Dynamic>,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        let (state, address) = (&mut self.state, Arc::as_ptr(definition).addr());
        let frame = self.frames.entry(address).or_insert_with(|| {
            let frame = Frame::new(definition, state);
            if let Some(frames) = state.lib.last_mut() {
                Shared::make_mut(frames).set_script_fn(frame.without_parameters());
            }
            frame
        });
        frame.fill(fn_ptr.curry().iter().cloned().chain(args));
        state.num_operations = Default::default();
        let scope = &mut frame.scope;
        let mut context = EvalContext::new(engine, state, &mut self.caches, scope, None);
        let result = match &mut this {
            Some(this) => context.call_fn_raw(&frame.name, true, true, &mut [this]),
            None => context.call_fn_raw(&frame.name, false, false, &mut []),
        };
        frame.fill(std::iter::empty());
        result
    }

    fn call(
        &mut self,
        engine: &Engine,
        fn_ptr: &FnPtr,
        this: Option<Dynamic>,
        args: Vec<Dynamic>,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        self.state.num_operations = Default::default();
        let is_method = this.is_some();
        let captured = fn_ptr.curry().iter().cloned();
        let mut values: StaticVec<_> = this.into_iter().chain(captured).chain(args).collect();
        let mut args: StaticVec<_> = values.iter_mut().collect();
        EvalContext::new(
            engine,
            &mut self.state,
            &mut self.caches,
            &mut self.scope,
            None,
        )
        .call_fn_raw(fn_ptr.fn_name(), is_method, is_method, &mut args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(text: &str) -> (Engine, GlobalRuntimeState) {
        let mut engine = Engine::new();
        engine.set_max_expr_depths(0, 0);
        let ast = engine.compile(text).unwrap();
        let mut state = engine.new_global_runtime_state();
        state.lib.push(ast.shared_lib().clone());
        (engine, state)
    }

    fn keeps(slot: &Slot) -> bool {
        slot.0.lock().is_some()
    }

    #[test]
    fn a_call_finds_what_is_meant_for_its_values_however_often_it_is_called() {
        let (engine, state) = script("fn f(x) { x += x; x }");
        let (slot, f) = (Slot::default(), FnPtr::new("f").unwrap());
        for n in 1..5_i64 {
            let twice = slot
                .call(&engine, &state, (&f, None), None, vec![n.into()])
                .unwrap();
            assert_eq!(twice.as_int(), Ok(2 * n));
            let text = slot
                .call(&engine, &state, (&f, None), None, vec!["a".into()])
                .unwrap();
            assert_eq!(text.into_string().unwrap(), "aa");
            assert!(keeps(&slot));
        }
    }

    #[test]
    fn nothing_is_kept_of_a_call_that_fails_or_makes_up_names() {
        let (engine, state) = script(
            r#"fn fail() { throw "x" }
            fn make_up(n) { for i in 0..2 * n { try { Fn(`f${i / 2}`).call() } catch {} } }"#,
        );
        let slot = Slot::default();
        let call = |name: &str, args| {
            let fn_ptr = FnPtr::new(name).unwrap();
            slot.call(&engine, &state, (&fn_ptr, None), None, args)
                .map(drop)
        };
        call("make_up", vec![10_i64.into()]).unwrap();
        assert!(keeps(&slot));
        assert!(call("fail", vec![]).is_err());
        assert!(!keeps(&slot));
        call("make_up", vec![2000_i64.into()]).unwrap();
        assert!(!keeps(&slot));
    }

    #[test]
    fn a_closure_has_its_parameters_at_each_call_and_none_of_them_stays() {
        let text = "let n = 1; |x| { n += 1; let y = x; if y == \"stop\" { throw n } y + n }";
        let (engine, state) = script(text);
        let ast = engine.compile(text).unwrap();
        let closure = engine.eval_ast::<FnPtr>(&ast).unwrap();
        let definition = ast.iter_fn_def().next().unwrap();
        let slot = Slot::default();
        let call =
            |x: Dynamic| slot.call(&engine, &state, (&closure, Some(definition)), None, vec![x]);
        for n in 2..5_i64 {
            let sum = call(10_i64.into()).unwrap();
            assert_eq!(sum.as_int(), Ok(10 + n), "the captured variable is shared");
        }
        let held = Arc::new(());
        assert!(call(Dynamic::from(held.clone())).is_err());
        assert_eq!(Arc::strong_count(&held), 1, "an argument is dropped");
        assert!(call("stop".into()).is_err());
        assert_eq!(call(1_i64.into()).unwrap().as_int(), Ok(1 + 7));
    }
}
