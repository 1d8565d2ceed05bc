//! Operators, which select the recipients of the next `emit` and how it is sent.

use std::{sync::Arc, time::Duration};

use rhai::{Array, Dynamic, EvalAltResult, FnPtr, INT, Module, NativeCallContext};

use super::{
    Fallible, emit,
    io::Io,
    refuse,
    registration::{getter, method},
    rooms::{join_rooms, room_names},
    socket::Socket,
    turn,
};
use crate::{
    connection::{AckTarget, Call, Connection, Namespace, OutgoingEvent, Target, Turn, Work},
    script::{Handler, limit},
    value::register_type,
};

/// Chain of operators before its `emit`.
#[derive(Debug, Clone)]
pub(crate) struct Operator {
    /// Namespace of the chain; `None` means the namespace of the running call.
    namespace: Option<Arc<Namespace>>,
    /// Socket with which the chain started. It never receives its own broadcasts.
    sender: Option<Arc<Connection>>,
    /// Recipients of a broadcast; `None` means the sender itself.
    target: Option<Target>,
    volatile: bool,
    timeout: Option<Duration>,
}

/// Value with which a chain of operators can start.
pub(super) trait Sends: Clone + Send + Sync + 'static {
    fn operator(&self) -> Operator;
}

impl Sends for Operator {
    fn operator(&self) -> Operator {
        self.clone()
    }
}

impl Sends for Socket {
    fn operator(&self) -> Operator {
        let namespace = self.0.namespace().clone();
        Operator {
            namespace: Some(namespace),
            sender: Some(self.0.clone()),
            target: None,
            volatile: false,
            timeout: None,
        }
    }
}

impl Sends for Io {
    fn operator(&self) -> Operator {
        let target = Some(Target::everyone());
        Operator {
            namespace: self.0.clone(),
            sender: None,
            target,
            volatile: false,
            timeout: None,
        }
    }
}

impl Operator {
    /// Turns the chain into a broadcast to the sockets that `aim` selects.
    fn broadcast(mut self, aim: impl FnOnce(&mut Target)) -> Self {
        let sender = self.sender.as_ref();
        let target = self.target.get_or_insert_with(|| {
            sender.map_or_else(Target::everyone, |sender| Target::all_but(sender.id()))
        });
        aim(target);
        self
    }

    pub(super) fn emit(&self, event: &str, args: &[Dynamic], ack: Option<Handler>) -> Fallible {
        let turn = turn("emit")?;
        let namespace = self.namespace(&turn);
        if let Some(draft) = &turn.draft {
            if let Some(handler) = ack {
                draft.ask(handler);
            }
            return Ok(());
        }
        check_waiting(&turn.connection, ack.as_ref())?;
        let outgoing = OutgoingEvent::new(event, args);
        let sent = match (&self.target, &self.sender, ack) {
            (None, Some(socket), None) if self.volatile => socket.emit_volatile(&outgoing),
            (None, Some(socket), None) => socket.emit(&outgoing),
            (None, Some(socket), Some(handler)) => {
                turn.connection
                    .ask(AckTarget::One(socket), &outgoing, handler, self.timeout)
            }
            (Some(_), _, Some(_)) if self.timeout.is_none() => {
                return refuse(
                    "the answers to a broadcast need a time to end: `timeout(ms)` before `emit`",
                );
            }
            (Some(target), _, Some(handler)) => {
                let sockets = namespace.select(target);
                turn.connection
                    .ask(AckTarget::Many(&sockets), &outgoing, handler, self.timeout)
            }
            (Some(target), ..) => namespace.emit(target, self.volatile, &outgoing),
            (None, None, _) => Ok(()),
        };
        let socket = self
            .sender
            .as_ref()
            .filter(|_| self.target.is_none())
            .map(|socket| &**socket.id());
        namespace.account(sent, socket, event).or_else(refuse)
    }

