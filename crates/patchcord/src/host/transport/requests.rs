//! Requests of a polling client that are in progress.

use std::task::Waker;

/// Requests of a polling client that are in progress.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// `true` while a request waits for packets.
    pub(super) is_polled: bool,
    pub(super) poll: Option<Waker>,
    /// `true` after the client has closed the session.
    pub(super) is_closed: bool,
    /// `true` while a request delivers packets.
    pub(super) is_posted: bool,
    pub(super) post: Option<Waker>,
    /// `true` while the client attempts to upgrade to a WebSocket.
    pub(super) is_upgrading: bool,
    /// `true` after the WebSocket has carried the probe and its answer: the client must no longer wait for a poll.
    pub(super) is_probed: bool,
}
