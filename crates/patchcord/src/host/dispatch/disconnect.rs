//! Calls the scripts at the end of a connection, in Node's order.

use std::{sync::Arc, vec};

use rhai::{Dynamic, StaticVec};

use super::{
    Dispatcher,
    steps::{Handlers, Next, Step},
};
use crate::{
    api::Socket,
    connection::{Answered, Connection, Phase},
    script::{Handler, Hook},
};

/// Connection that is being disconnected.
struct Leaving {
    reason: &'static str,
    /// Closures whose acks will never arrive, with the arguments for the closures.
    unanswered: vec::IntoIter<Answered>,
    /// Listeners that are still to be called in this step.
    handlers: Handlers,
}

impl Dispatcher {
    pub(super) fn disconnect(&self, connection: &Arc<Connection>, reason: &'static str) {
        if connection.phase() == Phase::Away {
            return;
        }
        let entered = connection.phase() == Phase::Connected;
        connection.depart();
        if !entered {
            return end(connection);
        }
        self.announcer.counters().sockets_disconnected.add();
        let leaving = Leaving {
            reason,
            unanswered: connection.unanswered().into_iter(),
            handlers: StaticVec::new().into_iter(),
        };
        self.run_steps(connection, leaving, Step(Self::unanswered));
    }

    fn unanswered(&self, connection: &Arc<Connection>, leaving: &mut Leaving) -> Next<Leaving> {
        let Some((handler, args)) = leaving.unanswered.next() else {
            leaving.handlers = connection.fire("disconnecting").into_iter();
            return self.disconnecting(connection, leaving);
        };
        self.call(connection, &handler, args, "ack");
        Some(Step(Self::unanswered))
    }

    fn disconnecting(&self, connection: &Arc<Connection>, leaving: &mut Leaving) -> Next<Leaving> {
        let Some(handler) = leaving.handlers.next() else {
            // From here on, no other connection can find this one, and it is in no room.
            connection.namespace().leave(connection);
            connection.forget_rooms();
            leaving.handlers = connection.fire("disconnect").into_iter();
            return self.disconnected(connection, leaving);
        };
        let args = vec![leaving.reason.into()];
        self.call(connection, &handler, args, "`disconnecting` handler");
        Some(Step(Self::disconnecting))
    }

    fn disconnected(&self, connection: &Arc<Connection>, leaving: &mut Leaving) -> Next<Leaving> {
        let Some(handler) = leaving.handlers.next() else {
            self.left(connection, leaving.reason);
            return None;
        };
        let args = vec![leaving.reason.into()];
        self.call(connection, &handler, args, "`disconnect` handler");
        Some(Step(Self::disconnected))
    }

    fn left(&self, connection: &Arc<Connection>, reason: &'static str) {
        let version = connection.version();
        if let Some(hook) = version.and_then(|version| Handler::of_hook(&version, Hook::Disconnect))
        {
            let socket = Dynamic::from(Socket(connection.clone()));
            let args = vec![socket, reason.into()];
            self.call(connection, &hook, args, "`on_disconnect`");
        }
        end(connection);
    }
}

/// Ends a connection, or keeps it if its client may come back.
fn end(connection: &Connection) {
    if !keep(connection) {
        connection.close();
        connection.leave();
    }
}

/// Keeps a connection whose client may come back. Returns `false` if it is not kept.
fn keep(connection: &Connection) -> bool {
    if !connection.is_return_expected() {
        return false;
    }
    // A listener may have disconnected the client on purpose.
    let may_return = connection.phase() == Phase::Away && !connection.is_cut();
    if may_return {
        connection.rest();
    }
    let link = connection.namespace().link();
    let is_kept = link.is_some_and(|link| link.left(connection.id(), may_return));
    connection.end_pass();
    is_kept
}
