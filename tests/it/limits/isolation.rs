//! Slow calls run where they delay no other client.

use std::{
    sync::{Arc, Condvar, Mutex, mpsc},
    time::{Duration, Instant},
};

use patchcord::{
    HostEvent, Options,
    testing::{TestClient, TestHost},
};

use crate::support::{
    gate::{Gate, edit_elsewhere},
    server::{Client, Running, TEST_TIMEOUT},
};

/// Number of attempts at something that other processes of the machine may disturb.
const TRIES: usize = 50;

/// Uses up the time of the call's thread, as a slow function of the application would.
fn spin(milliseconds: i64) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(milliseconds.unsigned_abs()) {
        std::hint::spin_loop();
    }
}

fn host() -> TestHost {
    host_of(
        "fn on_connection(socket) {
            socket.on(\"where\", |ms| { let before = here(); spin(ms); [before, here()] });
        }",
    )
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
    .separate_slow_calls()
}

/// Returns the thread of a call that takes this long.
fn thread_of(client: &TestClient, milliseconds: i64) -> String {
    let answer = client.ask("where", [milliseconds]).unwrap();
    let [[before, after]]: [[String; 2]; 1] = serde_json::from_str(&answer).unwrap();
    assert_eq!(before, after, "a call is not moved while it runs");
    after
}

#[test]
fn the_call_after_a_long_one_runs_on_a_script_thread_until_one_is_short() {
    let host = host();
    let client = host.connect("/").unwrap();
    for _ in 0..3 {
        thread_of(&client, 100);
        assert_eq!(thread_of(&client, 100), "scripts");
        assert_eq!(thread_of(&client, 0), "scripts");
        // On a busy machine even a call that does nothing may be slow.
        let mut calls = (0..TRIES).map(|_| thread_of(&client, 0));
        assert!(calls.any(|thread| thread != "scripts"));
    }
    let mut others = (0..TRIES).map(|_| {
        let other = host.connect("/").unwrap();
        thread_of(&client, 100);
        thread_of(&other, 0)
    });
    let is_elsewhere = others.any(|thread| thread != "scripts");
    assert!(is_elsewhere, "it is about one connection");
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
    // On a busy machine even a listener that does nothing may be slow.
    let mut answers = (0..TRIES).map(|_| client.ask("x", [0]).unwrap());
    let here = &threads[0][0];
    let is_back = answers.any(|answer| answer.ends_with(&format!("\"{here}\",\"{here}\"]]")));
    assert!(is_back, "the next event begins and stays here");
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
    })
    .separate_slow_calls();
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

/// Kinds of callbacks that ran, with their threads.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// Returns the number of callbacks of this kind that began.
fn times(seen: &Seen, kind: &str) -> usize {
    let seen = seen.lock().unwrap();
    seen.iter().filter(|(what, _)| what == kind).count()
}

