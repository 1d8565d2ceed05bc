//! Timers: calls that run later.

use std::time::Duration;

use rhai::{
    EvalAltResult, FnPtr, INT, Module, NativeCallContext, combine_with_exported_module,
    plugin::export_module,
};

use super::{Fallible, operator::milliseconds, refuse, turn};
use crate::{
    connection::RegisteredBy,
    script::{Handler, TimerHandle},
};

/// Minimum delay of a timer, as in Node.
const SOONEST: Duration = Duration::from_millis(1);

pub(super) fn register(module: &mut Module) {
    module.set_custom_type::<TimerHandle>("Timer");
    combine_with_exported_module!(module, "timers", functions);
}

fn set(word: &str, context: &NativeCallContext<'_>, call: FnPtr, ms: INT) -> Fallible<TimerHandle> {
    let turn = turn(word)?;
    let Some(handler) = Handler::new(call, context) else {
        return refuse(format!("`{word}` works in script calls only"));
    };
    let limit = handler.version().limits().timers;
    let (delay, repeats) = (milliseconds(ms).max(SOONEST), word == "set_interval");
    let whose = match turn.connection.socket() {
        Some(_) => "socket",
        None => "namespace",
    };
    let full = || {
        refuse(format!(
            "this {whose} has {limit} timers, which is the limit"
        ))
    };
    if let Some(draft) = turn.draft {
        let timers = &mut draft.registered().timers;
        if timers.len() >= limit {
            return full();
        }
        return Ok(TimerHandle::new(timers.set(
            handler.into(),
            delay,
            repeats,
            RegisteredBy::Connection,
        )));
    }
    if turn.connection.timer_count() >= limit {
        return full();
    }
    Ok(TimerHandle::new(
        turn.connection.set_timer(handler, delay, repeats),
    ))
}

fn clear(word: &str, timer: TimerHandle) -> Fallible {
    let turn = turn(word)?;
    match turn.draft {
        Some(draft) => draft
            .registered()
            .timers
            .clear(timer.0, RegisteredBy::Connection),
        None => turn.connection.clear_timer(timer.0),
    }
    Ok(())
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Calls `closure` once, `ms` milliseconds from now. The timer ends with its connection. A timer that `on_load`
    /// sets ends with its namespace, or when an edit removes the code that sets it.
    ///
    /// ```rhai
    /// set_timeout(|| { socket.emit("tip", "press / for commands"); }, 5000);
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn set_timeout(
        context: NativeCallContext<'_>,
        closure: FnPtr,
        ms: INT,
    ) -> Result<TimerHandle, Box<EvalAltResult>> {
        set("set_timeout", &context, closure, ms)
    }

    /// Calls `closure` every `ms` milliseconds until the timer is cleared or its connection ends.
    ///
    /// ```rhai
    /// let ticks = 0;
    /// set_interval(|| { ticks += 1; socket.emit("tick", ticks); }, 1000);
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn set_interval(
        context: NativeCallContext<'_>,
        closure: FnPtr,
        ms: INT,
    ) -> Result<TimerHandle, Box<EvalAltResult>> {
        set("set_interval", &context, closure, ms)
    }

    /// Clears a timer of `set_timeout`, if it has not fired yet.
    ///
    /// ```rhai
    /// let idle = set_timeout(|| { socket.disconnect(); }, 60000);
    /// socket.on_any(|event, args| { clear_timeout(idle); });
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn clear_timeout(timer: TimerHandle) -> Result<(), Box<EvalAltResult>> {
        clear("clear_timeout", timer)
    }

    /// Clears a timer of `set_interval`.
    ///
    /// ```rhai
    /// let clock = set_interval(|| { socket.emit("tick"); }, 1000);
    /// socket.on("stop", || { clear_interval(clock); });
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn clear_interval(timer: TimerHandle) -> Result<(), Box<EvalAltResult>> {
        clear("clear_interval", timer)
    }
}
