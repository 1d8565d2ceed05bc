//! One timer.

mod packed;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::{task::AbortHandle, time::Instant};

use crate::{
    connection::{Clock, Period, RegisteredBy, listeners::Changes, period::Due},
    script::Handler,
};

/// Current moment on the clock of timers, and current time on the wall clock.
pub(super) type Now = (Instant, Timestamp);

/// One timer.
#[derive(Debug)]
pub(super) struct Timer {
    pub(super) number: u32,
    pub(super) made_by: RegisteredBy,
    pub(super) handler: Arc<Handler>,
    pub(super) period: Period,
    pub(super) repeats: bool,
    due: Due,
    clock: Clock,
    /// `true` once the timer cannot fire again, because it was a one-shot timer that has fired, or because it was
    /// cleared.
    pub(super) gone: bool,
    /// `true` if `on_connection` itself cleared the timer.
    pub(super) cleared_at_once: bool,
    pub(super) task: Option<AbortHandle>,
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Timer {
    pub(super) fn new(
        (number, made_by): (u32, RegisteredBy),
        handler: Arc<Handler>,
        (period, repeats): (Period, bool),
        clock: &Clock,
    ) -> Self {
        let due = period.first(clock);
        Self {
            number,
            made_by,
            handler,
            period,
            repeats,
            due: due.unwrap_or(Due::Time(Timestamp::MAX)),
            clock: clock.clone(),
            gone: due.is_none(),
            cleared_at_once: false,
            task: None,
        }
    }

    /// Returns a copy that does not run, with another handler.
    pub(super) fn copy(&self, handler: Arc<Handler>) -> Self {
        Self {
            handler,
            period: self.period.clone(),
            clock: self.clock.clone(),
            task: None,
            ..*self
        }
    }

    pub(super) fn start(&mut self, when_due: impl FnOnce() + Send + 'static) {
        let (due, clock) = (self.due, self.clock.clone());
        let task = tokio::spawn(async move {
            match due {
                Due::At(moment) => tokio::time::sleep_until(moment).await,
                Due::Time(time) => clock.wait_until(time).await,
            }
            when_due();
        });
        self.task = Some(task.abort_handle());
    }

    /// Returns the time until the timer fires; zero if it is overdue.
    pub(super) fn due_in(&self) -> Duration {
        match self.due {
            Due::At(moment) => moment.saturating_duration_since(Instant::now()),
            Due::Time(time) => self.clock.until(time),
        }
    }

    /// Returns the current moment on the clock of timers, and the current time.
    pub(super) fn now(&self) -> Now {
        (Instant::now(), self.clock.now())
    }

    /// Returns the time since the timer was due; `None` if it is not due yet.
    pub(super) fn late(&self, (moment, time): Now) -> Option<Duration> {
        match self.due {
            Due::At(due) => moment.checked_duration_since(due),
            Due::Time(due) => Duration::try_from(time.duration_since(due)).ok(),
        }
    }

    /// Sets the next time of a timer that fires again. A late timer does not catch up on missed times. Returns `false`
    /// if a schedule has no further time.
    pub(super) fn set_next(&mut self) -> bool {
        let next = match (&self.period, self.due) {
            (Period::Delay(delay), Due::At(moment)) => {
                Some(Due::At((moment + *delay).max(Instant::now())))
            }
            // If the clock of the system was put back, the times up to the last call do not run again.
            (Period::Cron(cron), Due::Time(time)) => {
                cron.next(time.max(self.clock.now())).map(Due::Time)
            }
            (period, _) => period.first(&self.clock),
        };
        self.due = next.unwrap_or(self.due);
        next.is_some()
    }

    /// Adopts the schedule of an edited timer, or its fixed period in place of a schedule.
    pub(super) fn adopt_schedule(&mut self, edited: &Self) {
        let is_schedule = |timer: &Self| matches!(timer.period, Period::Cron(_));
        if (is_schedule(self) || is_schedule(edited)) && self.period != edited.period {
            self.period = edited.period.clone();
            (self.due, self.gone) = (edited.due, self.gone || edited.gone);
            self.stop();
        }
    }

    /// Adopts the edited period of an interval, counted from the last time it fired. A pending timeout keeps its due
    /// time.
    pub(super) fn change_period(&mut self, old: &Period, new: &Period) {
        let (Period::Delay(before), Period::Delay(now), Due::At(due)) = (old, new, self.due) else {
            return;
        };
        if self.repeats && self.period == *old && old != new {
            let last = due.checked_sub(*before).unwrap_or(due);
            self.due = Due::At((last + *now).max(Instant::now()));
            self.period = new.clone();
            self.stop();
        }
    }

    /// Adopts an edited function name: an interval that becomes a timeout fires once more, and a timeout that becomes
    /// an interval continues as an interval, even if it has already fired.
    pub(super) fn repeat(&mut self, repeats: bool) {
        if repeats && !self.repeats && self.gone {
            self.gone = false;
            self.due = self.period.first(&self.clock).unwrap_or(self.due);
        }
        self.repeats = repeats;
    }

    /// Clears or restores the timer, because the new code of `on_connection` clears it, or no longer does.
    pub(super) fn turn(&mut self, was_cleared: bool, is_cleared: bool) -> Changes {
        let mut changes = Changes::default();
        if !was_cleared && is_cleared && !self.gone {
            changes.removed += 1;
            self.end();
            self.cleared_at_once = true;
        }
        // A timer that a handler has cleared stays cleared, and one that has fired stays fired.
        if was_cleared && !is_cleared && self.cleared_at_once {
            changes.added += 1;
            (self.gone, self.cleared_at_once) = (false, false);
            self.due = self.period.first(&self.clock).unwrap_or(self.due);
        }
        changes
    }

    /// Returns `true` if the timer cannot fire again, but is remembered.
    pub(super) fn is_past(&self) -> bool {
        self.gone && self.made_by == RegisteredBy::Connection
    }

    /// Returns a hash that identifies the timer. An edit and its undo do not change the hash.
    pub(super) fn identity(&self) -> u64 {
        let texts = self.handler.captured_texts();
        self.handler.identity((&self.period, self.repeats, texts))
    }

    pub(super) fn end(&mut self) {
        self.gone = true;
        self.stop();
    }

    pub(super) fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        connection::Timers,
        script::{Code, Cron, EngineBuilder, Hook, Limits, Memory, Version},
    };

