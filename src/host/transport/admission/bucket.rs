//! Token bucket that is kept as one point in time: the moment at which it is full again.

use std::time::Duration;

use tokio::time::Instant;

/// Time that an empty bucket takes to fill. A burst of as many tokens may be taken at once, because all clients of a
/// server come back at the same time when it restarts.
const FILLING: Duration = Duration::from_secs(10);

/// Rate at which a bucket fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    /// Time until the next token.
    interval: Duration,
}

impl Rate {
    /// Creates a rate of at least one token per second.
    pub(super) fn per_second(tokens: usize) -> Self {
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX).max(1);
        Self {
            interval: Duration::from_secs(1) / tokens,
        }
    }
}

/// Token bucket; full at first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    full_at: Option<Instant>,
}

impl Bucket {
    /// Returns the time until there is a token; zero if there is one now.
    pub(super) fn wait(self, rate: Rate, now: Instant) -> Duration {
        (self.filling(now) + rate.interval).saturating_sub(FILLING)
    }

    /// Takes a token.
    pub(super) fn take(&mut self, rate: Rate, now: Instant) {
        self.full_at = Some(now + self.filling(now) + rate.interval);
    }

    /// Returns `true` if the bucket is as good as a new one.
    pub(super) fn is_full(self, now: Instant) -> bool {
        self.filling(now).is_zero()
    }

    /// Returns the time until the bucket is full.
    fn filling(self, now: Instant) -> Duration {
        self.full_at
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &mut Bucket, rate: Rate, now: Instant) -> usize {
        let tries = 0..1_000;
        let taken = tries.filter(|_| {
            let is_there = bucket.wait(rate, now).is_zero();
            if is_there {
                bucket.take(rate, now);
            }
            is_there
        });
        taken.count()
    }

    #[test]
    fn a_bucket_holds_ten_seconds_and_fills_again() {
        let (start, rate, mut bucket) = (Instant::now(), Rate::per_second(5), Bucket::default());
        assert!(bucket.is_full(start));
        assert_eq!(taken(&mut bucket, rate, start), 50);
        assert_eq!(bucket.wait(rate, start), Duration::from_millis(200));
        let later = start + Duration::from_secs(2);
        assert_eq!(taken(&mut bucket, rate, later), 10);
        assert!(!bucket.is_full(later + Duration::from_secs(9)));
        assert!(bucket.is_full(later + Duration::from_secs(10)));
    }
}
