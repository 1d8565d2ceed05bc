//! Timers of one socket, in the order in which they were set.

use std::{sync::Arc, time::Duration};

use tokio::{task::AbortHandle, time::Instant};

use super::MadeBy;
use crate::script::{Handler, Version};

/// First number of the timers that handlers set; those of `on_connection` are numbered from 0. By these numbers the new
/// code's timers find the live ones.
const FIRST_LATE: u32 = 1 << 24;

/// One timer.
#[derive(Debug)]
struct Timer {
    number: u32,
    handler: Arc<Handler>,
    delay: Duration,
    repeats: bool,
    due: Instant,
    /// The timer has fired for its only time, or was cleared.
    gone: bool,
    task: Option<AbortHandle>,
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Timers in the order in which they were set.
#[derive(Debug, Default)]
pub struct Timers {
    list: Vec<Timer>,
    own: u32,
    late: u32,
}

impl Timers {
    /// Sets a timer, and returns its number. The timer does not run before it is started.
    pub fn set(
        &mut self,
        handler: Arc<Handler>,
        delay: Duration,
        repeats: bool,
        made_by: MadeBy,
    ) -> u32 {
        let number = match made_by {
            MadeBy::Connection => self.own,
            MadeBy::Handler => FIRST_LATE + self.late,
        };
        match made_by {
            MadeBy::Connection => self.own += 1,
            MadeBy::Handler => self.late += 1,
        }
        let due = Instant::now() + delay;
        self.list.push(Timer {
            number,
            handler,
            delay,
            repeats,
            due,
            gone: false,
            task: None,
        });
        number
    }

    /// Returns how many timers may still fire.
    pub fn len(&self) -> usize {
        self.list.iter().filter(|timer| !timer.gone).count()
    }

    /// Returns whether no timer may still fire.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Clears a timer, if it has not fired for its only time.
    pub fn clear(&mut self, number: u32) {
        if let Some(timer) = self.list.iter_mut().find(|timer| timer.number == number) {
            timer.end();
        }
        self.sweep();
    }

    /// Removes and stops all timers; timers that are set later have other numbers.
    pub(super) fn end(&mut self) -> Self {
        let mut list = std::mem::take(&mut self.list);
        list.iter_mut().for_each(Timer::end);
        Self {
            list,
            ..Self::default()
        }
    }

    /// Starts the timers that do not run yet: `when_due` is called when one of them is due.
    pub(super) fn start(&mut self, when_due: &(impl FnOnce() + Clone + Send + 'static)) {
        for timer in self
            .list
            .iter_mut()
            .filter(|timer| !timer.gone && timer.task.is_none())
        {
            timer.start(when_due.clone());
        }
    }

    /// Returns the timers that are due, the earliest first, whichever task woke first.
    pub(super) fn due(&self) -> Vec<u32> {
        let now = Instant::now();
        let mut due: Vec<_> = self
            .list
            .iter()
            .filter(|timer| !timer.gone && timer.due <= now)
            .collect();
        due.sort_by_key(|timer| timer.due);
        due.into_iter().map(|timer| timer.number).collect()
    }

    /// Fires a timer that is due, and returns the handler to call.
    pub(super) fn fire(
        &mut self,
        number: u32,
        when_due: impl FnOnce() + Send + 'static,
    ) -> Option<Arc<Handler>> {
        let timer = self
            .list
            .iter_mut()
            .find(|timer| timer.number == number && !timer.gone)?;
        let handler = timer.handler.clone();
        if timer.repeats {
            // A late timer does not fire again for the times that it missed.
            timer.due = (timer.due + timer.delay).max(Instant::now());
            timer.start(when_due);
        } else {
            timer.end();
            self.sweep();
        }
        Some(handler)
    }

    /// Returns all closures.
    pub(super) fn handlers(&self) -> impl Iterator<Item = &Handler> {
        self.list.iter().map(|timer| &*timer.handler)
    }

    /// Returns the closures of `on_connection`'s timers, with the keys that identify them in every version.
    pub(super) fn keyed(&self) -> impl Iterator<Item = (String, Handler)> {
        let own = self.list.iter().filter(|timer| timer.number < FIRST_LATE);
        own.map(|timer| (format!("timer {}", timer.number), (*timer.handler).clone()))
    }

    /// Adopts the timers of the new code, whose closures are `handlers` now. A timer that is pending keeps its due
    /// time; one that has fired or was cleared stays so. Returns how many timers keep the old code.
    pub(super) fn adopt(
        &mut self,
        new: Self,
        handlers: Vec<Handler>,
        version: &Arc<Version>,
    ) -> usize {
        let (own, late): (Vec<_>, Vec<_>) = std::mem::take(&mut self.list)
            .into_iter()
            .partition(|timer| timer.number < FIRST_LATE);
        self.own = new.own;
        for (mut timer, handler) in new.list.into_iter().zip(handlers) {
            timer.handler = Arc::new(handler);
            if let Some(live) = own.iter().find(|live| live.number == timer.number) {
                timer.due = live.due;
                timer.gone = live.gone;
            }
            self.list.push(timer);
        }
        let mut keep_old = 0;
        for mut timer in late {
            let handler = (*timer.handler).clone().follow(version);
            keep_old += usize::from(!Arc::ptr_eq(handler.version(), version));
            timer.handler = Arc::new(handler);
            self.list.push(timer);
        }
        keep_old
    }

    fn sweep(&mut self) {
        self.list
            .retain(|timer| !timer.gone || timer.number < FIRST_LATE);
    }
}

impl Timer {
    fn start(&mut self, when_due: impl FnOnce() + Send + 'static) {
        let due = self.due;
        let task = tokio::spawn(async move {
            tokio::time::sleep_until(due).await;
            when_due();
        });
        self.task = Some(task.abort_handle());
    }

    fn end(&mut self) {
        self.gone = true;
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}
