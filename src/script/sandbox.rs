//! The engine that all scripts of a host share: Rhai with limits, without what could stop or hang the process.

use std::time::Duration;

use rhai::{Dynamic, Engine, EvalAltResult, FLOAT, INT, ImmutableString, OptimizationLevel};

use super::{budget, compile};

/// What a script may use up. Every limit ends the one call that passes it, with an error that names the place.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Operations of one call, those in callbacks included.
    pub operations: u64,
    /// Wall clock of one call.
    pub time: Duration,
    /// Nested calls of script functions.
    pub call_levels: usize,
    /// Nesting of expressions at top level and in functions.
    pub expression_depth: usize,
    /// Bytes of one string.
    pub string_size: usize,
    /// Elements of one array, and bytes of one blob.
    pub array_size: usize,
    /// Keys of one map.
    pub map_size: usize,
    /// Variables in scope of one function.
    pub variables: usize,
    /// Functions and closures of one file.
    pub functions: usize,
    /// Files that one script imports, directly or not.
    pub modules: usize,
    /// Listeners that one socket may have.
    pub listeners: usize,
    /// Timers that one socket may have at a time.
    pub timers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            operations: 1_000_000,
            time: Duration::from_millis(50),
            call_levels: 32,
            expression_depth: 64,
            string_size: 1 << 20,
            array_size: 10_000,
            map_size: 10_000,
            variables: 128,
            functions: 1_000,
            modules: 64,
            listeners: 1_000,
            timers: 100,
        }
    }
}

/// Variables that exist without being declared, and values that are handles.
///
/// A handle is captured by a closure as itself and never as a shared variable: Rhai refuses a method call on a
/// shared variable whose argument is a closure over the same variable, which is how everybody writes
/// `socket.on("x", || socket.emit("y"))`.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Globals {
    /// The value of a global name, for the call that is running.
    pub resolve: fn(&str) -> Option<Dynamic>,
    /// Whether a value is a handle.
    pub is_handle: fn(&Dynamic) -> bool,
}

impl Globals {
    /// Both answers in one value.
    pub const fn new(
        resolve: fn(&str) -> Option<Dynamic>,
        is_handle: fn(&Dynamic) -> bool,
    ) -> Self {
        Self { resolve, is_handle }
    }
}

/// An engine with Rhai's standard packages, `limits` in force, and `globals` known to every script.
pub fn engine(limits: &Limits, globals: Globals) -> Engine {
    let mut engine = Engine::new();
    limit(&mut engine, limits);
    // What is compiled is checked first, and optimized then.
    engine.set_optimization_level(OptimizationLevel::None);
    without_hazards(&mut engine, limits.string_size);
    engine.set_module_resolver(compile::Loaded);
    engine.on_progress(|_| budget::spend().map(Dynamic::from));
    resolve_variables(&mut engine, globals);
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
        // One lock for all strings, which sleeps when it is contended.
        .set_max_strings_interned(0);
}

/// `eval` and `curry` can end the process by recursion or by a chain of closures, `sleep` blocks a thread, and
/// `replace` allocates its result before its size is checked.
fn without_hazards(engine: &mut Engine, max_string: usize) {
    engine.disable_symbol("eval").disable_symbol("curry");
    // Rhai's own waits for ever on a map that captured itself.
    engine.register_fn(
        "to_json",
        |map: &mut rhai::Map| -> Result<String, Box<EvalAltResult>> {
            let text = crate::value::to_json(&Dynamic::from_map(map.clone()));
            text.map_err(|error| error.to_string().into())
        },
    );
    engine.register_fn("sleep", |_: INT| -> Fallible {
        Err("a script cannot sleep".into())
    });
    engine.register_fn("sleep", |_: FLOAT| -> Fallible {
        Err("a script cannot sleep".into())
    });
    engine.register_fn(
        "replace",
        move |text: &mut ImmutableString, find: &str, with: &str| {
            replace(text, find, with, max_string)
        },
    );
    engine.register_fn(
        "replace",
        move |text: &mut ImmutableString, find: char, with: char| {
            replace(
                text,
                find.encode_utf8(&mut [0; 4]),
                with.encode_utf8(&mut [0; 4]),
                max_string,
            )
        },
    );
    engine.register_fn(
        "replace",
        move |text: &mut ImmutableString, find: &str, with: char| {
            replace(text, find, with.encode_utf8(&mut [0; 4]), max_string)
        },
    );
    engine.register_fn(
        "replace",
        move |text: &mut ImmutableString, find: char, with: &str| {
            replace(text, find.encode_utf8(&mut [0; 4]), with, max_string)
        },
    );
}

type Fallible = Result<(), Box<EvalAltResult>>;

fn replace(text: &mut ImmutableString, find: &str, with: &str, max: usize) -> Fallible {
    let matches = text.matches(find).count();
    let size = text
        .len()
        .saturating_sub(matches.saturating_mul(find.len()))
        .saturating_add(matches.saturating_mul(with.len()));
    if size > max {
        let what = "Length of string".to_owned();
        return Err(EvalAltResult::ErrorDataTooLarge(what, rhai::Position::NONE).into());
    }
    *text = text.replace(find, with).into();
    Ok(())
}

/// Rhai asks here at every access to a variable. A value given back is read-only and is not made shared when a
/// closure captures it.
#[allow(
    deprecated,
    reason = "`on_var` is marked volatile, not deprecated, and there is no other way"
)]
fn resolve_variables(engine: &mut Engine, globals: Globals) {
    engine.on_var(move |name, _, context| {
        if let Some(value) = context.scope().get(name) {
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
