//! Metrics that scripts count: `metrics::incr`, `metrics::gauge` and `metrics::time`.
//!
//! In: a name, labels and a number from a script. Out: all series, for `/metrics` and for the application. A call on a
//! series that exists takes one shared lock and changes atomic numbers.

mod cell;
mod value;

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
};

use parking_lot::RwLock;
use serde::Serialize;

use self::cell::Cell;

pub(crate) use self::value::Change;
pub use self::value::{MetricKind, MetricValue};

/// Maximum number of series of a host.
const MAX_SERIES: usize = 1_000;
/// Labels of a series, sorted by their names.
pub(crate) type Labels = Vec<(String, String)>;

/// Metric of scripts, with all of its series.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ScriptMetric {
    /// Name, as scripts write it.
    pub name: String,
    /// Kind of the metric.
    pub kind: MetricKind,
    /// Series, sorted by their labels.
    pub series: Vec<MetricSeries>,
}

/// Series of a metric: the numbers for one set of labels.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MetricSeries {
    /// Labels, sorted by their names.
    pub labels: Vec<(String, String)>,
    /// The numbers.
    pub value: MetricValue,
}

/// Result of a change that a script makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Noted {
    /// The series has the change.
    Yes,
    /// The series would exceed the limit, and is dropped. `first` is `true` the first time.
    Dropped {
        /// `true` for the first series that is dropped.
        first: bool,
    },
    /// The name, or a name in the text of metrics, belongs to another metric.
    Taken {
        /// Name of the other metric.
        by: String,
        /// Kind of the other metric.
        kind: MetricKind,
    },
}

#[derive(Debug)]
struct Family {
    kind: MetricKind,
    series: HashMap<Labels, Cell>,
}

impl Family {
    /// Returns the result of a change that the family prevents.
    fn taken(&self, by: &str) -> Noted {
        Noted::Taken {
            by: by.to_owned(),
            kind: self.kind,
        }
    }
}

/// Metrics that the scripts of a host count.
#[derive(Debug, Default)]
pub(crate) struct ScriptMetrics {
    families: RwLock<HashMap<String, Family>>,
    /// Number of series in all families.
    series: AtomicUsize,
    /// Number of changes that were dropped at the limit.
    dropped: AtomicU64,
}

impl ScriptMetrics {
    /// Changes a series, and creates it if it does not exist.
    pub(crate) fn note(&self, name: &str, labels: &Labels, change: Change) -> Noted {
        if let Some(family) = self.families.read().get(name) {
            if family.kind != change.kind() {
                return family.taken(name);
            }
            if let Some(cell) = family.series.get(labels) {
                cell.note(change);
                return Noted::Yes;
            }
        }
        // A flood of new series does not take the lock that all others need.
        match self.series.load(Ordering::Relaxed) < MAX_SERIES {
            true => self.create(name, labels, change),
            false => self.drop_one(),
        }
    }

    fn create(&self, name: &str, labels: &Labels, change: Change) -> Noted {
        let mut families = self.families.write();
        let kind = change.kind();
        if !families.contains_key(name) {
            let written = written_names(name, kind);
            let other = families.iter().find(|(name, family)| {
                let others = written_names(name, family.kind);
                others.iter().any(|other| written.contains(other))
            });
            if let Some((other, family)) = other {
                return family.taken(other);
            }
        }
        if self.series.load(Ordering::Relaxed) >= MAX_SERIES {
            return self.drop_one();
        }
        let family = families.entry(name.to_owned()).or_insert_with(|| Family {
            kind,
            series: HashMap::new(),
        });
        if family.kind != kind {
            return family.taken(name);
        }
        let cell = family.series.entry(labels.clone()).or_insert_with(|| {
            self.series.fetch_add(1, Ordering::Relaxed);
            Cell::new(kind)
        });
        cell.note(change);
        Noted::Yes
    }

    fn drop_one(&self) -> Noted {
        let first = self.dropped.fetch_add(1, Ordering::Relaxed) == 0;
        Noted::Dropped { first }
    }

    /// Returns all metrics, sorted by their names.
    pub(crate) fn all(&self) -> Vec<ScriptMetric> {
        let families = self.families.read();
        let mut all: Vec<_> = families
            .iter()
            .map(|(name, family)| {
                let series = family.series.iter().map(|(labels, cell)| MetricSeries {
                    labels: labels.clone(),
                    value: cell.value(),
                });
                let mut series: Vec<_> = series.collect();
                series.sort_by(|a, b| a.labels.cmp(&b.labels));
                ScriptMetric {
                    name: name.clone(),
                    kind: family.kind,
                    series,
                }
            })
            .collect();
        drop(families);
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// Returns the numbers of one series, if it exists.
    #[cfg(feature = "testing")]
    pub(crate) fn value(&self, name: &str, labels: &Labels) -> Option<MetricValue> {
        let families = self.families.read();
        let cell = families.get(name)?.series.get(labels)?;
        Some(cell.value())
    }
}

/// Returns the names that a metric has in Prometheus' text format.
fn written_names(name: &str, kind: MetricKind) -> Vec<String> {
    let endings: &[&str] = match kind {
        MetricKind::Counter => &["_total"],
        MetricKind::Gauge => &[""],
        MetricKind::Time => &[
            "_seconds",
            "_seconds_bucket",
            "_seconds_sum",
            "_seconds_count",
        ],
    };
    let endings = endings.iter();
    endings.map(|ending| format!("{name}{ending}")).collect()
}

#[cfg(test)]
mod tests;
