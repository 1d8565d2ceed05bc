//! What a client of the polling transport was sent and has not polled: the crate holds it, and does not count bytes.

use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard};

use super::send_queue::Amount;

/// The bytes of each event and each ack, in order.
#[derive(Debug, Default)]
pub(super) struct PollQueue(Mutex<Sizes>);

#[derive(Debug, Default)]
struct Sizes {
    each: VecDeque<usize>,
    bytes: usize,
}

impl PollQueue {
    fn lock(&self) -> MutexGuard<'_, Sizes> {
        self.0.lock()
    }

    /// One more waits; how much that is now.
    pub(super) fn push(&self, bytes: usize) -> Amount {
        let mut sizes = self.lock();
        sizes.each.push_back(bytes);
        sizes.bytes += bytes;
        Amount {
            packets: sizes.each.len(),
            bytes: sizes.bytes,
        }
    }

    /// So many packets have left.
    pub(super) fn pop(&self, packets: usize) {
        let mut sizes = self.lock();
        for _ in 0..packets {
            let left = sizes.each.pop_front().unwrap_or_default();
            sizes.bytes -= left;
        }
    }

    /// Nothing waits any more.
    pub(super) fn clear(&self) {
        *self.lock() = Sizes::default();
    }
}
