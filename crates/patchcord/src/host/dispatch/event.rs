//! Dispatches an event through the handlers of a connection.

use std::sync::Arc;

use rhai::{Dynamic, Identifier, Map};

use super::{
    Dispatcher,
    steps::{Handlers, Next, Step},
};
use crate::{
    api::{self, Ack},
    connection::{ANY, Connection, Event, MIDDLEWARE, OUTGOING},
    script::{CallError, Handler},
};

/// Event, with those of its handlers that are called now.
struct Firing {
    name: Identifier,
    args: Vec<Dynamic>,
    ack: Option<Ack>,
    handlers: Handlers,
    /// The return value of a listener answers the ack, because no listener declares the ack as a parameter. A listener
    /// that declares it answers the ack by itself.
    by_value: bool,
}

impl Firing {
    /// Creates the dispatch of an event; the handlers of `first` come first.
    fn new(connection: &Arc<Connection>, event: Event, first: &str) -> Self {
        let ack = |id| api::ack(connection.clone(), &event.name, id);
        Self {
            ack: event.ack.map(ack),
            name: event.name,
            args: event.args,
            handlers: connection.fire(first).into_iter(),
            by_value: false,
        }
    }

    /// Returns `step` as the next step, if handlers are left for it.
    fn while_any(&self, step: Step<Self>) -> Next<Self> {
        (!self.handlers.as_slice().is_empty()).then_some(step)
    }

    /// Returns the name and the arguments, the ack among them.
    fn in_two(&self) -> Vec<Dynamic> {
        let ack = self.ack.clone().map(Ack::into_closure);
        let args: Vec<_> = self.args.iter().cloned().chain(ack).collect();
        vec![self.name.as_str().into(), args.into()]
    }
}

/// Returns whether a listener has a parameter more than there are arguments.
fn declares_ack(handler: &Handler, arguments: usize) -> bool {
    handler.parameters().is_none_or(|count| count > arguments)
}

impl Dispatcher {
    /// Handles an event from the client: middleware, then catch-all listeners, then its own listeners.
    pub(super) fn event(&self, connection: &Arc<Connection>, event: Event) {
        if !connection.is_connected() {
            return;
        }
        self.announcer.counters().events.add();
        if api::is_reserved(&event.name) {
            connection.disconnect(true);
            return;
        }
        let firing = Firing::new(connection, event, MIDDLEWARE);
        self.go_through(connection, firing, Step(Self::middleware));
    }

    /// Handles an event to the client.
    pub(super) fn outgoing(&self, connection: &Arc<Connection>, event: Event) {
        let firing = Firing::new(connection, event, OUTGOING);
        self.go_through(connection, firing, Step(Self::any_outgoing));
    }

    fn middleware(&self, connection: &Arc<Connection>, firing: &mut Firing) -> Next<Firing> {
        let Some(handler) = firing.handlers.next() else {
            firing.handlers = connection.fire(ANY).into_iter();
            return self.any(connection, firing);
        };
        let args = vec![firing.name.as_str().into(), firing.args.clone().into()];
        match super::run(connection, &handler, args) {
            Ok(value) => {
                if let Ok(args) = value.into_array() {
                    firing.args = args;
                }
                Some(Step(Self::middleware))
            }
            Err(error) => self.refused(connection, firing, &handler, error),
        }
    }

    /// Handles an event that a middleware rejected: the `error` listeners receive the value that it threw. A fault of
    /// the script itself is announced, and so is a rejection without an `error` listener.
    fn refused(
        &self,
        connection: &Arc<Connection>,
        firing: &mut Firing,
        handler: &Handler,
        error: CallError,
    ) -> Next<Firing> {
        firing.handlers = connection.fire("error").into_iter();
        let listen = firing.while_any(Step(Self::error));
        match error.thrown().filter(|_| listen.is_some()) {
            Some(thrown) => {
                firing.args = vec![thrown];
                listen
            }
            None => {
                let call = format_args!("middleware for `{}`", firing.name);
                self.failed(connection, handler, error, &call);
                None
            }
        }
    }

