//! Limits how many packets a client may send per second: a token bucket that fills up again.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Time after which a client that sends at twice its limit is disconnected; at higher rates it is disconnected sooner.
const PATIENCE: Duration = Duration::from_secs(10);

/// Decision on a packet.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::host) enum Verdict {
    /// The packet is handled.
    Passes,
    /// The packet is rejected.
    Refused,
    /// The packet is rejected, and the client has exceeded its limit for too long.
    Abuse,
}

/// Token bucket of one client.
#[derive(Debug)]
pub(in crate::host) struct Rate {
    per_second: f64,
    /// Tokens of a full bucket.
    burst: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: f64,
    filled: Instant,
    /// Packets rejected since the bucket was last at least half full.
    refused: f64,
}

impl Rate {
    /// Creates a full bucket: as many packets as a second allows may come at once.
    pub(in crate::host) fn new(per_second: usize, now: Instant) -> Self {
        Self::with_burst(per_second, per_second, now)
    }

    /// Creates a full bucket with `burst` tokens.
    pub(in crate::host) fn with_burst(per_second: usize, burst: usize, now: Instant) -> Self {
        let number = |count| u32::try_from(count).map_or(f64::MAX, f64::from);
        Self {
            per_second: number(per_second),
            burst: number(burst),
            state: Mutex::new(State {
                tokens: number(burst),
                filled: now,
                refused: 0.0,
            }),
        }
    }

    /// Takes a token for a packet.
    pub(in crate::host) fn take(&self, now: Instant) -> Verdict {
        let mut state = self.state.lock();
        let since = now.saturating_duration_since(state.filled).as_secs_f64();
        state.tokens = (state.tokens + since * self.per_second).min(self.burst);
        state.filled = now;
        if state.tokens * 2.0 >= self.burst {
            state.refused = 0.0;
        }
        if state.tokens >= 1.0 {
            state.tokens -= 1.0;
            return Verdict::Passes;
        }
        state.refused += 1.0;
        match state.refused > self.per_second * PATIENCE.as_secs_f64() {
            true => Verdict::Abuse,
            false => Verdict::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_allows_so_many_and_the_bucket_fills_again() {
        let start = Instant::now();
        let rate = Rate::new(10, start);
        let passed = (0..50).filter(|_| rate.take(start) == Verdict::Passes);
        assert_eq!(passed.count(), 10);
        let later = start + Duration::from_millis(500);
        let passed = (0..50).filter(|_| rate.take(later) == Verdict::Passes);
        assert_eq!(passed.count(), 5);
    }

    #[test]
    fn who_goes_on_is_cut_off_and_who_pauses_is_not() {
        let start = Instant::now();
        let rate = Rate::new(10, start);
        let mut last = Verdict::Passes;
        for _ in 0..111 {
            last = rate.take(start);
        }
        assert_eq!(last, Verdict::Abuse);
        assert_eq!(rate.take(start + Duration::from_secs(1)), Verdict::Passes);
        assert_ne!(rate.take(start + Duration::from_secs(1)), Verdict::Abuse);
    }
}
