//! What calls of an entry file begin with, kept from one call to the next.
//!
//! Rhai copies the surroundings of a call, and looks every function that it calls up in one library after the other;
//! what it has found it remembers for as long as the call. Here both stay, for each thread on its own.

use parking_lot::Mutex;
use rhai::{
    Caches, Dynamic, Engine, EvalAltResult, EvalContext, FnPtr, GlobalRuntimeState, Scope,
    StaticVec,
};

use super::constants::COPIES;

/// A script may make up names without end, and Rhai remembers that there is no such function.
const MOST_FUNCTIONS: usize = 1024;

/// Where one thread, or few, keep what they have. Two of them share no cache line, for each is written at every call.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Place(Mutex<Option<Box<Kept>>>);

#[derive(Debug)]
struct Kept {
    state: GlobalRuntimeState,
    caches: Caches,
    scope: Scope<'static>,
}

/// Returns places for the threads that call a script. A script with imports has none: two of its files may have functions
/// of the same name, and what Rhai has found for one it would take for the other.
pub(super) fn places(is_plain: bool) -> Vec<Place> {
    let count = if is_plain { COPIES } else { 0 };
    (0..count).map(|_| Place::default()).collect()
}

impl Place {
    /// Calls a function that the entry file defines.
    pub(super) fn call(
        &self,
        engine: &Engine,
        state: &GlobalRuntimeState,
        fn_ptr: &FnPtr,
        this: Option<&mut Dynamic>,
        args: Vec<Dynamic>,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        let mut kept = self.take().unwrap_or_else(|| Kept::new(state));
        // After an error its state is anyone's guess.
        let result = kept.call(engine, fn_ptr, this, args)?;
        if kept.caches.fn_resolution_cache_mut().dict.len() <= MOST_FUNCTIONS {
            self.put(kept);
        }
        Ok(result)
    }

    fn take(&self) -> Option<Box<Kept>> {
        self.0.try_lock()?.take()
    }

    fn put(&self, kept: Box<Kept>) {
        if let Some(mut place) = self.0.try_lock() {
            *place = Some(kept);
        }
    }
}

impl Kept {
    fn new(state: &GlobalRuntimeState) -> Box<Self> {
        Box::new(Self {
            state: state.clone(),
            caches: Caches::new(),
            scope: Scope::new(),
        })
    }

    fn call(
        &mut self,
        engine: &Engine,
        fn_ptr: &FnPtr,
        this: Option<&mut Dynamic>,
        args: Vec<Dynamic>,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        self.state.num_operations = Default::default();
        let mut values = StaticVec::from(fn_ptr.curry());
        values.extend(args);
        let is_method = this.is_some();
        let mut args: StaticVec<_> = this.into_iter().chain(values.iter_mut()).collect();
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

    fn keeps(place: &Place) -> bool {
        place.0.lock().is_some()
    }

    #[test]
    fn a_call_finds_what_is_meant_for_its_values_however_often_it_is_called() {
        let (engine, state) = script("fn f(x) { x += x; x }");
        let (place, f) = (Place::default(), FnPtr::new("f").unwrap());
        for n in 1..5_i64 {
            let twice = place
                .call(&engine, &state, &f, None, vec![n.into()])
                .unwrap();
            assert_eq!(twice.as_int(), Ok(2 * n));
            let text = place
                .call(&engine, &state, &f, None, vec!["a".into()])
                .unwrap();
            assert_eq!(text.into_string().unwrap(), "aa");
            assert!(keeps(&place));
        }
    }

    #[test]
    fn nothing_is_kept_of_a_call_that_fails_or_makes_up_names() {
        let (engine, state) = script(
            r#"fn fail() { throw "x" }
            fn make_up(n) { for i in 0..2 * n { try { Fn(`f${i / 2}`).call() } catch {} } }"#,
        );
        let place = Place::default();
        let call = |name: &str, args| {
            let fn_ptr = FnPtr::new(name).unwrap();
            place.call(&engine, &state, &fn_ptr, None, args).map(drop)
        };
        call("make_up", vec![10_i64.into()]).unwrap();
        assert!(keeps(&place));
        assert!(call("fail", vec![]).is_err());
        assert!(!keeps(&place));
        call("make_up", vec![2000_i64.into()]).unwrap();
        assert!(!keeps(&place));
    }
}
