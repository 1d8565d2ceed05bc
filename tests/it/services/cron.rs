//! `cron`: schedules that `on_load` sets.

use patchcord::{
    Host,
    script::Memory,
    testing::{TestHost, options},
};

const CLIENTS: &str = "fn on_connection(socket) { }";

/// Returns a script whose `on_load` has this code.
fn script(on_load: &str) -> String {
    format!("fn on_load() {{ {on_load} }} {CLIENTS}")
}

fn host(on_load: &str) -> TestHost {
    let host = TestHost::new(&script(on_load));
    assert_eq!(host.problems(), [""; 0]);
    host
}

/// Advances the clock, and returns the lines that scripts have logged.
fn log_until(host: &TestHost, time: &str) -> Vec<String> {
    host.advance_to(time).unwrap();
    host.log()
}

#[test]
fn a_schedule_runs_at_its_times_and_no_earlier() {
    let host =
        host("cron(\"0 3 * * *\", || print(\"three\")); cron(\"@hourly\", || print(\"hour\"));");
    assert_eq!(log_until(&host, "2026-01-01T00:59:59.999Z"), [""; 0]);
    assert_eq!(log_until(&host, "2026-01-01T01:00:00Z"), ["hour"]);
    host.advance(60 * 60 * 1_000);
    assert_eq!(host.log(), ["hour"]);
    let log = log_until(&host, "2026-01-01T03:00:00Z");
    assert_eq!(
        log,
        ["three", "hour"],
        "in the order in which they were set"
    );
    let log = log_until(&host, "2026-01-31T12:00:00Z");
    assert_eq!(log.iter().filter(|line| *line == "three").count(), 30);
    assert_eq!(
        log.iter().filter(|line| *line == "hour").count(),
        30 * 24 + 9
    );
    let error = host.advance_to("2026-01-01T03:00:00Z").unwrap_err();
    assert!(error.contains("has passed: the clock of this test is at 2026-01-31T12:00:00Z"));
    assert!(
        host.advance_to("tomorrow")
            .unwrap_err()
            .contains("is not a time")
    );
}

#[test]
fn a_schedule_in_a_zone_follows_its_clocks() {
    let host = host("cron(\"30 2 * * *\", \"Europe/Berlin\", || print(\"run\"));");
    assert_eq!(log_until(&host, "2026-01-01T01:29:59Z"), [""; 0]);
    assert_eq!(log_until(&host, "2026-01-01T01:30:00Z"), ["run"]);
    assert_eq!(log_until(&host, "2026-03-28T12:00:00Z").len(), 86);
    // The clocks go from 02:00 to 03:00.
    assert_eq!(log_until(&host, "2026-03-29T00:59:59Z"), [""; 0]);
    assert_eq!(log_until(&host, "2026-03-29T01:00:00Z"), ["run"]);
    assert_eq!(log_until(&host, "2026-03-30T00:29:59Z"), [""; 0]);
    assert_eq!(log_until(&host, "2026-03-30T00:30:00Z"), ["run"]);
}

#[test]
fn an_edit_changes_the_closure_or_the_time_and_never_sets_two() {
    let mut host = host("cron(\"0 3 * * *\", || print(\"old\"));");
    host.edit(
        "main.rhai",
        &script("cron(\"0 3 * * *\", || print(\"new\"));"),
    );
    assert_eq!(log_until(&host, "2026-01-01T12:00:00Z"), ["new"]);
    host.edit(
        "main.rhai",
        &script("cron(\"0 5 * * *\", || print(\"new\"));"),
    );
    assert_eq!(log_until(&host, "2026-01-02T04:00:00Z"), [""; 0]);
    assert_eq!(log_until(&host, "2026-01-02T05:00:00Z"), ["new"]);
    // The zone, which is an hour before UTC.
    host.edit(
        "main.rhai",
        &script("cron(\"0 5 * * *\", \"Europe/Berlin\", || print(\"new\"));"),
    );
    assert_eq!(log_until(&host, "2026-01-03T04:30:00Z"), ["new"]);
    // The time, the zone and the closure.
    host.edit(
        "main.rhai",
        &script("cron(\"0 6 * * *\", || print(\"both\"));"),
    );
    assert_eq!(log_until(&host, "2026-01-03T12:00:00Z"), ["both"]);
    assert_eq!(log_until(&host, "2026-01-04T12:00:00Z"), ["both"]);
    // An edit that changes nothing of it.
    host.edit(
        "main.rhai",
        &script("cron(\"0 6 * * *\", || print(\"both\")); io.data.a = 1;"),
    );
    assert_eq!(log_until(&host, "2026-01-05T12:00:00Z"), ["both"]);
    host.edit("main.rhai", &script("io.data.a = 1;"));
    assert_eq!(log_until(&host, "2026-01-08T12:00:00Z"), [""; 0]);
    host.edit(
        "main.rhai",
        &script("cron(\"0 6 * * *\", || print(\"back\"));"),
    );
    assert_eq!(log_until(&host, "2026-01-09T12:00:00Z"), ["back"]);
    assert_eq!(host.problems(), [""; 0]);
}

