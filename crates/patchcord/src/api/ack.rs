//! Acks of events: a handler answers the client with them.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use rhai::{Dynamic, Identifier};
use tokio::runtime::Handle;

use super::{Fallible, emit, refuse, registration::closure};
use crate::{connection::Connection, event::HostEvent};

/// State of an ack that no handler has received as a parameter.
const NEW: u8 = 0;
/// State of an ack that a handler has received, and may keep.
const GIVEN: u8 = 1;
/// State of an ack that is answered, or whose missing answer is reported elsewhere.
const DONE: u8 = 2;

/// Ack of one event. Only the first answer is sent.
#[derive(Debug, Clone)]
pub(crate) struct Ack(Arc<Pending>);

#[derive(Debug)]
struct Pending {
    connection: Arc<Connection>,
    id: i64,
    event: Identifier,
    state: AtomicU8,
}

/// Creates the ack of the event with this acknowledgement id.
pub(crate) fn ack(connection: Arc<Connection>, event: &Identifier, id: i64) -> Ack {
    Ack(Arc::new(Pending {
        connection,
        id,
        event: event.clone(),
        state: AtomicU8::new(NEW),
    }))
}

impl Ack {
    /// Sends the answer, unless the ack is done.
    pub(crate) fn answer(&self, args: &[Dynamic]) -> Fallible {
        if self.0.state.swap(DONE, Ordering::AcqRel) == DONE {
            return Ok(());
        }
        let connection = &self.0.connection;
        let sent = connection.ack(self.0.id, args);
        let namespace = connection.namespace();
        namespace
            .account(sent, Some(connection.id()), "ack")
            .or_else(refuse)
    }

    /// Returns `true` if the ack is not done, and only this handle could still answer it.
    pub(crate) fn is_dropped(&self) -> bool {
        self.0.state.load(Ordering::Acquire) != DONE && Arc::strong_count(&self.0) == 1
    }

    /// Records that a handler has received the ack as a parameter.
    pub(crate) fn give(&self) {
        // An ack that is done stays done.
        let _ = self
            .0
            .state
            .compare_exchange(NEW, GIVEN, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Ends the ack without an answer and without an event, because the reason is reported elsewhere.
    pub(crate) fn end(&self) {
        self.0.state.store(DONE, Ordering::Release);
    }

    /// Returns the closure that a handler receives as its last argument: `ack.call(...)` answers with any number of
    /// arguments.
    pub(crate) fn into_closure(self) -> Dynamic {
        closure("ack", move |args| {
            self.answer(&emit::arguments(args)?).map(|()| Dynamic::UNIT)
        })
    }
}

impl Drop for Pending {
    /// Announces an ack that a handler received but did not answer.
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
        // A separate task announces the event, because a listener of the application may need a lock that is held here.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { namespace.driver().announce(event) });
        }
    }
}
