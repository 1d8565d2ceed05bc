//! Timers of one socket, in the order in which they were set.

mod timer;

use std::{cmp::Reverse, collections::HashMap, sync::Arc, time::Duration};

use rhai::{Array, Dynamic};

use self::timer::Timer;
use super::{
    Clock, Period, RegisteredBy,
    listeners::{Changes, Merging},
    pairs::{Entry, Past, numbered},
};
use crate::script::{Copies, Handler, Packer, Swap, Swapped, Unpacker, Use};

/// Copy of a timer that may still fire, for inspection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Pending {
    /// Closure of the timer.
    pub handler: Arc<Handler>,
    /// Time until the timer fires; zero if it is overdue.
    pub due_in: Duration,
    /// Period of the timer, if it repeats.
    pub period: Option<Duration>,
}

/// Timers in the order in which they were set.
#[derive(Debug, Default)]
pub struct Timers {
    list: Vec<Timer>,
    next: u32,
    /// Timers of `on_connection` that could not fire again when an edit removed them.
    fired: Past,
}

impl Timers {
    /// Sets a timer, and returns its number. The timer does not run until it is started.
    pub fn set(
        &mut self,
        handler: Arc<Handler>,
        (period, repeats): (Period, bool),
        made_by: RegisteredBy,
        clock: &Clock,
    ) -> u32 {
        let number = self.next_number();
        let timer = Timer::new((number, made_by), handler, (period, repeats), clock);
        self.list.push(timer);
        number
    }

    /// Returns copies of all timers. The copies do not run.
    pub(super) fn copy(&self, copies: &mut Copies) -> Self {
        let copy = |timer: &Timer| timer.copy(Arc::new(copies.handler(&timer.handler)));
        Self {
            list: self.list.iter().map(copy).collect(),
            next: self.next,
            fired: self.fired.clone(),
        }
    }

    /// Returns the timers as plain data; `None` if one of them has the code of an earlier version.
    pub(super) fn pack(&self, packer: &mut Packer<'_>) -> Option<Array> {
        self.list.iter().map(|timer| timer.pack(packer)).collect()
    }

    /// Returns the timers that [`Timers::pack`] has packed, which do not run; `None` if they are malformed. `next` is a
    /// number that no timer has had.
    pub(super) fn unpack(
        packed: &[Dynamic],
        next: u32,
        unpacker: &Unpacker<'_>,
        clock: &Clock,
    ) -> Option<Self> {
        let list = packed.iter().map(|one| Timer::unpack(one, unpacker, clock));
        Some(Self {
            list: list.collect::<Option<_>>()?,
            next,
            fired: Past::default(),
        })
    }

    /// Stops all timers, which keep their due times.
    pub(super) fn stop(&mut self) {
        self.list.iter_mut().for_each(Timer::stop);
    }

    /// Returns a number that no timer has had.
    pub(super) const fn next(&self) -> u32 {
        self.next
    }

    const fn next_number(&mut self) -> u32 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// Removes and returns all timers. Timers that are set later get other numbers.
    pub(super) fn take(&mut self) -> Self {
        Self {
            list: std::mem::take(&mut self.list),
            next: self.next,
            fired: std::mem::take(&mut self.fired),
        }
    }

    /// Returns copies of the timers that may still fire.
    pub(super) fn look(&self) -> Vec<Pending> {
        let pending = self.list.iter().filter(|timer| !timer.gone);
        let pending = pending.map(|timer| Pending {
            handler: timer.handler.clone(),
            due_in: timer.due_in(),
            period: timer.period.delay().filter(|_| timer.repeats),
        });
        pending.collect()
    }

    /// Returns the number of timers that may still fire.
    pub fn len(&self) -> usize {
        self.list.iter().filter(|timer| !timer.gone).count()
    }

    /// Returns `true` if no timer can fire any more.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Clears a timer. Has no effect on a timer that cannot fire again.
    pub fn clear(&mut self, number: u32, by: RegisteredBy) {
        if let Some(timer) = self.list.iter_mut().find(|timer| timer.number == number) {
            timer.cleared_at_once |= !timer.gone && by == RegisteredBy::Connection;
            timer.end();
        }
        self.sweep();
    }

