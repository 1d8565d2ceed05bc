//! Limits that a host sets for its scripts.

use std::time::Duration;

use rhai::Dynamic;
use serde::{Deserialize, Serialize};

use super::{InvalidOption, meter, option_value};
use crate::value;

/// Factor on the limits of a value that holds closures, counted with everything that the closures have captured.
pub(super) const CAPTURED: usize = 2;

/// Maximum of [`Limits::call_levels`]: more could use up the stack of a thread of 8 MiB.
const MAX_CALL_LEVELS: usize = 64;
/// Maximum of [`Limits::expression_depth`], for the same reason.
const MAX_EXPRESSION_DEPTH: usize = 128;

/// Limits of a script. Each limit ends only the call that exceeds it, with an error that names the place.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Limits {
    /// Maximum operations of one call, including those in callbacks.
    pub operations: u64,
    /// Maximum wall-clock time of one call. A call that has done very little by then, and has not had a processor for
    /// that long, was starved by others, and gets up to four times as much. A native function that runs is not
    /// interrupted.
    #[serde(with = "option_value::time")]
    pub time: Duration,
    /// Maximum depth of nested calls of script functions, which use the stack of a thread; at most 64.
    pub call_levels: usize,
    /// Maximum nesting of expressions, at top level and in functions; at most 128.
    pub expression_depth: usize,
    /// Maximum bytes of one string.
    pub string_size: usize,
    /// Maximum elements of one array, and maximum bytes of one blob.
    pub array_size: usize,
    /// Maximum keys of one map.
    pub map_size: usize,
    /// Maximum nesting of arrays and maps in data from clients and in JSON texts; at most 120.
    pub nesting: usize,
    /// Maximum variables in the scope of one function.
    pub variables: usize,
    /// Maximum functions and closures of one file.
    pub functions: usize,
    /// Maximum files that one script imports, directly or not.
    pub modules: usize,
    /// Maximum listeners of one socket.
    pub listeners: usize,
    /// Maximum timers of one socket at a time.
    pub timers: usize,
    /// Maximum bytes that native functions make for one call: strings, arrays and maps, including those that are
    /// dropped again.
    pub produced: usize,
    /// Maximum bytes by which the memory of one call may grow, whatever uses them. It is enforced only if the
    /// application reports how much its threads have allocated: see [`set_memory_meter`](crate::set_memory_meter).
    pub call_memory: usize,
    /// Maximum bytes of `socket.data`.
    pub socket_data: usize,
    /// Maximum bytes of `io.data`.
    pub io_data: usize,
    /// Maximum rooms that one socket is in.
    pub rooms: usize,
    /// Maximum acks that the closures of one socket wait for at a time.
    pub acks: usize,
}

/// Bytes of an element in an array that has grown and has room for as many elements again.
const ELEMENT: usize = 2 * size_of::<Dynamic>();
/// Bytes of a key in a map whose nodes are half full, without its text.
const KEY: usize = 2 * size_of::<(rhai::Identifier, Dynamic)>();

impl Limits {
    /// Returns the maximum bytes of memory that one call can use: [`call_memory`](Self::call_memory), and what the call
    /// can make between two checks of it.
    ///
    /// If memory is not measured, this is what its variables can use: the maximum number of variables, at each level of
    /// calls, each with the largest possible value, and what native functions make. Intermediate values of expressions
    /// come on top of that. In practice, the time limit of a call keeps its memory far below.
    #[must_use]
    pub fn memory_of_a_call(&self) -> usize {
        let value = self.largest_value();
        if meter::is_measured() {
            let unseen = value.saturating_mul(meter::MEMORY_EVERY as usize);
            return self.call_memory.saturating_add(unseen);
        }
        let variables = self.variables.saturating_mul(self.call_levels);
        value
            .saturating_mul(variables)
            .saturating_add(self.produced)
    }

    pub(crate) fn validate(&self) -> Result<(), InvalidOption> {
        let maxima = [
            ("limits.call_levels", self.call_levels, MAX_CALL_LEVELS),
            (
                "limits.expression_depth",
                self.expression_depth,
                MAX_EXPRESSION_DEPTH,
            ),
            ("limits.nesting", self.nesting, value::MAX_DEPTH),
        ];
        for (name, limit, maximum) in maxima {
            if limit > maximum {
                return Err(InvalidOption::new(
                    name,
                    format!("at most {maximum} is possible"),
                ));
            }
        }
        InvalidOption::check_times(&[("limits.time", self.time)])?;
        // Rhai takes 0 for no limit at all in most of them.
        InvalidOption::check_numbers(&[
            ("limits.operations", usize::from(self.operations > 0)),
            ("limits.call_levels", self.call_levels),
            ("limits.expression_depth", self.expression_depth),
            ("limits.string_size", self.string_size),
            ("limits.array_size", self.array_size),
            ("limits.map_size", self.map_size),
            ("limits.nesting", self.nesting),
            ("limits.variables", self.variables),
            ("limits.functions", self.functions),
            ("limits.produced", self.produced),
            ("limits.call_memory", self.call_memory),
        ])
    }

    /// Returns the maximum bytes of one value, with everything that its closures have captured.
    fn largest_value(&self) -> usize {
        let text = self.string_size.saturating_mul(CAPTURED);
        let elements = self.array_size.saturating_mul(CAPTURED);
        text.saturating_add(elements.saturating_mul(ELEMENT))
            .saturating_add(self.map_size.saturating_mul(KEY))
    }

    /// Returns the limits for data from clients: those of a script's values.
    pub(crate) fn decoding(&self) -> value::Limits {
        value::Limits {
            max_string: self.string_size,
            max_array: self.array_size,
            max_map: self.map_size,
            max_depth: self.nesting,
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
            nesting: 64,
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
