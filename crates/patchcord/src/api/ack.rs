//! The ack of an event: how a handler answers the client.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use rhai::{Dynamic, Identifier};
use tokio::runtime::Handle;

use super::{Fallible, emit, registration::closure};
use crate::{connection::Connection, event::HostEvent};

/// No handler has it as a parameter.
const NEW: u8 = 0;
/// A handler has it, and may keep it.
const GIVEN: u8 = 1;
/// It is answered, or it has been said that it is not.
const DONE: u8 = 2;

/// The ack of one event. The first answer counts.
#[derive(Debug, Clone)]
pub(crate) struct Ack(Arc<Pending>);

#[derive(Debug)]
struct Pending {
    connection: Arc<Connection>,
    id: i64,
    event: Identifier,
    state: AtomicU8,
}

/// An ack for the event with this acknowledgement id.
pub(crate) fn ack(connection: Arc<Connection>, event: &Identifier, id: i64) -> Ack {
    Ack(Arc::new(Pending {
        connection,
        id,
        event: event.clone(),
        state: AtomicU8::new(NEW),
    }))
}

impl Ack {
    /// Answers, unless an answer was given.
    pub(crate) fn answer(&self, args: &[Dynamic]) -> Fallible {
        if self.0.state.swap(DONE, Ordering::AcqRel) == DONE {
            return Ok(());
        }
        let connection = &self.0.connection;
        emit::sent(
            connection.ack(self.0.id, args),
            connection.namespace(),
            Some(connection.id()),
            "ack",
        )
    }

    /// Returns `true` if it is not answered, and nothing but this handle can answer it any more.
    pub(crate) fn is_dropped(&self) -> bool {
        self.0.state.load(Ordering::Acquire) != DONE && Arc::strong_count(&self.0) == 1
    }

    /// Notes that a handler has it as a parameter.
    pub(crate) fn give(&self) {
        // One that is done stays so.
        let _ = self
            .0
            .state
            .compare_exchange(NEW, GIVEN, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Ends the ack without an answer, and without an announcement: the reason is announced elsewhere.
    pub(crate) fn end(&self) {
        self.0.state.store(DONE, Ordering::Release);
    }

    /// What a handler gets as its last argument: `ack.call(...)` answers with any number of arguments.
    pub(crate) fn into_closure(self) -> Dynamic {
        closure("ack", move |args| {
            self.answer(&emit::arguments(args)?).map(|()| Dynamic::UNIT)
        })
    }
}

impl Drop for Pending {
    /// Tells of an ack that a handler had and nobody has answered.
    fn drop(&mut self) {
        if *self.state.get_mut() != GIVEN || !self.connection.is_connected() {
            return;
        }
        let namespace = self.connection.namespace().clone();
        let Some(version) = namespace.version() else {
            return;
        };
        let event = HostEvent::Unanswered {
            namespace: namespace.path().clone(),
            script: version.entry().clone(),
            event: self.event.to_string(),
        };
        // A listener of the application may ask for what is locked here.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { namespace.driver().announce(event) });
        }
    }
}
