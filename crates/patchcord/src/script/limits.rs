//! What a script may use up: the limits that a host gives its scripts.

use std::time::Duration;

use rhai::Dynamic;

use super::meter;
use crate::value;

/// With what its closures have captured a value may hold so many times what it may hold by itself.
pub(super) const CAPTURED: usize = 2;

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
    /// Arrays and maps one inside the other in what a client sends and in JSON texts; at most 120.
    pub nesting: usize,
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
        if meter::is_measured() {
            let unseen = value.saturating_mul(meter::MEMORY_EVERY as usize);
            return self.call_memory.saturating_add(unseen);
        }
        let variables = self.variables.saturating_mul(self.call_levels);
        value
            .saturating_mul(variables)
            .saturating_add(self.produced)
    }

    /// The most bytes of one value, with what its closures have captured.
    fn largest_value(&self) -> usize {
        let text = self.string_size.saturating_mul(CAPTURED);
        let elements = self.array_size.saturating_mul(CAPTURED);
        text.saturating_add(elements.saturating_mul(ELEMENT))
            .saturating_add(self.map_size.saturating_mul(KEY))
    }

    /// What a client may send is what a script may hold.
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
