//! State of one connection.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::Value;

use super::{SteerError, find, in_turn, is_global, listening::ListenerInfo};
use crate::{
    api,
    connection::{Connection, Draft, DraftResult, Pending},
    host::{Host, dispatch::drafts},
    script::{self, Captured, Handler, Hook, Stale, Version},
};

/// State of one connection at one moment, between two calls of its scripts. Returned by [`Host::inspect`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Inspection {
    /// Id of the socket.
    pub socket: String,
    /// Path of its namespace.
    pub namespace: Arc<str>,
    /// Name of the script that serves the namespace.
    pub script: Arc<str>,
    /// Number of the version whose handlers it has; 0 before its `on_connection` has begun.
    pub version: u64,
    /// Listeners, in the order of their registration.
    pub listeners: Vec<ListenerInfo>,
    /// Timers, in the order in which they were set.
    pub timers: Vec<TimerInfo>,
    /// Closures that wait for acks of clients.
    pub acks: Vec<AckInfo>,
    /// Rooms that the socket is in.
    pub rooms: Vec<String>,
    /// Keys that the socket holds with `socket.present`, with their metas, in the order of the keys.
    pub present: Vec<Variable>,
    /// Keys of `socket.data` with their values, in the order of the keys.
    pub data: Vec<Variable>,
    /// Variables that the closures of the connection have captured, in the order of their names. Several variables can
    /// have the same name.
    pub variables: Vec<Variable>,
}

/// Timer of a connection that is still due to fire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TimerInfo {
    /// Function that has set it: `set_timeout` or `set_interval`.
    pub function: &'static str,
    /// Time until it fires, in milliseconds.
    pub due_in: u64,
    /// Period in milliseconds; `None` if it does not repeat.
    pub period: Option<u64>,
    /// File of its code.
    pub file: Arc<str>,
    /// Line at which its code begins.
    pub line: usize,
    /// Reason why its code is older than the version of the connection; `None` if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<Stale>,
}

/// Closure that waits for acks of clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AckInfo {
    /// Number of acks that have not arrived yet.
    pub missing: usize,
    /// File of its code.
    pub file: Arc<str>,
    /// Line at which its code begins.
    pub line: usize,
    /// Reason why its code is older than the version of the connection; `None` if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<Stale>,
}

/// Captured variable, key of `socket.data`, or key of `socket.present`, with its values.
///
/// Values are converted to JSON. A closure becomes a text such as `closure chat.rhai:12`, and long values are
/// truncated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Variable {
    /// Name of the variable or of the key.
    pub name: String,
    /// Current value.
    pub value: Value,
    /// Value that the version of the connection initially assigns. `None` if this is not known, or if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial: Option<Value>,
    /// Closures in the value whose code is older than the version of the connection.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stale: Vec<Stale>,
}

/// Connected socket, as [`Host::connected`] lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SocketInfo {
    /// Path of its namespace.
    pub namespace: Arc<str>,
    /// Id of the socket.
    pub socket: String,
    /// Number of the version whose handlers it has; 0 before its `on_connection` has begun.
    pub version: u64,
    /// Number of listeners of the socket.
    pub listeners: usize,
    /// Number of timers of the socket.
    pub timers: usize,
}

impl Host {
    /// Returns the state of a connection: its listeners, timers, rooms, presence, `socket.data`, and all variables that
    /// its closures have captured, with their initial values. `socket` is the id of the socket, or `NAMESPACE#ID`.
    ///
    /// The state is read between two calls of the connection's scripts, and nothing changes. The initial values come
    /// from a run of `on_connection` without effects.
    ///
    /// ```
    /// use patchcord::testing::TestHost;
    ///
    /// let host = TestHost::new("fn on_connection(socket) {
    ///     let score = 0;
    ///     socket.on(\"hit\", || { score += 1; });
    /// }");
    /// let ada = host.connect("/")?;
    /// ada.emit("hit", ());
    /// let inspection = host.inspect(ada.id())?;
    /// assert_eq!((&*inspection.listeners[0].event, inspection.listeners[0].line), ("hit", 3));
    /// let score = &inspection.variables[0];
    /// assert_eq!((&*score.name, &score.value), ("score", &1.into()));
    /// assert_eq!(score.initial, Some(0.into()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`SteerError`] if no such socket is connected, or if sockets of several namespaces have the id.
    pub async fn inspect(&self, socket: &str) -> Result<Inspection, SteerError> {
        let connection = find(&self.state.namespaces, socket)?;
        let inspection = in_turn(&connection, inspect).await;
        inspection.ok_or_else(|| SteerError::NoSocket(socket.to_owned()))
    }

