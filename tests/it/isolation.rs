//! Calls that take long run where they hold up nobody else.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use patchcord::{Options, testing::TestHost};
use rustix::time::{ClockId, clock_gettime};

use crate::sockets::{Client, Running};

/// Uses up the time of the call's thread, as a slow function of the program would.
fn spin(milliseconds: i64) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(milliseconds.unsigned_abs()) {
        std::hint::spin_loop();
    }
}

fn host() -> TestHost {
    host_of("fn on_connection(socket) { socket.on(\"where\", |ms| { spin(ms); here() }); }")
}

fn host_of(script: &str) -> TestHost {
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
fn an_event_goes_on_elsewhere_after_a_listener_that_takes_long() {
    let script = "fn on_connection(socket) {
        let seen = [];
        socket.on(\"x\", |ms| { seen.push(here()); spin(ms); });
        socket.on(\"x\", |ms, answer| { seen.push(here()); answer.call(seen); });
        socket.on(\"x\", |ms| { seen.push(here()); });
        socket.on(\"seen\", || seen);
    }";
    let host = host_of(script);
    let client = host.connect("/").unwrap();
    client.emit("x", [100]);
    let seen = client.ask("seen", ()).unwrap();
    let threads: Vec<Vec<String>> = serde_json::from_str(&seen).unwrap();
    assert_ne!(threads[0][0], "scripts");
    assert_eq!(threads[0][1..], ["scripts", "scripts"]);
    let answer = client.ask("x", [0]).unwrap();
    assert!(
        answer.ends_with(&format!(
            "\"scripts\",\"scripts\",\"{}\",\"{}\"]]",
            threads[0][0], threads[0][0]
        )),
        "{answer}"
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

/// What runs away, and the threads on which it did so.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// How often something of this kind began.
fn times(seen: &Seen, kind: &str) -> usize {
    let seen = seen.lock().unwrap();
    seen.iter().filter(|(what, _)| what == kind).count()
}

/// Answers every question, for ever.
async fn answer(mut client: Client) {
    while let Some(packet) = client.next().await {
        let question = packet.strip_prefix("42");
        if let Some((number, _)) = question.and_then(|rest| rest.split_once('[')) {
            client.send(&format!("43{number}[]")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn timers_and_acks_that_run_away_run_apart_and_others_are_answered_meanwhile() {
    let script = "fn ask(socket) { socket.emit(\"question\", |answer| { ask(socket); note(\"ack\"); loop { } }); }
        fn on_connection(socket) {
            socket.on(\"timers\", || { for i in 0..3 { set_interval(|| { note(\"timer\"); loop { } }, 1); } });
            socket.on(\"acks\", || { ask(socket); });
            socket.on(\"n\", |n| { note(\"good\"); n });
        }";
    let seen = Seen::default();
    let noted = seen.clone();
    let running = Running::of(&[("main.rhai", script)], |builder| {
        let mut options = Options::default();
        options.limits.time = Duration::from_millis(30);
        options.limits.operations = u64::MAX;
        builder
            .options(options)
            .function("note", move |kind: &str| {
                let thread = std::thread::current().name().unwrap_or("?").to_owned();
                noted.lock().unwrap().push((kind.to_owned(), thread));
            })
    })
    .await;
    for kind in ["timers", "acks"] {
        let mut client = running.websocket().await;
        client.connect("").await;
        client.send(&format!("42[\"{kind}\"]")).await;
        tokio::spawn(answer(client));
    }
    let both_go_on = async || {
        let before = [times(&seen, "timer"), times(&seen, "ack")];
        while times(&seen, "timer") < before[0] + 3 || times(&seen, "ack") < before[1] + 3 {
            tokio::task::yield_now().await;
        }
    };
    both_go_on().await;
    let mut good = running.websocket().await;
    good.connect("").await;
    for n in 0..100 {
        good.send(&format!("42{n}[\"n\",{n}]")).await;
        let answer = good.until(|packet| packet.starts_with("43")).await;
        assert_eq!(answer, format!("43{n}[{n}]"));
    }
    both_go_on().await;
    let seen = seen.lock().unwrap();
    for kind in ["timer", "ack"] {
        let mut threads = seen.iter().filter(|(what, _)| what == kind);
        threads.next();
        assert!(
            threads.all(|(_, thread)| thread == "scripts"),
            "{kind}: {seen:?}"
        );
    }
    let mut good = seen.iter().filter(|(what, _)| what == "good");
    assert!(good.all(|(_, thread)| thread != "scripts"));
}
