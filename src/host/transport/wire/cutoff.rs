//! Disconnects clients that exceed a limit.

use std::sync::atomic::Ordering;

use super::Wire;
use crate::{
    event::HostEvent,
    host::transport::protocol::{ATTACHMENT, MESSAGE},
};

impl Wire {
    /// Disconnects a client that exceeded a limit, and announces the reason.
    pub(in crate::host) fn cut_off(&self, reason: String) {
        self.kill();
        self.end_session();
        self.context.announcer.announce(HostEvent::CutOff {
            peer: self.peer,
            socket: self.id(),
            reason,
        });
    }

    /// Disconnects the client, and returns `false`, if one of its packets has too many attachments.
    pub(in crate::host::transport) fn check_attachments(&self, attachments: usize) -> bool {
        let is_within = attachments <= self.context.options.max_attachments;
        if !is_within {
            self.cut_off(format!("a packet with {attachments} attachments or more"));
        }
        is_within
    }

    /// Counts the attachments in a payload of the polling transport, and disconnects a client that sends too many.
    pub(in crate::host::transport) fn count_attachments<'a>(
        &self,
        packets: impl Iterator<Item = &'a [u8]>,
    ) {
        let Some(session) = &self.session else {
            return;
        };
        let mut count = session.attachments.load(Ordering::Relaxed);
        for packet in packets {
            match packet.first() {
                Some(&ATTACHMENT) => count += 1,
                Some(&MESSAGE) => count = 0,
                _ => {}
            }
            if !self.check_attachments(count) {
                return;
            }
        }
        session.attachments.store(count, Ordering::Relaxed);
    }
}
