//! Token bucket, stored as one point in time: the moment at which it is full again.

use std::time::{Duration, Instant};

/// Rate at which a bucket fills, and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refill {
    /// Time in which one token is added.
    interval: Duration,
    /// Time in which an empty bucket becomes full.
    whole: Duration,
}

impl Refill {
    /// Creates the refill of a bucket for `burst` tokens, with at least one token per second.
    pub(crate) fn new(per_second: usize, burst: usize) -> Self {
        let number = |count| u32::try_from(count).unwrap_or(u32::MAX).max(1);
        let interval = Duration::from_secs(1) / number(per_second);
        Self {
            interval,
            whole: interval.saturating_mul(number(burst)),
        }
    }

    /// Creates the refill of a bucket for `times` tokens, which becomes full within `period`.
    pub(crate) fn within(times: u32, period: Duration) -> Self {
        Self {
            interval: period / times.max(1),
            whole: period,
        }
    }
}

/// Token bucket; full at first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bucket {
    full_at: Option<Instant>,
}

impl Bucket {
    /// Returns the time until a token is available; zero if one is available now.
    pub(crate) fn wait(self, refill: Refill, now: Instant) -> Duration {
        (self.filling(now) + refill.interval).saturating_sub(refill.whole)
    }

    /// Removes several tokens, even more than there are: the bucket then fills from below empty.
    pub(crate) fn take_many(&mut self, count: usize, refill: Refill, now: Instant) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let interval = refill.interval.saturating_mul(count);
        self.full_at = Some(now + self.filling(now) + interval);
    }

    /// Removes a token.
    pub(crate) fn take(&mut self, refill: Refill, now: Instant) {
        self.full_at = Some(now + self.filling(now) + refill.interval);
    }

    /// Returns `true` if the bucket is full, as a new one is.
    pub(crate) fn is_full(self, now: Instant) -> bool {
        self.filling(now).is_zero()
    }

    /// Returns `true` if the bucket is at least half full.
    pub(crate) fn is_half_full(self, refill: Refill, now: Instant) -> bool {
        self.filling(now) <= refill.whole / 2
    }

    /// Returns the time until the bucket is full.
    pub(crate) fn filling(self, now: Instant) -> Duration {
        self.full_at
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &mut Bucket, refill: Refill, now: Instant) -> usize {
        let tries = 0..1_000;
        let taken = tries.filter(|_| {
            let is_there = bucket.wait(refill, now).is_zero();
            if is_there {
                bucket.take(refill, now);
            }
            is_there
        });
        taken.count()
    }

    #[test]
    fn a_bucket_holds_a_burst_and_fills_again() {
        let (start, refill, mut bucket) = (Instant::now(), Refill::new(5, 50), Bucket::default());
        assert!(bucket.is_full(start));
        assert_eq!(taken(&mut bucket, refill, start), 50);
        assert_eq!(bucket.wait(refill, start), Duration::from_millis(200));
        let later = start + Duration::from_secs(2);
        assert_eq!(taken(&mut bucket, refill, later), 10);
        let half = later + Duration::from_secs(5);
        assert!(bucket.is_half_full(refill, half) && !bucket.is_full(half));
        assert!(!bucket.is_full(later + Duration::from_secs(9)));
        assert!(bucket.is_full(later + Duration::from_secs(10)));
    }

    #[test]
    fn a_bucket_without_a_limit_is_never_empty() {
        let (now, mut bucket) = (Instant::now(), Bucket::default());
        assert_eq!(
            taken(&mut bucket, Refill::new(usize::MAX, usize::MAX), now),
            1_000
        );
    }
}
