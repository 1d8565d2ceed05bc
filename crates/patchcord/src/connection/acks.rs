//! Closures of a connection that wait for acks.

use std::{collections::BTreeMap, sync::Arc};

use rhai::Dynamic;

use super::{Answer, NoAnswer};
use crate::script::{Copies, Handler, Swap, Swapped, Use};

/// Call that is due after an answer: the closure and its arguments.
pub type Answered = (Arc<Handler>, Vec<Dynamic>);

/// Waiting closures, by number.
#[derive(Default)]
pub(super) struct Acks {
    next: u64,
    waiting: BTreeMap<u64, PendingAck>,
}

/// One waiting closure.
pub(super) struct PendingAck {
    handler: Arc<Handler>,
    /// `true` if the first parameter of the closure is the error.
    takes_error: bool,
    /// `true` if many sockets were asked: the closure receives one array of their answers.
    many: bool,
    /// Outstanding answers.
    open: Vec<Option<Answer>>,
    /// Number of outstanding answers.
    missing: usize,
    came: Vec<Dynamic>,
    error: Option<NoAnswer>,
}

impl Acks {
    pub(super) fn add(&mut self, ask: PendingAck) -> u64 {
        self.next += 1;
        self.waiting.insert(self.next, ask);
        self.next
    }

    pub(super) fn place(&mut self, number: u64, nth: usize) -> Option<&mut Option<Answer>> {
        self.waiting.get_mut(&number)?.open.get_mut(nth)
    }

    pub(super) fn put(&mut self, number: u64, nth: usize, answer: Answer) {
        if let Some(place) = self.place(number, nth) {
            *place = Some(answer);
        }
    }

    /// Records that an answer has arrived or will not arrive. Returns the call that is due, if this was the last
    /// outstanding answer.
    pub(super) fn settle(
        &mut self,
        number: u64,
        answer: Result<Vec<Dynamic>, NoAnswer>,
    ) -> Option<Answered> {
        let ask = self.waiting.get_mut(&number)?;
        ask.missing = ask.missing.saturating_sub(1);
        match answer {
            Ok(values) if ask.many => ask.came.push(values.into_iter().next().unwrap_or_default()),
            Ok(values) => ask.came = values,
            // For many sockets, Node reports only that some of them did not answer.
            Err(_) if ask.many => ask.error = Some(NoAnswer::TimedOut),
            Err(why) => ask.error = Some(why),
        }
        match ask.missing {
            0 => self.waiting.remove(&number)?.call(),
            _ => None,
        }
    }

    /// Returns all waiting closures.
    pub(super) fn handlers(&self) -> impl Iterator<Item = &Handler> {
        self.waiting.values().map(|ask| &*ask.handler)
    }

    /// Returns the waiting closures with their numbers.
    pub(super) fn numbered(&self) -> Vec<(u64, Arc<Handler>)> {
        let waiting = self.waiting.iter();
        waiting
            .map(|(number, ask)| (*number, ask.handler.clone()))
            .collect()
    }

    /// Replaces a waiting closure.
    pub(super) fn replace(&mut self, number: u64, handler: Arc<Handler>) {
        if let Some(ask) = self.waiting.get_mut(&number) {
            ask.handler = handler;
        }
    }

    /// Returns the waiting closures, each with the number of outstanding answers.
    pub(super) fn look(&self) -> Vec<(Arc<Handler>, usize)> {
        let waiting = self.waiting.values();
        waiting
            .map(|ask| (ask.handler.clone(), ask.missing))
            .collect()
    }

    /// Returns copies of all waiting closures. No answer reaches these copies.
    pub(super) fn copy(&self, copies: &mut Copies) -> Self {
        let copy = |(number, ask): (&u64, &PendingAck)| {
            let handler = copies.handler(&ask.handler);
            (
                *number,
                PendingAck::new(handler, ask.takes_error, ask.many, 0),
            )
        };
        Self {
            next: self.next,
            waiting: self.waiting.iter().map(copy).collect(),
        }
    }

    /// Replaces the code of the waiting closures. A closure whose code has been removed keeps its old code, because an
    /// answer to it may be on its way.
    pub(super) fn swap(&mut self, swap: &mut Swap<'_>) {
        for ask in self.waiting.values_mut() {
            let handler = match swap.handler(&ask.handler, Use::Answer) {
                Swapped::Replaced(handler, _) | Swapped::Unchanged(handler) => handler,
                Swapped::Removed(handler) => {
                    swap.still_held(&handler);
                    handler
                }
            };
            ask.handler = Arc::new(handler);
        }
    }

    /// Removes a closure that no answer can reach.
    pub(super) fn remove(&mut self, number: u64) {
        self.waiting.remove(&number);
    }

    /// Returns the number of waiting closures.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Returns the calls that are due when the connection ends: closures that wait with a timeout immediately receive
    /// an error.
    pub(super) fn leave(&mut self) -> Vec<Answered> {
        let waiting = self.end().into_values();
        let due = waiting.filter_map(|mut ask| {
            ask.error = Some(NoAnswer::Left);
            ask.call()
        });
        due.collect()
    }

    /// Removes and returns all waiting closures. Later answers to them have no effect.
    pub(super) fn end(&mut self) -> BTreeMap<u64, PendingAck> {
        std::mem::take(&mut self.waiting)
    }
}

impl PendingAck {
    pub(super) fn new(handler: Handler, takes_error: bool, many: bool, count: usize) -> Self {
        Self {
            handler: Arc::new(handler),
            takes_error,
            many,
            open: std::iter::repeat_with(|| None).take(count).collect(),
            missing: count,
            came: Vec::new(),
            error: None,
        }
    }

    pub(super) fn call(self) -> Option<Answered> {
        let values = match self.many {
            true => vec![self.came.into()],
            false => self.came,
        };
        let args = match (self.error, self.takes_error) {
            (None, false) => values,
            (None, true) => std::iter::once(Dynamic::UNIT).chain(values).collect(),
            (Some(why), true) => std::iter::once(why.text().into()).chain(values).collect(),
            (Some(_), false) => return None,
        };
        Some((self.handler, args))
    }
}
