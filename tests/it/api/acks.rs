//! Acks: how a handler answers a client.

use patchcord::{HostEvent, testing::TestHost};

fn answer(handlers: &str, args: impl serde::Serialize) -> Option<String> {
    let host = TestHost::new(&format!("fn on_connection(socket) {{ {handlers} }}"));
    assert_eq!(host.problems(), [] as [&str; 0]);
    host.connect("/").unwrap().ask("x", args)
}

#[test]
fn handler_answers_through_trailing_ack_argument() {
    assert_eq!(
        answer("socket.on(\"x\", |a, ack| { ack.call(a, \"two\"); });", [1]).as_deref(),
        Some("[1,\"two\"]")
    );
    assert_eq!(
        answer("socket.on(\"x\", |ack| { ack.call(); });", ()).as_deref(),
        Some("[]")
    );
}

#[test]
fn by_the_value_that_is_returned() {
    assert_eq!(
        answer("socket.on(\"x\", |a| a + 1);", [1]).as_deref(),
        Some("[2]")
    );
    assert_eq!(
        answer("socket.on(\"x\", || { });", [1]).as_deref(),
        Some("[]")
    );
    assert_eq!(
        answer("socket.on(\"x\", || [1, 2]);", ()).as_deref(),
        Some("[[1,2]]")
    );
}

#[test]
fn the_first_answer_counts() {
    assert_eq!(
        answer("socket.on(\"x\", |ack| { ack.call(1); ack.call(2); });", ()).as_deref(),
        Some("[1]")
    );
    assert_eq!(
        answer("socket.on(\"x\", || 1); socket.on(\"x\", || 2);", ()).as_deref(),
        Some("[1]")
    );
}

#[test]
fn a_handler_that_neither_calls_the_ack_nor_keeps_it_answers_by_what_it_returns() {
    for script in [
        "socket.on(\"x\", |ack| 1);",
        "socket.on(\"x\", |ack| 1); socket.on(\"x\", || 2);",
    ] {
        assert_eq!(answer(script, ()).as_deref(), Some("[1]"));
    }
    for script in [
        "socket.on(\"x\", |ack| {});",
        "let kept = (); socket.on(\"x\", |ack| { kept = ack; 1 });",
    ] {
        assert_eq!(answer(script, ()), None);
    }
    let both = "socket.on(\"x\", || 1); socket.on(\"x\", |ack| { ack.call(2); });";
    assert_eq!(
        answer(both, ()).as_deref(),
        Some("[2]"),
        "a listener that declares the ack answers"
    );
}

#[test]
fn failed_handler_sends_no_ack() {
    assert_eq!(answer("socket.on(\"x\", || { throw \"no\" });", ()), None);
}

#[test]
fn ack_kept_for_later_is_answered_from_another_handler() {
    let host = TestHost::new(
        r#"fn on_connection(socket) {
            let waiting = [];
            socket.on("ask", |ack| { waiting.push(ack); });
            socket.on("answer", |value| { for ack in waiting { ack.call(value); } waiting.clear(); });
        }"#,
    );
    let client = host.connect("/").unwrap();
    assert_eq!(client.ask("ask", ()), None);
    client.emit("answer", [7]);
    assert_eq!(client.answers(), ["[7]"]);
}

#[test]
fn on_any_receives_ack_as_last_argument() {
    assert_eq!(answer("socket.on_any(|event, args| 1);", ()), None);
    assert_eq!(
        answer(
            "socket.on_any(|event, args| { args[-1].call(event); });",
            [1]
        )
        .as_deref(),
        Some("[\"x\"]")
    );
}

#[test]
fn a_listener_that_declares_it_answers_and_not_one_that_returns() {
    let returns = "socket.on(\"x\", |text| { print(text); 1 });";
    let declares = "socket.on(\"x\", |text, ack| { ack.call(text); });";
    for handlers in [[returns, declares], [declares, returns]] {
        assert_eq!(
            answer(&handlers.concat(), ["saved"]).as_deref(),
            Some("[\"saved\"]")
        );
    }
}

#[test]
fn a_listener_that_returns_does_not_answer_for_one_that_does_so_later() {
    let host = TestHost::new(
        r#"fn on_connection(socket) {
            let waiting = ();
            socket.on("save", || "returned");
            socket.on("save", |ack| { waiting = ack; });
            socket.on("saved", || { waiting.call("saved"); });
        }"#,
    );
    let client = host.connect("/").unwrap();
    assert_eq!(client.ask("save", ()), None);
    client.emit("saved", ());
    assert_eq!(client.answers(), ["[\"saved\"]"]);
}

/// Returns the events whose acks were not answered, as they are announced.
fn unanswered(handlers: &str, events: &[&str]) -> Vec<String> {
    let host = TestHost::new(&format!("fn on_connection(socket) {{ {handlers} }}"));
    let client = host.connect("/").unwrap();
    for event in events {
        client.ask(event, [1]);
    }
    // An ack that was kept is announced by a task of its own.
    host.advance(1);
    let announced = host.events().into_iter();
    let unanswered = announced.filter_map(|event| match event {
        HostEvent::Unanswered { event, .. } => Some(event),
        _ => None,
    });
    unanswered.collect()
}

#[test]
fn an_ack_that_nobody_can_call_any_more_is_announced_once_for_each_event() {
    let silent =
        "socket.on(\"x\", |n, ack| { if n < 0 { ack.call(n); } }); socket.on(\"y\", |n, ack| { });";
    assert_eq!(unanswered(silent, &["x", "y", "x", "x"]), ["x", "y"]);
    // A script that keeps the ack may call it later, until nothing holds it any more.
    let kept = "let held = []; socket.on(\"x\", |n, ack| { held.push(ack); }); socket.on(\"forget\", || { held.clear(); });";
    assert_eq!(unanswered(kept, &["x"]), [""; 0]);
    assert_eq!(unanswered(kept, &["x", "x", "forget"]), ["x"]);
    let cleared =
        "let later = (); socket.on(\"x\", |n, ack| { later = set_timeout(|| ack.call(n), 100); });
        socket.on(\"stop\", || clear_timeout(later));";
    assert_eq!(unanswered(cleared, &["x"]), [""; 0]);
    assert_eq!(unanswered(cleared, &["x", "stop"]), ["x"]);
}

#[test]
fn an_ack_that_is_answered_or_whose_listener_fails_is_not_announced() {
    let answered = "socket.on(\"x\", |n, ack| n); socket.on(\"y\", |n, ack| ack.call()); socket.on(\"z\", |n| { });";
    assert_eq!(
        unanswered(answered, &["x", "y", "z", "nobody listens"]),
        [""; 0]
    );
    let one_of_two = "socket.on(\"x\", |n, ack| { }); socket.on(\"x\", |n, ack| { ack.call(n); });";
    assert_eq!(unanswered(one_of_two, &["x"]), [""; 0]);
    assert_eq!(
        unanswered("socket.on(\"x\", |n, ack| throw \"no\");", &["x"]),
        [""; 0]
    );
    assert_eq!(
        unanswered("socket.on_any(|event, args| { });", &["x"]),
        [""; 0]
    );
    assert_eq!(
        unanswered("socket.on(\"x\", |n, ack| socket.disconnect());", &["x"]),
        [""; 0]
    );
}
