//! Answers that a connection's scripts wait for.
//!
//! Clients answer in the order of their packets, whoever was asked, and so the closures are called: an answer that comes
//! wakes a [`Knock`], which posts work to the connection that asked, before the next packet is read.

use std::{
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use rhai::Dynamic;
use tokio::task::unconstrained;

use super::Connection;
use crate::{
    connection::{Answer, Answered, NoAnswer, OutgoingEvent, Phase, SendError, Work, acks::Ask},
    script::Handler,
};

/// Who is asked.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Asked<'a> {
    /// One socket: the closure gets the arguments of its answer.
    One(&'a Arc<Connection>),
    /// Many: the closure gets an array of the first argument of each answer.
    Many(&'a [Arc<Connection>]),
}

impl Asked<'_> {
    const fn sockets(&self) -> &[Arc<Connection>] {
        match self {
            Self::One(socket) => std::slice::from_ref(socket),
            Self::Many(sockets) => sockets,
        }
    }
}

impl Connection {
    /// Sends an event that asks for an answer; `handler` is called with it in this connection's turn, whoever is asked.
    /// After `timeout` it is called with an error, and its first parameter is the error then; without one it waits for
    /// ever, as in Node. To be called in this connection's turn.
    ///
    /// # Errors
    /// When an argument cannot be sent, or the one client that is asked cannot take it; `handler` is not called then.
    pub fn ask(
        self: &Arc<Self>,
        whom: Asked<'_>,
        event: &OutgoingEvent<'_>,
        handler: Handler,
        timeout: Option<Duration>,
    ) -> Result<(), SendError> {
        let many = matches!(whom, Asked::Many(_));
        let sockets = whom.sockets();
        let ask = Ask::new(handler, timeout.is_some(), many, sockets.len());
        if sockets.is_empty() {
            if let Some((handler, args)) = ask.call() {
                self.post_elsewhere(Work::Call(handler, args, "ack"));
            }
            return Ok(());
        }
        let number = self.held().acks.add(ask);
        for (nth, socket) in sockets.iter().enumerate() {
            let knock = Arc::new(Knock {
                giver: Arc::downgrade(self),
                number,
                nth,
            });
            match socket.send_question(event, timeout, &knock) {
                Err(SendError::Full(_)) if many => knock.expect(will_not(NoAnswer::Left)),
                Err(error) => {
                    self.held().acks.remove(number);
                    return Err(error);
                }
                Ok(()) => {}
            }
        }
        Ok(())
    }

    fn send_question(
        self: &Arc<Self>,
        event: &OutgoingEvent<'_>,
        timeout: Option<Duration>,
        knock: &Arc<Knock>,
    ) -> Result<(), SendError> {
        let link = match (self.phase(), self.link()) {
            (phase, _) if phase < Phase::Connected => {
                let (event, knock) = (event.encoded()?.for_later(), knock.clone());
                self.once_open(Box::new(move |link| {
                    let asked = link.and_then(|link| link.ask(&event, timeout).ok());
                    knock.expect(asked.unwrap_or_else(|| will_not(NoAnswer::Left)));
                }));
                return Ok(());
            }
            (_, Some(link)) if self.is_connected() => link,
            _ => {
                knock.expect(will_not(NoAnswer::Left));
                return Ok(());
            }
        };
        self.tell(event)?;
        knock.listen(link.ask(event.encoded()?, timeout)?);
        Ok(())
    }

    /// Looks whether an answer is there, in this connection's turn: the call that it means, if it was the last one that
    /// its closure waits for.
    pub fn answered(self: &Arc<Self>, number: u64, nth: usize) -> Option<Answered> {
        let mut answer = self.held().acks.place(number, nth)?.take()?;
        let knock = Arc::new(Knock {
            giver: Arc::downgrade(self),
            number,
            nth,
        });
        match poll(&mut answer, &knock) {
            Poll::Ready(result) => self.held().acks.settle(number, result),
            Poll::Pending => {
                self.held().acks.put(number, nth, answer);
                None
            }
        }
    }

    /// How many answers its closures wait for.
    pub fn waiting_for(&self) -> usize {
        self.held().acks.len()
    }

    /// The calls that are due when this connection leaves: closures that wait with a time get an error at once.
    pub fn unanswered(&self) -> Vec<Answered> {
        self.held().acks.leave()
    }
}

/// Woken by an answer, it has the connection that asked look at it.
struct Knock {
    giver: Weak<Connection>,
    number: u64,
    nth: usize,
}

impl Knock {
    /// Waits for an answer, in the turn of the connection that asked.
    fn listen(self: &Arc<Self>, mut answer: Answer) {
        match poll(&mut answer, self) {
            Poll::Pending => self.keep(answer),
            Poll::Ready(result) => self.expect(Box::pin(std::future::ready(result))),
        }
    }

    /// The same outside that turn.
    fn expect(&self, answer: Answer) {
        self.keep(answer);
        self.post();
    }

    fn keep(&self, answer: Answer) {
        if let Some(giver) = self.giver.upgrade() {
            giver.held().acks.put(self.number, self.nth, answer);
        }
    }

    fn post(&self) {
        if let Some(giver) = self.giver.upgrade() {
            giver.post_elsewhere(Work::Answer(self.number, self.nth));
        }
    }
}

impl Wake for Knock {
    fn wake(self: Arc<Self>) {
        self.post();
    }
}

/// Not counted against the task that happens to run.
fn poll(answer: &mut Answer, knock: &Arc<Knock>) -> Poll<Result<Vec<Dynamic>, NoAnswer>> {
    let waker = Waker::from(knock.clone());
    Pin::new(&mut unconstrained(answer)).poll(&mut Context::from_waker(&waker))
}

fn will_not(why: NoAnswer) -> Answer {
    Box::pin(std::future::ready(Err(why)))
}
