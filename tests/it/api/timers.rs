//! Timers, on a clock that the test moves.

use patchcord::testing::{TestClient, TestHost};

fn host(script: &str) -> (TestHost, TestClient) {
    let host = TestHost::new(script);
    let client = host.connect("/").unwrap();
    assert_eq!(host.problems(), [] as [&str; 0]);
    (host, client)
}

#[test]
fn a_timeout_fires_once_and_an_interval_again_and_again() {
    let (host, client) = host(
        "fn on_connection(socket) {
            let n = 0;
            set_timeout(|| { socket.emit(\"once\"); }, 150);
            set_interval(|| { n += 1; socket.emit(\"tick\", n); }, 100);
        }",
    );
    host.advance(99);
    assert_eq!(client.heard(), [] as [&str; 0]);
    host.advance(1);
    assert_eq!(client.heard(), ["tick [1]"]);
    host.advance(200);
    assert_eq!(client.heard(), ["once []", "tick [2]", "tick [3]"]);
}

#[test]
fn a_cleared_timer_does_not_fire() {
    let (host, client) = host(
        "fn on_connection(socket) {
            let idle = set_timeout(|| { socket.emit(\"idle\"); }, 100);
            let clock = set_interval(|| { socket.emit(\"tick\"); }, 100);
            socket.on(\"busy\", || { clear_timeout(idle); });
            socket.on(\"stop\", || { clear_interval(clock); });
        }",
    );
    client.emit("busy", ());
    host.advance(100);
    client.emit("stop", ());
    host.advance(500);
    assert_eq!(client.heard(), ["tick []"]);
}

#[test]
fn timers_end_with_their_connection() {
    let (host, client) =
        host("fn on_connection(socket) { set_interval(|| { print(\"tick\"); }, 100); }");
    host.advance(100);
    client.disconnect();
    host.advance(1000);
    assert_eq!(host.log(), ["tick"]);
}

#[test]
fn an_edit_keeps_the_due_time_and_changes_the_code() {
    let script = |word: &str| {
        format!(
            "fn on_connection(socket) {{
                let n = 0;
                set_timeout(|| {{ socket.emit(\"{word} timeout\"); }}, 300);
                set_interval(|| {{ n += 1; socket.emit(\"{word} tick\", n); }}, 200);
            }}"
        )
    };
    let (mut host, client) = host(&script("old"));
    host.advance(200);
    assert_eq!(client.heard(), ["old tick [1]"]);
    host.edit("main.rhai", &script("new"));
    host.advance(100);
    assert_eq!(client.heard(), ["new timeout []"]);
    host.advance(100);
    assert_eq!(client.heard(), ["new tick [2]"]);
    host.edit("main.rhai", &script("newest"));
    host.advance(1000);
    let heard = client.heard();
    assert!(
        !heard.contains(&"newest timeout []".to_owned()),
        "a timer that fired stays so: {heard:?}"
    );
    assert_eq!(heard.first().map(String::as_str), Some("newest tick [3]"));
}

#[test]
fn a_timer_of_a_handler_shares_the_variable_with_the_new_code() {
    let script = |by: i64| {
        format!(
            "fn on_connection(socket) {{ let score = 0;
                socket.on(\"start\", || {{ set_interval(|| {{ score += 1; }}, 100); }});
                socket.on(\"score\", || {{ score += {by}; score }}); }}"
        )
    };
    let (mut host, client) = host(&script(0));
    client.emit("start", ());
    host.advance(200);
    host.edit("main.rhai", &script(1000));
    host.advance(300);
    assert_eq!(client.ask("score", ()).as_deref(), Some("[1005]"));
    host.advance(100);
    assert_eq!(client.ask("score", ()).as_deref(), Some("[2006]"));
}

#[test]
fn random_values_and_the_time_are_alike_in_both_drafts() {
    let script = |word: &str| {
        format!(
            "fn on_connection(socket) {{
                let id = random_id(); let at = now_ms(); let dice = rand(1, 1000000); let f = rand_float();
                socket.on(\"seen\", || [\"{word}\", id, at, dice, f, rand_bool()].len);
                socket.on(\"drawn\", || [id, at, dice, f]);
            }}"
        )
    };
    let (mut host, client) = host(&script("a"));
    let drawn = client.ask("drawn", ());
    host.edit("main.rhai", &script("b"));
    assert_eq!(
        client.ask("drawn", ()),
        drawn,
        "what was drawn at connection time stays"
    );
}

#[test]
fn a_socket_has_a_limit_of_timers() {
    let (host, client) =
        host("fn on_connection(socket) { socket.on(\"x\", || { set_timeout(|| 1, 1000); }); }");
    for _ in 0..101 {
        client.emit("x", ());
    }
    let problems = host.problems();
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].contains("100 timers, which is the limit"),
        "{problems:?}"
    );
}
