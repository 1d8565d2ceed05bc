//! Everything the host announces, in one closed enum: log, metrics and embedders subscribe to it.

mod counters;

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc};

use serde::Serialize;

pub use counters::{Counter, Counters};

use crate::{diagnostic::Diagnostic, script::Carried};

/// How much a line of a script's log matters.
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

/// What a reload did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reload {
    /// The files whose texts are not those of the version before, in order.
    pub changed: Vec<Arc<str>>,
    /// Live connections that have the new version's handlers.
    pub rebound: usize,
    /// Handlers made by other handlers, which keep their code.
    pub keep_old: usize,
    /// Rooms that these connections have joined or left by the edit, each counted for each of them.
    pub rooms: usize,
    /// Connections whose `on_connection` fails, as it did before: they have what it registered until then.
    pub failing: usize,
    /// Connections whose `on_connection` fails since the edit, and that were disconnected for it.
    pub disconnected: usize,
    /// Variables of these connections, and keys of their `socket.data`.
    #[serde(with = "Variables")]
    pub carried: Carried,
    /// From the start of loading until the last connection was served, in milliseconds.
    pub milliseconds: u64,
}

/// [`Carried`], as it is written.
#[derive(Serialize)]
#[serde(remote = "Carried")]
struct Variables {
    kept: BTreeSet<String>,
    lost: BTreeSet<String>,
    retyped: BTreeSet<String>,
}

/// A script that was not replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Kept {
    /// The script.
    pub script: Arc<str>,
    /// The version that keeps serving; `None` where no version ever served.
    pub version: Option<u64>,
}

/// Why a version was rolled back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RollBackReason {
    /// The program asked for it.
    Asked,
    /// Its handlers failed on so many connections, at places where the version before it did not.
    Errors {
        /// How many connections.
        connections: usize,
    },
}

impl Kept {
    /// A script and what keeps serving for it.
    pub fn new(script: &str, version: Option<u64>) -> Self {
        Self {
            script: script.into(),
            version,
        }
    }
}

/// Something that happened and that somebody may want to know. It is written as an object whose `type` is its name,
/// such as `handler_failed`.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum HostEvent {
    /// A script serves its namespace for the first time, or again.
    Loaded {
        /// The namespace.
        namespace: Arc<str>,
        /// Its script.
        script: Arc<str>,
        /// The number of the version.
        version: u64,
        /// What its text is known by.
        hash: Arc<str>,
        /// The files it was read from.
        files: Vec<Arc<str>>,
    },
    /// A new version serves, on live connections too.
    Replaced {
        /// The namespace.
        namespace: Arc<str>,
        /// Its script.
        script: Arc<str>,
        /// The number of the version.
        version: u64,
        /// What its text is known by.
        hash: Arc<str>,
        /// The files it was read from.
        files: Vec<Arc<str>>,
        /// What became of the live connections.
        reload: Reload,
    },
    /// The version before serves again, on live connections too.
    RolledBack {
        /// The namespace.
        namespace: Arc<str>,
        /// Its script.
        script: Arc<str>,
        /// The number of the version that was rolled back. It is not tried again before its files change.
        from: u64,
        /// The number of the version that serves.
        version: u64,
        /// What its text is known by.
        hash: Arc<str>,
        /// The files it was read from.
        files: Vec<Arc<str>>,
        /// Why.
        reason: RollBackReason,
        /// What became of the live connections.
        reload: Reload,
    },
    /// A batch of changes was refused, and nothing has changed.
    Rejected {
        /// The scripts of the batch, those included that are fine themselves.
        scripts: Vec<Kept>,
        /// Why.
        diagnostics: Vec<Diagnostic>,
    },
    /// Something in the scripts that were loaded is probably not meant. They serve all the same.
    Warned {
        /// What, and where.
        diagnostics: Vec<Diagnostic>,
    },
    /// The file of a namespace is gone; its clients were disconnected.
    Removed {
        /// The namespace.
        namespace: Arc<str>,
        /// The script it had.
        script: Arc<str>,
    },
    /// The scripts cannot be read or watched; what serves keeps serving.
    Unreadable {
        /// What the system says.
        problem: String,
    },
    /// A call of a script failed; it ended, and nothing else did.
    HandlerFailed {
        /// What went wrong, where, and in which call.
        diagnostic: Diagnostic,
    },
    /// The same error came again and again; it was announced a few times, and has been counted since.
    Repeated {
        /// The error, as it came first.
        diagnostic: Diagnostic,
        /// How often it was not announced.
        times: usize,
    },
    /// Something that a script or a client sent did not arrive. The same again and again is announced a few times, and then
    /// counted and announced in one.
    Lost {
        /// The namespace.
        namespace: Arc<str>,
        /// The socket, where it is known.
        socket: Option<String>,
        /// The name of the event.
        event: String,
        /// Why.
        reason: String,
        /// How many for the same reason this stands for.
        times: usize,
    },
    /// A client did not read what was sent to it and was disconnected.
    SlowConsumer {
        /// Its address.
        peer: Option<SocketAddr>,
        /// The id of its sockets, once it has one.
        socket: Option<String>,
        /// Packets that waited for it.
        packets: usize,
        /// Bytes that waited for it.
        backlog: usize,
    },
    /// A client went beyond a limit again and again, or at once beyond what is reasonable, and was disconnected.
    CutOff {
        /// Its address.
        peer: Option<SocketAddr>,
        /// The id of its sockets, once it has one.
        socket: Option<String>,
        /// What it did.
        reason: String,
    },
    /// A client or a request was not taken.
    Refused {
        /// Its address.
        peer: Option<SocketAddr>,
        /// Why.
        reason: String,
        /// How many for the same reason this stands for.
        times: usize,
    },
    /// The system gives the server no further connection for now; those there are go on.
    NoConnection {
        /// What the system says.
        problem: String,
    },
    /// A page that may not connect tried to; announced once for each origin.
    OriginRefused {
        /// Where the page comes from, as its browser says.
        origin: String,
    },
    /// The host was attached to a `SocketIo` of the program's own, where something does not hold that it does elsewhere,
    /// or a script cannot serve.
    AttachWarning {
        /// What, and why.
        problem: String,
    },
    /// A line that a script logs.
    Log {
        /// Which function logged it.
        level: Level,
        /// The text.
        text: String,
        /// The namespace.
        namespace: Arc<str>,
        /// The socket whose call it is, if it is one's.
        socket: Option<String>,
        /// The file, if it is known.
        script: Option<String>,
        /// The line in it.
        line: Option<usize>,
    },
}
