//! `socket`: one client in one namespace.

use std::sync::Arc;

use rhai::{
    Dynamic, EvalAltResult, FnPtr, ImmutableString, Map, Module, NativeCallContext,
    combine_with_exported_module, plugin::export_module,
};

use super::{
    Fallible,
    data::SharedMap,
    outside::Outside,
    own_turn, refuse,
    rooms::{Rooms, join_rooms, room_names},
    turn,
};
use crate::{
    connection::{Connection, Phase, RegisteredBy, Turn},
    script::Handler,
    value::register_type,
};

/// Script handle for one socket.
#[derive(Debug, Clone)]
pub(crate) struct Socket(pub(crate) Arc<Connection>);

pub(super) fn register(module: &mut Module) {
    register_type::<Socket>(module, "Socket", |socket| {
        Some(socket.0.id().to_string().into())
    });
    combine_with_exported_module!(module, "socket", functions);
}

pub(super) fn add(
    word: &str,
    context: &NativeCallContext<'_>,
    socket: &Socket,
    event: ImmutableString,
    listener: FnPtr,
) -> Fallible {
    let connection = &socket.0;
    let turn = own_turn(word, connection)?;
    let Some(handler) = Handler::new(listener, context) else {
        return refuse(format!("`{word}` works in script calls only"));
    };
    let limit = handler.version().limits().listeners;
    let once = word == "once";
    if connection.phase() < Phase::Connected {
        return refuse(format!(
            "`{word}` has no place before the client is connected: call it in `on_connection`"
        ));
    }
    if let Some(draft) = turn.draft {
        let listeners = &mut draft.registered().listeners;
        check_count(listeners.len(), limit)?;
        listeners.add(event, Arc::new(handler), once, RegisteredBy::Connection);
    } else if connection.phase() < Phase::Away {
        check_count(connection.listener_count(), limit)?;
        connection.on(event, handler, once);
    }
    Ok(())
}

fn check_count(count: usize, limit: usize) -> Fallible {
    match count < limit {
        true => Ok(()),
        false => refuse(format!(
            "this socket has {limit} listeners, which is the limit: `on` in a handler adds one each time it runs"
        )),
    }
}

/// Joins or leaves rooms. A draft changes only a copy of its socket's rooms.
fn set_rooms(word: &str, socket: &Socket, rooms: Vec<String>, join: bool) -> Fallible {
    let turn = turn(word)?;
    Turn::note_rooms(address(socket));
    match turn.draft {
        Some(draft) if Arc::ptr_eq(&turn.connection, &socket.0) => draft.set_rooms(rooms, join),
        Some(_) => {}
        None if join => join_rooms(&socket.0, &rooms)?,
        None => rooms.iter().for_each(|room| socket.0.leave_room(room)),
    }
    Ok(())
}

/// Returns the number that identifies a socket when `on_connection` records that it has changed the socket's rooms.
fn address(socket: &Socket) -> usize {
    Arc::as_ptr(&socket.0).addr()
}

/// Returns the rooms that `on_connection` sees after it has joined or left rooms. A draft starts with only the room
/// named by the socket's id.
fn rooms_since_connect(socket: &Socket) -> Vec<String> {
    match Turn::running_draft() {
        Some(draft) => draft.rooms(vec![socket.0.id().to_string()]),
        None => socket.0.rooms(),
    }
}

/// Disconnects a socket. A draft only records that it would disconnect its own socket.
fn end(word: &str, socket: &Socket, close: bool) -> Fallible {
    let turn = turn(word)?;
    match turn.draft {
        Some(draft) if Arc::ptr_eq(&turn.connection, &socket.0) => draft.disconnect(),
        Some(_) => {}
        None => socket.0.disconnect(close),
    }
    Ok(())
}

fn rooms_of(socket: &Socket) -> Vec<String> {
    match Turn::current() {
        Some(Turn {
            connection,
            draft: Some(draft),
            ..
        }) if Arc::ptr_eq(&connection, &socket.0) => draft.rooms(connection.rooms()),
        _ => socket.0.rooms(),
    }
}