    /// Starts the timers that are not running yet. `when_due` is called when one of them is due.
    pub(super) fn start(&mut self, when_due: &(impl FnOnce() + Clone + Send + 'static)) {
        for timer in self
            .list
            .iter_mut()
            .filter(|timer| !timer.gone && timer.task.is_none())
        {
            timer.start(when_due.clone());
        }
    }

    /// Returns the numbers of the timers that are due, the earliest first, regardless of the order in which their tasks
    /// woke.
    pub(super) fn due(&self) -> Vec<u32> {
        let Some(now) = self.list.first().map(Timer::now) else {
            return Vec::new();
        };
        let pending = self.list.iter().filter(|timer| !timer.gone);
        let due = pending.filter_map(|timer| Some((timer.late(now)?, timer.number)));
        let mut due: Vec<_> = due.collect();
        due.sort_by_key(|(late, _)| Reverse(*late));
        due.into_iter().map(|(_, number)| number).collect()
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
        if timer.repeats && timer.set_next() {
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

    /// Replaces the code of all timers, and removes those whose code has been removed. Returns the closures of the
    /// removed timers.
    pub(super) fn swap(&mut self, swap: &mut Swap<'_>) -> Vec<Handler> {
        let mut removed = Vec::new();
        let Self { list, fired, .. } = self;
        list.retain_mut(|timer| {
            let handler = match swap.handler(&timer.handler, Use::Timer) {
                Swapped::Replaced(handler, rewritten) => {
                    if let Some(word) = rewritten.word {
                        timer.repeat(word != "set_timeout");
                    }
                    if let Some((old, new)) = rewritten.period {
                        timer.change_period(&milliseconds(old), &milliseconds(new));
                    }
                    handler
                }
                Swapped::Unchanged(handler) => handler,
                Swapped::Removed(handler) => {
                    fired.remember(timer.is_past(), || timer.identity());
                    removed.push(handler);
                    return false;
                }
            };
            timer.handler = Arc::new(handler);
            true
        });
        removed
    }

    /// Returns a map from the numbers of a draft's timers to the numbers of their counterparts here, found by their
    /// keys. A timer without a counterpart gets a new number if `is_added` returns `true`, and otherwise a number that
    /// no timer has.
    pub(super) fn numbers_of(
        &mut self,
        keys: &[String],
        draft: &Self,
        is_added: impl Fn(&String) -> bool,
    ) -> HashMap<u32, u32> {
        let live = self.list.iter().map(|timer| timer.number);
        let live: HashMap<_, _> = self.keys().into_iter().zip(live).collect();
        let mut numbers = HashMap::new();
        for (key, timer) in keys.iter().zip(&draft.list) {
            let here = match live.get(key) {
                Some(number) => *number,
                None if is_added(key) => self.next_number(),
                None => u32::MAX - timer.number,
            };
            numbers.insert(timer.number, here);
        }
        numbers
    }

    /// Merges three states: *base* is what the old code of `on_connection` sets, *new* is what the new code sets, and
    /// *live* is `self`. *Base* has, by key, the period of each timer, and `true` if the old code clears the timer. The
    /// timers of *new* have the closures `handlers`, the numbers `numbers`, and the keys `wanted`, which pair them with
    /// *base*. Only a difference between *base* and *new* adds or removes a timer; with [`Merging::Again`], none is
    /// removed. A pending timer keeps its due time.
    /// Returns the changes, and the closures of the removed timers.
    pub(super) fn merge(
        &mut self,
        base: &HashMap<String, (Period, bool)>,
        (wanted, new): (&[String], Self),
        handlers: Vec<Handler>,
        numbers: &HashMap<u32, u32>,
        merging: Merging,
    ) -> (Changes, Vec<Handler>) {
        let list = std::mem::take(&mut self.list);
        let mut live: Vec<_> = keys_of(&list).into_iter().zip(list).collect();
        let (mut changes, mut gone) = (Changes::default(), Vec::new());
        live.retain(|(key, timer)| {
            let is_dropped = merging.removes() && base.contains_key(key) && !wanted.contains(key);
            if is_dropped {
                self.fired.remember(timer.is_past(), || timer.identity());
                changes.removed += usize::from(!timer.gone);
                gone.push((*timer.handler).clone());
            }
            !is_dropped
        });
        for ((key, mut timer), handler) in wanted.iter().zip(new.list).zip(handlers) {
            let handler = Arc::new(handler);
            let before = base.get(key);
            if let Some(nth) = live.iter().position(|(live, _)| live == key) {
                let (_, mut live) = live.remove(nth);
                live.handler = handler;
                live.made_by = timer.made_by;
                live.adopt_schedule(&timer);
                live.repeat(timer.repeats);
                if let Some((before, was_cleared)) = before {
                    live.change_period(before, &timer.period);
                    changes.add(live.turn(*was_cleared, timer.gone));
                }
                self.list.push(live);
            } else if before.is_none() {
                timer.number = numbers.get(&timer.number).copied().unwrap_or(timer.number);
                timer.handler = handler;
                timer.stop();
                timer.gone = timer.gone || self.fired.forget(|| timer.identity());
                changes.added += usize::from(!timer.gone);
                self.list.push(timer);
            }
        }
        self.list.extend(live.into_iter().map(|(_, timer)| timer));
        (changes, gone)
    }

    /// Removes and returns the timers that `on_reload` set in `run`. Also returns the keys of the timers of its
    /// previous run, with their delays; those timers are not removed.
    pub(super) fn take_reloaded(&mut self, run: u32) -> (HashMap<String, (Period, bool)>, Self) {
        let list = std::mem::take(&mut self.list);
        let (fresh, live): (Vec<_>, Vec<_>) = list
            .into_iter()
            .partition(|timer| timer.made_by == RegisteredBy::Reload(run));
        self.list = live;
        let before = self.keys().into_iter().zip(&self.list);
        let before = before.filter(|(_, timer)| matches!(timer.made_by, RegisteredBy::Reload(_)));
        let before = before
            .map(|(key, timer)| (key, (timer.period.clone(), false)))
            .collect();
        let fresh = Self {
            list: fresh,
            ..Self::default()
        };
        (before, fresh)
    }

    /// Returns the keys of the timers of a draft, with their periods, and `true` for timers that `on_connection` itself
    /// cleared.
    pub(super) fn periods(&self) -> HashMap<String, (Period, bool)> {
        let periods = self.list.iter();
        let periods = periods.map(|timer| (timer.period.clone(), timer.gone));
        self.keys().into_iter().zip(periods).collect()
    }

    /// Returns the key of each timer, which is the same in every version: its code, and its number among the timers
    /// with the same code. Those of `on_connection` are numbered first.
    pub(super) fn keys(&self) -> Vec<String> {
        keys_of(&self.list)
    }

    /// Returns all timers of a draft, to pair them with those of another draft.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        self.list.iter().map(|timer| Entry {
            group: Use::Timer.group(timer.handler.function()),
            handler: &timer.handler,
            period: Some(&timer.period),
        })
    }

    /// Returns all closures, each with its use.
    pub(super) fn used(&self) -> impl Iterator<Item = (Use<'_>, &Handler)> {
        self.handlers().map(|handler| (Use::Timer, handler))
    }

    /// Returns all closures, each with its key.
    pub(super) fn with_keys(&self) -> impl Iterator<Item = (String, Handler)> {
        let handlers = self.list.iter().map(|timer| (*timer.handler).clone());
        self.keys().into_iter().zip(handlers)
    }

    fn sweep(&mut self) {
        self.list
            .retain(|timer| !timer.gone || timer.made_by == RegisteredBy::Connection);
    }
}

fn keys_of(list: &[Timer]) -> Vec<String> {
    numbered(list.iter().map(|timer| {
        let group = Use::Timer.group(timer.handler.function());
        (group, timer.made_by == RegisteredBy::Connection)
    }))
}

/// Returns the delay of a timer that a script sets.
fn milliseconds(delay: i64) -> Period {
    Period::Delay(Duration::from_millis(delay.max(1).unsigned_abs()))
}
