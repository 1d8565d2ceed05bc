//! How much one script call may do, counted by the thread that runs it.
//!
//! Rhai asks `on_progress` at every operation, those inside callbacks included, and no `try` of a script can catch
//! the end of its budget. The clock is read at every 1024th operation only, because reading it costs more than an
//! operation does.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

const CLOCK_EVERY: u64 = 1024;

/// Why a call was ended, as the token of Rhai's `ErrorTerminated`.
pub(crate) const OPERATIONS: &str = "operations";
/// See [`OPERATIONS`].
pub(crate) const TIME: &str = "time";

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(0) };
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Starts the budget of a call; the guard gives back what was in force before.
pub(crate) fn start(operations: u64, time: Duration) -> Guard {
    let deadline = Instant::now().checked_add(time);
    Guard {
        left: LEFT.replace(operations),
        deadline: DEADLINE.replace(deadline),
    }
}

/// Counts one operation; `Some` names the budget that is used up.
pub(crate) fn spend() -> Option<&'static str> {
    let left = LEFT.get();
    if left == 0 {
        return Some(OPERATIONS);
    }
    LEFT.set(left - 1);
    if left.is_multiple_of(CLOCK_EVERY) && DEADLINE.get().is_some_and(|d| Instant::now() > d) {
        return Some(TIME);
    }
    None
}

pub(crate) struct Guard {
    left: u64,
    deadline: Option<Instant>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        LEFT.set(self.left);
        DEADLINE.set(self.deadline);
    }
}