    /// Minute in milliseconds.
    const MINUTE: u64 = 60_000;

    fn cron(text: &str) -> Period {
        Period::Cron(Arc::new(Cron::new(text, "UTC").unwrap()))
    }

    fn handler() -> Arc<Handler> {
        let limits = Limits::default();
        let (engine, known) = EngineBuilder::new(&limits).build();
        let scripts = Memory::from([("main.rhai", "fn on_load() { }")]);
        let code = Code::load(
            &Arc::new(engine),
            &known,
            &limits,
            &scripts,
            "main.rhai",
            1,
            None,
        );
        let version = Arc::new(Version::from(code.unwrap()));
        Arc::new(Handler::of_hook(&version, Hook::Load).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn times_that_are_missed_run_once() {
        let clock = Clock::of_test();
        let _start = clock.now();
        let by = RegisteredBy::Handler;
        let mut timers = Timers::default();
        let hourly = timers.set(handler(), (cron("0 * * * *"), true), by, &clock);
        assert_eq!(timers.due(), [0; 0]);
        // Such as a computer that sleeps, or a call that takes long.
        tokio::time::advance(Duration::from_millis(330 * MINUTE)).await;
        assert_eq!(timers.due(), [hourly]);
        assert!(timers.fire(hourly, || ()).is_some());
        assert_eq!(timers.due(), [0; 0]);
        assert_eq!(timers.look()[0].due_in, Duration::from_millis(30 * MINUTE));
    }
}
