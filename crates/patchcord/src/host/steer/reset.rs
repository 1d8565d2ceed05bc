//! Resets connections: to the initial values of variables, or entirely, by a new run of `on_connection`.

use std::{collections::BTreeSet, sync::Arc};

use serde::Serialize;

use super::{SteerError, find, in_turn, inspect::initial};
use crate::{
    connection::{Connection, DraftResult},
    host::{
        Host,
        dispatch::{self, Dispatcher},
    },
    script::{Hook, Outcome},
};

/// Variables of one connection that were reset to their initial values. Returned by [`Host::reset`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reset {
    /// Id of the socket.
    pub socket: String,
    /// Path of its namespace.
    pub namespace: Arc<str>,
    /// Variables that the reset has changed; a key of `socket.data` as `socket.data.key`.
    pub variables: Vec<ResetVariable>,
    /// Names of the variables that keep their values, because they hold timers.
    pub kept: BTreeSet<String>,
}

/// Variable that was reset to its initial value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ResetVariable {
    /// Name of the variable; a key of `socket.data` as `socket.data.key`.
    pub name: String,
    /// Value before the reset, as a script would write it. Long values are truncated.
    pub from: String,
    /// Value after the reset, in the same form.
    pub to: String,
}

/// Connection that has started over. Returned by [`Host::rebind`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Rebound {
    /// Id of the socket.
    pub socket: String,
    /// Path of its namespace.
    pub namespace: Arc<str>,
    /// Number of the version whose `on_connection` has run.
    pub version: u64,
    /// Number of listeners after the run.
    pub listeners: usize,
    /// Number of timers after the run.
    pub timers: usize,
    /// `true` if the client is still connected, because `on_connection` has neither failed nor disconnected it.
    pub connected: bool,
}

impl Host {
    /// Resets variables of a connection to the initial values of its version. `socket` is the id of the socket, or
    /// `NAMESPACE#ID`. `variable` is the name of a captured variable, or a key of `socket.data` (`socket.data.key`);
    /// `None` resets all of them. Keys that neither `on_handshake` nor `on_connection` has set are removed. Listeners,
    /// timers, rooms and presence stay, and so do variables that hold timers. Returns the changes.
    ///
    /// ```
    /// use patchcord::testing::TestHost;
    ///
    /// let mut host = TestHost::new("fn on_connection(socket) {
    ///     let score = 0;
    ///     socket.on(\"hit\", || { score += 1; score });
    /// }");
    /// let ada = host.connect("/")?;
    /// ada.emit("hit", ());
    /// let reset = host.reset(ada.id(), None)?;
    /// assert_eq!((&*reset.variables[0].from, &*reset.variables[0].to), ("1", "0"));
    /// assert_eq!(ada.ask("hit", ()).as_deref(), Some("[1]"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`SteerError`] if no such socket is connected, if it has no such variable, if the variable holds a
    /// timer, or if `on_connection` fails, so that the initial values are not known. In all of these cases, nothing has
    /// changed.
    pub async fn reset(&self, socket: &str, variable: Option<&str>) -> Result<Reset, SteerError> {
        let connection = find(&self.state.namespaces, socket)?;
        let variable = variable.map(str::to_owned);
        let reset = in_turn(&connection, move |connection| {
            reset(connection, variable.as_deref())
        });
        reset
            .await
            .ok_or_else(|| SteerError::NoSocket(socket.to_owned()))?
    }

    /// Does the same as [`Host::reset`] for all connections, each in its own turn. A connection that has no such
    /// variable, or whose initial values are not known, stays as it is. Returns the connections that have changed.
    ///
    /// # Errors
    /// Returns [`SteerError`] if there are connections, and the reset fails on all of them. The error is that of the
    /// first failure.
    pub async fn reset_all(&self, variable: Option<&str>) -> Result<Vec<Reset>, SteerError> {
        let (mut all, mut failure, mut found) = (Vec::new(), None, false);
        for connection in self.live() {
            let variable = variable.map(str::to_owned);
            let reset = move |connection: &Arc<Connection>| reset(connection, variable.as_deref());
            match in_turn(&connection, reset).await {
                Some(Ok(reset)) => {
                    found = true;
                    all.extend((!reset.variables.is_empty()).then_some(reset));
                }
                Some(Err(error)) => failure = failure.or(Some(error)),
                None => {}
            }
        }
        match failure {
            Some(error) if !found => Err(error),
            _ => Ok(all),
        }
    }

