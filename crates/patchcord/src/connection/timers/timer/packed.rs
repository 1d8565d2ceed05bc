//! A timer as plain data, for another process. Its due time is a time of the wall clock.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use rhai::{Dynamic, INT};
use tokio::time::Instant;

use super::{Due, Timer};
use crate::{
    connection::{Clock, Period, RegisteredBy, period::milliseconds},
    script::{Packer, Unpacker},
};

impl Timer {
    /// Returns the timer as plain data; `None` if it has the code of an earlier version.
    pub(in crate::connection::timers) fn pack(&self, packer: &mut Packer<'_>) -> Option<Dynamic> {
        let due = match self.due {
            Due::Time(time) => time.as_millisecond(),
            Due::At(_) => {
                let now = self.clock.now().as_millisecond();
                let late = self.late(self.now()).map_or(0, milliseconds);
                now.saturating_add(milliseconds(self.due_in()))
                    .saturating_sub(late)
            }
        };
        Some(Dynamic::from_array(vec![
            INT::from(self.number).into(),
            self.made_by.pack(),
            packer.handler(&self.handler)?,
            self.period.pack(),
            self.repeats.into(),
            due.into(),
            self.gone.into(),
            self.cleared_at_once.into(),
        ]))
    }

    /// Returns the timer that [`Timer::pack`] has packed, which does not run; `None` if it is malformed.
    pub(in crate::connection::timers) fn unpack(
        packed: &Dynamic,
        unpacker: &Unpacker<'_>,
        clock: &Clock,
    ) -> Option<Self> {
        let packed = packed.as_array_ref().ok()?;
        let [
            number,
            made_by,
            handler,
            period,
            repeats,
            due,
            gone,
            cleared,
        ] = packed.as_slice()
        else {
            return None;
        };
        let period = Period::unpack(period)?;
        let time = Timestamp::from_millisecond(due.as_int().ok()?).unwrap_or(Timestamp::MAX);
        Some(Self {
            number: u32::try_from(number.as_int().ok()?).ok()?,
            made_by: RegisteredBy::unpack(made_by)?,
            handler: Arc::new(unpacker.handler(handler)?),
            due: match period {
                Period::Delay(_) => Due::At(moment(time, clock)),
                Period::Cron(_) => Due::Time(time),
            },
            period,
            repeats: repeats.as_bool().ok()?,
            clock: clock.clone(),
            gone: gone.as_bool().ok()?,
            cleared_at_once: cleared.as_bool().ok()?,
            task: None,
        })
    }
}

/// Returns the moment of a time, which may be in the past.
fn moment(time: Timestamp, clock: &Clock) -> Instant {
    let now = Instant::now();
    match Duration::try_from(clock.now().duration_since(time)) {
        Ok(late) => now.checked_sub(late).unwrap_or(now),
        Err(_) => now + clock.until(time),
    }
}
