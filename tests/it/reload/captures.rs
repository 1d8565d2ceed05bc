//! Closures that captured themselves or each other: an edit ends and takes effect, and everything is freed.

use std::sync::Arc;

use patchcord::testing::TestHost;

use crate::support::{
    gate::{Gate, edit_elsewhere},
    server::TEST_TIMEOUT,
};

const NONE: [&str; 0] = [];

/// Value of a script that shows a test what is still alive.
#[derive(Clone)]
struct Held(Arc<()>);

/// Returns a host whose scripts get a [`Held`] from `held()`, and a function that counts those that are alive.
fn host_of_held(script: &str, gate: &Gate) -> (TestHost, impl Fn() -> usize + use<>) {
    let token = Arc::new(());
    let (given, pass) = (Held(token.clone()), gate.clone());
    let host = TestHost::build([("main.rhai", script)], move |builder| {
        builder
            .function("held", move || Held(given.0.clone()))
            .function("pass", move |_: i64| pass.pass())
    });
    let kept = Arc::strong_count(&token);
    (host, move || Arc::strong_count(&token) - kept)
}

/// Several ways in which a closure captures itself, each with a `held` that a leak would keep.
const DIRECTLY: [&str; 4] = [
    "let f = (); f = |n| { held; if n > 0 { f.call(n - 1) } else { 0 } };
        socket.on(\"x\", |n| f.call(n));",
    "let f = (); let g = (); f = |n| { held; g }; g = |n| { f; n };
        socket.on(\"x\", |n| f.call(n));",
    "let map = #{}; map.f = |n| { held; map; n };
        socket.on(\"x\", |n| map.len());",
    "let map = #{}; map.f = || { held; map }; socket.once(\"x\", || map.len());
        set_timeout(|| { map; }, 1000000);",
];

/// The same, but the listener captures a closure that captures the one that captured itself.
const THROUGH_ANOTHER: [&str; 2] = [
    "let f = (); f = |n| { held; f; n }; let outer = |n| f.call(n);
        socket.on(\"x\", |n| outer.call(n));",
    "let f = (); f = |n| { held; f; n }; let table = #{ f: |n| f.call(n) };
        socket.on(\"x\", |n| table.f.call(n));",
];

fn script(captures: &str, version: i64) -> String {
    format!(
        "fn on_connection(socket) {{ let held = held(); pass({version}); {captures}
            socket.on(\"v\", || {version}); }}"
    )
}

#[test]
fn an_edit_of_closures_that_captured_each_other_ends_and_takes_effect() {
    for count in 1..=4 {
        let names: Vec<_> = (0..count).map(|n| format!("f{n}")).collect();
        let each = |form: &dyn Fn(&str) -> String| -> String {
            names.iter().map(|name| form(name)).collect()
        };
        let mention = each(&|name| format!("{name}; "));
        let declare = each(&|name| format!("let {name} = (); "));
        let assign = each(&|name| format!("{name} = |n| {{ {mention} n }}; "));
        let script = |v: i64| {
            format!(
                "fn on_connection(socket) {{ {declare} {assign}
                    socket.on(\"x\", |n| f0.call(n)); socket.on(\"v\", || {v}); }}"
            )
        };
        let mut host = TestHost::new(&script(1));
        assert_eq!(host.problems(), NONE);
        let client = host.connect("/").unwrap();
        for v in 2..4 {
            host = edit_elsewhere(host, script(v))
                .recv_timeout(TEST_TIMEOUT)
                .unwrap_or_else(|_| panic!("the edit of {count} closures does not end"));
            assert_eq!(client.ask("v", ()), Some(format!("[{v}]")));
        }
        assert_eq!(host.problems(), NONE);
    }
}

#[test]
fn a_closure_that_calls_itself_fails_at_most_its_own_call_and_edits_take_effect() {
    let script = |v: i64| {
        format!(
            "fn on_connection(socket) {{
                let f = ();
                f = |n| {{ if n > 0 {{ f.call(n - 1) }} else {{ 7 }} }};
                socket.on(\"f\", |n| f.call(n));
                socket.on(\"v\", || {v});
            }}"
        )
    };
    let mut host = TestHost::new(&script(1));
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    for v in 2..5 {
        match ada.ask("f", [2]) {
            Some(answer) => assert_eq!(answer, "[7]"),
            None => assert_eq!(host.problems().len(), 1),
        }
        host = edit_elsewhere(host, script(v))
            .recv_timeout(TEST_TIMEOUT)
            .expect("the edit does not end");
        for client in [&ada, &bob] {
            assert_eq!(client.ask("v", ()), Some(format!("[{v}]")));
        }
        assert_eq!(host.problems(), NONE);
    }
}

/// Connects and disconnects a client, and checks that everything is freed.
fn freed_when_the_socket_leaves(captures: &str) {
    let (host, held) = host_of_held(&script(captures, 1), &Gate::default());
    for _ in 0..3 {
        let client = host.connect("/").unwrap();
        client.emit("x", [0]);
        assert!(held() > 0, "{captures}");
        client.disconnect();
        drop(client);
        assert_eq!(held(), 0, "{captures}");
    }
    assert_eq!(host.problems(), NONE, "{captures}");
}

/// Edits under a client, disconnects it, and checks that everything is freed.
fn freed_by_edits(captures: &str) {
    let (mut host, held) = host_of_held(&script(captures, 1), &Gate::default());
    let client = host.connect("/").unwrap();
    let of_one = held();
    for version in 2..5 {
        host.edit("main.rhai", &script(captures, version));
        assert_eq!(held(), of_one, "{captures}");
    }
    client.disconnect();
    drop(client);
    assert_eq!(held(), 0, "{captures}");
    assert_eq!(host.problems(), NONE, "{captures}");
}

#[test]
fn closures_that_captured_themselves_are_freed_when_their_socket_leaves() {
    DIRECTLY
        .iter()
        .for_each(|c| freed_when_the_socket_leaves(c));
}

#[test]
fn closures_that_captured_themselves_are_freed_by_edits() {
    DIRECTLY.iter().for_each(|c| freed_by_edits(c));
}

#[test]
fn closures_behind_another_closure_are_freed_when_their_socket_leaves() {
    THROUGH_ANOTHER
        .iter()
        .for_each(|c| freed_when_the_socket_leaves(c));
}

#[test]
fn closures_behind_another_closure_are_freed_by_edits() {
    THROUGH_ANOTHER.iter().for_each(|c| freed_by_edits(c));
}

#[test]
fn closures_that_captured_themselves_are_freed_when_an_edit_is_rejected() {
    for captures in DIRECTLY {
        let (mut host, held) = host_of_held(&script(captures, 1), &Gate::default());
        let client = host.connect("/").unwrap();
        let of_one = held();
        let failing = format!("{captures} nope();");
        host.edit("main.rhai", &script(&failing, 2));
        assert_eq!(host.problems().len(), 1, "{captures}");
        assert_eq!(held(), of_one, "{captures}");
        client.disconnect();
        drop(client);
        assert_eq!(held(), 0, "{captures}");
    }
}

#[test]
fn closures_that_captured_themselves_are_freed_when_their_socket_leaves_during_an_edit() {
    for captures in DIRECTLY {
        let gate = Gate::default();
        let (host, held) = host_of_held(&script(captures, 1), &gate);
        let client = host.connect("/").unwrap();
        gate.shut_after(0);
        let edited = edit_elsewhere(host, script(captures, 2));
        gate.reached();
        client.disconnect();
        drop(client);
        gate.open();
        let host = edited
            .recv_timeout(TEST_TIMEOUT)
            .expect("the edit does not end");
        assert_eq!(held(), 0, "{captures}");
        assert_eq!(host.problems(), NONE, "{captures}");
    }
}
