//! Dispatches an event through the handlers of a connection.

use std::sync::Arc;

use rhai::{Dynamic, Identifier, Map, StaticVec};

use super::{
    Dispatcher,
    steps::{Handlers, Next, Step},
};
use crate::{
    api::{self, Ack},
    connection::{ANY, Connection, Event, MIDDLEWARE, OUTGOING, is_internal},
    script::{CallError, Handler},
};

/// Event, with the handlers that are still to be called in this step.
struct Dispatch {
    name: Identifier,
    args: Vec<Dynamic>,
    ack: Option<Ack>,
    handlers: Handlers,
    /// `true` if the return value of a listener answers the ack, because no listener declares the ack as a parameter. A
    /// listener that declares it answers the ack itself.
    by_value: bool,
}

impl Dispatch {
    /// Creates the dispatch of an event. The first handlers to be called are those that are registered for `first`.
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

    /// Returns `step` as the next step if handlers are left, or `None`.
    fn while_any(&self, step: Step<Self>) -> Next<Self> {
        (!self.handlers.as_slice().is_empty()).then_some(step)
    }

    /// Returns the arguments of a catch-all listener: the name of the event, and its arguments with the ack at the end.
    fn as_name_and_args(&self) -> Vec<Dynamic> {
        let ack = self.ack.clone().map(Ack::into_closure);
        let args: Vec<_> = self.args.iter().cloned().chain(ack).collect();
        vec![self.name.as_str().into(), args.into()]
    }
}

/// Returns `true` if a listener has more parameters than there are arguments, so that it receives the ack as well.
fn declares_ack(handler: &Handler, arguments: usize) -> bool {
    handler.parameters().is_none_or(|count| count > arguments)
}

impl Dispatcher {
    /// Handles an event from the client: middleware, then catch-all listeners, then its own listeners.
    pub(super) fn event(&self, connection: &Arc<Connection>, event: Event) {
        if !connection.is_connected() {
            return;
        }
        // The client learns that the event was not received: its ack fails.
        if event.ack.is_some() && connection.is_shutting_down() {
            return;
        }
        self.announcer.counters().events_received.add();
        if api::is_reserved(&event.name) {
            connection.disconnect(true);
            return;
        }
        let dispatch = Dispatch::new(connection, event, MIDDLEWARE);
        self.run_steps(connection, dispatch, Step(Self::middleware));
    }

    /// Calls the `on_any_outgoing` listeners for an event to the client.
    pub(super) fn outgoing(&self, connection: &Arc<Connection>, event: Event) {
        let dispatch = Dispatch::new(connection, event, OUTGOING);
        self.run_steps(connection, dispatch, Step(Self::any_outgoing));
    }

    fn middleware(&self, connection: &Arc<Connection>, dispatch: &mut Dispatch) -> Next<Dispatch> {
        let Some(handler) = dispatch.handlers.next() else {
            dispatch.handlers = connection.fire(ANY).into_iter();
            return self.any(connection, dispatch);
        };
        let args = vec![dispatch.name.as_str().into(), dispatch.args.clone().into()];
        match super::run(connection, &handler, args) {
            Ok(value) => {
                if let Ok(args) = value.into_array() {
                    dispatch.args = args;
                }
                Some(Step(Self::middleware))
            }
            Err(error) => self.refused(connection, dispatch, &handler, error),
        }
    }

    /// Handles an event that a middleware has rejected. The `error` listeners receive the value that the middleware
    /// threw. An error that is not a thrown value is announced, and so is a rejection without an `error` listener.
    fn refused(
        &self,
        connection: &Arc<Connection>,
        dispatch: &mut Dispatch,
        handler: &Handler,
        error: CallError,
    ) -> Next<Dispatch> {
        dispatch.handlers = connection.fire("error").into_iter();
        let listen = dispatch.while_any(Step(Self::error));
        match error.thrown().filter(|_| listen.is_some()) {
            Some(thrown) => {
                dispatch.args = vec![thrown];
                listen
            }
            None => {
                let call = format_args!("middleware for `{}`", dispatch.name);
                self.failed(connection, handler, error, &call);
                None
            }
        }
    }

