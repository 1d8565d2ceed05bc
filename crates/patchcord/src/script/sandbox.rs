//! Sandbox that keeps scripts from stopping or hanging the process: the limits of an engine, the functions that are
//! removed from it, and the checks of values that a script reads.

use rhai::{Dynamic, Engine, EvalAltResult, EvalContext, OptimizationLevel, Scope};

use super::{bounded, budget, compile, last_use, library, limits::Limits, modules, nesting};

/// Variables that exist without a declaration, and values that are handles.
///
/// A closure captures a handle as a value and never as a shared variable: Rhai rejects a method call on a shared
/// variable if an argument is a closure over the same variable, and scripts commonly do this:
/// `socket.on("x", || socket.emit("y"))`.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Globals {
    /// Function that returns the value of a global name for the running call.
    pub resolve: fn(&str) -> Option<Dynamic>,
    /// Function that returns `true` for a handle.
    pub is_handle: fn(&Dynamic) -> bool,
}

impl Globals {
    /// No global names and no handles.
    pub const NONE: Self = Self::new(|_| None, |_| false);

    /// Creates globals from both functions.
    pub const fn new(
        resolve: fn(&str) -> Option<Dynamic>,
        is_handle: fn(&Dynamic) -> bool,
    ) -> Self {
        Self { resolve, is_handle }
    }
}

/// Returns an engine with Rhai's standard packages and `limits` in force.
pub(super) fn engine(limits: &Limits) -> Engine {
    let mut engine = Engine::new();
    limit(&mut engine, limits);
    // Code is checked in its original form, and optimized later.
    engine.set_optimization_level(OptimizationLevel::None);
    without_hazards(&mut engine, limits);
    engine.set_module_resolver(modules::Loaded);
    engine.on_progress(|_| budget::spend().map(Dynamic::from));
    engine
}

fn limit(engine: &mut Engine, limits: &Limits) {
    engine
        .set_max_call_levels(limits.call_levels)
        .set_max_expr_depths(limits.expression_depth, limits.expression_depth)
        .set_max_string_size(limits.string_size)
        .set_max_array_size(limits.array_size)
        .set_max_map_size(limits.map_size)
        .set_max_variables(limits.variables)
        .set_max_functions(limits.functions)
        .set_max_modules(usize::MAX)
        // Interned strings share one lock, and threads sleep when they contend for it.
        .set_max_strings_interned(0);
}

/// Removes `eval` and `curry`, which can crash the process through recursion or through a chain of closures; see
/// [`bounded`] for the rest.
fn without_hazards(engine: &mut Engine, limits: &Limits) {
    engine.disable_symbol("eval").disable_symbol("curry");
    bounded::register(engine, limits);
    library::register(engine);
}

/// Makes `globals` available to every script.
///
/// Rhai calls the resolver at every access to a variable. A value that the resolver returns is read-only, and does not
/// become shared when a closure captures it.
#[allow(
    deprecated,
    reason = "`on_var` is marked volatile, not deprecated, and there is no other way"
)]
pub(super) fn resolve_variables(engine: &mut Engine, globals: Globals) {
    engine.on_var(move |name, back, mut context| {
        if nesting::is_looked_at() {
            check_value(name, &mut context)?;
        }
        if let Some(value) = variable(context.scope(), name, back) {
            if last_use::is_handed_over(value) {
                return Ok(context.scope_mut().get_mut(name).map(last_use::take));
            }
            let handle = (globals.is_handle)(value);
            return Ok(handle.then(|| value.flatten_clone()));
        }
        if name == compile::STATE_PROBE {
            compile::capture(context.global_runtime_state());
            return Ok(Some(Dynamic::UNIT));
        }
        Ok((globals.resolve)(name))
    });
}

/// Returns a variable by its index, which Rhai counts backwards from the last variable, or by its name if Rhai does not
/// know the index.
fn variable<'a>(scope: &'a Scope<'_>, name: &str, back: usize) -> Option<&'a Dynamic> {
    match back.checked_sub(1) {
        Some(newer) => scope.iter_raw().nth(newer).map(|(_, _, value)| value),
        None => scope.get(name),
    }
}

/// Ends a call that reads a variable whose value exceeds a limit. A value that is nested too deeply is cleared, because
/// the next call would read it again.
fn check_value(
    name: &str,
    context: &mut EvalContext<'_, '_, '_, '_, '_, '_>,
) -> Result<(), Box<EvalAltResult>> {
    let room = nesting::Room::new(context.engine());
    if let Some(this) = context.this_ptr_mut() {
        check(this, room)?;
    }
    match context.scope_mut().get_mut(name) {
        Some(value) => check(value, room),
        None => Ok(()),
    }
}

fn check(value: &mut Dynamic, room: nesting::Room) -> Result<(), Box<EvalAltResult>> {
    let Some(excess) = nesting::excess(value, room) else {
        return Ok(());
    };
    if excess == budget::DEPTH {
        nesting::empty(value);
    }
    Err(budget::ended(excess))
}
