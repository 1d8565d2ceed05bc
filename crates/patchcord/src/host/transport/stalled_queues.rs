//! Bound on the memory of all send queues together.
//!
//! In: the memory of each *stalled* queue: one that its client does not empty, because the network has not accepted all
//! of it, or because the client does not poll. A queue that is not stalled costs nothing here. Out: while the total
//! exceeds the limit, the slowest clients are disconnected, the one with the largest queue first.
//!
//! The total is memory, and not the sum of the waiting bytes: a queue counts the memory that it owns
//! ([`SendQueue::owned`]), and a buffer of a broadcast ([`StalledQueues::share`]) counts once, until the last queue has
//! dropped it. So 14 broadcasts of 1 MB to 60 clients that do not read count as 14 MB, which is the memory that they
//! use, and not as 840 MB. With the sum, clients would be disconnected although memory is available, and an operator
//! could not derive the limit from the memory of the machine. But the order of the disconnects follows the bytes that
//! wait for each client, because these show how slow it is.
//!
//! Each report above the limit disconnects as few clients as would free the excess if no other queue held their
//! buffers. If others do, the total remains above the limit, and the next report disconnects more. A report does not
//! continue until the total has fallen, because the thread that sends a broadcast holds its buffer anyway.
//!
//! No lock is held while a client is disconnected. [`Ticket::report`] may be called under the lock of the client's
//! queue, but [`StalledQueues::relieve`] may not.

#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::send_queue::{Frames, SHARED_FROM, SendQueue};

/// Client that can be disconnected because it is slow.
pub(super) trait SlowClient: Send + Sync {
    /// Disconnects the client because it is slow, and announces that. Clears the queue of the client and drops its
    /// [`Ticket`] before it returns. Does nothing if the client has disconnected.
    fn disconnect_slow(&self);
}

/// All stalled send queues of a host.
#[derive(Debug)]
pub(in crate::host) struct StalledQueues {
    /// Maximum of `total`.
    limit: usize,
    /// Number of bytes that the stalled queues own, plus the bytes in buffers that queues share.
    total: AtomicUsize,
    members: Mutex<Members>,
    /// Number of calls of [`StalledQueues::relieve`] that wait for the one thread that serves them all. Two threads
    /// would disconnect more clients than necessary.
    requests: AtomicUsize,
}

#[derive(Debug, Default)]
struct Members {
    /// Number of queues that have been added so far.
    entered: u64,
    all: BTreeMap<u64, Arc<Member>>,
}

/// One stalled queue.
#[derive(Debug)]
struct Member {
    client: Weak<dyn SlowClient>,
    /// Number of bytes that wait for the client.
    waiting: AtomicUsize,
}

/// Membership of a stalled queue, which ends when the ticket is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    queues: Arc<StalledQueues>,
    id: u64,
    member: Arc<Member>,
    /// Number of bytes that the total contains for this queue.
    owned: usize,
}

impl StalledQueues {
    /// Creates the bound on the memory of all send queues, of `limit` bytes.
    pub(in crate::host) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            total: AtomicUsize::new(0),
            members: Mutex::default(),
            requests: AtomicUsize::new(0),
        })
    }

    /// Returns the frames of a broadcast in a buffer that counts once, as long as anything holds it. Frames below
    /// [`SHARED_FROM`] bytes count for each queue, because queues copy them.
    pub(super) fn share(self: &Arc<Self>, frames: Bytes) -> Frames {
        if frames.len() < SHARED_FROM {
            // A clone is in shared form, so that further clones cost less than those of the first handle, which may be
            // the only one.
            return frames.clone().into();
        }
        self.total.fetch_add(frames.len(), Ordering::Relaxed);
        Frames::Shared(Bytes::from_owner(Shared {
            frames,
            queues: self.clone(),
        }))
    }

    /// Adds the queue of a client, which is empty until it reports its size.
    pub(super) fn enter(self: &Arc<Self>, client: Weak<dyn SlowClient>) -> Ticket {
        let member = Arc::new(Member {
            client,
            waiting: AtomicUsize::new(0),
        });
        let mut members = self.members.lock();
        members.entered += 1;
        let id = members.entered;
        members.all.insert(id, member.clone());
        Ticket {
            queues: self.clone(),
            id,
            member,
            owned: 0,
        }
    }

    /// Returns the number of bytes that all send queues together hold.
    pub(super) fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    /// Disconnects the slowest clients if the total exceeds the limit. The caller may be one of them, and must hold no
    /// lock that [`SlowClient::disconnect_slow`] needs. If another thread is already doing this, leaves the work to
    /// that thread.
    pub(super) fn relieve(&self) {
        if !self.is_exceeded() || self.requests.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        let unwind = EndOnUnwind(&self.requests);
        let mut answered = 1;
        while answered > 0 {
            self.disconnect_slowest();
            // Makes the sizes visible that were reported before the new requests.
            answered = self.requests.fetch_sub(answered, Ordering::AcqRel) - answered;
        }
        std::mem::forget(unwind);
    }

    fn disconnect_slowest(&self) {
        let mut excess = self.total().saturating_sub(self.limit);
        let mut slowest = self.slowest().into_iter();
        while excess > 0
            && let Some((waiting, member)) = slowest.next()
        {
            // A client is disconnected once, even if its queue remains.
            member.waiting.store(0, Ordering::Relaxed);
            if let Some(client) = member.client.upgrade() {
                client.disconnect_slow();
            }
            excess = excess.saturating_sub(waiting);
        }
    }

    fn is_exceeded(&self) -> bool {
        self.total() > self.limit
    }

    /// Returns the members with waiting bytes, and the number of these bytes, the largest first.
    fn slowest(&self) -> Vec<(usize, Arc<Member>)> {
        let members = self.members.lock();
        let members = members.all.values();
        let sized = members.map(|member| (member.waiting.load(Ordering::Relaxed), member.clone()));
        let mut sized: Vec<_> = sized.filter(|(waiting, _)| *waiting > 0).collect();
        sized.sort_by_key(|(waiting, _)| Reverse(*waiting));
        sized
    }
}

impl Ticket {
    /// Reports the current size of the queue. Returns `true` if the total exceeds the limit: the caller must then call
    /// [`StalledQueues::relieve`] as soon as it holds no lock.
    #[must_use]
    pub(super) fn report(&mut self, queue: &SendQueue) -> bool {
        let waiting = queue.amount().bytes;
        self.member.waiting.store(waiting, Ordering::Relaxed);
        self.count(queue.owned());
        self.queues.is_exceeded()
    }

    /// Replaces the number of bytes of this queue in the total.
    fn count(&mut self, owned: usize) {
        let before = std::mem::replace(&mut self.owned, owned);
        let total = &self.queues.total;
        if owned > before {
            total.fetch_add(owned - before, Ordering::Relaxed);
        } else if owned < before {
            total.fetch_sub(before - owned, Ordering::Relaxed);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.count(0);
        self.queues.members.lock().all.remove(&self.id);
    }
}

/// Buffer that the total contains as long as the buffer exists.
struct Shared {
    frames: Bytes,
    queues: Arc<StalledQueues>,
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.frames
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let bytes = self.frames.len();
        self.queues.total.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Guard that lets other threads answer requests after a disconnect has panicked.
struct EndOnUnwind<'a>(&'a AtomicUsize);

impl Drop for EndOnUnwind<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}
