//! Clients that go beyond a limit, and are cut off for it.

use std::sync::atomic::Ordering;

use super::wire::Wire;
use crate::connection::{Driver, HostEvent};

/// Why a client with so many attachments is cut off.
pub(super) fn too_many(attachments: usize) -> String {
    format!("a packet with {attachments} attachments or more")
}

impl Wire {
    /// Disconnects a client that went beyond a limit, and says so.
    pub(super) fn cut_off(&self, reason: String) {
        self.kill();
        self.end_session();
        if let Some(host) = self.host.upgrade() {
            host.announce(HostEvent::CutOff {
                peer: self.peer,
                socket: self.id(),
                reason,
            });
        }
    }

    /// The most attachments of a packet.
    pub(super) fn max_attachments(&self) -> usize {
        self.host
            .upgrade()
            .map_or(usize::MAX, |host| host.options.max_attachments)
    }

    /// Counts the attachments in a payload of the polling transport, and cuts off a client that sends too many.
    pub(super) fn count_attachments<'a>(&self, packets: impl Iterator<Item = &'a [u8]>) {
        let Some(session) = &self.session else {
            return;
        };
        let mut count = session.attachments.load(Ordering::Relaxed);
        for packet in packets {
            match packet.first() {
                Some(b'b') => count += 1,
                Some(b'4') => count = 0,
                _ => {}
            }
            if count > self.max_attachments() {
                self.cut_off(too_many(count));
                return;
            }
        }
        session.attachments.store(count, Ordering::Relaxed);
    }
}
