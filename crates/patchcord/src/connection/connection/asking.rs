//! Acks for which a connection's scripts wait.
//!
//! The acks of a client arrive in the order of its packets, whichever of its sockets was asked, and the closures are
//! called in that order: an ack wakes an [`AckWaker`], which posts work to the requesting connection before the next
//! packet is read.

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
    connection::{
        Answer, Answered, Call, NoAnswer, OutgoingEvent, Phase, SendError, Work, acks::PendingAck,
    },
    script::Handler,
};

/// Sockets that are asked for an ack.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum AckTarget<'a> {
    /// One socket: the closure receives the arguments of its ack.
    One(&'a Arc<Connection>),
    /// Many sockets: the closure receives an array with the first argument of each ack.
    Many(&'a [Arc<Connection>]),
}

impl AckTarget<'_> {
    const fn sockets(&self) -> &[Arc<Connection>] {
        match self {
            Self::One(socket) => std::slice::from_ref(socket),
            Self::Many(sockets) => sockets,
        }
    }
}

impl Connection {
    /// Sends an event that asks for an ack. `handler` is called with the ack in this connection's turn, whichever
    /// socket is asked. With a `timeout`, the first parameter of `handler` is an error, and `handler` is called with an
    /// error when the time is over. Without a timeout, it waits forever, as in Node. Called in this connection's turn.
    ///
    /// # Errors
    /// Fails if an argument cannot be sent, or if the only client that is asked cannot accept it. In this case,
    /// `handler` is not called.
    pub fn ask(
        self: &Arc<Self>,
        audience: AckTarget<'_>,
        event: &OutgoingEvent<'_>,
        handler: Handler,
        timeout: Option<Duration>,
    ) -> Result<(), SendError> {
        let many = matches!(audience, AckTarget::Many(_));
        let sockets = audience.sockets();
        let ask = PendingAck::new(handler, timeout.is_some(), many, sockets.len());
        if sockets.is_empty() {
            if let Some((handler, args)) = ask.call() {
                let call = Call::new(handler, args, "ack", self.beginnings());
                self.post_elsewhere(Work::Call(call));
            }
            return Ok(());
        }
        let number = self.state().acks.add(ask);
        for (nth, socket) in sockets.iter().enumerate() {
            let knock = Arc::new(AckWaker {
                giver: Arc::downgrade(self),
                number,
                nth,
            });
            match socket.send_question(event, timeout, &knock) {
                Err(SendError::Full(_)) if many => knock.expect(will_not(NoAnswer::Left)),
                Err(error) => {
                    self.state().acks.remove(number);
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
        knock: &Arc<AckWaker>,
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

    /// Polls an ack, in this connection's turn. Returns the call that is due, if this was the last ack for which its
    /// closure waited.
    pub fn answered(self: &Arc<Self>, number: u64, nth: usize) -> Option<Answered> {
        let mut answer = self.state().acks.place(number, nth)?.take()?;
        let knock = Arc::new(AckWaker {
            giver: Arc::downgrade(self),
            number,
            nth,
        });
        match poll(&mut answer, &knock) {
            Poll::Ready(result) => self.state().acks.settle(number, result),
            Poll::Pending => {
                self.state().acks.put(number, nth, answer);
                None
            }
        }
    }

    /// Returns the number of closures that wait for acks.
    pub fn waiting_for(&self) -> usize {
        self.state().acks.len()
    }

    /// Returns the calls that are due when this connection ends: closures that wait with a timeout immediately receive
    /// an error.
    pub fn unanswered(&self) -> Vec<Answered> {
        self.state().acks.leave()
    }
}

/// Waker that schedules the requesting connection to poll the ack.
struct AckWaker {
    giver: Weak<Connection>,
    number: u64,
    nth: usize,
}

impl AckWaker {
    /// Waits for an ack. Called in the turn of the requesting connection.
    fn listen(self: &Arc<Self>, mut answer: Answer) {
        match poll(&mut answer, self) {
            Poll::Pending => self.keep(answer),
            Poll::Ready(result) => self.expect(Box::pin(std::future::ready(result))),
        }
    }

    /// Waits for an ack. May be called outside that turn: the ack is polled later, in that turn.
    fn expect(&self, answer: Answer) {
        self.keep(answer);
        self.post();
    }

    fn keep(&self, answer: Answer) {
        if let Some(giver) = self.giver.upgrade() {
            giver.state().acks.put(self.number, self.nth, answer);
        }
    }

    fn post(&self) {
        if let Some(giver) = self.giver.upgrade() {
            giver.post_elsewhere(Work::Answer(self.number, self.nth));
        }
    }
}

impl Wake for AckWaker {
    fn wake(self: Arc<Self>) {
        self.post();
    }
}

/// Polls an ack without using the cooperative budget of the task that happens to be running.
fn poll(answer: &mut Answer, knock: &Arc<AckWaker>) -> Poll<Result<Vec<Dynamic>, NoAnswer>> {
    let waker = Waker::from(knock.clone());
    Pin::new(&mut unconstrained(answer)).poll(&mut Context::from_waker(&waker))
}

fn will_not(why: NoAnswer) -> Answer {
    Box::pin(std::future::ready(Err(why)))
}
