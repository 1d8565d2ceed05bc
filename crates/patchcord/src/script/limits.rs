//! Limits that a host sets for its scripts.

use std::time::Duration;

use rhai::Dynamic;
use serde::{Deserialize, Serialize};

use super::{InvalidOption, meter, option_value};
use crate::value;

/// Factor by which the limits are larger for a value that contains closures, because everything that the closures have
/// captured is counted too.
pub(super) const CAPTURED: usize = 2;

/// Maximum of [`Limits::call_levels`]: a larger number could overflow a thread stack of 8 MiB.
const MAX_CALL_LEVELS: usize = 64;
/// Maximum of [`Limits::expression_depth`], for the same reason.
const MAX_EXPRESSION_DEPTH: usize = 128;

/// Limits of a script. A call that exceeds a limit ends with an error that names the location; nothing else is
/// affected.
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
    /// Maximum number of operations in one call, including those in callbacks.
    pub operations: u64,
    /// Maximum wall-clock time of one call. A call that has executed few operations by then, and has not had the CPU
    /// for that long, was starved by others: it gets up to four times as much. A running native function is not
    /// interrupted.
    #[serde(with = "option_value::time")]
    pub time: Duration,
    /// Maximum depth of nested calls of script functions, which use the thread's stack; at most 64.
    pub call_levels: usize,
    /// Maximum nesting depth of expressions, at top level and in functions; at most 128.
    pub expression_depth: usize,
    /// Maximum size of one string, in bytes.
    pub string_size: usize,
    /// Maximum number of elements in one array, and of bytes in one blob.
    pub array_size: usize,
    /// Maximum number of keys in one map.
    pub map_size: usize,
    /// Maximum nesting depth of arrays and maps in data from clients and in JSON; at most 120.
    pub nesting: usize,
    /// Maximum number of variables in the scope of one function.
    pub variables: usize,
    /// Maximum number of functions and closures in one file.
    pub functions: usize,
    /// Maximum number of files that one script imports, directly or indirectly.
    pub modules: usize,
    /// Maximum number of listeners of one socket.
    pub listeners: usize,
    /// Maximum number of timers of one socket at a time.
    pub timers: usize,
    /// Maximum total size of the strings, arrays and maps that native functions produce for one call, in bytes,
    /// including those that are already freed.
    pub produced: usize,
    /// Maximum growth of memory during one call, in bytes, whatever allocates it. Enforced only if the application
    /// reports how much its threads have allocated: see [`set_memory_meter`](crate::set_memory_meter).
    pub call_memory: usize,
    /// Maximum size of `socket.data`, in bytes.
    pub socket_data: usize,
    /// Maximum size of `io.data`, in bytes.
    pub io_data: usize,
    /// Maximum number of rooms of one socket.
    pub rooms: usize,
    /// Maximum number of keys that one socket holds with `socket.present`.
    pub presence_keys: usize,
    /// Maximum size of all keys and metas of `socket.present` in one namespace, in bytes.
    pub presence: usize,
    /// Maximum number of acks for which closures of one socket wait at a time.
    pub acks: usize,
    /// Maximum number of calls of asynchronous functions, such as `http::get`, for whose results the closures of one
    /// socket wait at a time.
    pub pending_calls: usize,
}

/// Size in bytes of an element in an array that has grown, and now has twice the capacity that it needs.
const ELEMENT: usize = 2 * size_of::<Dynamic>();
/// Size in bytes of a key in a map whose nodes are half full, without the text of the key.
const KEY: usize = 2 * size_of::<(rhai::Identifier, Dynamic)>();

impl Limits {
    /// Returns the maximum memory that one call can use, in bytes: [`call_memory`](Self::call_memory), and what the
    /// call can allocate between two checks of this limit.
    ///
    /// If memory is not measured, this is the memory that the call's variables can use (the maximum number of
    /// variables, at each call level, each with the largest possible value), and what native functions produce.
    /// Intermediate values of expressions come on top of that. In practice, the time limit of a call keeps its memory
    /// far below.
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
        // For most of these limits, Rhai interprets 0 as unlimited.
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

    /// Returns the maximum size of one value, in bytes, including everything that its closures have captured.
    fn largest_value(&self) -> usize {
        let text = self.string_size.saturating_mul(CAPTURED);
        let elements = self.array_size.saturating_mul(CAPTURED);
        text.saturating_add(elements.saturating_mul(ELEMENT))
            .saturating_add(self.map_size.saturating_mul(KEY))
    }

    /// Returns the limits for data from clients, which are the same as for values of scripts.
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
            presence_keys: 100,
            presence: 16 << 20,
            acks: 1_000,
            pending_calls: 32,
        }
    }
}
