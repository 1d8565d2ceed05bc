//! Listeners of all events, whatever their name: `on_any`, `on_any_outgoing`, `middleware`.

use rhai::{
    EvalAltResult, FnPtr, Module, NativeCallContext, combine_with_exported_module,
    plugin::export_module,
};

use super::socket::{Socket, add, remove};
use crate::connection::{ANY, MIDDLEWARE, OUTGOING};

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "any", functions);
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Calls `listener` for every event of this client, before the event's own listeners, with the name of the event
    /// and an array of its arguments. If the client asked for an ack, the last element of the array is the ack. The
    /// return value of the listener is not sent as an ack.
    ///
    /// ```rhai
    /// socket.on_any(|event, args| { print(`${event} with ${args.len} arguments`); });
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn on_any(
        context: NativeCallContext<'_>,
        socket: &mut Socket,
        listener: FnPtr,
    ) -> Result<(), Box<EvalAltResult>> {
        add("on_any", &context, socket, ANY.into(), listener)
    }

    /// Removes all listeners of `on_any`.
    ///
    /// ```rhai
    /// socket.off_any();
    /// ```
    #[rhai_fn(name = "off_any", pure, return_raw)]
    pub(crate) fn off_any_every(socket: &mut Socket) -> Result<(), Box<EvalAltResult>> {
        remove("off_any", socket, ANY, None)
    }

    /// Removes one listener of `on_any`. If `listener` was registered several times, removes the last registration.
    ///
    /// ```rhai
    /// let listener = |event, args| { print(event); };
    /// socket.on_any(listener);
    /// socket.off_any(listener);
    /// ```
    #[rhai_fn(name = "off_any", pure, return_raw)]
    pub(crate) fn off_any_one(
        socket: &mut Socket,
        listener: FnPtr,
    ) -> Result<(), Box<EvalAltResult>> {
        remove("off_any", socket, ANY, Some(&listener))
    }

    /// Calls `listener` for every event that is sent to this client, with the name of the event and an array of its
    /// arguments, soon after the call that sends it. In Node, the listener is called before the event is sent. If more
    /// than 16,384 events, or 16 MiB, are waiting for the listeners of a busy client, the listeners miss further
    /// events, and the log says so. The client still receives these events.
    ///
    /// ```rhai
    /// socket.on_any_outgoing(|event, args| { print(`sent ${event}`); });
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn on_any_outgoing(
        context: NativeCallContext<'_>,
        socket: &mut Socket,
        listener: FnPtr,
    ) -> Result<(), Box<EvalAltResult>> {
        add(
            "on_any_outgoing",
            &context,
            socket,
            OUTGOING.into(),
            listener,
        )
    }

    /// Removes all listeners of `on_any_outgoing`.
    ///
    /// ```rhai
    /// socket.off_any_outgoing();
    /// ```
    #[rhai_fn(name = "off_any_outgoing", pure, return_raw)]
    pub(crate) fn off_any_outgoing_every(socket: &mut Socket) -> Result<(), Box<EvalAltResult>> {
        remove("off_any_outgoing", socket, OUTGOING, None)
    }

    /// Removes one listener of `on_any_outgoing`. If `listener` was registered several times, removes the last
    /// registration.
    ///
    /// ```rhai
    /// let listener = |event, args| { print(event); };
    /// socket.on_any_outgoing(listener);
    /// socket.off_any_outgoing(listener);
    /// ```
    #[rhai_fn(name = "off_any_outgoing", pure, return_raw)]
    pub(crate) fn off_any_outgoing_one(
        socket: &mut Socket,
        listener: FnPtr,
    ) -> Result<(), Box<EvalAltResult>> {
        remove("off_any_outgoing", socket, OUTGOING, Some(&listener))
    }

    /// Calls `check` with the name and the array of arguments of each event, before the listeners of the event. If
    /// `check` throws, the event is dropped, and the `error` listeners receive the thrown value. If `check` returns an
    /// array, this array replaces the arguments. The equivalent in Node is `socket.use`, with a `next` function.
    ///
    /// ```rhai
    /// socket.middleware(|event, args| {
    ///     if event == "admin" { throw "not allowed"; }
    /// });
    /// socket.on("error", |err| { print(err); });
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn middleware(
        context: NativeCallContext<'_>,
        socket: &mut Socket,
        check: FnPtr,
    ) -> Result<(), Box<EvalAltResult>> {
        add("middleware", &context, socket, MIDDLEWARE.into(), check)
    }
}
