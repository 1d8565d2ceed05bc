//! Options of hosts in tests.

use std::time::Duration;

use patchcord::{Options, script::Limits};

use super::server::TEST_TIMEOUT;

/// Returns options with high limits, because unoptimized builds are slow and these tests are not about time.
pub(crate) fn patient() -> Options {
    let mut options = patchcord::testing::options();
    options.limits.time = TEST_TIMEOUT;
    options.limits.operations = 100_000_000;
    // A ping waits behind all packets that a polling client has not read yet, and no client answers the first one.
    options.transport.ping_interval = Duration::from_secs(3600);
    options.transport.ping_timeout = Duration::from_secs(3600);
    options
}

/// Sets a limit by its name.
pub(crate) fn lower(limits: &mut Limits, name: &str, number: &str) {
    let number: usize = number.parse().unwrap();
    let field = match name {
        "operations" => return limits.operations = number as u64,
        "milliseconds" => return limits.time = Duration::from_millis(number as u64),
        "string_size" => &mut limits.string_size,
        "array_size" => &mut limits.array_size,
        "map_size" => &mut limits.map_size,
        "nesting" => &mut limits.nesting,
        "variables" => &mut limits.variables,
        "functions" => &mut limits.functions,
        "modules" => &mut limits.modules,
        "listeners" => &mut limits.listeners,
        "timers" => &mut limits.timers,
        "produced" => &mut limits.produced,
        "call_memory" => &mut limits.call_memory,
        "socket_data" => &mut limits.socket_data,
        "io_data" => &mut limits.io_data,
        "rooms" => &mut limits.rooms,
        "presence_keys" => &mut limits.presence_keys,
        "presence" => &mut limits.presence,
        "acks" => &mut limits.acks,
        "pending_calls" => &mut limits.pending_calls,
        other => panic!("no such limit: {other}"),
    };
    *field = number;
}
