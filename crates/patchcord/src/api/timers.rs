//! Timers: calls that run later.

use std::{sync::Arc, time::Duration};

use rhai::{
    EvalAltResult, FnPtr, INT, Module, NativeCallContext, combine_with_exported_module,
    plugin::export_module,
};

use super::{Fallible, operator::milliseconds, refuse, turn};
use crate::{
    connection::{Period, RegisteredBy, Turn},
    script::{Cron, Handler, TimerHandle, placed, produce},
    value::register_type,
};

/// Minimum delay of a timer, as in Node.
const SOONEST: Duration = Duration::from_millis(1);

pub(super) fn register(module: &mut Module) {
    register_type::<TimerHandle>(module, "Timer", |timer| Some(INT::from(timer.0).into()));
    combine_with_exported_module!(module, "timers", functions);
}

fn set(word: &str, context: &NativeCallContext<'_>, call: FnPtr, ms: INT) -> Fallible<TimerHandle> {
    let period = Period::Delay(milliseconds(ms).max(SOONEST));
    start(word, context, call, (period, word == "set_interval"))
}

/// Sets a timer by a schedule. Only `on_load` can do this, and a handler that runs again and again cannot.
fn schedule(
    context: &NativeCallContext<'_>,
    expression: &str,
    zone: &str,
    call: FnPtr,
) -> Fallible<TimerHandle> {
    let current = Turn::current();
    let is_on_load = |turn: &Turn| turn.connection.socket().is_none() && Turn::is_taped();
    if !current.as_ref().is_some_and(is_on_load) {
        return refuse(
            "`cron` works in `on_load` only: a schedule belongs to the namespace, and not to a client",
        );
    }
    produce(expression.len() + zone.len())?;
    match Cron::new(expression, zone) {
        Ok(cron) => start("cron", context, call, (Period::Cron(Arc::new(cron)), true)),
        Err(problem) => refuse(problem),
    }
}

fn start(
    word: &str,
    context: &NativeCallContext<'_>,
    call: FnPtr,
    timing: (Period, bool),
) -> Fallible<TimerHandle> {
    let turn = turn(word)?;
    let Some(handler) = Handler::new(call, context) else {
        return refuse(format!("`{word}` works in script calls only"));
    };
    let limit = handler.version().limits().timers;
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
            timing,
            RegisteredBy::Connection,
            turn.connection.namespace().driver().clock(),
        )));
    }
    if turn.connection.timer_count() >= limit {
        return full();
    }
    Ok(TimerHandle::new(turn.connection.set_timer(handler, timing)))
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

    /// Calls `closure` at the times of a schedule in UTC. It works in `on_load` only. `expression` has five fields:
    /// minute (0-59), hour (0-23), day of the month (1-31), month (1-12 or `jan`-`dec`) and day of the week (0-7 or
    /// `sun`-`sat`; 0 and 7 are Sunday). A field is `*`, a number, a range (`1-5`), a step (`*/15`, `8-18/2`) or a list
    /// of these (`0,30`). If both kinds of days are restricted, one of them is enough. `@hourly`, `@daily`, `@weekly`,
    /// `@monthly` and `@yearly` are schedules too.
    ///
    /// A schedule counts as a timer: it continues across edits, an edit of the expression sets the next time anew, and
    /// `clear_interval` ends it. Each instance of a dynamic namespace has its own. If a call runs late, or the computer
    /// sleeps, the times that are missed run once. In a test, `advance_to` moves the clock. In Node, packages such as
    /// `node-cron` do this.
    ///
    /// ```rhai
    /// fn on_load() {
    ///     cron("0 3 * * *", || { io.data.remove("history"); });
    ///     cron("*/15 8-18 * * mon-fri", || { io.emit("tip", "stretch your legs"); });
    /// }
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn cron(
        context: NativeCallContext<'_>,
        expression: &str,
        closure: FnPtr,
    ) -> Result<TimerHandle, Box<EvalAltResult>> {
        placed(&context, || schedule(&context, expression, "UTC", closure))
    }

    /// Calls `closure` at the times of a schedule in a time zone from the IANA database. When clocks are put forward,
    /// the times that do not exist run once, at the moment of the change. When clocks are put back, an hour exists
    /// twice, and its times run in the first one. A schedule of every hour (`*`) runs in each hour that passes.
    ///
    /// ```rhai
    /// fn on_load() { cron("30 8 * * mon", "Europe/Berlin", || { io.emit("good morning"); }); }
    /// ```
    #[rhai_fn(name = "cron", return_raw)]
    pub(crate) fn cron_in(
        context: NativeCallContext<'_>,
        expression: &str,
        zone: &str,
        closure: FnPtr,
    ) -> Result<TimerHandle, Box<EvalAltResult>> {
        placed(&context, || schedule(&context, expression, zone, closure))
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

    /// Clears a timer of `set_interval`, or a schedule of `cron`.
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
