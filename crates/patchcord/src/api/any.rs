//! What hears any event, whatever its name: `on_any`, `on_any_outgoing`, `middleware`.

use rhai::{
    EvalAltResult, FnPtr, Module, NativeCallContext, combine_with_exported_module,
    plugin::export_module,
};

use super::socket::{Socket, add, remove};
use crate::connection::{ANY, MIDDLEWARE, OUTGOING};

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "any", words);
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod words {
    /// Calls `listener` for every event of this client, before the event's own listeners, with the name of the event
    /// and an array of its arguments. The ack is the last of them if the client asked for one; the value that the
    /// listener returns is no answer.
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

    /// Takes every listener of `on_any` off.
    ///
    /// ```rhai
    /// socket.off_any();
    /// ```
    #[rhai_fn(name = "off_any", pure, return_raw)]
    pub(crate) fn off_any_every(socket: &mut Socket) -> Result<(), Box<EvalAltResult>> {
        remove("off_any", socket, ANY, None)
    }

    /// Takes one listener of `on_any` off: the one registered last with this function.
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
    /// arguments, soon after the call that sends it. In Node it is called before the event is sent. Of more than 16,384
    /// events that wait for a busy client's listeners, or 16 MiB, the listeners do not hear, and that is announced; the client
    /// has them all the same.
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

    /// Takes every listener of `on_any_outgoing` off.
    ///
    /// ```rhai
    /// socket.off_any_outgoing();
    /// ```
    #[rhai_fn(name = "off_any_outgoing", pure, return_raw)]
    pub(crate) fn off_any_outgoing_every(socket: &mut Socket) -> Result<(), Box<EvalAltResult>> {
        remove("off_any_outgoing", socket, OUTGOING, None)
    }

    /// Takes one listener of `on_any_outgoing` off: the one registered last with this function.
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

    /// Calls `check` with the name and the arguments of each event before its listeners. If it throws, the event is
    /// dropped and the `error` listeners get what it threw; if it returns an array, these are the arguments from then
    /// on. In Node it is `socket.use`, with a `next` function.
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
