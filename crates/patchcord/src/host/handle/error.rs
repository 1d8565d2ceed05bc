//! Reasons why an operation on a namespace fails.

use std::sync::Arc;

use crate::api::MAX_ROOM_NAME;

/// Reason why an operation on a namespace fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NamespaceError {
    /// No script serves the namespace.
    #[error("no script serves the namespace `{0}`")]
    NotServed(Arc<str>),
    /// No socket is in the instance of a dynamic namespace, so the instance does not exist, and its script cannot be
    /// called.
    #[error("no socket is in `{0}`: a dynamic namespace answers calls only while it has sockets")]
    NoSockets(Arc<str>),
    /// An event with this name cannot be sent.
    #[error("{0}")]
    Event(String),
    /// The arguments cannot be sent.
    #[error("the arguments cannot be sent: {0}")]
    Arguments(String),
    /// The name of a room is too long.
    #[error("the name of a room has more than {MAX_ROOM_NAME} bytes")]
    RoomName,
    /// Some of the selected sockets would be in too many rooms. All others have joined.
    #[error(
        "{sockets} of the sockets would be in more than {max} rooms (`max-rooms`); the others have joined"
    )]
    TooManyRooms {
        /// Number of sockets that have not joined.
        sockets: usize,
        /// Maximum number of rooms of a socket.
        max: usize,
    },
    /// The script of the namespace has no `on_api`.
    #[error("the script of `{0}` has no `fn on_api(request)`")]
    NoHook(Arc<str>),
    /// The script has thrown a value on purpose.
    #[error("{message}")]
    Thrown {
        /// Thrown text, or the `message` of a thrown map.
        message: String,
        /// Thrown map; `None` if the script has thrown something else.
        data: Option<serde_json::Value>,
    },
    /// `on_api` has failed. The host has announced the reason as a
    /// [`HostEvent::HandlerFailed`](crate::HostEvent::HandlerFailed).
    #[error("`on_api` of `{0}` has failed; the log of the server has the reason")]
    Failed(Arc<str>),
    /// `on_api` has a parameter `reply`, and the script will not call it any more.
    #[error("`on_api` of `{0}` has ended without a call of `reply`")]
    Unanswered(Arc<str>),
    /// Too many calls wait for the namespace.
    #[error("too many calls wait for the namespace `{0}`")]
    Busy(Arc<str>),
    /// The host has closed, or the namespace has ended, before the call was answered.
    #[error("the namespace `{0}` has ended before it answered")]
    Ended(Arc<str>),
}
