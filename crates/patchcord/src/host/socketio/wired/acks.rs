//! Pending acks: answers of a client that scripts wait for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use rhai::Dynamic;
use tokio::{
    sync::oneshot::{Sender, channel},
    time,
};

use crate::connection::{Answer, NoAnswer};

/// Pending acks of one socket, by the ids that the client sends back.
#[derive(Debug, Default)]
pub(super) struct PendingAcks(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    last: i64,
    waiting: BTreeMap<i64, Sender<Vec<Dynamic>>>,
    /// `true` after the client has left.
    is_closed: bool,
}

/// Guard that removes a pending ack when nothing waits for its answer any more.
struct Pending {
    asks: Weak<PendingAcks>,
    id: i64,
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(asks) = self.asks.upgrade() {
            asks.take(self.id);
        }
    }
}

impl PendingAcks {
    /// Adds a pending ack. Returns its id, and the future of the answer. Without a `timeout` the answer is never too
    /// late.
    pub(super) fn ask(self: &Arc<Self>, timeout: Option<Duration>) -> (i64, Answer) {
        let (answer, answered) = channel();
        let mut open = self.0.lock();
        open.last += 1;
        let id = open.last;
        if !open.is_closed {
            open.waiting.insert(id, answer);
        }
        let asked = Pending {
            asks: Arc::downgrade(self),
            id,
        };
        let answer = async move {
            let _asked = asked;
            let answered = match timeout {
                Some(limit) => time::timeout(limit, answered)
                    .await
                    .map_err(|_| NoAnswer::TimedOut)?,
                None => answered.await,
            };
            answered.map_err(|_| NoAnswer::Left)
        };
        (id, Box::pin(answer))
    }

    /// Removes the pending ack with this id, and returns the sender for its answer.
    pub(super) fn take(&self, id: i64) -> Option<Sender<Vec<Dynamic>>> {
        self.0.lock().waiting.remove(&id)
    }

    /// Ends all pending acks, because the client has left.
    pub(super) fn close(&self) {
        let mut open = self.0.lock();
        open.is_closed = true;
        let waiting = std::mem::take(&mut open.waiting);
        drop(open);
        drop(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_question_has_one_end() {
        let asks = Arc::new(PendingAcks::default());
        let (first, answered) = asks.ask(None);
        let (second, late) = asks.ask(Some(Duration::from_millis(10)));
        let (third, dropped) = asks.ask(None);
        let (_, left) = asks.ask(None);
        assert!(first < second && second < third);
        drop(dropped);
        assert!(asks.take(third).is_none());
        asks.take(first).unwrap().send(vec![7.into()]).unwrap();
        assert_eq!(answered.await.unwrap()[0].as_int(), Ok(7));
        assert_eq!(late.await.unwrap_err(), NoAnswer::TimedOut);
        assert!(asks.take(first).is_none() && asks.take(second).is_none());
        asks.close();
        assert_eq!(left.await.unwrap_err(), NoAnswer::Left);
        assert_eq!(asks.ask(None).1.await.unwrap_err(), NoAnswer::Left);
    }
}