    /// Starts a connection over without disconnecting the client. `socket` is the id of the socket, or `NAMESPACE#ID`.
    /// Its listeners, timers, rooms, presence, variables, `socket.data` and closures that wait for acks are removed;
    /// `socket.data` is restored to what `on_handshake` has written. Then `on_connection` of the version that serves
    /// runs, with all of its effects, which other clients see. The client itself receives only what the script sends.
    /// A key of `socket.present` that the script adds again stays present.
    ///
    /// A client whose `on_connection` fails is disconnected, as at a connect.
    ///
    /// ```
    /// use patchcord::testing::TestHost;
    ///
    /// let mut host = TestHost::new("fn on_connection(socket) {
    ///     socket.join(\"lobby\");
    ///     socket.on(\"leave\", || { socket.leave(\"lobby\"); });
    /// }");
    /// let ada = host.connect("/")?;
    /// ada.emit("leave", ());
    /// assert!(host.rebind(ada.id())?.connected);
    /// assert!(host.inspect(ada.id())?.rooms.contains(&"lobby".to_owned()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`SteerError`] if no such socket is connected, or if sockets of several namespaces have the id.
    pub async fn rebind(&self, socket: &str) -> Result<Rebound, SteerError> {
        let connection = find(&self.state.namespaces, socket)?;
        let gone = || SteerError::NoSocket(socket.to_owned());
        let dispatcher = self.state.dispatcher.clone();
        let rebound = in_turn(&connection, move |connection| {
            rebind(&dispatcher, connection)
        })
        .await;
        rebound.flatten().ok_or_else(gone)
    }

    fn live(&self) -> Vec<Arc<Connection>> {
        let namespaces = self.state.namespaces.all();
        let connections = namespaces.iter().flat_map(|one| one.connections());
        connections.filter(|one| one.is_connected()).collect()
    }
}

fn reset(connection: &Arc<Connection>, variable: Option<&str>) -> Result<Reset, SteerError> {
    let gone = || SteerError::NoSocket(connection.id().to_string());
    let version = connection.version().ok_or_else(gone)?;
    let (initial, failure) = initial(connection, &version);
    let result = match failure {
        Some((handler, error)) => {
            let hook = Hook::Connection.name();
            let call = format!("`{hook}`, as a draft for a live connection");
            let diagnostic = dispatch::diagnose(connection, &handler, error, &call);
            Err(SteerError::DraftFailed(Box::new(diagnostic)))
        }
        None => reset_to(connection, &initial, variable),
    };
    initial.registered.release();
    result
}

fn reset_to(
    connection: &Arc<Connection>,
    initial: &DraftResult,
    variable: Option<&str>,
) -> Result<Reset, SteerError> {
    if let Some(name) = variable {
        let known = known(connection, initial);
        if !known.contains(name) {
            return Err(SteerError::NoVariable {
                name: name.to_owned(),
                known: known.into_iter().collect(),
            });
        }
    }
    let wants = |name: &str| variable.is_none_or(|variable| variable == name);
    let (mut variables, mut kept) = (Vec::new(), BTreeSet::new());
    for ((name, outcome), (from, to)) in connection.reset(initial, &wants).outcomes {
        match (outcome, from, to) {
            (Outcome::Followed, Some(from), Some(to)) => {
                variables.push(ResetVariable { name, from, to });
            }
            _ => drop(kept.insert(name)),
        }
    }
    if let Some(name) = variable.filter(|name| kept.contains(*name)) {
        return Err(SteerError::Timer(name.to_owned()));
    }
    Ok(Reset {
        socket: connection.id().to_string(),
        namespace: connection.namespace().path().clone(),
        variables,
        kept,
    })
}

/// Returns the names of the variables and keys that a reset knows: captured variables with an initial value, and keys
/// of `socket.data`.
fn known(connection: &Connection, initial: &DraftResult) -> BTreeSet<String> {
    let captured = connection.compare(&initial.registered).into_iter();
    let captured = captured.filter(|captured| captured.initial.is_some());
    let keys = connection.compare_data(&initial.data).into_iter();
    captured
        .map(|captured| captured.name)
        .chain(keys.map(|(key, ..)| format!("socket.data.{key}")))
        .collect()
}

fn rebind(dispatcher: &Dispatcher, connection: &Arc<Connection>) -> Option<Rebound> {
    let version = connection.version().filter(|_| connection.is_connected())?;
    let number = version.number();
    dispatcher.start_over(connection, version);
    Some(Rebound {
        socket: connection.id().to_string(),
        namespace: connection.namespace().path().clone(),
        version: number,
        listeners: connection.listener_count(),
        timers: connection.timer_count(),
        connected: connection.is_connected(),
    })
}
