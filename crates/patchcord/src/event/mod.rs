//! Events that the host announces, in one closed enum: logs, metrics and embedders subscribe to them.

mod counter;
mod counters;
mod properties;
mod refusal;
mod reload;
#[cfg(any(test, feature = "internals"))]
pub mod samples;
#[cfg(test)]
mod tests;
mod text;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use serde::Serialize;
use strum::IntoStaticStr;

pub use counter::Counter;
pub use counters::Counters;
pub use refusal::{ConnectRefusal, RefusedConnects};
pub use reload::{Failure, Reload, Room, Silent, StaleCode, Variable};
pub use text::EventText;

pub use crate::script::{ChangeKind, CodeChange};

use crate::diagnostic::Diagnostic;

/// Severity of a line in a script's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Level {
    /// `debug(x)`
    Debug,
    /// `print(x)`, `log::info(x)`
    Info,
    /// `log::warn(x)`
    Warn,
    /// `log::error(x)`
    Error,
}

/// Version that is or was staged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StagedScript {
    /// The namespace.
    pub namespace: Arc<str>,
    /// Its script.
    pub script: Arc<str>,
    /// Number of the staged version.
    pub version: u64,
    /// Number of the version that serves all other clients.
    pub instead_of: u64,
    /// Hash that identifies the text of the staged version.
    pub hash: Arc<str>,
    /// Effects on the connections that have changed their version.
    pub reload: Reload,
}

impl StagedScript {
    /// Creates the entry of a staged version.
    pub fn new(
        (namespace, script): (Arc<str>, Arc<str>),
        (version, hash): (u64, Arc<str>),
        instead_of: u64,
        reload: Reload,
    ) -> Self {
        Self {
            namespace,
            script,
            version,
            instead_of,
            hash,
            reload,
        }
    }
}

/// Script that was not replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UnchangedScript {
    /// Name of the script.
    pub script: Arc<str>,
    /// Version that keeps serving; `None` if no version ever served.
    pub version: Option<u64>,
}

/// Reason for a rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RollbackReason {
    /// The application requested it.
    Requested,
    /// Handlers of the version failed on several connections, at places where those of the previous version did not.
    Errors {
        /// Number of connections.
        connections: usize,
    },
}

/// Reason for which a rollback leaves a namespace as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeptReason {
    /// It was saved again since then, and keeps that version.
    SavedSince,
    /// It did not serve before, so there is no version to restore.
    First,
    /// The host was restarted, and the version in the files was rolled back before.
    BeforeRestart,
}

impl UnchangedScript {
    /// Creates the entry of a script, with the version that keeps serving.
    pub fn new(script: &str, version: Option<u64>) -> Self {
        Self {
            script: script.into(),
            version,
        }
    }
}

