//! Effects of a reload: the report of a save, as data.

mod text;

use std::sync::Arc;

use serde::Serialize;

use crate::{
    diagnostic::Diagnostic,
    script::{CodeChange, Stale},
};

/// Effects of a reload, on the code and on the live connections.
///
/// ```
/// use patchcord::{HostEvent, testing::TestHost};
///
/// let script = |limit: i64| {
///     format!("fn on_connection(socket) {{ let limit = {limit}; socket.on(\"limit\", || limit); }}")
/// };
/// let mut host = TestHost::new(&script(10));
/// let _client = host.connect("/")?;
/// host.edit("main.rhai", &script(20));
/// let Some(HostEvent::Replaced { reload, .. }) = host.events().pop() else {
///     panic!("the edit is fine");
/// };
/// let limit = &reload.variables[0];
/// assert_eq!((&*limit.name, limit.followed), ("limit", 1));
/// assert_eq!((limit.from.as_deref(), limit.to.as_deref()), (Some("10"), Some("20")));
/// # Ok::<(), patchcord::testing::Refused>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reload {
    /// Files whose texts differ from those of the previous version, in order.
    pub changed: Vec<Arc<str>>,
    /// Code that differs from that of the previous version. Comments, layout, and the order of equal code do not count.
    pub code: Vec<CodeChange>,
    /// Changed files whose code an earlier event of the same save has already reported, because another script imports
    /// them too.
    pub reported: Vec<Arc<str>>,
    /// Number of live connections that have the new version's handlers.
    pub rebound: usize,
    /// Number of closures that keep an older text, across all connections.
    pub keep_old: usize,
    /// Closures that keep an older text, by place and reason.
    pub stale: Vec<StaleCode>,
    /// Number of listeners and timers that the edit has added, across all connections.
    pub added: usize,
    /// Number of listeners and timers that the edit has removed, across all connections.
    pub removed: usize,
    /// Events to which connections no longer listen.
    pub silent: Vec<Silent>,
    /// Captured variables, and keys of `socket.data`, whose initial value the edit has changed.
    pub variables: Vec<Variable>,
    /// Rooms that connections have joined or left because of the edit.
    pub rooms: Vec<Room>,
    /// Keys of `socket.present` that connections hold, or no longer hold, because of the edit.
    pub present: Vec<PresentKey>,
    /// Number of connections that were started over, because the script has a comment `// @reset`.
    pub reset: usize,
    /// Number of connections whose `on_connection` fails, as it did before. They have everything that it registered
    /// before the failure.
    pub failing: usize,
    /// Number of connections that were disconnected because `on_connection` fails on them since the edit, and did not
    /// fail before.
    pub disconnected: usize,
    /// Number of connections that the new `on_connection` would disconnect, although the old one did not. These
    /// connections keep what they have.
    pub spared: usize,
    /// Number of connections whose drafts have read the current outside state instead of the recorded one, because
    /// `on_connection` read more than 4 KiB from outside when they connected.
    pub untaped: usize,
    /// Reasons why `on_connection` fails.
    pub failures: Vec<Failure>,
    /// Time from the start of loading until the last connection was served, in milliseconds.
    pub milliseconds: u64,
}

/// Closure that keeps an older text on some connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StaleCode {
    /// Name, as in [`CodeChange::name`].
    pub name: String,
    /// File, in the older version.
    pub file: Arc<str>,
    /// Line, in the older version.
    pub line: usize,
    /// Number of the version whose text it keeps.
    pub version: u64,
    /// Variable that the new text captures, but that these connections do not have. `None` if the edit removed the code
    /// of the closure, but a variable or a pending ack still holds the closure.
    pub lacks: Option<String>,
    /// Number of connections.
    pub connections: usize,
}

/// Event to which some connections no longer listen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Silent {
    /// Name of the event.
    pub event: String,
    /// Number of connections.
    pub connections: usize,
    /// Number of these connections whose client sent the event in the minute before the edit.
    pub recent: usize,
}