    /// Returns everything that distinguishes the chain from another one.
    fn content(&self) -> Option<Dynamic> {
        let texts = |texts: &[String]| Dynamic::from_array(texts.iter().map(Into::into).collect());
        let sender = self.sender.as_ref();
        let sender = sender.map_or(Dynamic::UNIT, |sender| sender.id().to_string().into());
        let target = self.target.as_ref().map_or(Dynamic::UNIT, |target| {
            let parts = [
                texts(&target.rooms),
                texts(&target.except),
                target.local.into(),
            ];
            Dynamic::from_array(parts.into())
        });
        let timeout = self.timeout.map_or(Dynamic::UNIT, |timeout| {
            INT::try_from(timeout.as_millis())
                .unwrap_or(INT::MAX)
                .into()
        });
        let parts = [sender, target, self.volatile.into(), timeout];
        Some(Dynamic::from_array(parts.into()))
    }

    fn namespace<'a>(&'a self, turn: &'a Turn) -> &'a Arc<Namespace> {
        self.namespace.as_ref().unwrap_or(turn.namespace())
    }

    /// Returns the sockets of this process that the chain selects.
    fn sockets(&self, turn: &Turn) -> Vec<Arc<Connection>> {
        match (&self.target, &self.sender) {
            (Some(target), _) => self.namespace(turn).select(target),
            (None, Some(socket)) => vec![socket.clone()],
            (None, None) => Vec::new(),
        }
    }
}

pub(super) fn register(module: &mut Module) {
    register_type::<Operator>(module, "Operator", Operator::content);
    sending::<Operator>(module);
    sending::<Socket>(module);
    sending::<Io>(module);
    many::<Operator>(module);
    many::<Io>(module);
    broadcast::<Operator>(module);
    broadcast::<Socket>(module);
    emit::register::<Socket>(
        module,
        "broadcast",
        BROADCAST,
        |socket, event, args, ack| socket.operator().broadcast(|_| {}).emit(event, args, ack),
    );
}

/// Registers `emit`, `send`, and the operators.
fn sending<T: Sends>(module: &mut Module) {
    emit::register::<T>(module, "emit", EMIT, |on, event, args, ack| {
        on.operator().emit(event, args, ack)
    });
    emit::register_send::<T>(module, SEND, |on, args, ack| {
        on.operator().emit("message", args, ack)
    });
    for (name, doc, aim) in ROOM_WORDS {
        method::<T>(name, doc, &["rooms: Dynamic"], "Operator").set_into_module(
            module,
            move |on: &mut T, rooms: Dynamic| {
                let rooms = room_names(name, rooms)?;
                Ok::<_, Box<EvalAltResult>>(on.operator().broadcast(|target| aim(target, rooms)))
            },
        );
    }
    getter::<T>("local", LOCAL, "Operator").set_into_module(module, |on: &mut T| {
        on.operator().broadcast(|target| target.local = true)
    });
    getter::<T>("volatile", VOLATILE, "Operator").set_into_module(module, |on: &mut T| Operator {
        volatile: true,
        ..on.operator()
    });
    method::<T>("timeout", TIMEOUT, &["ms: INT"], "Operator").set_into_module(
        module,
        |on: &mut T, ms: INT| Operator {
            timeout: Some(milliseconds(ms)),
            ..on.operator()
        },
    );
}

fn broadcast<T: Sends>(module: &mut Module) {
    getter::<T>("broadcast", BROADCAST, "Operator")
        .set_into_module(module, |on: &mut T| on.operator().broadcast(|_| {}));
}