pub(super) fn remove(
    word: &str,
    socket: &Socket,
    event: &str,
    listener: Option<&FnPtr>,
) -> Fallible {
    match own_turn(word, &socket.0)?.draft {
        Some(draft) => {
            let listeners = &mut draft.registered().listeners;
            listeners.remove(event, listener, RegisteredBy::Connection);
        }
        None => socket.0.off(event, listener),
    }
    Ok(())
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Id of this socket, a random string. It is different in each namespace, and new after each reconnection. Other
    /// clients may know it, because it is not the id of the client's Engine.IO session, which is secret. (Exception: if
    /// an application attaches the host to its own `SocketIo`, both ids are the same. There, do not reveal `socket.id`,
    /// but give clients ids of your own, for example from `random_id()`.)
    ///
    /// ```rhai
    /// print(`connected: ${socket.id}`);
    /// ```
    #[rhai_fn(get = "id", pure)]
    pub(crate) fn id(socket: &mut Socket) -> ImmutableString {
        (&**socket.0.id()).into()
    }

    /// Name of the namespace of this socket, such as `/chat`. In Node, `socket.nsp` is the namespace itself, and
    /// `socket.nsp.name` is its name.
    ///
    /// ```rhai
    /// print(socket.nsp);
    /// ```
    #[rhai_fn(get = "nsp", pure)]
    pub(crate) fn nsp(socket: &mut Socket) -> ImmutableString {
        (&**socket.0.namespace().path()).into()
    }

    /// `true` while the client is connected.
    ///
    /// ```rhai
    /// if socket.connected { socket.emit("still here"); }
    /// ```
    #[rhai_fn(get = "connected", pure, return_raw)]
    pub(crate) fn connected(
        context: NativeCallContext<'_>,
        socket: &mut Socket,
    ) -> Result<bool, Box<EvalAltResult>> {
        let call = Outside::call("connected", &context, &**socket.0.id());
        call.read(|| Ok(socket.0.is_connected()))
    }

    /// `true` if the client has come back after its connection broke, within the time of `--recovery`. The socket then
    /// has the same id, rooms and `socket.data` as before, the variables and listeners of its handlers, and the client
    /// receives the events that it has missed. `on_connection` runs again, as in Node.
    ///
    /// ```rhai
    /// if !socket.recovered { socket.emit("welcome"); }
    /// ```
    #[rhai_fn(get = "recovered", pure, return_raw)]
    pub(crate) fn recovered(
        context: NativeCallContext<'_>,
        socket: &mut Socket,
    ) -> Result<bool, Box<EvalAltResult>> {
        let call = Outside::call("recovered", &context, &**socket.0.id());
        call.read(|| Ok(socket.0.is_recovered()))
    }

    /// Map for values that the script stores with this socket. It exists as long as the connection.
    ///
    /// ```rhai
    /// socket.data.name = "Ada";
    /// socket.on("who am i", || socket.data.name);
    /// ```
    #[rhai_fn(get = "data", pure, return_raw)]
    pub(crate) fn data(socket: &mut Socket) -> Result<SharedMap, Box<EvalAltResult>> {
        SharedMap::new(socket.0.data(), |limits| limits.socket_data)
    }

    /// Calls `listener` for each `event` that this client sends, with the arguments of the event. If the client asked
    /// for an ack, the last argument is the ack. Several listeners of one event run in the order of their registration.
    ///
    /// A listener may declare fewer parameters than the number of arguments that arrive, or more: additional parameters
    /// are `()`. If the listener declares no parameter for the ack, its return value is sent as the ack. In Node, a
    /// listener must call the ack itself.
    ///
    /// ```rhai
    /// socket.on("chat message", |text| { io.emit("chat message", text); });
    /// socket.on("add", |a, b| a + b);
    /// socket.on("save", |document, ack| { ack.call("saved"); });
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn on(
        context: NativeCallContext<'_>,
        socket: &mut Socket,
        event: ImmutableString,
        listener: FnPtr,
    ) -> Result<(), Box<EvalAltResult>> {
        add("on", &context, socket, event, listener)
    }

    /// Calls `listener` for the next `event` only.
    ///
    /// ```rhai
    /// socket.once("ready", || { socket.emit("start"); });
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn once(
        context: NativeCallContext<'_>,
        socket: &mut Socket,
        event: ImmutableString,
        listener: FnPtr,
    ) -> Result<(), Box<EvalAltResult>> {
        add("once", &context, socket, event, listener)
    }

    /// Removes all listeners of `event`. The equivalent in Node is `removeAllListeners(event)`.
    ///
    /// ```rhai
    /// socket.off("chat message");
    /// ```
    #[rhai_fn(name = "off", pure, return_raw)]
    pub(crate) fn off_event(socket: &mut Socket, event: &str) -> Result<(), Box<EvalAltResult>> {
        remove("off", socket, event, None)
    }

    /// Removes one listener of `event`. If `listener` was registered several times, removes the last registration.
    ///
    /// ```rhai
    /// let listener = |text| { print(text); };
    /// socket.on("chat message", listener);
    /// socket.off("chat message", listener);
    /// ```
    #[rhai_fn(name = "off", pure, return_raw)]
    pub(crate) fn off_listener(
        socket: &mut Socket,
        event: &str,
        listener: FnPtr,
    ) -> Result<(), Box<EvalAltResult>> {
        remove("off", socket, event, Some(&listener))
    }

    /// Joins a room, or an array of rooms. Has no effect if the socket has disconnected.
    ///
    /// ```rhai
    /// socket.join("lobby");
    /// socket.join(["lobby", "game"]);
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn join(socket: &mut Socket, rooms: Dynamic) -> Result<(), Box<EvalAltResult>> {
        let rooms = room_names("join", rooms)?;
        set_rooms("join", socket, rooms, true)
    }

    /// Leaves a room.
    ///
    /// ```rhai
    /// socket.leave("lobby");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn leave(socket: &mut Socket, room: &str) -> Result<(), Box<EvalAltResult>> {
        set_rooms("leave", socket, vec![room.to_owned()], false)
    }

    /// Leaves all rooms, including the room named by the socket's id. In Node, this function is not part of the public
    /// API.
    ///
    /// ```rhai
    /// socket.leave_all();
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn leave_all(socket: &mut Socket) -> Result<(), Box<EvalAltResult>> {
        if turn("leave_all")?.draft.is_none() {
            socket.0.leave_all();
            return Ok(());
        }
        let rooms = rooms_of(socket);
        set_rooms("leave_all", socket, rooms, false)
    }

    /// Rooms of this socket, including the room named by its id, in the order of joining.
    ///
    /// ```rhai
    /// for room in socket.rooms { print(room); }
    /// ```
    #[rhai_fn(get = "rooms", pure, return_raw)]
    pub(crate) fn rooms(
        context: NativeCallContext<'_>,
        socket: &mut Socket,
    ) -> Result<Rooms, Box<EvalAltResult>> {
        if Turn::is_taped() && Turn::has_moved(address(socket)) {
            return Ok(Rooms(rooms_since_connect(socket)));
        }
        let call = Outside::call("rooms", &context, &**socket.0.id());
        call.read(|| Ok(Rooms(rooms_of(socket))))
    }

    /// Data of the request with which the client connected: `auth` (set by the client's code), `query`, `cookies`,
    /// `headers` (names in lower case), `address`, `url`, `time`, `issued` (milliseconds since 1970), `secure`,
    /// `xdomain`. `headers` has at most 8 KiB: headers that do not fit are left out, and the log names them. For a page
    /// that is allowed only by `--origin '*'` or `--origin null`, the headers `cookie` and `authorization` are left out
    /// too.
    ///
    /// ```rhai
    /// let token = socket.handshake.auth;
    /// print(socket.handshake.query.EIO);
    /// ```
    #[rhai_fn(get = "handshake", pure)]
    pub(crate) fn handshake(socket: &mut Socket) -> Map {
        socket.0.handshake()
    }

    /// Map of the parameters in the name of a dynamic namespace: in `room/{id}.rhai`, `socket.params.id` is `"42"` for
    /// a client of `/room/42`.
    ///
    /// ```rhai
    /// print(socket.params);
    /// ```
    #[rhai_fn(get = "params", pure)]
    pub(crate) fn params(socket: &mut Socket) -> Map {
        socket.0.namespace().params().clone()
    }

    /// Transport of the client: `websocket` or `polling`.
    ///
    /// ```rhai
    /// print(socket.transport);
    /// ```
    #[rhai_fn(get = "transport", pure, return_raw)]
    pub(crate) fn transport(
        context: NativeCallContext<'_>,
        socket: &mut Socket,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        let call = Outside::call("transport", &context, &**socket.0.id());
        call.read(|| Ok(socket.0.transport().into()))
    }

    /// Disconnects this client from the namespace. The client receives the reason `io server disconnect`, and does not
    /// reconnect automatically. The `disconnect` listeners run after the current call.
    ///
    /// ```rhai
    /// socket.on("quit", || { socket.disconnect(); });
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn disconnect(socket: &mut Socket) -> Result<(), Box<EvalAltResult>> {
        end("disconnect", socket, false)
    }

    /// Disconnects this client from the namespace, as `disconnect()` does. With `true`, disconnects the client from all
    /// namespaces and closes its connection.
    ///
    /// ```rhai
    /// socket.on("banned", || { socket.disconnect(true); });
    /// ```
    #[rhai_fn(name = "disconnect", pure, return_raw)]
    pub(crate) fn disconnect_client(
        socket: &mut Socket,
        close: bool,
    ) -> Result<(), Box<EvalAltResult>> {
        end("disconnect", socket, close)
    }
}
