//! The ack of an event: how a handler answers the client.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use rhai::{Dynamic, FnPtr};

use super::{Fallible, emit};
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

    /// What a handler gets as its last argument: `ack.call(...)` answers with any number of arguments.
    #[allow(
        deprecated,
        reason = "`from_dyn_fn` is marked volatile, not deprecated, and there is no other way"
    )]
    pub(crate) fn into_closure(self) -> Dynamic {
        let call = move |_: rhai::NativeCallContext<'_>, args: &mut [&mut Dynamic]| {
            self.answer(&emit::arguments(args)?).map(|()| Dynamic::UNIT)
        };
        FnPtr::from_dyn_fn("ack", Box::new(call)).map_or(Dynamic::UNIT, Dynamic::from)
    }
}
