//! Events that the host announces, all in one enum. Logs, metrics and embedders subscribe to them.

mod counter;
mod counters;
mod properties;
mod refusal;
mod reload;
#[cfg(any(test, feature = "internals"))]
pub mod samples;
mod script_metrics;
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
pub use reload::{Failure, PresentKey, Reload, Room, Silent, StaleCode, Variable};
pub(crate) use script_metrics::{Change, Labels, Noted, ScriptMetrics};
pub use script_metrics::{MetricKind, MetricSeries, MetricValue, ScriptMetric};
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

/// Reason why a rollback leaves a namespace unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeptReason {
    /// The namespace was saved again after the batch, and keeps the newer version.
    SavedSince,
    /// No version served the namespace before the batch, so there is none to restore.
    First,
    /// The host was restarted, and the version in the files had been rolled back before the restart.
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

/// Event of a host. It is serialized as an object whose field `type` has the name of the event, such as
/// `handler_failed`.
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
        /// Reason why it keeps this version.
        reason: KeptReason,
    },
    /// Versions are staged: the chosen clients have them, and all others keep the versions that serve.
    Staged {
        /// Selection of the clients that have them: a share such as `10%`, or ids of sockets.
        audience: String,
        /// Number of connections that have them.
        connections: usize,
        /// The versions, with the effects on the connections that have just adopted them.
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
        /// Reason why they were abandoned.
        reason: RollbackReason,
        /// The staged versions, with the effects of the return.
        scripts: Vec<StagedScript>,
    },
    /// Files were saved while versions are staged. The save waits until the staged versions are promoted or abandoned.
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
    /// After a rejected save, a later save has restored the files of a script to those of the version that serves.
    Unchanged {
        /// The namespace.
        namespace: Arc<str>,
        /// Its script.
        script: Arc<str>,
        /// Number of the version that serves.
        version: u64,
    },
    /// Saves wait for [`Host::resume`](crate::Host::resume). Announced when the host is paused, and for each batch of
    /// saves that waits.
    Paused {
        /// Files that may have changed; empty when the host is paused.
        files: Vec<Arc<str>>,
    },
    /// Saves take effect again, and everything that was saved during the pause is loaded now.
    Resumed,
    /// The versions on disk cannot be read or written. Everything else works. After a restart, versions that were not
    /// written are unknown.
    HistoryFailed {
        /// The problem, with its cause.
        error: String,
    },
    /// The loaded scripts probably contain mistakes. They serve anyway.
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
        /// Grace period in which the file may come back, in milliseconds.
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
    /// Another file now serves a namespace: a file for this one path has replaced the file of a dynamic namespace, or
    /// the other way round. The clients were disconnected, and can connect again.
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
    /// An entry of the scripts folder has the name of a script, but is ignored: a copy, a pipe, or a broken link.
    /// Announced once for as long as the entry exists.
    Ignored {
        /// Name of the file, or of the folder.
        file: Arc<str>,
        /// Reason, with the remedy.
        reason: String,
    },
    /// The scripts cannot be read or watched. The versions that serve keep serving.
    ScriptsUnreadable {
        /// Error from the operating system.
        error: String,
    },
    /// A script call failed. The failure ended only this call.
    HandlerFailed {
        /// The error, its place, and the call in which it occurred.
        diagnostic: Diagnostic,
    },
    /// The same error occurred repeatedly. It was announced a few times, and then only counted.
    HandlerFailuresSuppressed {
        /// The first occurrence of the error.
        diagnostic: Diagnostic,
        /// Number of occurrences that were not announced.
        count: usize,
    },
    /// Clients send an event that has no listener. Announced once for each event. If no version of the script has ever
    /// had a listener for it, it is announced at once, for at most 50 names per script. If an earlier version had a
    /// listener, it is announced 10 seconds after a client first sent it.
    Unheard {
        /// The namespace.
        namespace: Arc<str>,
        /// Its script.
        script: Arc<str>,
        /// Name of the event.
        event: String,
        /// Number of the first version without a listener for it, if an earlier version had one.
        since: Option<u64>,
        /// Most similar event name that has a listener in the script, if any name is similar.
        similar: Option<String>,
        /// Number of clients that have sent it, at most 1,000.
        clients: usize,
    },
    /// The listener of an event declares the ack as a parameter, but has neither called it, nor kept it for later, nor
    /// returned a value, so the client waits forever. Announced once for each event of a script.
    Unanswered {
        /// The namespace.
        namespace: Arc<str>,
        /// Its script.
        script: Arc<str>,
        /// Name of the event.
        event: String,
    },
    /// An event or a packet from a script or a client was lost. Repeated losses are announced one by one a few times,
    /// and then counted and announced as one.
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
        /// Id of one of its sockets, if it has any.
        socket: Option<String>,
        /// Number of packets that waited for it.
        queued_packets: usize,
        /// Number of bytes that waited for it.
        queued_bytes: usize,
    },
    /// A client was disconnected because it exceeded a limit repeatedly, or once by a wide margin, or because its
    /// `on_connection` failed.
    ClientDisconnected {
        /// Address of the client.
        peer: Option<SocketAddr>,
        /// Id of one of its sockets, if it has any.
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
        /// Id of the rejected socket; `None` if the CONNECT was rejected before it got one.
        socket: Option<String>,
        /// Kind of the reason.
        kind: ConnectRefusal,
        /// Reason for the rejection. A script may have chosen it.
        reason: String,
    },
    /// A service that a script called, such as `http::get`, failed. The closure of the call received the error.
    ServiceFailed {
        /// The namespace.
        namespace: Arc<str>,
        /// Id of the socket whose handler made the call; `None` for a call from `on_load`.
        socket: Option<String>,
        /// Name of the function.
        service: String,
        /// Other side of the call, such as the name of a host or of a database.
        target: String,
        /// The error.
        error: String,
    },
    /// The store of `io.data` failed. The host goes on with the data in memory, and tries again to save it. What could
    /// not be read is not saved either, so that nothing in the store is overwritten.
    StoreFailed {
        /// Name of the store, such as the path of its file.
        store: String,
        /// Namespace whose data could not be read; `None` if changes could not be saved.
        namespace: Option<Arc<str>>,
        /// Key whose record could not be read; `None` if it is about more than one key.
        key: Option<String>,
        /// The error.
        error: String,
        /// Number of changed keys that are not saved.
        unsaved: usize,
    },
    /// The store works again, and has everything that could not be saved before.
    StoreRecovered {
        /// Name of the store.
        store: String,
        /// Number of keys that were saved.
        saved: usize,
    },
    /// Events of one kind occurred repeatedly. They were announced a few times, and then only counted.
    Suppressed {
        /// The first event of the kind.
        event: Box<Self>,
        /// Number of events that were not announced.
        count: usize,
    },
    /// A request that opened a connection has headers that are too long to be kept for scripts, so
    /// `socket.handshake.headers` does not contain them. Repeated cases are announced one by one a few times, and then
    /// counted and announced as one.
    HeadersLeftOut {
        /// Address of the client.
        peer: Option<SocketAddr>,
        /// Names of the headers. If there are many, only the first ones.
        names: Vec<String>,
        /// Number of requests that this event stands for.
        count: usize,
    },
    /// A client did not read a response within
    /// [`TransportOptions::write_timeout`](crate::host::TransportOptions::write_timeout), and its connection was
    /// closed. Repeated cases are announced one by one a few times, and then counted and announced as one.
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
    /// A request went through a proxy, but [`ClientOptions::trust_proxy`](crate::host::ClientOptions::trust_proxy) is
    /// 0: the host sees the address of the proxy in place of the addresses of its clients, so limits per address do not
    /// work for these clients. Announced once.
    UntrustedProxy {
        /// Address of the proxy.
        peer: SocketAddr,
        /// Header that reveals the proxy.
        header: String,
    },
    /// The server temporarily cannot accept connections, because the operating system provides no more; existing
    /// connections continue.
    AcceptFailed {
        /// Error from the operating system.
        error: String,
    },
    /// A page tried to connect from an origin that is not allowed; announced once for each origin.
    OriginRefused {
        /// Origin of the page, as its browser sends it.
        origin: String,
    },
    /// A request was addressed to a host name that is not allowed, see
    /// [`ClientOptions::allowed_hosts`](crate::host::ClientOptions::allowed_hosts); announced once for each host.
    HostRefused {
        /// Host of the request, with its port.
        host: String,
    },
    /// The host was attached to a `SocketIo` of the application. Either a guarantee that holds elsewhere does not hold
    /// there, or a script cannot serve.
    AttachWarning {
        /// The problem, with its cause.
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