    /// Returns all sockets, in the order of their namespaces and ids.
    pub fn connected(&self) -> Vec<SocketInfo> {
        let namespaces = self.state.namespaces.all();
        let sockets = namespaces.iter().flat_map(|one| one.connections());
        let mut sockets: Vec<_> = sockets
            .map(|one| SocketInfo {
                namespace: one.namespace().path().clone(),
                socket: one.id().to_string(),
                version: one.version().map_or(0, |version| version.number()),
                listeners: one.listener_count(),
                timers: one.timer_count(),
            })
            .collect();
        sockets.sort_by(|a, b| (&a.namespace, &a.socket).cmp(&(&b.namespace, &b.socket)));
        sockets
    }
}

fn inspect(connection: &Arc<Connection>) -> Inspection {
    let version = connection.version();
    let initial = version
        .as_ref()
        .map(|version| initial(connection, version).0);
    let initial = initial.unwrap_or_default();
    let listeners = connection.look_at_listeners();
    let listeners = listeners.iter().filter(|listener| listener.gone.is_none());
    let serving = version.clone().or_else(|| connection.serving());
    let inspection = Inspection {
        socket: connection.id().to_string(),
        namespace: connection.namespace().path().clone(),
        script: serving.map_or_else(|| "".into(), |version| version.entry().clone()),
        version: version.as_ref().map_or(0, |version| version.number()),
        listeners: listeners.map(ListenerInfo::new).collect(),
        timers: connection.look_at_timers().iter().map(timer).collect(),
        acks: connection.look_at_acks().into_iter().map(ack).collect(),
        rooms: connection.rooms(),
        present: version
            .as_ref()
            .map_or_else(Vec::new, |version| present(connection, &initial, version)),
        data: version
            .as_ref()
            .map_or_else(Vec::new, |version| data(connection, &initial, version)),
        variables: version.as_ref().map_or_else(Vec::new, |version| {
            let captured = connection.compare(&initial.registered).into_iter();
            captured
                .map(|captured| variable(captured, version))
                .collect()
        }),
    };
    initial.registered.release();
    inspection
}

/// Runs `on_connection` of a connection's version as a draft, which takes the same path as when the client connected.
pub(super) fn initial(
    connection: &Arc<Connection>,
    version: &Arc<Version>,
) -> (DraftResult, drafts::Failure) {
    let draft = Draft::new(api::freeze(), connection.tape().as_deref(), None);
    drafts::run(connection, version, Hook::Connection, draft)
}

fn data(connection: &Connection, initial: &DraftResult, version: &Arc<Version>) -> Vec<Variable> {
    let keys = connection.compare_data(&initial.data).into_iter();
    let live = keys
        .filter_map(|(name, value, initial)| Some(Captured::new(name.as_str(), value?, initial)));
    live.map(|captured| variable(captured, version)).collect()
}

fn present(
    connection: &Connection,
    initial: &DraftResult,
    version: &Arc<Version>,
) -> Vec<Variable> {
    let held = connection.namespace().held_by(connection).into_iter();
    let keys = held.map(|(key, meta)| {
        let initial = initial.present.get(&key).cloned().flatten();
        Captured::new(key.as_str(), meta, initial)
    });
    keys.map(|captured| variable(captured, version)).collect()
}

fn variable(captured: Captured, version: &Arc<Version>) -> Variable {
    let Captured {
        name,
        value,
        initial,
        ..
    } = captured;
    Variable {
        name,
        stale: script::stale_in_value(&value, version, &is_global),
        value: script::shown(&value, version),
        initial: initial.map(|initial| script::shown(&initial, version)),
    }
}

fn timer(timer: &Pending) -> TimerInfo {
    let (file, line) = script::place(&timer.handler);
    TimerInfo {
        function: match timer.period {
            Some(_) => "set_interval",
            None => "set_timeout",
        },
        due_in: milliseconds(timer.due_in),
        period: timer.period.map(milliseconds),
        file,
        line,
        stale: script::stale(&timer.handler, &is_global),
    }
}

fn ack((handler, missing): (Arc<Handler>, usize)) -> AckInfo {
    let (file, line) = script::place(&handler);
    AckInfo {
        missing,
        file,
        line,
        stale: script::stale(&handler, &is_global),
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
