//! Assembles an engine: the sandbox, the functions of the host and of the application, and the symbols that checks and
//! editors need.
//!
//! In: limits, and functions that register what scripts can call. Out: an engine, and its symbols ([`SymbolTable`]).
//!
//! Invariant: every engine that reads scripts is assembled here, so that a script has the same meaning for the host,
//! its tests, the REPL and an editor.

use rhai::{Engine, Module};

use super::{
    cron::{cron_problem, zone_problem},
    library::pattern_problem,
    limits::Limits,
    sandbox::{self, Globals},
    symbols::{ArgumentCheck, SymbolTable},
    tokens,
    vocabulary::Vocabulary,
};
use crate::diagnostic::Diagnostic;

/// Builder of an engine. The engine runs code only within the budget of a call, such as that of a
/// [`Handler`](super::Handler). Outside a call it only compiles, and lists its functions.
///
/// ```
/// use patchcord::script::{EngineBuilder, Limits};
///
/// let (engine, _known) = EngineBuilder::new(&Limits::default())
///     .register(|engine| { engine.register_fn("twice", |n: i64| 2 * n); })
///     .build();
/// assert!(engine.gen_fn_signatures(false).iter().any(|function| function.starts_with("twice(")));
/// assert!(engine.compile("twice(21").is_err());
/// ```
#[derive(Debug)]
pub struct EngineBuilder {
    engine: Engine,
    globals: Globals,
    vocabulary: Vocabulary,
    checks: Vec<(&'static str, ArgumentCheck)>,
}

impl EngineBuilder {
    /// Creates a builder of an engine that enforces `limits`, with Rhai's standard packages, without their dangerous
    /// functions.
    pub fn new(limits: &Limits) -> Self {
        Self {
            engine: sandbox::engine(limits),
            globals: Globals::NONE,
            vocabulary: Vocabulary::NONE,
            checks: vec![
                ("re", ArgumentCheck::new(pattern_check)),
                ("cron", ArgumentCheck::new(cron_check)),
            ],
        }
    }

    /// Sets the global names and the handles. By default there are none.
    #[must_use]
    pub fn globals(mut self, globals: Globals) -> Self {
        self.globals = globals;
        self
    }

    /// Sets what the checks know in addition to the registered functions. By default, they know nothing else.
    #[must_use]
    pub fn vocabulary(mut self, vocabulary: Vocabulary) -> Self {
        self.vocabulary = vocabulary;
        self
    }

    /// Adds the functions that `register` registers.
    #[must_use]
    pub fn register(mut self, register: impl FnOnce(&mut Engine)) -> Self {
        register(&mut self.engine);
        self
    }

    /// Adds functions that scripts call without a namespace.
    #[must_use]
    pub fn functions(self, functions: Module) -> Self {
        self.register(|engine| {
            engine.register_global_module(functions.into());
        })
    }

    /// Adds functions that scripts call as `name::function(...)`. They replace those of an earlier module with the same
    /// name, together with the checks of their calls.
    #[must_use]
    pub fn module(mut self, name: &str, functions: Module) -> Self {
        let is_in = |function: &str| function.split_once("::").is_some_and(|(of, _)| of == name);
        self.checks.retain(|(function, _)| !is_in(function));
        self.register(|engine| {
            engine.register_static_module(name, functions.into());
        })
    }

    /// Adds a check of the calls of a function, such as `http::get`, by their first argument.
    #[must_use]
    pub fn argument_check(mut self, function: &'static str, check: ArgumentCheck) -> Self {
        self.checks.push((function, check));
        self
    }

    /// Returns the engine and its symbols.
    pub fn build(self) -> (Engine, SymbolTable) {
        let Self {
            mut engine,
            globals,
            vocabulary,
            checks,
        } = self;
        sandbox::resolve_variables(&mut engine, globals);
        tokens::record(&mut engine);
        let mut known = SymbolTable::new(&engine, vocabulary);
        for (function, check) in checks {
            known.check_argument(function, check);
        }
        known.check_second_argument("cron", ArgumentCheck::new(zone_check));
        (engine, known)
    }
}

/// Returns the problem of a schedule of `cron`.
fn cron_check(expression: Option<&str>) -> Option<Diagnostic> {
    cron_problem(expression?).map(Diagnostic::error)
}

/// Returns the problem of a time zone of `cron`.
fn zone_check(zone: Option<&str>) -> Option<Diagnostic> {
    zone_problem(zone?).map(Diagnostic::error)
}

/// Returns the problem of a pattern of `re`.
fn pattern_check(pattern: Option<&str>) -> Option<Diagnostic> {
    pattern_problem(pattern?).map(Diagnostic::error)
}