/// Registers the functions that act on many sockets at once.
fn many<T: Sends>(module: &mut Module) {
    method::<T>("sockets_join", SOCKETS_JOIN, &["rooms: Dynamic"], "()").set_into_module(
        module,
        |on: &mut T, rooms: Dynamic| -> Fallible {
            let rooms = room_names("sockets_join", rooms)?;
            each(on, "sockets_join", |socket| join_rooms(socket, &rooms))
        },
    );
    method::<T>("sockets_leave", SOCKETS_LEAVE, &["rooms: Dynamic"], "()").set_into_module(
        module,
        |on: &mut T, rooms: Dynamic| -> Fallible {
            let rooms = room_names("sockets_leave", rooms)?;
            each(on, "sockets_leave", |socket| {
                rooms.iter().for_each(|room| socket.leave_room(room));
                Ok(())
            })
        },
    );
    method::<T>("disconnect_sockets", DISCONNECT_SOCKETS, &[], "()").set_into_module(
        module,
        |on: &mut T| {
            each(on, "disconnect_sockets", |socket| {
                socket.disconnect(false);
                Ok(())
            })
        },
    );
    method::<T>("disconnect_sockets", &[], &["close: bool"], "()").set_into_module(
        module,
        |on: &mut T, close: bool| {
            each(on, "disconnect_sockets", |socket| {
                socket.disconnect(close);
                Ok(())
            })
        },
    );
    method::<T>("fetch_sockets", FETCH_SOCKETS, &["then: FnPtr"], "()").set_into_module(
        module,
        |context: NativeCallContext<'_>, on: &mut T, then: FnPtr| {
            fetch(&context, &on.operator(), then)
        },
    );
}

fn each(on: &impl Sends, word: &str, act: impl Fn(&Connection) -> Fallible) -> Fallible {
    let turn = turn(word)?;
    if turn.draft.is_none() {
        on.operator()
            .sockets(&turn)
            .iter()
            .try_for_each(|socket| act(socket))?;
    }
    Ok(())
}

fn fetch(context: &NativeCallContext<'_>, operator: &Operator, then: FnPtr) -> Fallible {
    let turn = turn("fetch_sockets")?;
    if turn.draft.is_some() {
        return Ok(());
    }
    let Some(handler) = Handler::new(then, context) else {
        return Ok(());
    };
    let sockets: Array = operator
        .sockets(&turn)
        .into_iter()
        .map(|socket| Dynamic::from(Socket(socket)))
        .collect();
    turn.connection.post(Work::Call(Call::new(
        Arc::new(handler),
        vec![sockets.into()],
        "`fetch_sockets` closure",
        turn.connection.beginnings(),
    )));
    Ok(())
}

/// Rejects a further closure that waits for an ack if the connection has reached its limit for them.
fn check_waiting(connection: &Connection, ack: Option<&Handler>) -> Fallible {
    let max = limit(|limits| limits.acks);
    match ack.is_some() && connection.waiting_for() >= max {
        true => refuse(format!(
            "this socket waits for {max} answers, which is the limit: `timeout(ms)` before `emit` gives up on old ones"
        )),
        false => Ok(()),
    }
}

pub(super) fn milliseconds(ms: INT) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}

type Aim = fn(&mut Target, Vec<String>);

const ROOM_WORDS: [(&str, &[&str], Aim); 3] = [
    ("to", TO, |target, rooms| target.rooms.extend(rooms)),
    ("within", WITHIN, |target, rooms| target.rooms.extend(rooms)),
    ("except", EXCEPT, |target, rooms| {
        target.except.extend(rooms);
    }),
];

