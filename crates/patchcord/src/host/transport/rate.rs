//! Limits the packets that a client may send per second, and detects clients that keep exceeding the limit.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::host::bucket::{Bucket, Refill};

/// Time after which a client that sends at twice its limit is disconnected; at higher rates it is disconnected sooner.
const ABUSE_GRACE: Duration = Duration::from_secs(10);

/// Decision on a packet.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::host) enum RateDecision {
    /// The packet is handled.
    Passes,
    /// The packet is rejected.
    Refused,
    /// The packet is rejected, and the client has exceeded its limit for too long.
    Abuse,
}

/// Limit of one client.
#[derive(Debug)]
pub(in crate::host) struct Rate {
    refill: Refill,
    /// Maximum number of packets that are rejected before the client is disconnected.
    max_rejected: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bucket: Bucket,
    /// Number of packets rejected since the bucket was last at least half full.
    refused: usize,
}

impl Rate {
    /// Creates a limit whose burst is the number of packets that a second allows.
    pub(in crate::host) fn new(per_second: usize) -> Self {
        Self::with_burst(per_second, per_second)
    }

    /// Creates a limit with another burst, which is the number of packets that may come at once.
    pub(in crate::host) fn with_burst(per_second: usize, burst: usize) -> Self {
        Self {
            refill: Refill::new(per_second, burst),
            max_rejected: per_second.saturating_mul(ABUSE_GRACE.as_secs() as usize),
            state: Mutex::default(),
        }
    }

    /// Removes a token for a packet if there is one, and returns the decision on the packet.
    pub(in crate::host) fn take(&self, now: Instant) -> RateDecision {
        let mut state = self.state.lock();
        if state.bucket.is_half_full(self.refill, now) {
            state.refused = 0;
        }
        if state.bucket.wait(self.refill, now).is_zero() {
            state.bucket.take(self.refill, now);
            return RateDecision::Passes;
        }
        state.refused += 1;
        match state.refused > self.max_rejected {
            true => RateDecision::Abuse,
            false => RateDecision::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_allows_so_many_and_the_bucket_fills_again() {
        let start = Instant::now();
        let rate = Rate::new(10);
        let passed = (0..50).filter(|_| rate.take(start) == RateDecision::Passes);
        assert_eq!(passed.count(), 10);
        let later = start + Duration::from_millis(500);
        let passed = (0..50).filter(|_| rate.take(later) == RateDecision::Passes);
        assert_eq!(passed.count(), 5);
    }

    #[test]
    fn who_goes_on_is_cut_off_and_who_pauses_is_not() {
        let start = Instant::now();
        let rate = Rate::new(10);
        let mut last = RateDecision::Passes;
        for _ in 0..111 {
            last = rate.take(start);
        }
        assert_eq!(last, RateDecision::Abuse);
        assert_eq!(
            rate.take(start + Duration::from_secs(1)),
            RateDecision::Passes
        );
        assert_ne!(
            rate.take(start + Duration::from_secs(1)),
            RateDecision::Abuse
        );
    }
}
