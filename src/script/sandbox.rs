//! The engine that all scripts of a host share: Rhai with limits, without what could stop or hang the process.

use std::time::Duration;

use rhai::{Dynamic, Engine, EvalAltResult, EvalContext, OptimizationLevel, Scope};

use super::{bounded, budget, compile, nesting};
use crate::value;

/// What a script may use up. Every limit ends the one call that passes it, with an error that names the place.
///
/// ```
/// use patchcord::testing::{TestHost, options};
///
/// let mut options = options();
/// options.limits.operations = 1_000;
/// let script = "fn on_connection(socket) { socket.on(\"go\", || { let n = 0; loop { n += 1; } }); }";
/// let host = TestHost::build([("main.rhai", script)], |builder| builder.options(options));
/// host.connect("/")?.emit("go", ());
/// assert!(host.problems()[0].contains("main.rhai:1:"));
/// # Ok::<(), patchcord::testing::Refused>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Operations of one call, those in callbacks included.
    pub operations: u64,
    /// Wall clock of one call. One that has done very little by then, and has not had a processor for so long, has waited
    /// for others, and gets up to four times as much. A native function that runs is not interrupted.
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
    /// Bytes that native functions make for one call: strings, arrays and maps, those included that are dropped again.
    pub produced: usize,
    /// Bytes by which the memory of one call may grow, whatever takes them. Only a program that says how much its threads
    /// have allocated is held to it: see [`HostBuilder::memory_meter`](crate::HostBuilder::memory_meter).
    pub call_memory: usize,
    /// Bytes that `socket.data` holds.
    pub socket_data: usize,
    /// Bytes that `io.data` holds.
    pub io_data: usize,
    /// Rooms that one socket is in.
    pub rooms: usize,
    /// Answers that the closures of one socket wait for at a time.
    pub acks: usize,
}

/// What an element takes in an array that has grown, which has room for as many again.
const ELEMENT: usize = 2 * size_of::<Dynamic>();
/// What a key takes in a map whose nodes are half full, beside its text.
const KEY: usize = 2 * size_of::<(rhai::Identifier, Dynamic)>();

impl Limits {
    /// The most bytes of memory that one call can take: [`call_memory`](Self::call_memory), and what it can make from one
    /// look at it to the next.
    ///
    /// Where that is not measured, what its variables can take: as many as there may be, at each level of calls, each with
    /// the largest value there may be, and what native functions make. Values that an expression makes on its way come on
    /// top of that. The time of a call keeps it far below.
    #[must_use]
    pub fn memory_of_a_call(&self) -> usize {
        let value = self.largest_value();
        if budget::is_measured() {
            let unseen = value.saturating_mul(budget::MEMORY_EVERY as usize);
            return self.call_memory.saturating_add(unseen);
        }
        let variables = self.variables.saturating_mul(self.call_levels);
        value
            .saturating_mul(variables)
            .saturating_add(self.produced)
    }

    /// The most bytes of one value, with what its closures have captured.
    fn largest_value(&self) -> usize {
        let text = self.string_size.saturating_mul(nesting::CAPTURED);
        let elements = self.array_size.saturating_mul(nesting::CAPTURED);
        text.saturating_add(elements.saturating_mul(ELEMENT))
            .saturating_add(self.map_size.saturating_mul(KEY))
    }

    /// What a client may send is what a script may hold.
    pub(crate) fn decoding(&self) -> value::Limits {
        value::Limits {
            max_string: self.string_size,
            max_array: self.array_size,
            max_map: self.map_size,
            ..value::Limits::default()
        }
    }
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
            produced: 64 << 20,
            call_memory: 64 << 20,
            socket_data: 1 << 20,
            io_data: 16 << 20,
            rooms: 1_000,
            acks: 1_000,
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
    without_hazards(&mut engine, limits);
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

/// `eval` and `curry` can end the process by recursion or by a chain of closures; see [`bounded`] for the rest.
fn without_hazards(engine: &mut Engine, limits: &Limits) {
    engine.disable_symbol("eval").disable_symbol("curry");
    bounded::register(engine, limits);
}

/// Rhai asks here at every access to a variable. A value given back is read-only and is not made shared when a
/// closure captures it.
#[allow(
    deprecated,
    reason = "`on_var` is marked volatile, not deprecated, and there is no other way"
)]
fn resolve_variables(engine: &mut Engine, globals: Globals) {
    engine.on_var(move |name, back, mut context| {
        if nesting::is_looked_at() {
            check_value(name, &mut context)?;
        }
        if let Some(value) = variable(context.scope(), name, back) {
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

/// A variable by its place, which Rhai counts back from the last one, or by its name where it does not know the place.
fn variable<'a>(scope: &'a Scope<'_>, name: &str, back: usize) -> Option<&'a Dynamic> {
    match back.checked_sub(1) {
        Some(newer) => scope.iter_raw().nth(newer).map(|(_, _, value)| value),
        None => scope.get(name),
    }
}

/// Ends a call that reads a variable whose value is more than it may be. One that is nested too deep is emptied, for it
/// would come back with the next call.
fn check_value(
    name: &str,
    context: &mut EvalContext<'_, '_, '_, '_, '_, '_>,
) -> Result<(), Box<EvalAltResult>> {
    let room = nesting::Room::of(context.engine());
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
