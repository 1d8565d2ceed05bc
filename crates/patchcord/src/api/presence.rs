//! `socket.present`, `io.present`: who is online.

use std::sync::Arc;

use rhai::{
    Array, Dynamic, EvalAltResult, ImmutableString, Module, NativeCallContext,
    combine_with_exported_module, plugin::export_module,
};

use super::{Fallible, io::Io, outside::Outside, refuse, socket::Socket, turn};
use crate::{
    connection::{NotPresent, Phase, PresenceLimits},
    script::{limit, produce},
    value,
};

/// Maximum length of a key, in bytes.
const MAX_KEY: usize = 1024;

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "presence", functions);
}

/// Adds a key to a socket, with its meta, or removes it (`None`). A draft only records this for its own socket.
fn set(word: &str, socket: &Socket, key: ImmutableString, meta: Option<Dynamic>) -> Fallible {
    let turn = turn(word)?;
    let connection = &socket.0;
    if connection.phase() == Phase::Handshaking {
        return refuse(format!(
            "`{word}` has no place before the client is connected: call it in `on_connection`"
        ));
    }
    if key.len() > MAX_KEY {
        return refuse(format!("`{word}` takes keys of up to {MAX_KEY} bytes"));
    }
    match (turn.draft, meta) {
        (Some(draft), meta) => {
            if Arc::ptr_eq(&turn.connection, connection) {
                draft.set_present(key, meta);
            }
            Ok(())
        }
        (None, Some(meta)) => add(socket, key, meta),
        (None, None) => {
            connection.namespace().absent(connection, &key);
            Ok(())
        }
    }
}

fn add(socket: &Socket, key: ImmutableString, meta: Dynamic) -> Fallible {
    let connection = &socket.0;
    let limits = PresenceLimits::new(
        limit(|limits| limits.presence_keys),
        limit(|limits| limits.presence),
    );
    let taken = connection
        .namespace()
        .present(connection, key, meta, limits);
    match taken {
        Ok(()) => Ok(()),
        Err(NotPresent::TooManyKeys) => refuse(format!(
            "the socket `{}` is present under {} keys, which is the limit",
            connection.id(),
            limits.keys
        )),
        Err(_) => refuse(format!(
            "`present` has no room: the keys and metas of a namespace hold up to {} bytes",
            limits.bytes
        )),
    }
}

/// Returns a copy of a meta, to keep it.
fn plain(meta: &Dynamic) -> Fallible<Dynamic> {
    value::plain(meta).or_else(|error| refuse(format!("`present` takes plain data: {error}")))
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Makes this socket present under a key, such as the id of its user, until it disconnects. Several sockets may be
    /// present under one key, such as two tabs of one user, and one socket under several keys. With the first socket of
    /// a key, `on_present` is called.
    ///
    /// When the last socket of a key disconnects, the key stays present for a grace time (`--presence-grace`, 5 seconds
    /// by default), because the client may come back. If it does not, `on_absent` is called.
    ///
    /// A socket may be present under 100 keys (`--max-presence-keys`) of up to 1,024 bytes each. Has no effect if the
    /// socket has disconnected. In `on_handshake`, call it later, in `on_connection`. Node has no equivalent.
    ///
    /// ```rhai
    /// socket.present("user 7");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn present(
        socket: &mut Socket,
        key: ImmutableString,
    ) -> Result<(), Box<EvalAltResult>> {
        set("present", socket, key, Some(Dynamic::UNIT))
    }

    /// Makes this socket present under a key, with data about it, such as the name of its user. `on_present` receives
    /// the data, and `io.present(key)` returns it. The data is copied. It must not contain a closure or a socket.
    ///
    /// If the socket is already present under the key, its data is replaced, and no hook is called.
    ///
    /// ```rhai
    /// socket.present("user 7", #{ name: "Ada" });
    /// socket.on("away", || socket.present("user 7", #{ name: "Ada", away: true }));
    /// ```
    #[rhai_fn(name = "present", pure, return_raw)]
    pub(crate) fn present_with(
        socket: &mut Socket,
        key: ImmutableString,
        meta: Dynamic,
    ) -> Result<(), Box<EvalAltResult>> {
        let meta = plain(&meta)?;
        set("present", socket, key, Some(meta))
    }

    /// Removes a key that `present` has added. If no other socket is present under the key, `on_absent` is called,
    /// without a grace time. In a `disconnect` listener, this ends the grace time of a key that only this socket had.
    ///
    /// ```rhai
    /// socket.on("log out", || socket.absent("user 7"));
    /// socket.on("disconnect", |reason| {
    ///     if reason == "client namespace disconnect" { socket.absent("user 7"); }
    /// });
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn absent(
        socket: &mut Socket,
        key: ImmutableString,
    ) -> Result<(), Box<EvalAltResult>> {
        set("absent", socket, key, None)
    }

    /// Returns the keys under which sockets of this namespace are present in this process, as a sorted array: who is
    /// online. A key in its grace time is among them.
    ///
    /// ```rhai
    /// socket.emit("online", io.present());
    /// ```
    #[rhai_fn(name = "present", pure, return_raw)]
    pub(crate) fn present_keys(
        context: NativeCallContext<'_>,
        io: &mut Io,
    ) -> Result<Array, Box<EvalAltResult>> {
        let namespace = io.namespace("present")?;
        let call = Outside::call("present", &context, namespace.path());
        call.read(|| {
            let keys = namespace.present_keys();
            produce(keys.len() * size_of::<Dynamic>())?;
            Ok(keys.into_iter().map(Dynamic::from).collect())
        })
    }

    /// Returns the data of the sockets that are present under a key, as an array in the order in which the sockets
    /// connected: `()` for a socket without data. The array is empty if the key is not present. In its grace time, a
    /// key has the data of the socket that left last.
    ///
    /// ```rhai
    /// let tabs = io.present("user 7").len();
    /// ```
    #[rhai_fn(name = "present", pure, return_raw)]
    pub(crate) fn metas(
        context: NativeCallContext<'_>,
        io: &mut Io,
        key: &str,
    ) -> Result<Array, Box<EvalAltResult>> {
        let namespace = io.namespace("present")?;
        let call = Outside::call("present", &context, (namespace.path(), key));
        call.read(|| namespace.metas(key, produce))
    }

    /// Returns `true` if a key is present: a socket of this namespace holds it, or its grace time runs.
    ///
    /// ```rhai
    /// if !io.is_present("user 7") { print("user 7 is offline"); }
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn is_present(
        context: NativeCallContext<'_>,
        io: &mut Io,
        key: &str,
    ) -> Result<bool, Box<EvalAltResult>> {
        let namespace = io.namespace("is_present")?;
        let call = Outside::call("is_present", &context, (namespace.path(), key));
        call.read(|| Ok(namespace.is_present(key)))
    }
}
