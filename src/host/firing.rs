//! The listeners of one event, one after the other.
//!
//! Each may run to its deadline: after one that takes long the rest is a piece of work of its own, which goes where it
//! holds up nobody else.

use std::sync::Arc;

use rhai::{Dynamic, Identifier, Map, StaticVec};

use super::Inner;
use crate::{
    api::Ack,
    connection::Connection,
    script::{Handler, has_taken_long},
};

/// An event on its way through its listeners.
pub(super) struct Firing {
    name: Identifier,
    args: Vec<Dynamic>,
    ack: Option<Ack>,
    /// Those that are still to be called.
    handlers: <StaticVec<Arc<Handler>> as IntoIterator>::IntoIter,
    /// A listener that declares the ack answers; others do by what they return, if none does.
    by_value: bool,
}

impl Firing {
    pub(super) fn new(
        name: Identifier,
        args: Vec<Dynamic>,
        ack: Option<Ack>,
        handlers: StaticVec<Arc<Handler>>,
    ) -> Self {
        let by_value = !handlers
            .iter()
            .any(|handler| declares_ack(handler, args.len()));
        Self {
            name,
            args,
            ack,
            handlers: handlers.into_iter(),
            by_value,
        }
    }
}

/// Whether a listener has a parameter more than there are arguments.
fn declares_ack(handler: &Handler, arguments: usize) -> bool {
    handler.parameters().is_none_or(|count| count > arguments)
}

impl Inner {
    /// Calls the listeners that are left.
    pub(super) fn fire(&self, connection: &Arc<Connection>, mut firing: Firing) {
        while let Some(handler) = firing.handlers.next() {
            let last = firing.handlers.as_slice().is_empty();
            let declares_ack = declares_ack(&handler, firing.args.len());
            let args = match last {
                true => std::mem::take(&mut firing.args),
                false => firing.args.clone(),
            };
            self.listener(connection, &firing, &handler, args, declares_ack);
            if !last
                && has_taken_long()
                && let Some(host) = self.me.upgrade()
            {
                let same = connection.clone();
                return connection.go_on(move || host.fire(&same, firing));
            }
        }
    }

    fn listener(
        &self,
        connection: &Arc<Connection>,
        firing: &Firing,
        handler: &Handler,
        mut args: Vec<Dynamic>,
        declares_ack: bool,
    ) {
        if let Some(ack) = firing.ack.as_ref().filter(|_| declares_ack) {
            args.push(ack.clone().into_closure());
        }
        let call = format_args!("`{}` handler", firing.name);
        let value = self.try_call(connection, handler, args, call);
        let Some(ack) = &firing.ack else { return };
        match value {
            Ok(value) if firing.by_value => self.answer(connection, handler, ack, value, &call),
            Err(Some(reason)) if self.options.ack_errors && (firing.by_value || declares_ack) => {
                let error = Map::from([("error".into(), reason.into())]);
                self.answer(connection, handler, ack, error.into(), &call);
            }
            _ => {}
        }
    }
}