/// Event of a host. It is serialized as an object whose `type` is its name, such as `handler_failed`.
///
/// ```
/// use patchcord::{HostEvent, testing::TestHost};
///
/// let mut host = TestHost::new("fn on_connection(socket) { }");
/// host.edit("main.rhai", "fn on_connection(socket) { socket.emti(); }");
/// let Some(HostEvent::Rejected { scripts, diagnostics }) = host.events().pop() else {
///     panic!("the edit is wrong");
/// };
/// assert_eq!(scripts[0].version, Some(1), "it keeps serving");
/// assert_eq!(diagnostics[0].message, "unknown function `emti` on `socket`");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, IntoStaticStr)]
#[serde(tag = "type", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum HostEvent {
    /// A script serves its namespace for the first time, or again.
    Loaded {
        /// The namespace.
        namespace: Arc<str>,
        /// Its script.
        script: Arc<str>,
        /// Number of the version.
        version: u64,
        /// Number of the batch: versions that took effect together have the same number.
        batch: u64,
        /// Hash that identifies its text.
        hash: Arc<str>,
        /// Files from which it was read.
        files: Vec<Arc<str>>,
    },
    /// A new version serves, on live connections too.
    Replaced {
        /// The namespace.
        namespace: Arc<str>,
        /// Its script.
        script: Arc<str>,
        /// Number of the version.
        version: u64,
        /// Number of the batch: versions that took effect together have the same number.
        batch: u64,
        /// Hash that identifies its text.
        hash: Arc<str>,
        /// Files from which it was read.
        files: Vec<Arc<str>>,
        /// Effects on the live connections.
        reload: Reload,
    },
    /// An earlier version serves again, on live connections too. A rollback is also a batch.
    RolledBack {
        /// The namespace.
        namespace: Arc<str>,
        /// Its script.
        script: Arc<str>,
        /// Number of the version that was rolled back. It is not tried again before its files change.
        from: u64,
        /// Number of the version that serves.
        version: u64,
        /// Number of the batch: versions that took effect together have the same number.
        batch: u64,
        /// Hash that identifies its text.
        hash: Arc<str>,
        /// Files from which it was read.
        files: Vec<Arc<str>>,
        /// Reason for the rollback.
        reason: RollbackReason,
        /// Effects on the live connections.
        reload: Reload,
    },
    /// A rollback leaves a namespace as it is, although the version of the namespace belongs to the rolled-back batch.
    KeptByRollback {
        /// The namespace.
        namespace: Arc<str>,
        /// Its script.
        script: Arc<str>,
        /// Number of the version that keeps serving.
        version: u64,
        /// Reason for which it stays.
        reason: KeptReason,
    },
    /// Versions are staged: the chosen clients have them, and all others keep the versions that serve.
    Staged {
        /// Clients that have them: a share such as `10%`, or ids of sockets.
        audience: String,
        /// Number of connections that have them.
        connections: usize,
        /// The versions, with the effects on the connections that have adopted them just now.
        scripts: Vec<StagedScript>,
    },
    /// The staged versions serve all clients. [`HostEvent::Replaced`] reports the effects on the others.
    Promoted {
        /// Number of the batch that they form.
        batch: u64,
        /// The scripts.
        scripts: Vec<Arc<str>>,
    },
    /// The clients that had staged versions have returned to the versions that serve.
    Abandoned {
        /// Reason for it.
        reason: RollbackReason,
        /// The staged versions, with the effects of the return.
        scripts: Vec<StagedScript>,
    },
    /// Files were saved while versions are staged. The save waits until these are promoted or abandoned.
    WaitsForStage {
        /// The files.
        files: Vec<Arc<str>>,
    },
    /// A batch of changes was rejected, and nothing has changed.
    Rejected {
        /// The scripts of the batch, including those that are valid.
        scripts: Vec<UnchangedScript>,
        /// Reasons for the rejection.
        diagnostics: Vec<Diagnostic>,
    },
    /// After a rejected save, the files of a script are again those of the version that serves.
    Unchanged {
        /// The namespace.
        namespace: Arc<str>,
        /// Its script.
        script: Arc<str>,
        /// Number of the version that serves.
        version: u64,
    },
    /// Saves wait for [`Host::resume`](crate::Host::resume). Announced at the pause, and for each batch of saves that
    /// waits.
    Paused {
        /// Files that may have changed; none at the pause.
        files: Vec<Arc<str>>,
    },
    /// Saves take effect again, and what was saved meanwhile is loaded now.
    Resumed,
    /// The versions on disk cannot be read or written. Everything else works. After a restart, versions that were not
    /// written are unknown.
    HistoryFailed {
        /// The problem, with its reason.
        error: String,
    },
    /// The loaded scripts contain probable mistakes. They serve nevertheless.
    Warnings {
        /// The mistakes, with their places.
        diagnostics: Vec<Diagnostic>,
    },
    /// The file of a namespace is gone; its clients were disconnected.
    Removed {
        /// The namespace.
        namespace: Arc<str>,
        /// Its script.
        script: Arc<str>,
    },
    /// The file of a namespace that serves is gone. The namespace is retired unless the file comes back in time.
    Missing {
        /// The namespace.
        namespace: Arc<str>,
        /// Its script.
        script: Arc<str>,
        /// Number of clients that will be disconnected.
        clients: usize,
        /// Time in which the file may come back, in milliseconds.
        milliseconds: u64,
        /// New file with the same text, if there is one: the file was renamed or moved.
        same_text: Option<Arc<str>>,
    },
    /// A file that was missing has returned in time and unchanged. Its version serves as before.
    Returned {
        /// The namespace.
        namespace: Arc<str>,
        /// Its script.
        script: Arc<str>,
        /// Number of the version that serves.
        version: u64,
    },
    /// Another file serves a namespace: a file of its own in place of that of a dynamic namespace, or the other way
    /// round. The clients were disconnected, and can connect again.
    Moved {
        /// The namespace.
        namespace: Arc<str>,
        /// Script that served it.
        from: Arc<str>,
        /// Script that serves it.
        to: Arc<str>,
        /// Number of clients that were disconnected.
        clients: usize,
    },
    /// An entry of the scripts folder has the name of a script, but is ignored: a copy, a pipe, or a link that leads to
    /// nothing. Announced once while it is there.
    Ignored {
        /// Name of the file, or of the folder.
        file: Arc<str>,
        /// Reason, with the remedy.
        reason: String,
    },
    /// The scripts cannot be read or watched. The versions that serve keep serving.
    ScriptsUnreadable {
        /// Error of the system.
        error: String,
    },
    /// A script call failed. Only this call has ended.
    HandlerFailed {
        /// The error, its place, and the call in which it occurred.
        diagnostic: Diagnostic,
    },
    /// The same error occurred repeatedly. It was announced a few times, and then only counted.
    HandlerFailuresSuppressed {
        /// The error, as it occurred first.
        diagnostic: Diagnostic,
        /// Number of times that the error was not announced.
        count: usize,
    },
    /// Clients send an event without a listener. Announced once for each event: at once if no version of the script has
    /// a listener for it, for at most 50 names of a script; 10 seconds after a client sent it first if a former version
    /// had a listener.
    Unheard {
        /// The namespace.
        namespace: Arc<str>,
        /// Its script.
        script: Arc<str>,
        /// Name of the event.
        event: String,
        /// Number of the first version without a listener for it, if a former version had one.
        since: Option<u64>,
        /// Event with the most similar name that has a listener in the script, if there is a similar one.
        similar: Option<String>,
        /// Number of clients that have sent it, at most 1,000.
        clients: usize,
    },
    /// The listener of an event has the ack as a parameter, but has neither called it, nor kept it for later, nor
    /// returned a value: the client waits for ever. Announced once for each event of a script.
    Unanswered {
        /// The namespace.
        namespace: Arc<str>,
        /// Its script.
        script: Arc<str>,
        /// Name of the event.
        event: String,
    },
    /// Something that a script or a client sent did not arrive. Repeated losses are announced a few times, and then
    /// counted and announced as one.
    EventDropped {
        /// The namespace.
        namespace: Arc<str>,
        /// The socket, if it is known.
        socket: Option<String>,
        /// Name of the event.
        event: String,
        /// Reason for the loss.
        reason: String,
        /// Number of losses with the same reason that this event stands for.
        count: usize,
    },
    /// A client did not read what was sent to it, and was disconnected.
    SlowConsumer {
        /// Address of the client.
        peer: Option<SocketAddr>,
        /// Id of its sockets, once it has one.
        socket: Option<String>,
        /// Number of packets that waited for it.
        queued_packets: usize,
        /// Number of bytes that waited for it.
        queued_bytes: usize,
    },
    /// A client was disconnected because it exceeded a limit repeatedly, or by far at once, or because its
    /// `on_connection` failed.
    ClientDisconnected {
        /// Address of the client.
        peer: Option<SocketAddr>,
        /// Id of its sockets, once it has one.
        socket: Option<String>,
        /// Reason for disconnecting the client.
        reason: String,
    },
    /// A client or a request was rejected.
    RequestRejected {
        /// Address of the client.
        peer: Option<SocketAddr>,
        /// Reason for the rejection.
        reason: String,
        /// Number of rejections with the same reason that this event stands for.
        count: usize,
    },
    /// The CONNECT of a client to a namespace was rejected.
    ConnectRefused {
        /// The namespace, as the client named it.
        namespace: String,
        /// Address of the client, if it is known.
        address: Option<IpAddr>,
        /// Id of its sockets, once it has one.
        socket: Option<String>,
        /// Kind of the reason.
        kind: ConnectRefusal,
        /// Reason for the rejection. A script may have chosen it.
        reason: String,
    },
    /// Events of one kind occurred repeatedly. They were announced a few times, and then only counted.
    Suppressed {
        /// The first event of the kind.
        event: Box<Self>,
        /// Number of events that were not announced.
        count: usize,
    },
    /// Headers of a request that opened a connection are too long to be kept for scripts, so `socket.handshake.headers`
    /// does not contain them. Repeated ones are announced a few times, and then counted and announced as one.
    HeadersLeftOut {
        /// Address of the client.
        peer: Option<SocketAddr>,
        /// Names of the headers, the first ones of many.
        names: Vec<String>,
        /// Number of requests that this event stands for.
        count: usize,
    },
    /// A client did not read a response within [`TransportOptions::write_timeout`](crate::host::TransportOptions::write_timeout), and its
    /// connection was closed. Repeated ones are announced a few times, and then counted and announced as one.
    ResponseUnread {
        /// Address of the client, or of the proxy that did not read the response.
        peer: Option<SocketAddr>,
        /// Number of connections that this event stands for.
        count: usize,
    },
    /// A page requested the bundle of the official client, which is missing: see
    /// [`Config::client_dist`](crate::server::Config::client_dist). Announced once.
    BundleMissing {
        /// Path of the request.
        path: String,
    },
    /// A request went through a proxy, but [`ClientOptions::trust_proxy`](crate::host::ClientOptions::trust_proxy) is 0: the host takes
    /// the address of the proxy for that of its clients, so limits per address do not work for them. Announced once.
    UntrustedProxy {
        /// Address of the proxy.
        peer: SocketAddr,
        /// Header that reveals the proxy.
        header: String,
    },
    /// The server cannot accept connections for now, because the system provides none; existing connections continue.
    AcceptFailed {
        /// Error of the system.
        error: String,
    },
    /// A page of an origin that may not connect tried to do so; announced once for each origin.
    OriginRefused {
        /// Origin of the page, as its browser sends it.
        origin: String,
    },
    /// A request was addressed to a host that is not the server, see
    /// [`ClientOptions::allowed_hosts`](crate::host::ClientOptions::allowed_hosts); announced once for each host.
    HostRefused {
        /// Host of the request, with its port.
        host: String,
    },
    /// The host was attached to a `SocketIo` of the application. Either something that holds elsewhere does not hold
    /// there, or a script cannot serve.
    AttachWarning {
        /// The problem, with its reason.
        error: String,
    },
    /// A script logged a line.
    Log {
        /// Level of the function that logged it.
        level: Level,
        /// The text.
        text: String,
        /// The namespace.
        namespace: Arc<str>,
        /// The socket whose call logged the line, if the call belongs to one.
        socket: Option<String>,
        /// The file, if it is known.
        script: Option<String>,
        /// Number of the line in the file.
        line: Option<usize>,
    },
}

impl HostEvent {
    /// Creates the event of a rejected CONNECT, with the default reason of its kind.
    ///
    /// ```
    /// use patchcord::{HostEvent, event::ConnectRefusal};
    ///
    /// let refused = HostEvent::connect_refused("/nowhere", None, ConnectRefusal::InvalidNamespace);
    /// assert_eq!(serde_json::to_value(refused).unwrap()["kind"], "invalid_namespace");
    /// ```
    pub fn connect_refused(namespace: &str, address: Option<IpAddr>, kind: ConnectRefusal) -> Self {
        Self::ConnectRefused {
            namespace: namespace.to_owned(),
            address,
            socket: None,
            kind,
            reason: kind.reason().to_owned(),
        }
    }
}
