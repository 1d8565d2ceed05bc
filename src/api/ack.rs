//! The ack of an event: how a handler answers the client.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rhai::Dynamic;

use super::{Fallible, emit, registration::closure};
use crate::connection::Connection;

/// The ack of one event. The first answer counts.
#[derive(Debug, Clone)]
pub(crate) struct Ack {
    connection: Arc<Connection>,
    id: i64,
    answered: Arc<AtomicBool>,
}

/// An ack for the event with this acknowledgement id.
pub(crate) fn ack(connection: Arc<Connection>, id: i64) -> Ack {
    Ack {
        connection,
        id,
        answered: Arc::default(),
    }
}

impl Ack {
    /// Answers, unless an answer was given.
    pub(crate) fn answer(&self, args: &[Dynamic]) -> Fallible {
        if self.answered.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let connection = &self.connection;
        emit::sent(
            connection.ack(self.id, args),
            connection.namespace(),
            Some(connection.id()),
            "ack",
        )
    }

    /// Returns `true` if it is not answered, and nothing but this handle can answer it any more.
    pub(crate) fn is_dropped(&self) -> bool {
        !self.answered.load(Ordering::Acquire) && Arc::strong_count(&self.answered) == 1
    }

    /// What a handler gets as its last argument: `ack.call(...)` answers with any number of arguments.
    pub(crate) fn into_closure(self) -> Dynamic {
        closure("ack", move |args| {
            self.answer(&emit::arguments(args)?).map(|()| Dynamic::UNIT)
        })
    }
}
