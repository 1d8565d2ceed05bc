//! Disconnects clients that exceed a limit, or whose packets cannot be read.

use std::sync::Arc;

use super::Wire;
use crate::event::HostEvent;

impl Wire {
    /// Disconnects a client that exceeded a limit, and announces the reason.
    pub(in crate::host) fn cut_off(self: &Arc<Self>, problem: &str) {
        self.disconnect_for("transport error", problem);
    }

    /// Disconnects a client that sent data that cannot be read, and announces the reason.
    pub(in crate::host::transport) fn malformed(self: &Arc<Self>, problem: &str) {
        self.disconnect_for("parse error", &format!("it sent {problem}"));
    }

    /// Disconnects a client that sent a message larger than `max-payload`.
    pub(in crate::host::transport) fn too_large(self: &Arc<Self>) {
        let max = self.options().transport.max_payload;
        self.cut_off(&format!(
            "a message larger than `max-payload`, which is {max} bytes"
        ));
    }

    /// Disconnects a client whose WebSocket does not follow the protocol.
    pub(in crate::host::transport) fn broken_frame(self: &Arc<Self>) {
        self.cut_off("a WebSocket frame that no client may send");
    }

    /// Disconnects a client for a reason in Node's wording, and announces the problem, unless the session has already
    /// ended.
    pub(super) fn disconnect_for(self: &Arc<Self>, reason: &'static str, problem: &str) {
        // Written first, so that answers to earlier packets are not lost.
        self.write_waiting();
        let mut state = self.lock();
        let socket = state.socket_id();
        let is_first = state.abort_now(Some(reason));
        drop(state);
        if !is_first {
            return;
        }
        self.context
            .announcer
            .announce(HostEvent::ClientDisconnected {
                peer: self.opening.peer,
                socket,
                reason: problem.to_owned(),
            });
    }

    /// Disconnects the client, and returns `false`, if one of its packets has too many attachments.
    pub(super) fn check_attachments(self: &Arc<Self>, attachments: usize) -> bool {
        let is_within = attachments <= self.options().transport.max_attachments;
        if !is_within {
            self.cut_off(&format!("a packet with {attachments} attachments"));
        }
        is_within
    }
}
