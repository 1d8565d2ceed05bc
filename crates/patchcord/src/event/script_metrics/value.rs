//! Kinds of metrics that scripts count, and their numbers.

use serde::Serialize;

/// Kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MetricKind {
    /// Count that only grows: `metrics::incr`.
    Counter,
    /// Number that rises and falls: `metrics::gauge`.
    Gauge,
    /// Durations: `metrics::time`.
    Time,
}

/// Numbers of a series.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum MetricValue {
    /// Count of a counter.
    Counter(u64),
    /// Value of a gauge.
    Gauge(f64),
    /// Durations.
    Time {
        /// Number of durations.
        count: u64,
        /// Sum of the durations, in seconds.
        sum_seconds: f64,
        /// Upper bounds in seconds, each with the number of durations up to it.
        buckets: Vec<(f64, u64)>,
    },
}

/// Change of a series.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    /// Adds to a counter.
    Add(u64),
    /// Sets a gauge.
    Set(f64),
    /// Adds a duration in milliseconds.
    Time(f64),
}

impl Change {
    pub(super) const fn kind(self) -> MetricKind {
        match self {
            Self::Add(_) => MetricKind::Counter,
            Self::Set(_) => MetricKind::Gauge,
            Self::Time(_) => MetricKind::Time,
        }
    }
}
