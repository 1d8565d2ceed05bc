//! `io`: the namespace of the script, which is visible everywhere in the script.

use std::sync::Arc;

use rhai::{
    Dynamic, EvalAltResult, FnPtr, ImmutableString, Module, NativeCallContext,
    combine_with_exported_module, plugin::export_module,
};

use super::{
    Fallible, data::SharedMap, outside::Outside, refuse, rooms::Rooms, socket::Socket,
    sockets::Sockets, turn,
};
use crate::{
    connection::{Namespace, Turn},
    script,
    value::register_type,
};

/// Script handle for its namespace.
#[derive(Debug, Clone)]
pub(crate) struct Io(
    /// `None` if a closure captured `io` at top level, where there is no namespace. It then refers to the namespace of
    /// the running call.
    pub(super) Option<Arc<Namespace>>,
);

impl Io {
    pub(super) fn namespace(&self, word: &str) -> Fallible<Arc<Namespace>> {
        let here = turn(&format!("io.{word}"))?;
        Ok(self.0.as_ref().unwrap_or(here.namespace()).clone())
    }
}

/// Returns the value of the global name `io`. It belongs to the running call, because one script may serve many
/// namespaces.
pub(super) fn resolve(name: &str) -> Option<Dynamic> {
    if name != "io" {
        return None;
    }
    match Turn::current() {
        Some(turn) => Some(Dynamic::from(Io(Some(turn.namespace().clone())))),
        None => script::is_top_level().then(|| Dynamic::from(Io(None))),
    }
}

pub(super) fn register(module: &mut Module) {
    // Without a namespace, it is that of the running call, so all of a script are the same.
    register_type::<Io>(module, "Io", |_| Some(Dynamic::UNIT));
    combine_with_exported_module!(module, "io", functions);
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Calls `listener` with the socket of each client that connects. This is an alternative to a function
    /// `on_connection(socket)`. Call it once, at the top level of the file that serves the namespace. The only event is
    /// `connection`.
    ///
    /// In Node, the listener may use variables of the enclosing scope. Here all connections would share them, and calls
    /// of different connections run concurrently. Such variables are therefore rejected: keep shared values in
    /// `io.data`.
    ///
    /// ```rhai
    /// io.on("connection", |socket| {
    ///     socket.on("echo", |text| text);
    /// });
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn on(
        context: NativeCallContext<'_>,
        io: &mut Io,
        event: &str,
        listener: FnPtr,
    ) -> Result<(), Box<EvalAltResult>> {
        if !script::is_top_level() || io.0.is_some() {
            return refuse("`io.on` has its place at the top level of the script");
        }
        if event != "connection" {
            return refuse(format!(
                "`io.on` knows the event `connection` only, and got `{event}`"
            ));
        }
        match script::listen_for_connections(listener, context.call_position()) {
            true => Ok(()),
            false => {
                refuse("duplicate `io.on(\"connection\", ...)`: a script registers it only once")
            }
        }
    }

    /// Map that all connections of this namespace in this process share. It survives reloads. Every operation on it is
    /// atomic. Node has no equivalent; scripts there use a module-level variable.
    ///
    /// ```rhai
    /// let visitor = io.data.incr("visitors", 1);
    /// ```
    #[rhai_fn(get = "data", pure, return_raw)]
    pub(crate) fn data(io: &mut Io) -> Result<SharedMap, Box<EvalAltResult>> {
        SharedMap::new(io.namespace("data")?.data(), |limits| limits.io_data)
    }

    /// Sockets of the namespace in this process, in the order in which they connected. As a payload, the list becomes
    /// an array of socket ids.
    ///
    /// ```rhai
    /// print(io.sockets.len());
    /// for socket in io.sockets { socket.emit("hello"); }
    /// ```
    #[rhai_fn(get = "sockets", pure, return_raw)]
    pub(crate) fn sockets(
        context: NativeCallContext<'_>,
        io: &mut Io,
    ) -> Result<Sockets, Box<EvalAltResult>> {
        let namespace = io.namespace("sockets")?;
        let call = Outside::call("sockets", &context, namespace.path());
        call.read(|| {
            let mut sockets = namespace.connections();
            sockets.sort_by_key(|socket| socket.entered());
            Ok(Sockets(sockets))
        })
    }

    /// Returns the socket with this id, or `()` if there is none in this process.
    ///
    /// ```rhai
    /// let other = io.socket("some id");
    /// if other != () { other.emit("hello"); }
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn socket(
        context: NativeCallContext<'_>,
        io: &mut Io,
        id: &str,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        let namespace = io.namespace("socket")?;
        let call = Outside::call("socket", &context, (namespace.path(), id));
        call.read(|| {
            let found = namespace.connection(id);
            Ok(found.map_or(Dynamic::UNIT, |connection| {
                Dynamic::from(Socket(connection))
            }))
        })
    }

    /// Rooms in this process that contain at least one socket: first the rooms named by socket ids, in the order in
    /// which the sockets connected, then the others, in the order of creation. In Node, all rooms are in the order of
    /// creation.
    ///
    /// ```rhai
    /// for room in io.rooms { print(room); }
    /// ```
    #[rhai_fn(get = "rooms", pure, return_raw)]
    pub(crate) fn rooms(
        context: NativeCallContext<'_>,
        io: &mut Io,
    ) -> Result<Rooms, Box<EvalAltResult>> {
        let namespace = io.namespace("rooms")?;
        let call = Outside::call("rooms", &context, namespace.path());
        call.read(|| Ok(Rooms(namespace.rooms())))
    }

    /// Name of the namespace.
    ///
    /// ```rhai
    /// print(io.name);
    /// ```
    #[rhai_fn(get = "name", pure, return_raw)]
    pub(crate) fn name(io: &mut Io) -> Result<ImmutableString, Box<EvalAltResult>> {
        Ok((&**io.namespace("name")?.path()).into())
    }

    /// Returns another namespace.
    ///
    /// ```rhai
    /// io.of("/").emit("hello");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn of(io: &mut Io, path: &str) -> Result<Io, Box<EvalAltResult>> {
        let full = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        match io.namespace("of")?.driver().namespace(&full) {
            Some(namespace) => Ok(Io(Some(namespace))),
            None => refuse(format!("no namespace `{full}` is served")),
        }
    }
}