/// Outcome for a variable or a key of `socket.data` whose initial value the edit has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Variable {
    /// Name: `limit`, or `socket.data.limit`.
    pub name: String,
    /// Initial value in the old code, as a script would write it; `various` if it differs between connections. `None`
    /// if the old code has none.
    pub from: Option<String>,
    /// Initial value in the new code, in the same way.
    pub to: Option<String>,
    /// Number of connections that have the new value.
    pub followed: usize,
    /// Number of connections that keep a value of their own.
    pub kept: usize,
    /// Number of connections whose map has new keys in addition to its own.
    pub merged: usize,
    /// Number of connections that had a value of their own, but now have the new one because its type has changed.
    pub reset: usize,
    /// Number of connections whose own value is lost, because nothing captures the variable any more.
    pub lost: usize,
    /// Variable that is probably this one under a new name, if the value is lost: the only new variable of the same
    /// type in the same function.
    pub renamed: Option<String>,
}

/// Room that connections have joined or left because of an edit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Room {
    /// Name of the room.
    pub name: String,
    /// Number of connections that have joined it.
    pub joined: usize,
    /// Number of connections that have left it.
    pub left: usize,
}

/// Key of `socket.present` that connections hold, or no longer hold, because of an edit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PresentKey {
    /// The key.
    pub key: String,
    /// Number of connections that hold it now, and did not before.
    pub added: usize,
    /// Number of connections that no longer hold it.
    pub removed: usize,
    /// Number of connections that hold it with another meta.
    pub replaced: usize,
}

/// Reason why `on_connection` fails on live connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Failure {
    /// The error on the first of these connections.
    pub diagnostic: Diagnostic,
    /// Number of connections.
    pub connections: usize,
    /// `true` if it fails only since the edit, and the connections were disconnected; `false` if it failed before as
    /// well.
    pub disconnected: bool,
}

impl Reload {
    /// Returns `true` if the edit has no effect, because its code equals that of the previous version.
    ///
    /// Closures that already kept an older text still keep it: see [`Reload::stale`].
    pub fn changes_nothing(&self) -> bool {
        let is_empty = [
            self.code.is_empty(),
            self.variables.is_empty(),
            self.rooms.is_empty(),
            self.present.is_empty(),
        ];
        is_empty.iter().all(|is_empty| *is_empty)
            && self.failures.is_empty()
            && self.added + self.removed + self.spared + self.reset == 0
    }

    /// Returns the names of variables in which some connections keep a value of their own.
    pub fn kept(&self) -> Vec<&str> {
        self.names(|variable| variable.kept + variable.merged)
    }

    /// Returns the names of variables whose own value some connections have lost.
    pub fn lost(&self) -> Vec<&str> {
        self.names(|variable| variable.lost)
    }

    /// Returns the names of variables that have the new value on some connections, because their type has changed.
    pub fn retyped(&self) -> Vec<&str> {
        self.names(|variable| variable.reset)
    }

    fn names(&self, count: impl Fn(&Variable) -> usize) -> Vec<&str> {
        let counted = self.variables.iter().filter(|variable| count(variable) > 0);
        counted.map(|variable| variable.name.as_str()).collect()
    }
}

impl StaleCode {
    /// Creates the entry of a closure that keeps an older text on some connections.
    pub fn new(stale: Stale, connections: usize) -> Self {
        Self {
            name: stale.what,
            file: stale.file,
            line: stale.line,
            version: stale.version,
            lacks: stale.lacks,
            connections,
        }
    }
}

impl Silent {
    /// Creates the entry of an event.
    pub const fn new(event: String, connections: usize, recent: usize) -> Self {
        Self {
            event,
            connections,
            recent,
        }
    }
}

impl Failure {
    /// Creates the entry of the first connection on which `on_connection` fails for a reason.
    pub const fn new(diagnostic: Diagnostic, disconnected: bool) -> Self {
        Self {
            diagnostic,
            connections: 1,
            disconnected,
        }
    }
}
