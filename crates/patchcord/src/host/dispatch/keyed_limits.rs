//! Limits that scripts set for keys: `limit::allow`.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::host::bucket::{Bucket, Refill};

/// Maximum number of keys whose buckets are kept.
const MAX_KEYS: usize = 100_000;

/// Token buckets of the keys that scripts limit.
#[derive(Debug, Default)]
pub(super) struct KeyedLimits(Mutex<HashMap<Key, Bucket>>);

/// Key of a script with its limit: after an edit of the limit, a key has a new bucket.
type Key = (Box<str>, u32, Duration);

impl KeyedLimits {
    /// Removes a token from the bucket of a key. Returns `false` if the bucket is empty.
    pub(super) fn allow(&self, key: &str, times: u32, period: Duration, now: Instant) -> bool {
        let refill = Refill::within(times, period);
        let mut buckets = self.0.lock();
        let key = (key.into(), times, period);
        if buckets.len() >= MAX_KEYS && !buckets.contains_key(&key) {
            make_room(&mut buckets, now);
        }
        let bucket = buckets.entry(key).or_default();
        let is_allowed = bucket.wait(refill, now).is_zero();
        if is_allowed {
            bucket.take(refill, now);
        }
        is_allowed
    }
}

/// Removes the full buckets, which are like new ones. If most buckets are in use, also removes the half that will be
/// full first.
fn make_room(buckets: &mut HashMap<Key, Bucket>, now: Instant) {
    buckets.retain(|_, bucket| !bucket.is_full(now));
    if buckets.len() <= MAX_KEYS / 2 {
        return;
    }
    let mut fillings: Vec<_> = buckets.values().map(|bucket| bucket.filling(now)).collect();
    let middle = fillings.len() / 2;
    let (_, median, _) = fillings.select_nth_unstable(middle);
    let median = *median;
    buckets.retain(|_, bucket| bucket.filling(now) > median);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_as_many_tokens_as_it_may_use_in_its_period() {
        let (limits, start) = (KeyedLimits::default(), Instant::now());
        let allow = |key: &str, ms| {
            let now = start + Duration::from_millis(ms);
            limits.allow(key, 3, Duration::from_millis(900), now)
        };
        assert_eq!([0; 4].map(|ms| allow("ada", ms)), [true, true, true, false]);
        assert!(allow("bob", 0), "each key has its own");
        assert_eq!(
            [299, 300, 301].map(|ms| allow("ada", ms)),
            [false, true, false]
        );
        assert_eq!(
            [9_000; 4].map(|ms| allow("ada", ms)),
            [true, true, true, false]
        );
    }

    #[test]
    fn an_edit_of_a_limit_gives_its_keys_new_buckets() {
        let (limits, now) = (KeyedLimits::default(), Instant::now());
        let (week, second) = (Duration::from_secs(604_800), Duration::from_secs(1));
        assert!(limits.allow("ada", 1, week, now));
        assert!(!limits.allow("ada", 1, week, now));
        assert!(limits.allow("ada", 5, second, now));
        assert!(!limits.allow("ada", 1, week, now));
    }

    #[test]
    fn the_number_of_keys_is_bounded_and_the_busiest_ones_are_kept() {
        let (limits, now) = (KeyedLimits::default(), Instant::now());
        let busy = Duration::from_secs(1_000);
        assert!(limits.allow("busy", 1, busy, now));
        for n in 0..2 * MAX_KEYS {
            assert!(limits.allow(&n.to_string(), 10, Duration::from_secs(1), now));
        }
        assert!(limits.0.lock().len() <= MAX_KEYS);
        assert!(!limits.allow("busy", 1, busy, now));
    }
}
