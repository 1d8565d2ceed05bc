//! Numbers of one series, as they are counted.

use std::sync::atomic::{AtomicU64, Ordering};

use super::value::{Change, MetricKind, MetricValue};

/// Upper bounds of the buckets of a duration, in seconds.
const BUCKETS_SECONDS: [f64; 13] = [
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Numbers of a series, as they are counted. A gauge and a sum are the bits of a float.
#[derive(Debug)]
pub(super) enum Cell {
    Counter(AtomicU64),
    Gauge(AtomicU64),
    Time(Box<Times>),
}

#[derive(Debug, Default)]
pub(super) struct Times {
    /// Durations per bucket; the last one is for those above all bounds.
    counts: [AtomicU64; BUCKETS_SECONDS.len() + 1],
    sum_seconds: AtomicU64,
}

impl Cell {
    pub(super) fn new(kind: MetricKind) -> Self {
        match kind {
            MetricKind::Counter => Self::Counter(AtomicU64::default()),
            MetricKind::Gauge => Self::Gauge(AtomicU64::default()),
            MetricKind::Time => Self::Time(Box::default()),
        }
    }

    pub(super) fn note(&self, change: Change) {
        match (self, change) {
            (Self::Counter(count), Change::Add(n)) => {
                // A counter never falls, so it ends at its maximum.
                let add = |count: u64| Some(count.saturating_add(n));
                let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
            }
            (Self::Gauge(bits), Change::Set(value)) => {
                bits.store(value.to_bits(), Ordering::Relaxed);
            }
            (Self::Time(times), Change::Time(ms)) => times.add(ms / 1_000.0),
            // The kind was compared before.
            _ => {}
        }
    }

    pub(super) fn value(&self) -> MetricValue {
        match self {
            Self::Counter(count) => MetricValue::Counter(count.load(Ordering::Relaxed)),
            Self::Gauge(bits) => MetricValue::Gauge(f64::from_bits(bits.load(Ordering::Relaxed))),
            Self::Time(times) => times.value(),
        }
    }
}

impl Times {
    fn add(&self, seconds: f64) {
        let bucket = BUCKETS_SECONDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let add = |bits| Some((f64::from_bits(bits) + seconds).to_bits());
        // The closure always returns a value.
        let _ = self
            .sum_seconds
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    fn value(&self) -> MetricValue {
        let mut count = 0;
        let mut so_far = |one: &AtomicU64| {
            count += one.load(Ordering::Relaxed);
            count
        };
        let counts: Vec<_> = self.counts.iter().map(&mut so_far).collect();
        MetricValue::Time {
            buckets: BUCKETS_SECONDS.into_iter().zip(counts).collect(),
            count,
            sum_seconds: f64::from_bits(self.sum_seconds.load(Ordering::Relaxed)),
        }
    }
}
