//! Limits how many events a client may send per second: a token bucket that fills up again.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Time after which a client that sends at twice its limit is disconnected; at higher rates it is disconnected sooner.
const PATIENCE: Duration = Duration::from_secs(10);

/// Decision on an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The event is handled.
    Passes,
    /// The event is rejected.
    Refused,
    /// The event is rejected, and the client has exceeded its limit for too long.
    Abuse,
}

/// Token bucket of one client.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tokens: f64,
    filled: Instant,
    /// Events rejected since the bucket was last at least half full.
    refused: f64,
}

impl Rate {
    /// Creates a full bucket: as many events as a second allows may come at once.
    pub(super) fn new(per_second: usize, now: Instant) -> Self {
        let per_second = u32::try_from(per_second).map_or(f64::MAX, f64::from);
        Self {
            per_second,
            state: Mutex::new(State {
                tokens: per_second,
                filled: now,
                refused: 0.0,
            }),
        }
    }

    /// Takes a token for an event.
    pub(super) fn take(&self, now: Instant) -> Verdict {
        let mut state = self.state.lock();
        let since = now.saturating_duration_since(state.filled).as_secs_f64();
        state.tokens = (state.tokens + since * self.per_second).min(self.per_second);
        state.filled = now;
        if state.tokens * 2.0 >= self.per_second {
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