#[test]
fn a_constant_a_named_function_and_an_interval_that_becomes_a_schedule_are_edited_too() {
    let with = |at: &str| {
        format!(
            "const AT = \"{at}\"; fn tick() {{ print(\"tick\"); }}
             fn on_load() {{ cron(global::AT, Fn(\"tick\")); }} {CLIENTS}"
        )
    };
    let mut host = TestHost::new(&with("0 3 * * *"));
    assert_eq!(host.problems(), [""; 0]);
    assert_eq!(log_until(&host, "2026-01-01T12:00:00Z"), ["tick"]);
    host.edit("main.rhai", &with("0 13 * * *"));
    assert_eq!(log_until(&host, "2026-01-02T12:00:00Z"), ["tick"]);
    let interval = with("").replace(
        "cron(global::AT, Fn(\"tick\"))",
        "set_interval(Fn(\"tick\"), 3_600_000)",
    );
    host.edit("main.rhai", &interval);
    assert_eq!(log_until(&host, "2026-01-02T16:00:00Z").len(), 4);
    host.edit("main.rhai", &with("0 18 * * *"));
    assert_eq!(log_until(&host, "2026-01-03T12:00:00Z"), ["tick"]);
    assert_eq!(host.problems(), [""; 0]);
}

#[test]
fn it_keeps_its_variables_and_ends_when_it_is_cleared() {
    let on_load = "let n = 0; let job = ();
        job = cron(\"0 * * * *\", || { n += 1; print(n); if n == 3 { clear_interval(job); } });";
    let mut host = host(on_load);
    assert_eq!(log_until(&host, "2026-01-01T02:30:00Z"), ["1", "2"]);
    host.edit(
        "main.rhai",
        &script(&on_load.replace("print(n)", "print(`now ${n}`)")),
    );
    assert_eq!(log_until(&host, "2026-01-02T00:00:00Z"), ["now 3"]);
    assert_eq!(host.problems(), [""; 0]);
}

#[test]
fn it_works_in_on_load_only_and_is_limited() {
    let elsewhere = "`cron` works in `on_load` only";
    for code in [
        "fn on_connection(socket) { cron(\"0 3 * * *\", || 1); }".to_owned(),
        format!("cron(\"0 3 * * *\", || 1); {CLIENTS}"),
        script("set_timeout(|| { cron(\"0 3 * * *\", || 1); }, 1);"),
    ] {
        let host = TestHost::new(&code);
        let _client = host.connect("/");
        host.advance(10);
        let problems = host.problems();
        assert!(problems[0].contains(elsewhere), "{code}: {problems:?}");
    }
    let mut options = options();
    options.limits.timers = 3;
    let code = script("for n in 0..4 { cron(\"0 3 * * *\", || n); }");
    let host = TestHost::build([("main.rhai", code.as_str())], |b| b.options(options));
    assert!(host.problems()[0].contains("this namespace has 3 timers, which is the limit"));
}

#[test]
fn an_invalid_schedule_is_an_error_before_and_while_the_script_runs() {
    for (arguments, expected) in [
        ("\"0 3 * *\"", "a schedule has five fields"),
        ("\"0 0 31 2 *\"", "never runs: no such day exists"),
        ("\"0 25 * * *\"", "`25` is no hour: it is 0 to 23"),
        (
            "\"0 3 * * *\", \"Mars/Base\"",
            "there is no time zone `Mars/Base`",
        ),
    ] {
        let code = script(&format!("cron({arguments}, || 1);"));
        let host = Host::builder()
            .loader(Memory::from([("main.rhai", code)]))
            .build();
        let problems = host.check().unwrap();
        assert_eq!(problems.len(), 1, "{arguments}: {problems:?}");
        assert!(
            problems[0].to_string().contains(expected),
            "{}",
            problems[0]
        );
        let parts = arguments
            .replace("\"0", "\"\" + \"0")
            .replace("\"M", "\"\" + \"M");
        let host = TestHost::new(&script(&format!("cron({parts}, || 1);")));
        let problems = host.problems();
        assert!(problems[0].contains(expected), "{parts}: {problems:?}");
    }
    let code = script("cron(\"0 3 * * *\", |late| print(late));");
    let host = TestHost::new(&code);
    assert!(
        host.problems()[0].contains("the closure of `cron`"),
        "{:?}",
        host.problems()
    );
}