    fn error(&self, connection: &Arc<Connection>, firing: &mut Firing) -> Next<Firing> {
        let handler = firing.handlers.next()?;
        self.call(connection, &handler, firing.args.clone(), "`error` handler");
        firing.while_any(Step(Self::error))
    }

    fn any(&self, connection: &Arc<Connection>, firing: &mut Firing) -> Next<Firing> {
        let Some(handler) = firing.handlers.next() else {
            return self.own(connection, firing);
        };
        let call = format_args!("`on_any` listener for `{}`", firing.name);
        self.call(connection, &handler, firing.in_two(), call);
        Some(Step(Self::any))
    }

    fn any_outgoing(&self, connection: &Arc<Connection>, firing: &mut Firing) -> Next<Firing> {
        let handler = firing.handlers.next()?;
        let call = format_args!("`on_any_outgoing` listener for `{}`", firing.name);
        self.call(connection, &handler, firing.in_two(), call);
        firing.while_any(Step(Self::any_outgoing))
    }

    /// Calls the event's own listeners.
    fn own(&self, connection: &Arc<Connection>, firing: &mut Firing) -> Next<Firing> {
        let handlers = connection.fire(&firing.name);
        if handlers.is_empty() && !connection.hears(ANY) {
            self.announcer.counters().unheard.add();
            if let Some(version) = connection.version() {
                let namespace = connection.namespace().path();
                self.announcer
                    .unheard(&version, namespace, &firing.name, connection.id());
            }
        }
        let arguments = firing.args.len();
        firing.by_value = !handlers
            .iter()
            .any(|handler| declares_ack(handler, arguments));
        firing.handlers = handlers.into_iter();
        self.listener(connection, firing)
    }

    fn listener(&self, connection: &Arc<Connection>, firing: &mut Firing) -> Next<Firing> {
        let handler = firing.handlers.next()?;
        let next = firing.while_any(Step(Self::listener));
        let declares_ack = declares_ack(&handler, firing.args.len());
        let args = match next {
            Some(_) => firing.args.clone(),
            None => std::mem::take(&mut firing.args),
        };
        self.listen(connection, firing, &handler, args, declares_ack);
        next
    }

    fn listen(
        &self,
        connection: &Arc<Connection>,
        firing: &Firing,
        handler: &Handler,
        mut args: Vec<Dynamic>,
        declares_ack: bool,
    ) {
        if let Some(ack) = firing.ack.as_ref().filter(|_| declares_ack) {
            ack.give();
            args.push(ack.clone().into_closure());
        }
        let call = format_args!("`{}` handler", firing.name);
        let value = self.try_call(connection, handler, args, call);
        let Some(ack) = &firing.ack else { return };
        match value {
            Ok(value) if firing.by_value => self.answer(connection, handler, ack, value, &call),
            // The handler has neither called the ack nor kept it: the client would wait for ever.
            Ok(value) if declares_ack && !value.is_unit() && ack.is_dropped() => {
                self.answer(connection, handler, ack, value, &call);
            }
            Err(Some(reason)) if self.options.ack_errors && (firing.by_value || declares_ack) => {
                let error = Map::from([("error".into(), reason.into())]);
                self.answer(connection, handler, ack, error.into(), &call);
            }
            // The failure is announced.
            Err(_) if ack.is_dropped() => ack.end(),
            _ => {}
        }
    }

    /// Answers the ack with the value that a handler returned.
    fn answer(
        &self,
        connection: &Arc<Connection>,
        handler: &Handler,
        ack: &Ack,
        value: Dynamic,
        call: &dyn std::fmt::Display,
    ) {
        let args = if value.is_unit() || api::is_own(&value) {
            Ok(vec![])
        } else {
            api::as_value(value).map(|value| vec![value])
        };
        if let Err(error) = args.and_then(|args| ack.answer(&args)) {
            self.failed(connection, handler, CallError::Script(error), call);
        }
    }
}
