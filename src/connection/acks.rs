//! The closures of a connection that wait for answers.

use std::{collections::BTreeMap, sync::Arc};

use rhai::Dynamic;

use super::{Answer, NoAnswer};
use crate::script::Handler;

/// The call that an answer means.
pub type Answered = (Arc<Handler>, Vec<Dynamic>);

/// The closures that wait, by number.
#[derive(Default)]
pub(super) struct Acks {
    next: u64,
    waiting: BTreeMap<u64, Ask>,
}

/// One closure that waits.
pub(super) struct Ask {
    handler: Arc<Handler>,
    /// Its first parameter is the error.
    takes_error: bool,
    /// It gets one array of what many have answered.
    many: bool,
    /// The answers that are still to come.
    open: Vec<Option<Answer>>,
    /// How many these are.
    missing: usize,
    came: Vec<Dynamic>,
    error: Option<NoAnswer>,
}

impl Acks {
    pub(super) fn add(&mut self, ask: Ask) -> u64 {
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

    /// An answer came, or will not come: the call that is due, if it was the last one.
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
            // Of many, Node says no more than that some did not answer.
            Err(_) if ask.many => ask.error = Some(NoAnswer::TimedOut),
            Err(why) => ask.error = Some(why),
        }
        match ask.missing {
            0 => self.waiting.remove(&number)?.call(),
            _ => None,
        }
    }

    /// Forgets one that cannot be answered.
    pub(super) fn remove(&mut self, number: u64) {
        self.waiting.remove(&number);
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The calls that are due when the connection leaves: closures that wait with a time get an error at once.
    pub(super) fn leave(&mut self) -> Vec<Answered> {
        let waiting = self.end().into_values();
        let due = waiting.filter_map(|mut ask| {
            ask.error = Some(NoAnswer::Left);
            ask.call()
        });
        due.collect()
    }

    /// Takes out all that wait; answers to them mean nothing any more.
    pub(super) fn end(&mut self) -> BTreeMap<u64, Ask> {
        std::mem::take(&mut self.waiting)
    }
}

impl Ask {
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
