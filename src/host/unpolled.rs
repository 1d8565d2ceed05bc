//! What a client of the polling transport was sent and has not polled: the crate holds it, and does not count bytes.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{backlog::Amount, polling::packets, wire::Wire};

/// The bytes of each event and each ack, in order.
#[derive(Debug, Default)]
pub(super) struct Unpolled(Mutex<Sizes>);

#[derive(Debug, Default)]
struct Sizes {
    each: VecDeque<usize>,
    bytes: usize,
}

impl Unpolled {
    fn lock(&self) -> MutexGuard<'_, Sizes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more waits; how much that is now.
    fn push(&self, bytes: usize) -> Amount {
        let mut sizes = self.lock();
        sizes.each.push_back(bytes);
        sizes.bytes += bytes;
        Amount {
            packets: sizes.each.len(),
            bytes: sizes.bytes,
        }
    }

    /// Nothing waits any more.
    pub(super) fn clear(&self) {
        *self.lock() = Sizes::default();
    }
}

impl Wire {
    /// The crate is about to be handed an event or an ack of so many bytes for a client that polls. `false` when the client
    /// is gone, or is cut off now because too much waits for it.
    pub(super) fn hands(&self, bytes: usize) -> bool {
        let Some(session) = self.session.as_ref().filter(|_| !self.lock().dead) else {
            return false;
        };
        let waiting = session.unpolled.push(bytes);
        if waiting.is_within(self.max_backlog) {
            return true;
        }
        session.unpolled.clear();
        self.kill();
        // Before scripts hear of its end.
        (self.on_slow)(self, waiting);
        self.end_session();
        false
    }

    /// A poll is answered with this.
    pub(super) fn polled(&self, body: &[u8]) {
        let Some(session) = &self.session else {
            return;
        };
        let mut sizes = session.unpolled.lock();
        for _ in packets(body).filter(|packet| is_event_or_ack(packet)) {
            sizes.bytes -= sizes.each.pop_front().unwrap_or_default();
        }
    }
}

fn is_event_or_ack(packet: &[u8]) -> bool {
    matches!(packet, [b'4', b'2' | b'3' | b'5' | b'6', ..])
}
