//! `io`: the namespace of the script, visible everywhere in it.

use std::sync::Arc;

use rhai::{
    Dynamic, Engine, EvalAltResult, ImmutableString, Module, combine_with_exported_module,
    plugin::export_module,
};

use super::{
    Socket,
    data::SharedMap,
    lists::{Rooms, Sockets},
    refuse,
};
use crate::connection::{Namespace, Turn};

/// The handle of a script on its namespace.
#[derive(Debug, Clone)]
pub(crate) struct Io(pub(super) Arc<Namespace>);

/// `io` belongs to the call that runs: one script may serve many namespaces.
pub(super) fn resolve(name: &str) -> Option<Dynamic> {
    if name != "io" {
        return None;
    }
    Turn::current().map(|turn| Dynamic::from(Io(turn.namespace().clone())))
}

pub(super) fn register(engine: &mut Engine) {
    let mut module = Module::new();
    module.set_custom_type::<Io>("Io");
    combine_with_exported_module!(&mut module, "io", words);
    engine.register_global_module(module.into());
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod words {
    /// The map that all connections of this namespace share, in this process. It survives reloads. Every operation
    /// on it is atomic. Node has no such thing; people use a variable of the module.
    ///
    /// ```rhai
    /// let visitor = io.data.incr("visitors", 1);
    /// ```
    #[rhai_fn(get = "data", pure, return_raw)]
    pub(crate) fn data(io: &mut Io) -> Result<SharedMap, Box<EvalAltResult>> {
        SharedMap::of(io.0.data())
    }

    /// The sockets of the namespace, in this process.
    ///
    /// ```rhai
    /// print(io.sockets.len());
    /// for socket in io.sockets { socket.emit("hello"); }
    /// ```
    #[rhai_fn(get = "sockets", pure)]
    pub(crate) fn sockets(io: &mut Io) -> Sockets {
        Sockets(io.0.connections())
    }

    /// The socket of an id, `()` if there is none in this process.
    ///
    /// ```rhai
    /// let other = io.socket("some id");
    /// if other != () { other.emit("hello"); }
    /// ```
    #[rhai_fn(pure)]
    pub(crate) fn socket(io: &mut Io, id: &str) -> Dynamic {
        io.0.connection(id).map_or(Dynamic::UNIT, |connection| {
            Dynamic::from(Socket(connection))
        })
    }

    /// The rooms that somebody is in, in this process.
    ///
    /// ```rhai
    /// for room in io.rooms { print(room); }
    /// ```
    #[rhai_fn(get = "rooms", pure)]
    pub(crate) fn rooms(io: &mut Io) -> Rooms {
        Rooms(io.0.rooms())
    }

    /// The name of the namespace.
    ///
    /// ```rhai
    /// print(io.name);
    /// ```
    #[rhai_fn(get = "name", pure)]
    pub(crate) fn name(io: &mut Io) -> ImmutableString {
        (&**io.0.path()).into()
    }

    /// Another namespace.
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
        match io.0.driver().namespace(&full) {
            Some(namespace) => Ok(Io(namespace)),
            None => refuse(format!("no namespace `{full}` is served")),
        }
    }
}
