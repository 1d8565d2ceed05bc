//! Inspects and changes live connections: their state, the reason why an event has no listener, the reset to initial
//! values.
//!
//! In: the id of a socket. Out: facts as data that can be serialized. Code that needs a consistent state of a
//! connection runs in the turn of the connection, between two calls of its scripts.

pub(super) mod inspect;
pub(super) mod listening;
pub(super) mod reset;
pub(super) mod why;

use std::sync::Arc;

use tokio::sync::oneshot;

use super::namespaces::Namespaces;
use crate::{
    api::GLOBALS,
    connection::{Connection, Visit, Work},
    diagnostic::Diagnostic,
};

/// Reason why a connection cannot be inspected or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SteerError {
    /// No connected socket has this id.
    #[error("no socket `{0}` is connected")]
    NoSocket(String),
    /// Sockets of several namespaces have this id. It happens only on a `SocketIo` of the application.
    #[error("socket `{id}` is in several namespaces: {}; write one before it, such as `{}#{id}`", .namespaces.join(", "), .namespaces.first().map_or("/", |first| first))]
    Ambiguous {
        /// Id of the sockets.
        id: String,
        /// Paths of their namespaces.
        namespaces: Vec<String>,
    },
    /// The connection has no captured variable and no key of `socket.data` of this name.
    #[error("there is no variable `{name}`; there are: {}", list(.known))]
    NoVariable {
        /// Name that was requested.
        name: String,
        /// Names that the connection has; a key of `socket.data` as `socket.data.key`.
        known: Vec<String>,
    },
    /// The variable holds a timer, whose handle has no initial value.
    #[error("`{0}` holds a timer, and a reset leaves timers alone; `rebind` begins anew with them")]
    Timer(String),
    /// `on_connection` fails as a draft, so the initial values are not known.
    #[error("the initial values are not known, because `on_connection` fails: {}", .0.message)]
    DraftFailed(Box<Diagnostic>),
}

fn list(names: &[String]) -> String {
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}

/// Returns the socket with an id, or with a namespace and an id: `NAMESPACE#ID`.
fn find(namespaces: &Namespaces, socket: &str) -> Result<Arc<Connection>, SteerError> {
    let (path, id) = match socket.rsplit_once('#') {
        Some((path, id)) => (Some(path), id),
        None => (None, socket),
    };
    let mut found = namespaces.sockets_of(id);
    found.retain(|one| path.is_none_or(|path| **one.namespace().path() == *path));
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(SteerError::NoSocket(socket.to_owned())),
        several => Err(SteerError::Ambiguous {
            id: id.to_owned(),
            namespaces: several
                .iter()
                .map(|one| one.namespace().path().to_string())
                .collect(),
        }),
    }
}

/// Runs `visit` in the turn of a connection. Returns `None` if the connection ends before that.
async fn in_turn<T: Send + 'static>(
    connection: &Arc<Connection>,
    visit: impl FnOnce(&Arc<Connection>) -> T + Send + 'static,
) -> Option<T> {
    let (answer, result) = oneshot::channel();
    let visited = connection.clone();
    let visit = Visit::new(move || {
        // The caller may have stopped waiting.
        let _ = answer.send(visit(&visited));
    });
    connection.post_elsewhere(Work::Visit(visit));
    result.await.ok()
}

/// Returns `true` for a name that is defined in every closure, such as `io`.
fn is_global(name: &str) -> bool {
    (GLOBALS.resolve)(name).is_some()
}
