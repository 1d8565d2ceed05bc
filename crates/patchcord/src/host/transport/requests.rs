//! Requests of a polling client that are under way.

use std::task::Waker;

/// Requests of a polling client that are under way.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// `true` while a request waits for packets.
    pub(super) is_polled: bool,
    pub(super) poll: Option<Waker>,
    /// `true` after the client has closed the session.
    pub(super) is_closed: bool,
    /// `true` while a request brings packets.
    pub(super) is_posted: bool,
    pub(super) post: Option<Waker>,
    /// `true` while the client tries a WebSocket.
    pub(super) is_upgrading: bool,
    /// `true` after its WebSocket has carried a packet: the client is not to wait for a poll any more.
    pub(super) is_probed: bool,
}
