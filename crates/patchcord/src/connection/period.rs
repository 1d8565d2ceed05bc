//! Periods of timers, and the moments at which timers fire.

mod packed;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use rhai::INT;
use tokio::time::Instant;

use super::Clock;
use crate::script::Cron;

/// Time between two calls of a timer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(
    clippy::exhaustive_enums,
    reason = "every function that sets a timer has one of these"
)]
pub enum Period {
    /// A fixed time.
    Delay(Duration),
    /// The times of a schedule.
    Cron(Arc<Cron>),
}

impl Period {
    /// Returns the fixed time.
    pub(super) const fn delay(&self) -> Option<Duration> {
        match self {
            Self::Delay(delay) => Some(*delay),
            Self::Cron(_) => None,
        }
    }

    /// Returns the first moment from now on; `None` if a schedule has no further time.
    pub(super) fn first(&self, clock: &Clock) -> Option<Due> {
        match self {
            Self::Delay(delay) => Some(Due::At(Instant::now() + *delay)),
            Self::Cron(cron) => cron.next(clock.now()).map(Due::Time),
        }
    }
}

/// Moment at which a timer fires.
#[derive(Debug, Clone, Copy)]
pub(super) enum Due {
    /// Moment on the clock of timers.
    At(Instant),
    /// Time on the wall clock.
    Time(Timestamp),
}

/// Returns a duration in milliseconds.
pub(super) fn milliseconds(duration: Duration) -> INT {
    INT::try_from(duration.as_millis()).unwrap_or(INT::MAX)
}