const EMIT: &[&str] = &[
    "/// Sends an event, with up to eight arguments of any type that can be sent. If the last argument is a closure,",
    "/// the client is asked for an ack, and the closure is called with its arguments. After `timeout(ms)`, the first",
    "/// argument of the closure is an error, or `()` if there is none. A broadcast with a closure requires",
    "/// `timeout(ms)`, and the closure receives the acks of all clients as an array.",
    "///",
    "/// ```rhai",
    "/// socket.emit(\"welcome\", \"Hello!\", #{ online: 3 });",
    "/// socket.emit(\"your name?\", |name| { print(name); });",
    "/// io.timeout(1000).emit(\"ready?\", |err, answers| { print(answers); });",
    "/// ```",
];
const SEND: &[&str] = &[
    "/// Sends an event named `message`.",
    "///",
    "/// ```rhai",
    "/// socket.send(\"hello\");",
    "/// ```",
];
const BROADCAST: &[&str] = &[
    "/// Selects all sockets of the namespace except this one: `socket.broadcast.emit(event, ...)`. A short form is",
    "/// `socket.broadcast(event, ...)`.",
    "///",
    "/// ```rhai",
    "/// socket.broadcast.emit(\"joined\", \"Ada\");",
    "/// socket.broadcast(\"joined\", \"Ada\");",
    "/// ```",
];
const TO: &[&str] = &[
    "/// Selects the sockets in a room, or in any of an array of rooms. Several calls of `to` add up. If the chain",
    "/// starts with a socket, that socket is left out. Every socket is in the room named by its own id.",
    "///",
    "/// ```rhai",
    "/// socket.to(\"lobby\").emit(\"hello\");",
    "/// io.to([\"lobby\", \"game\"]).emit(\"hello\");",
    "/// io.to(socket.id).emit(\"just for you\");",
    "/// ```",
];
const WITHIN: &[&str] = &[
    "/// Selects the same sockets as `to`. In Node this function is called `in`, which is a reserved word in Rhai.",
    "///",
    "/// ```rhai",
    "/// io.within(\"lobby\").emit(\"hello\");",
    "/// ```",
];
const EXCEPT: &[&str] = &[
    "/// Leaves out the sockets in a room, or in any of an array of rooms.",
    "///",
    "/// ```rhai",
    "/// io.except(\"muted\").emit(\"hello\");",
    "/// socket.to(\"lobby\").except(\"muted\").emit(\"hello\");",
    "/// ```",
];
const LOCAL: &[&str] = &[
    "/// Selects only the sockets of this process.",
    "///",
    "/// ```rhai",
    "/// io.local.emit(\"hello\");",
    "/// ```",
];
const VOLATILE: &[&str] = &[
    "/// Skips the event for each client that cannot receive it now: other data is still on its way to the client,",
    "/// even data from the same call, or the client uses polling and no poll is waiting. A skipped event is never",
    "/// sent later.",
    "///",
    "/// ```rhai",
    "/// socket.volatile.emit(\"position\", 12, 34);",
    "/// ```",
];
const TIMEOUT: &[&str] = &[
    "/// Limits the time in which the client can answer, in milliseconds. The closure then receives an error as its",
    "/// first argument, or `()` if the client has answered in time.",
    "///",
    "/// ```rhai",
    "/// socket.timeout(5000).emit(\"your name?\", |err, name| {",
    "///     if err != () { print(`no answer: ${err}`); }",
    "/// });",
    "/// ```",
];
const SOCKETS_JOIN: &[&str] = &[
    "/// Makes all selected sockets join a room, or an array of rooms.",
    "///",
    "/// ```rhai",
    "/// io.to(\"lobby\").sockets_join(\"game\");",
    "/// ```",
];
const SOCKETS_LEAVE: &[&str] = &[
    "/// Makes all selected sockets leave a room, or an array of rooms.",
    "///",
    "/// ```rhai",
    "/// io.sockets_leave(\"game\");",
    "/// ```",
];
const DISCONNECT_SOCKETS: &[&str] = &[
    "/// Disconnects all selected sockets from the namespace. With `true`, closes the connections of their clients.",
    "///",
    "/// ```rhai",
    "/// io.to(\"banned\").disconnect_sockets();",
    "/// ```",
];
const FETCH_SOCKETS: &[&str] = &[
    "/// Calls a closure with an array of all selected sockets, soon after the running call.",
    "///",
    "/// ```rhai",
    "/// io.to(\"lobby\").fetch_sockets(|sockets| { print(sockets.len); });",
    "/// ```",
];
