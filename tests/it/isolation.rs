//! Calls that take long run where they hold up nobody else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use patchcord::{Options, testing::TestHost};
use rustix::time::{ClockId, clock_gettime};

/// Uses up the time of the call's thread, as a slow function of the program would.
fn spin(milliseconds: i64) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(milliseconds.unsigned_abs()) {
        std::hint::spin_loop();
    }
}

fn host() -> TestHost {
    let script = "fn on_connection(socket) {
        socket.on(\"where\", |ms| { spin(ms); here() });
    }";
    TestHost::build([("main.rhai", script)], |builder| {
        let mut options = Options::default();
        options.limits.time = Duration::from_secs(20);
        builder
            .options(options)
            .function("spin", spin)
            .function("here", || {
                std::thread::current().name().unwrap_or("?").to_owned()
            })
    })
}

#[test]
fn the_call_after_a_long_one_runs_on_a_script_thread_until_one_is_short() {
    let host = host();
    let client = host.connect("/").unwrap();
    let scripts = Some("[\"scripts\"]".to_owned());
    assert_ne!(client.ask("where", [0]), scripts);
    assert_ne!(
        client.ask("where", [100]),
        scripts,
        "a call is not moved while it runs"
    );
    assert_eq!(client.ask("where", [100]), scripts);
    assert_eq!(client.ask("where", [100]), scripts);
    let other = host.connect("/").unwrap();
    assert_ne!(
        other.ask("where", [0]),
        scripts,
        "it is about one connection"
    );
}

#[test]
fn events_keep_their_order_when_they_are_moved() {
    let script = "fn on_connection(socket) {
        let seen = [];
        socket.on(\"n\", |n, ms| { spin(ms); seen.push(n); });
        socket.on(\"seen\", || seen);
    }";
    let host = TestHost::build([("main.rhai", script)], |builder| {
        builder.function("spin", spin)
    });
    let client = host.connect("/").unwrap();
    for n in 0..20 {
        client.emit("n", (n, if n % 5 == 0 { 20 } else { 0 }));
    }
    let expected: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    assert_eq!(
        client.ask("seen", ()),
        Some(format!("[[{}]]", expected.join(",")))
    );
}

/// Uses a processor for so long, however long that takes.
fn work(milliseconds: i64) {
    let used = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let end = used() + Duration::from_millis(milliseconds.unsigned_abs());
    while used() < end {
        std::hint::spin_loop();
    }
}

#[test]
fn a_call_is_over_its_time_by_one_native_call_at_most() {
    // The second one is longer than the clock of calls goes on by itself.
    for time in [400, 1_500] {
        let calls = Arc::new(AtomicU64::new(0));
        let count = calls.clone();
        let script = "fn on_connection(socket) { socket.on(\"x\", || { loop { work(); } }); }";
        let host = TestHost::build([("main.rhai", script)], |builder| {
            let mut options = Options::default();
            options.limits.time = Duration::from_millis(time);
            builder.options(options).function("work", move || {
                count.fetch_add(1, Ordering::Relaxed);
                work(20);
            })
        });
        let client = host.connect("/").unwrap();
        client.emit("x", ());
        assert!(host.problems()[0].contains("took longer than it may"));
        let calls = calls.load(Ordering::Relaxed);
        assert!(
            calls <= time / 20 + 1,
            "{calls} calls of 20 ms in {time} ms"
        );
    }
}
