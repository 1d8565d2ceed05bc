//! Script API: the functions that scripts call, one file per subject.
//!
//! In: an engine. Out: the same engine with the functions registered. They act on the connection whose call runs on
//! this thread ([`Turn`]); those that change listeners cannot act on another connection. In a draft, every effect
//! outside the connection is skipped.

mod ack;
mod any;
mod binary;
mod chance;
mod data;
mod emit;
mod handover;
mod handshake;
mod io;
mod limit;
mod log;
mod operator;
mod outside;
mod payload;
mod presence;
pub(crate) mod registration;
mod reply;
mod rooms;
mod socket;
mod sockets;
mod timers;

use std::any::TypeId;

use rhai::{Dynamic, Engine, EvalAltResult, FnPtr, ImmutableString, Module};

use crate::{
    connection::{Connection, Turn},
    script::{Callback, EngineBuilder, Globals, Limits, TimerHandle, Vocabulary, misuse},
};

pub(crate) use ack::{Ack, ack};
pub(crate) use binary::register as register_binary;
pub(crate) use chance::{freeze, now};
pub(crate) use emit::check_event;
pub(crate) use handover::{name_handle, named_handle};
pub(crate) use handshake::{next, reason};
pub(crate) use outside::Outside;
pub(crate) use payload::as_value;
pub(crate) use reply::{refused, reply};
pub(crate) use rooms::MAX_ROOM_NAME;
pub(crate) use socket::Socket;

/// Returns `true` if a value belongs to the host and cannot be sent: a handle, a timer or an operator. A handler may
/// return such a value by accident, if its last expression is a call such as `set_timeout`.
pub(crate) fn is_own(value: &Dynamic) -> bool {
    !value.is_locked()
        && (is_handle(value) || value.is::<TimerHandle>() || value.is::<operator::Operator>())
}

/// Global names and handles, for the engine.
pub(crate) const GLOBALS: Globals = Globals::new(io::resolve, is_handle);

/// Facts about the API that the static checks need in addition to the registered functions.
pub(crate) const VOCABULARY: Vocabulary = Vocabulary {
    handles: &[
        ("socket", TypeId::of::<Socket>),
        ("io", TypeId::of::<io::Io>),
        ("ack", TypeId::of::<FnPtr>),
        ("next", TypeId::of::<FnPtr>),
        ("reply", TypeId::of::<FnPtr>),
    ],
    globals: &["io"],
    types: &[
        ("Operator", TypeId::of::<operator::Operator>),
        ("Sockets", TypeId::of::<sockets::Sockets>),
        ("Rooms", TypeId::of::<rooms::Rooms>),
    ],
    elements: &[
        (TypeId::of::<sockets::Sockets>, TypeId::of::<Socket>),
        (TypeId::of::<rooms::Rooms>, TypeId::of::<ImmutableString>),
    ],
    callbacks: &[
        Callback::new("on", &["socket"]).of("connection").on("io"),
        Callback::new("on", &["reason"]).of("disconnect"),
        Callback::new("on", &["reason"]).of("disconnecting"),
        Callback::new("once", &["reason"]).of("disconnect"),
        Callback::new("once", &["reason"]).of("disconnecting"),
        Callback::new("on_any", &["event", "args"]),
        Callback::new("on_any_outgoing", &["event", "args"]),
        Callback::new("middleware", &["event", "args"]),
        Callback::new("fetch_sockets", &["sockets"]),
        Callback::new("update", &["old"]).at_once(),
        Callback::new("set_timeout", &[]),
        Callback::new("set_interval", &[]),
        Callback::new("cron", &[]),
        Callback::new("password::hash", &["err", "hash"]),
        Callback::new("password::verify", &["err", "ok"]),
    ],
    sends: &[("emit", 1), ("send", 0), ("broadcast", 1)],
    most_sent: emit::MAX_ARGS,
    spread: "spread",
    maps: &[("socket", "handshake", &HANDSHAKE)],
    reserved: &RESERVED,
    shared: "io.data",
};

/// Returns the builder of an engine whose scripts can call all API functions.
pub(crate) fn engine(limits: &Limits) -> EngineBuilder {
    EngineBuilder::new(limits)
        .globals(GLOBALS)
        .vocabulary(VOCABULARY)
        .register(register)
}

/// Registers all functions, in the order in which a newcomer would read them. They are in one module, because Rhai
/// searches one module after the other at each call.
fn register(engine: &mut Engine) {
    let mut module = Module::new();
    socket::register(&mut module);
    any::register(&mut module);
    operator::register(&mut module);
    emit::register_spread(&mut module);
    io::register(&mut module);
    sockets::register(&mut module);
    rooms::register(&mut module);
    presence::register(&mut module);
    data::register(&mut module);
    binary::register(&mut module);
    log::register(engine, &mut module);
    timers::register(&mut module);
    chance::register(&mut module);
    limit::register(engine);
    engine.register_global_module(module.into());
    // At each method call, Rhai searches one module after the other for the name of the receiver's type. The engine's
    // own module comes first.
    engine.register_type_with_name::<Socket>("Socket");
}

/// Keys of `socket.handshake`.
const HANDSHAKE: [&str; 10] = [
    "address", "auth", "cookies", "headers", "issued", "query", "secure", "time", "url", "xdomain",
];

/// Event names that Socket.IO reserves.
const RESERVED: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

pub(crate) fn is_reserved(event: &str) -> bool {
    RESERVED.contains(&event)
}

fn is_handle(value: &Dynamic) -> bool {
    // A variable that is in use, such as a closure that calls itself, cannot be inspected. The elements of an array are
    // not checked, because the check would run at every access to the array.
    if value.is_shared() && value.is_locked() {
        return false;
    }
    let of = value.type_id();
    of == TypeId::of::<Socket>() || of == TypeId::of::<io::Io>()
}

type Fallible<T = ()> = Result<T, Box<EvalAltResult>>;

/// Returns the error of a call that the script makes wrongly. Rhai reports it at the position of the call.
fn refuse<T>(message: impl Into<String>) -> Fallible<T> {
    Err(misuse(message.into()))
}

/// Returns the turn of the call that runs on this thread.
fn turn(word: &str) -> Fallible<Turn> {
    match Turn::current() {
        Some(turn) => Ok(turn),
        None => refuse(format!(
            "`{word}` has no place at top level: call it in `on_load`, `on_connection` or a handler"
        )),
    }
}

/// Returns the turn of the call that runs on this thread, if it is a call of `connection`.
fn own_turn(word: &str, connection: &Connection) -> Fallible<Turn> {
    let turn = turn(word)?;
    match std::ptr::eq(&*turn.connection, connection) {
        true => Ok(turn),
        false => refuse(format!(
            "`{word}` works on the socket whose handler is running only"
        )),
    }
}