/// Answers every question of the server, forever.
async fn answer(mut client: Client) {
    while let Some(packet) = client.next().await {
        let question = packet.strip_prefix("42");
        if let Some((number, _)) = question.and_then(|rest| rest.split_once('[')) {
            client.send(&format!("43{number}[]")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runaway_callbacks_run_on_slow_pool() {
    let script = "fn ask(socket) { socket.emit(\"question\", |answer| { ask(socket); note(\"ack\"); loop { } }); }
        fn on_connection(socket) {
            socket.on(\"timers\", || { for i in 0..3 { set_interval(|| { note(\"timer\"); loop { } }, 1); } });
            socket.on(\"acks\", || { ask(socket); });
            socket.on(\"n\", |n| { note(\"good\"); n });
        }";
    let seen = Seen::default();
    let noted = seen.clone();
    let running = Running::new(&[("main.rhai", script)], |builder| {
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
    // On a busy machine even a call of the good client may be slow.
    let mut good = seen.iter().filter(|(what, _)| what == "good");
    assert!(good.any(|(_, thread)| thread != "scripts"));
}

/// Calls that wait until the test lets them go; only the first call of each kind does not wait, and is slow.
#[derive(Debug, Clone, Default)]
struct Held(Arc<(Mutex<Waiting>, Condvar)>);

#[derive(Debug, Default)]
struct Waiting {
    seen: Vec<(String, String)>,
    let_go: bool,
}

impl Held {
    /// Waits, or is slow; the native function calls this.
    fn hold(&self, kind: &str) {
        let (waiting, changed) = &*self.0;
        let mut waiting = waiting.lock().unwrap();
        let first = waiting.seen.iter().all(|(seen, _)| seen != kind);
        let thread = std::thread::current().name().unwrap_or("?").to_owned();
        waiting.seen.push((kind.to_owned(), thread));
        if first {
            drop(waiting);
            // 200 ms, because the clock of calls may be late on a busy machine.
            return spin(200);
        }
        let (mut waiting, end) = changed
            .wait_timeout_while(waiting, TEST_TIMEOUT, |waiting| !waiting.let_go)
            .unwrap();
        // After a timeout the delayed client makes the test fail, and no further call waits.
        waiting.let_go |= end.timed_out();
    }

    fn forget(&self) {
        *self.0.0.lock().unwrap() = Waiting::default();
    }

    fn let_go(&self) {
        self.0.0.lock().unwrap().let_go = true;
        self.0.1.notify_all();
    }

    /// Returns the threads of all calls of a kind that have begun.
    fn seen(&self, kind: &str) -> Vec<String> {
        let waiting = self.0.0.lock().unwrap();
        let seen = waiting.seen.iter().filter(|(seen, _)| seen == kind);
        seen.map(|(_, thread)| thread.clone()).collect()
    }

    async fn begun(&self, kind: &str, count: usize) {
        let begun = async {
            while self.seen(kind).len() < count {
                tokio::task::yield_now().await;
            }
        };
        let begun = tokio::time::timeout(TEST_TIMEOUT, begun).await;
        assert!(begun.is_ok(), "{kind}: {:?}", self.seen(kind));
    }
}

const HANDLERS: usize = 20;

/// Script in which each event registers many handlers of one kind; `go` or a disconnect calls them.
const MANY: &str = "fn on_connection(socket) {
    socket.on(\"many any\", || { for i in 0..20 { socket.on_any(|event, args| hold(\"any\")); } });
    socket.on(\"many outgoing\", || { for i in 0..20 { socket.on_any_outgoing(|event, args| hold(\"outgoing\")); } });
    socket.on(\"many middleware\", || { for i in 0..20 { socket.middleware(|event, args| hold(\"middleware\")); } });
    socket.on(\"many error\", || {
        for i in 0..20 { socket.on(\"error\", |err| hold(\"error\")); }
        socket.middleware(|event, args| { throw \"no\"; });
    });
    socket.on(\"many unanswered\", || {
        for i in 0..20 { socket.timeout(60000).emit(\"question\", |err, answer| hold(\"unanswered\")); }
    });
    socket.on(\"many disconnecting\", || { for i in 0..20 { socket.on(\"disconnecting\", |reason| hold(\"disconnecting\")); } });
    socket.on(\"many disconnect\", || { for i in 0..20 { socket.on(\"disconnect\", |reason| hold(\"disconnect\")); } });
    socket.on(\"go\", || { socket.emit(\"gone\"); });
    socket.on(\"n\", |n| n);
}";

/// Packet that calls the handlers of each kind.
const KINDS: [(&str, &str); 7] = [
    ("any", "42[\"go\"]"),
    ("outgoing", "42[\"go\"]"),
    ("middleware", "42[\"go\"]"),
    ("error", "42[\"go\"]"),
    ("unanswered", "41"),
    ("disconnecting", "41"),
    ("disconnect", "41"),
];

/// Runs on one thread: a callback that ran there to the end of all handlers would keep the good client from its
/// answers.
#[tokio::test]
async fn many_handlers_of_any_kind_run_apart_after_the_first_that_takes_long() {
    let held = Held::default();
    let native = held.clone();
    let running = Running::new(&[("main.rhai", MANY)], |builder| {
        let mut options = Options::default();
        options.limits.time = TEST_TIMEOUT;
        builder
            .options(options)
            .function("hold", move |kind: &str| native.hold(kind))
    })
    .await;
    let mut good = running.websocket().await;
    good.connect("").await;
    for (kind, begin) in KINDS {
        // On a busy machine the call before may be slow, and then the first handler runs on a script thread.
        let mut was_here = false;
        while !was_here {
            held.forget();
            let mut hostile = running.websocket().await;
            hostile.connect("").await;
            hostile.send(&format!("420[\"many {kind}\"]")).await;
            hostile.until(|packet| packet.starts_with("430")).await;
            hostile.send(begin).await;
            held.begun(kind, 2).await;
            for n in 0..10 {
                good.send(&format!("42{n}[\"n\",{n}]")).await;
                let answer = good.until(|packet| packet.starts_with("43")).await;
                assert_eq!(answer, format!("43{n}[{n}]"));
            }
            assert_eq!(held.seen(kind).len(), 2, "{kind}: the second one waits");
            held.let_go();
            held.begun(kind, HANDLERS).await;
            let threads = held.seen(kind);
            was_here = threads[0] != "scripts";
            // Each ack is a call of its own: those after the second one are short.
            let apart = if kind == "unanswered" { 2 } else { HANDLERS };
            assert!(
                threads[1..apart].iter().all(|thread| thread == "scripts"),
                "{kind}: {threads:?}"
            );
        }
    }
}

#[tokio::test]
async fn slow_work_keeps_order() {
    let script = "fn say(text) { print(text); spin(15); }
    fn listen(socket, i) {
        socket.middleware(|event, args| { say(`middleware ${i} ${args}`); [args[0] + 1] });
        socket.on_any(|event, args| say(`any ${i} ${args}`));
        socket.on(\"x\", |n| say(`x ${i} ${n}`));
        socket.once(\"x\", |n| say(`once ${i} ${n}`));
        socket.on(\"disconnecting\", |reason| say(`disconnecting ${i} ${socket.rooms.len()}`));
        socket.on(\"disconnect\", |reason| say(`disconnect ${i} ${socket.rooms.len()}`));
        socket.timeout(60000).emit(\"question\", |err, answer| say(`unanswered ${i}`));
    }
    fn on_connection(socket) { socket.join(\"room\"); listen(socket, 1); listen(socket, 2); }
    fn on_disconnect(socket, reason) { say(\"on_disconnect\"); print(\"end\"); }";
    let mut running = Running::new(&[("main.rhai", script)], |builder| {
        let mut options = Options::default();
        options.limits.time = TEST_TIMEOUT;
        builder.options(options).function("spin", spin)
    })
    .await;
    let mut client = running.websocket().await;
    client.connect("").await;
    for packet in ["42[\"x\",10]", "42[\"x\",20]", "41"] {
        client.send(packet).await;
    }
    let mut logged = Vec::new();
    while logged.last().is_none_or(|last| last != "end") {
        let text = running.announced(|event| match event {
            HostEvent::Log { text, .. } => Some(text),
            _ => None,
        });
        logged.push(text.await);
    }
    let expected = "middleware 1 [10], middleware 2 [11], any 1 [12], any 2 [12], \
        x 1 12, once 1 12, x 2 12, once 2 12, \
        middleware 1 [20], middleware 2 [21], any 1 [22], any 2 [22], x 1 22, x 2 22, \
        unanswered 1, unanswered 2, disconnecting 1 2, disconnecting 2 2, \
        disconnect 1 0, disconnect 2 0, on_disconnect, end";
    assert_eq!(logged.join(", "), expected);
}

#[test]
fn no_edit_comes_between_the_listeners_of_an_event() {
    let script = |version: i64| {
        format!(
            "fn on_load() {{ serves({version}); }}
            fn on_connection(socket) {{
                let seen = [];
                socket.on_any(|event, args| {{ if event == \"x\" {{ seen.push({version}); pass(); spin(20); }} }});
                socket.on(\"x\", || {{ seen.push({version}); pass(); spin(20); }});
                socket.on(\"x\", || {{ seen.push({version}); }});
                socket.on(\"seen\", || seen);
            }}"
        )
    };
    // Shuts the gate in the catch-all listener, and then in the first listener of the event.
    for calls_before in [0, 1] {
        let gate = Gate::default();
        let pass = gate.clone();
        let (serve, serves) = mpsc::channel();
        let host = TestHost::build([("main.rhai", &*script(1))], |builder| {
            let mut options = patchcord::testing::options();
            options.limits.time = TEST_TIMEOUT;
            builder
                .options(options)
                .function("spin", spin)
                .function("pass", move || pass.pass())
                .function("serves", move |version: i64| serve.send(version).unwrap())
        });
        assert_eq!(serves.recv_timeout(TEST_TIMEOUT), Ok(1));
        let client = host.connect("/").unwrap();
        gate.shut_after(calls_before);
        let client = std::thread::spawn(move || {
            client.emit("x", ());
            client
        });
        gate.reached();
        let edited = edit_elsewhere(host, script(2));
        assert_eq!(serves.recv_timeout(TEST_TIMEOUT), Ok(2));
        gate.open();
        let client = client.join().unwrap();
        let _host = edited
            .recv_timeout(TEST_TIMEOUT)
            .expect("the reload does not end");
        assert_eq!(client.ask("seen", ()).as_deref(), Some("[[1,1,1]]"));
        client.emit("x", ());
        assert_eq!(client.ask("seen", ()).as_deref(), Some("[[1,1,1,2,2,2]]"));
    }
}
