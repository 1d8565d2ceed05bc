//! Size of what a polling client was sent and has not polled: socketioxide holds the packets, and does not count bytes.

use std::collections::VecDeque;

use parking_lot::{Mutex, MutexGuard};

use super::send_queue::Amount;

/// Sizes of each event and each ack in bytes, in order.
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

    /// Adds a packet. Returns the amount that waits now.
    pub(super) fn push(&self, bytes: usize) -> Amount {
        let mut sizes = self.lock();
        sizes.each.push_back(bytes);
        sizes.bytes += bytes;
        Amount {
            packets: sizes.each.len(),
            bytes: sizes.bytes,
        }
    }

    /// Removes packets that have left.
    pub(super) fn pop(&self, packets: usize) {
        let mut sizes = self.lock();
        for _ in 0..packets {
            let left = sizes.each.pop_front().unwrap_or_default();
            sizes.bytes -= left;
        }
    }

    /// Removes all packets.
    pub(super) fn clear(&self) {
        *self.lock() = Sizes::default();
    }
}
