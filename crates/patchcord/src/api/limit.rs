//! `limit::allow`: how often a script lets somebody do something.

use std::time::Duration;

use rhai::{
    Engine, EvalAltResult, INT, Module, NativeCallContext, combine_with_exported_module,
    plugin::export_module,
};

use super::{Outside, refuse, turn};
use crate::script::{placed, produce};

/// Maximum length of a key, in bytes.
const MAX_KEY: usize = 256;
/// Maximum number of times.
const MAX_TIMES: INT = 1_000_000;
/// Maximum length of a period in milliseconds: a week.
const MAX_PERIOD: INT = 7 * 24 * 60 * 60 * 1_000;

pub(super) fn register(engine: &mut Engine) {
    let mut module = Module::new();
    combine_with_exported_module!(&mut module, "limit", functions);
    engine.register_static_module("limit", module.into());
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Returns `true` if a key may be used, and counts the use. The limit is a token bucket: after a burst of `times`
    /// uses, a further use is allowed every `per_ms / times` milliseconds. All namespaces of the host share the keys, so that a limit can apply to a user with several
    /// connections. The host keeps at most 100,000 keys of at most 256 bytes, and forgets the least busy ones first.
    /// In Node a library does this, such as rate-limiter-flexible. `--max-events-per-second` limits all events of a
    /// client.
    ///
    /// ```rhai
    /// socket.on("chat message", |text| {
    ///     if !limit::allow(`message ${socket.id}`, 5, 10_000) { return #{ error: "you are too fast" }; }
    ///     io.emit("chat message", text);
    ///     #{ ok: true }
    /// });
    /// ```
    #[rhai_fn(volatile, return_raw)]
    pub(crate) fn allow(
        context: NativeCallContext<'_>,
        key: &str,
        times: INT,
        per_ms: INT,
    ) -> Result<bool, Box<EvalAltResult>> {
        placed(&context, || {
            if key.len() > MAX_KEY {
                return refuse(format!(
                    "`limit::allow` takes a key of at most {MAX_KEY} bytes"
                ));
            }
            if !(1..=MAX_TIMES).contains(&times) {
                return refuse(format!(
                    "`limit::allow` takes 1 to {MAX_TIMES} times, and got {times}"
                ));
            }
            if !(1..=MAX_PERIOD).contains(&per_ms) {
                return refuse(format!(
                    "`limit::allow` takes a period of 1 to {MAX_PERIOD} ms, and got {per_ms}"
                ));
            }
            produce(key.len())?;
            let turn = turn("limit::allow")?;
            let times = u32::try_from(times).unwrap_or(u32::MAX);
            let period = Duration::from_millis(per_ms.unsigned_abs());
            Outside::draw("limit::allow", &context, (key, times, per_ms)).read(|| {
                // A draft uses nothing up.
                Ok(turn.draft.is_some()
                    || turn
                        .connection
                        .namespace()
                        .driver()
                        .allow(key, times, period))
            })
        })
    }
}
