//! `metrics`: numbers that scripts count for the operator.

use patchcord::{
    HostEvent,
    event::{MetricKind, MetricValue},
    script::Memory,
    testing::TestHost,
};

use crate::support::server::{Running, get};

#[tokio::test]
async fn an_operator_reads_them_beside_the_counters_of_the_host() {
    let script = r#"fn on_load() {
        metrics::incr("messages");
        metrics::incr("messages", 2);
        metrics::incr("bytes", 10, #{ room: "a\"b\\c\nd", kind: 7 });
        metrics::gauge("players", 3);
        metrics::gauge("load", 0.5, #{ core: 0 });
        metrics::time("call", 30);
        metrics::time("call", 0.5);
    }
    fn on_connection(socket) { }"#;
    let (running, _) = Running::configured(
        |builder| builder.loader(Memory::from([("main.rhai", script)])),
        |config| config.admin_listen = Some("127.0.0.1:0".to_owned()),
    )
    .await;
    let admin = running.server.admin_address().unwrap();
    let text = get(admin, "/metrics").await;
    for expected in [
        "# TYPE script_messages_total counter\nscript_messages_total 3\n",
        "# TYPE script_players gauge\nscript_players 3\n",
        "script_load{core=\"0\"} 0.5\n",
        "# TYPE script_call_seconds histogram\nscript_call_seconds_bucket{le=\"0.001\"} 1\n",
        "script_call_seconds_bucket{le=\"0.05\"} 2\n",
        "script_call_seconds_bucket{le=\"+Inf\"} 2\n",
        "script_call_seconds_sum 0.0305\nscript_call_seconds_count 2\n",
        "patchcord_metrics_dropped_total 0\n",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let bytes = text
        .lines()
        .find(|line| line.starts_with("script_bytes_total{"));
    let bytes = bytes.expect(&text);
    assert!(
        bytes.starts_with("script_bytes_total{kind=\"7\",room=\"a\\\"b\\\\c"),
        "{bytes}"
    );
    assert!(bytes.ends_with("d\"} 10"), "{bytes}");
}

#[test]
fn an_edit_counts_nothing_and_every_namespace_counts_in_the_same_series() {
    let script = "fn on_connection(socket) { metrics::incr(\"visits\", 1, #{ of: \"all\" }); }";
    let mut host = TestHost::with([("main.rhai", script), ("other.rhai", script)]);
    let _clients = [host.connect("/").unwrap(), host.connect("/other").unwrap()];
    host.edit(
        "main.rhai",
        &script.replace(" }); }", " }); socket.join(\"a\"); }"),
    );
    let metrics = host.script_metrics();
    assert_eq!(metrics.len(), 1);
    assert_eq!(
        (metrics[0].name.as_str(), metrics[0].kind),
        ("visits", MetricKind::Counter)
    );
    let series = &metrics[0].series;
    assert_eq!(series[0].labels, [("of".to_owned(), "all".to_owned())]);
    assert_eq!(series[0].value, MetricValue::Counter(2));
    assert_eq!(host.problems(), [""; 0]);
}

#[test]
fn what_is_no_metric_is_an_error() {
    let nine = "#{ a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1 }";
    for (code, expected) in [
        (
            "metrics::incr(\"a-b\")",
            "takes a name of up to 64 letters, digits and `_`, and got `a-b`",
        ),
        ("metrics::incr(\"\")", "takes a name of up to 64 letters"),
        ("metrics::incr(\"7a\")", "takes a name of up to 64 letters"),
        (
            "metrics::incr(\"a\".repeat(65))",
            "takes a name of up to 64 letters",
        ),
        (
            "metrics::incr(\"a_total\")",
            "takes a name without `_total`: write `a`",
        ),
        ("metrics::incr(\"a\", -1)", "takes 0 or more, and got -1"),
        ("metrics::incr(\"a\", 1.5)", "metrics::incr"),
        (
            "metrics::time(\"a\", -1)",
            "takes 0 to 31622400000 ms, and got -1",
        ),
        (
            "metrics::time(\"a\", 0.0/0.0)",
            "takes 0 to 31622400000 ms, and got NaN",
        ),
        (
            "metrics::incr(\"a\"); metrics::gauge(\"a\", 1)",
            "`a` is a metric of `metrics::incr`",
        ),
        (
            "metrics::time(\"a\", 1); metrics::gauge(\"a_seconds\", 1)",
            "`metrics::gauge`: `/metrics` cannot show both `a_seconds` and `a`, which is a metric of `metrics::time`",
        ),
        (
            "metrics::gauge(\"t_seconds\", 1); metrics::time(\"t\", 1)",
            "`metrics::time`: `/metrics` cannot show both `t` and `t_seconds`, which is a metric of `metrics::gauge`: use \
             another name",
        ),
        ("metrics::incr(\"a\", 1, #{ le: \"1\" })", "not `le`"),
        (
            "metrics::incr(\"a\", 1, #{ \"a b\": \"1\" })",
            "takes labels whose names are",
        ),
        (
            "metrics::incr(\"a\", 1, #{ a: [] })",
            "the value of the label `a` must be a string",
        ),
        (
            &format!("metrics::incr(\"a\", 1, {nine})"),
            "takes up to 8 labels, and got 9",
        ),
    ] {
        let host = TestHost::new(&format!("fn on_connection(socket) {{ {code}; }}"));
        let _client = host.connect("/");
        let problems = host.problems();
        assert!(problems[0].contains(expected), "{code}: {problems:?}");
    }
    let host = TestHost::new("metrics::incr(\"a\"); fn on_connection(socket) { }");
    assert!(host.problems()[0].contains("has no place at top level"));
}

#[test]
fn a_counter_ends_at_its_maximum() {
    let script = r#"fn on_connection(socket) {
        for n in 0..3 { metrics::incr("a", 9223372036854775807); }
        metrics::incr("a");
    }"#;
    let host = TestHost::new(script);
    let _client = host.connect("/").unwrap();
    let value = &host.script_metrics()[0].series[0].value;
    assert_eq!(*value, MetricValue::Counter(u64::MAX));
    assert_eq!(host.problems(), [""; 0]);
}

#[test]
fn series_beyond_the_limit_are_dropped_announced_once_and_counted() {
    let script = r#"fn on_connection(socket) {
        socket.on("count", |name| { metrics::incr("names", 1, #{ name: name }); });
        socket.on("flood", || { for n in 0..1_010 { metrics::incr("flood", 1, #{ n: n }); } });
    }"#;
    let host = TestHost::new(script);
    let ada = host.connect("/").unwrap();
    let long = format!("{}é", "x".repeat(63));
    for name in [&long, &format!("{long}more"), "short"] {
        ada.emit("count", [name]);
    }
    ada.emit("flood", ());
    ada.emit("count", ["short"]);
    ada.emit("count", ["new"]);
    let metrics = host.script_metrics();
    let names = metrics.iter().find(|one| one.name == "names").unwrap();
    let values: Vec<_> = names
        .series
        .iter()
        .map(|one| (&*one.labels[0].1, &one.value))
        .collect();
    let two = MetricValue::Counter(2);
    assert_eq!(values, [("short", &two), (&"x".repeat(63), &two)]);
    assert_eq!(
        metrics.iter().map(|one| one.series.len()).sum::<usize>(),
        1_000
    );
    assert_eq!(host.counters().metrics_dropped.get(), 13);
    let announced = host.events().into_iter().filter_map(|event| match event {
        HostEvent::ServiceFailed {
            service,
            target,
            error,
            ..
        } => Some((service, target, error)),
        _ => None,
    });
    let announced: Vec<_> = announced.collect();
    assert_eq!(announced.len(), 1, "{announced:?}");
    assert_eq!(
        (&*announced[0].0, &*announced[0].1),
        ("metrics::incr", "flood")
    );
}
