//! Answers that a connection's scripts wait for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use rhai::Dynamic;

use super::{Connection, Phase, SendError, Work};
use crate::script::Handler;

/// What an answer is called that did not come in time, as in Node.
const TIMED_OUT: &str = "operation has timed out";
/// What an answer is called whose client left, as in Node.
const LEFT: &str = "socket has been disconnected";

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoAnswer {
    /// It did not come in time.
    TimedOut,
    /// The client left.
    Left,
}

impl NoAnswer {
    const fn text(self) -> &'static str {
        match self {
            Self::TimedOut => TIMED_OUT,
            Self::Left => LEFT,
        }
    }
}

/// Called with the arguments of the client's answer, or with why there is none.
pub type Answered = Box<dyn FnOnce(Result<Vec<Dynamic>, NoAnswer>) + Send>;

/// Who is asked.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Asked<'a> {
    /// One socket: the closure gets the arguments of its answer.
    One(&'a Arc<Connection>),
    /// Many: the closure gets an array of the first argument of each answer.
    Many(&'a [Arc<Connection>]),
}

/// The closures that wait, by number.
#[derive(Debug, Default)]
pub(super) struct Asks {
    next: u64,
    waiting: BTreeMap<u64, Ask>,
}

/// One closure that waits.
#[derive(Debug)]
pub(super) struct Ask {
    handler: Arc<Handler>,
    /// Its first parameter is the error.
    takes_error: bool,
}

impl Asks {
    fn add(&mut self, handler: Handler, takes_error: bool) -> u64 {
        self.next += 1;
        self.waiting.insert(
            self.next,
            Ask {
                handler: Arc::new(handler),
                takes_error,
            },
        );
        self.next
    }
}

impl Connection {
    /// Sends an event that asks for an answer; `handler` is called with it in this connection's turn, whoever is asked.
    /// After `timeout` it is called with an error, and its first parameter is the error then; without one it waits for
    /// ever, as in Node.
    ///
    /// # Errors
    /// When an argument cannot be sent, or the one client that is asked cannot take it.
    pub fn ask(
        self: &Arc<Self>,
        whom: Asked<'_>,
        event: &str,
        args: &[Dynamic],
        handler: Handler,
        timeout: Option<Duration>,
    ) -> Result<(), SendError> {
        let number = self.held().asks.add(handler, timeout.is_some());
        let sent = match whom {
            Asked::One(socket) => {
                socket.send_question(event, args, timeout, self.answer_to(number))
            }
            Asked::Many(sockets) => {
                let gather = Gather::new(sockets.len(), self, number);
                sockets.iter().try_for_each(|socket| {
                    match socket.send_question(event, args, timeout, gather.clone().answered()) {
                        Err(SendError::Value(error)) => Err(SendError::Value(error)),
                        _ => Ok(()),
                    }
                })
            }
        };
        if matches!(sent, Err(SendError::Value(_))) {
            self.held().asks.waiting.remove(&number);
        }
        sent
    }

    fn send_question(
        self: &Arc<Self>,
        event: &str,
        args: &[Dynamic],
        timeout: Option<Duration>,
        answered: Answered,
    ) -> Result<(), SendError> {
        let link = match (self.phase(), self.link()) {
            (Phase::Connecting, _) => {
                return self.send_later(event, args, move |link, event, args| match link {
                    Some(link) => drop(link.ask(event, args, timeout, answered)),
                    None => answered(Err(NoAnswer::Left)),
                });
            }
            (_, Some(link)) if self.is_connected() => link,
            _ => {
                answered(Err(NoAnswer::Left));
                return Ok(());
            }
        };
        link.ask(event, args, timeout, answered)?;
        self.sent(event, args);
        Ok(())
    }

    fn answer_to(self: &Arc<Self>, number: u64) -> Answered {
        let me = Arc::downgrade(self);
        Box::new(move |answer| post(&me, number, answer))
    }

    /// The call that an answer means, if anybody waits for it still.
    pub fn answered(
        &self,
        number: u64,
        answer: Result<Vec<Dynamic>, NoAnswer>,
    ) -> Option<(Arc<Handler>, Vec<Dynamic>)> {
        self.held().asks.waiting.remove(&number)?.call(answer)
    }

    /// The calls that are due when this connection leaves: closures that wait with a time get an error at once.
    pub fn unanswered(&self) -> Vec<(Arc<Handler>, Vec<Dynamic>)> {
        let waiting = std::mem::take(&mut self.held().asks.waiting);
        waiting
            .into_values()
            .filter_map(|ask| ask.call(Err(NoAnswer::Left)))
            .collect()
    }
}

impl Ask {
    fn call(self, answer: Result<Vec<Dynamic>, NoAnswer>) -> Option<(Arc<Handler>, Vec<Dynamic>)> {
        let args = match (answer, self.takes_error) {
            (Ok(answer), false) => answer,
            (Ok(answer), true) => std::iter::once(Dynamic::UNIT).chain(answer).collect(),
            (Err(why), true) => vec![why.text().into()],
            (Err(_), false) => return None,
        };
        Some((self.handler, args))
    }
}

fn post(connection: &Weak<Connection>, number: u64, answer: Result<Vec<Dynamic>, NoAnswer>) {
    if let Some(connection) = connection.upgrade() {
        connection.post(Work::Answer(number, answer));
    }
}

/// Answers of many, until all have answered or will not.
#[derive(Debug)]
struct Gather {
    giver: Weak<Connection>,
    number: u64,
    answers: Mutex<(Vec<Dynamic>, usize, Option<NoAnswer>)>,
}

impl Gather {
    fn new(count: usize, giver: &Arc<Connection>, number: u64) -> Arc<Self> {
        let gather = Self {
            giver: Arc::downgrade(giver),
            number,
            answers: Mutex::new((Vec::with_capacity(count), count, None)),
        };
        if count == 0 {
            gather.done(Vec::new(), None);
        }
        Arc::new(gather)
    }

    fn answered(self: Arc<Self>) -> Answered {
        Box::new(move |answer| {
            let mut state = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            let (answers, waiting, missing) = &mut *state;
            match answer {
                Ok(answer) => answers.push(answer.into_iter().next().unwrap_or_default()),
                Err(why) => *missing = Some(why),
            }
            *waiting -= 1;
            if *waiting == 0 {
                let (answers, missing) = (std::mem::take(answers), *missing);
                drop(state);
                self.done(answers, missing);
            }
        })
    }

    /// The closure gets the answers there are, with an error before them if some are missing.
    fn done(&self, answers: Vec<Dynamic>, missing: Option<NoAnswer>) {
        let Some(giver) = self.giver.upgrade() else {
            return;
        };
        let ask = giver.held().asks.waiting.remove(&self.number);
        let error = missing.map_or(Dynamic::UNIT, |_| TIMED_OUT.into());
        if let Some(Ask { handler, .. }) = ask {
            giver.post(Work::Call(
                handler,
                vec![error, answers.into()],
                "ack of a broadcast",
            ));
        }
    }
}
