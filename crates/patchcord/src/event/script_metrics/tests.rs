//! Metrics that scripts count: names, limits and durations.

use super::*;

const ADD: Change = Change::Add(1);

fn labels(room: &str) -> Labels {
    vec![("room".to_owned(), room.to_owned())]
}

#[test]
fn a_name_has_one_kind_and_no_two_metrics_are_written_alike() {
    let metrics = ScriptMetrics::default();
    let none = Labels::new();
    assert_eq!(metrics.note("a", &none, ADD), Noted::Yes);
    let taken = |by: &str, kind| Noted::Taken {
        by: by.to_owned(),
        kind,
    };
    let by_a = taken("a", MetricKind::Counter);
    assert_eq!(metrics.note("a", &none, Change::Set(1.0)), by_a);
    assert_eq!(metrics.note("a", &labels("x"), Change::Time(1.0)), by_a);
    assert_eq!(metrics.note("call", &none, Change::Time(1.0)), Noted::Yes);
    for name in ["call_seconds", "call_seconds_sum", "call_seconds_count"] {
        let noted = metrics.note(name, &none, Change::Set(1.0));
        assert_eq!(noted, taken("call", MetricKind::Time), "{name}");
    }
    let gauge = Change::Set(1.0);
    assert_eq!(metrics.note("t_seconds", &none, gauge), Noted::Yes);
    let noted = metrics.note("t", &none, Change::Time(1.0));
    assert_eq!(noted, taken("t_seconds", MetricKind::Gauge));
    assert_eq!(metrics.all().len(), 3);
}

#[test]
fn series_beyond_the_limit_are_dropped_and_the_others_go_on() {
    let metrics = ScriptMetrics::default();
    for n in 0..MAX_SERIES {
        assert_eq!(metrics.note("a", &labels(&n.to_string()), ADD), Noted::Yes);
    }
    for first in [true, false] {
        let noted = metrics.note("b", &Labels::new(), ADD);
        assert_eq!(noted, Noted::Dropped { first });
    }
    assert_eq!(metrics.note("a", &labels("7"), ADD), Noted::Yes);
    let all = metrics.all();
    assert_eq!((all.len(), all[0].series.len()), (1, MAX_SERIES));
    assert!(all[0].series.contains(&MetricSeries {
        labels: labels("7"),
        value: MetricValue::Counter(2)
    }));
}

#[test]
fn a_duration_is_in_every_bucket_from_its_own_on() {
    let metrics = ScriptMetrics::default();
    let none = Labels::new();
    for ms in [0.5, 1.0, 30.0, 60_000.0] {
        metrics.note("a", &none, Change::Time(ms));
    }
    let all = metrics.all();
    let MetricValue::Time {
        count,
        sum_seconds,
        buckets,
    } = &all[0].series[0].value
    else {
        panic!("{all:?}")
    };
    assert_eq!(*count, 4);
    assert!((sum_seconds - 60.0315).abs() < 1e-9, "{sum_seconds}");
    let at = |bound: f64| buckets.iter().find(|(le, _)| *le == bound).unwrap().1;
    assert_eq!([at(0.001), at(0.025), at(0.05), at(10.0)], [2, 2, 3, 3]);
}