    fn error(&self, connection: &Arc<Connection>, dispatch: &mut Dispatch) -> Next<Dispatch> {
        let handler = dispatch.handlers.next()?;
        self.call(
            connection,
            &handler,
            dispatch.args.clone(),
            "`error` handler",
        );
        dispatch.while_any(Step(Self::error))
    }

    fn any(&self, connection: &Arc<Connection>, dispatch: &mut Dispatch) -> Next<Dispatch> {
        let Some(handler) = dispatch.handlers.next() else {
            return self.own(connection, dispatch);
        };
        let call = format_args!("`on_any` listener for `{}`", dispatch.name);
        self.call(connection, &handler, dispatch.as_name_and_args(), call);
        Some(Step(Self::any))
    }

    fn any_outgoing(
        &self,
        connection: &Arc<Connection>,
        dispatch: &mut Dispatch,
    ) -> Next<Dispatch> {
        let handler = dispatch.handlers.next()?;
        let call = format_args!("`on_any_outgoing` listener for `{}`", dispatch.name);
        self.call(connection, &handler, dispatch.as_name_and_args(), call);
        dispatch.while_any(Step(Self::any_outgoing))
    }

    /// Calls the event's own listeners.
    fn own(&self, connection: &Arc<Connection>, dispatch: &mut Dispatch) -> Next<Dispatch> {
        let handlers = match is_internal(&dispatch.name) {
            true => StaticVec::new(),
            false => connection.fire(&dispatch.name),
        };
        if handlers.is_empty() && !connection.hears(ANY) {
            self.announcer.counters().events_unhandled.add();
            if let Some(version) = connection.version() {
                let namespace = connection.namespace().path();
                self.announcer
                    .unheard(&version, namespace, &dispatch.name, connection.id());
            }
        }
        let arguments = dispatch.args.len();
        dispatch.by_value = !handlers
            .iter()
            .any(|handler| declares_ack(handler, arguments));
        dispatch.handlers = handlers.into_iter();
        self.listener(connection, dispatch)
    }

    fn listener(&self, connection: &Arc<Connection>, dispatch: &mut Dispatch) -> Next<Dispatch> {
        let handler = dispatch.handlers.next()?;
        let next = dispatch.while_any(Step(Self::listener));
        let declares_ack = declares_ack(&handler, dispatch.args.len());
        let args = match next {
            Some(_) => dispatch.args.clone(),
            None => std::mem::take(&mut dispatch.args),
        };
        self.listen(connection, dispatch, &handler, args, declares_ack);
        next
    }

    fn listen(
        &self,
        connection: &Arc<Connection>,
        dispatch: &Dispatch,
        handler: &Handler,
        mut args: Vec<Dynamic>,
        declares_ack: bool,
    ) {
        if let Some(ack) = dispatch.ack.as_ref().filter(|_| declares_ack) {
            ack.give();
            args.push(ack.clone().into_closure());
        }
        let call = format_args!("`{}` handler", dispatch.name);
        let value = self.try_call(connection, handler, args, call);
        let Some(ack) = &dispatch.ack else { return };
        match value {
            Ok(value) if dispatch.by_value => self.answer(connection, handler, ack, value, &call),
            // The handler has neither called the ack nor kept it. Without this answer, the client would wait forever.
            Ok(value) if declares_ack && !value.is_unit() && ack.is_dropped() => {
                self.answer(connection, handler, ack, value, &call);
            }
            Err(Some(reason))
                if self.options.clients.ack_errors && (dispatch.by_value || declares_ack) =>
            {
                let error = Map::from([("error".into(), reason.into())]);
                self.answer(connection, handler, ack, error.into(), &call);
            }
            // The failure was announced, so the missing answer is not announced as well.
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
