//! Reports of errors: where they appear, and how often.

use patchcord::{HostEvent, Options, testing::TestHost};

/// Returns the dropped events: the count, and the reason.
fn lost(host: &TestHost) -> Vec<(usize, String)> {
    let lost = host.events().into_iter().filter_map(|event| match event {
        HostEvent::EventDropped {
            count: times,
            reason,
            ..
        } => Some((times, reason)),
        _ => None,
    });
    lost.collect()
}

#[test]
fn what_is_lost_again_and_again_is_announced_a_few_times_and_then_in_one() {
    let host = TestHost::new(
        "fn on_connection(socket) {
        socket.on_any_outgoing(|event, args| { });
        socket.on(\"go\", || { for i in 0..20000 { socket.emit(\"n\", i); } });
    }",
    );
    let client = host.connect("/").unwrap();
    client.emit("go", ());
    let reason = "`on_any_outgoing` does not hear of it: too much waits for it already";
    assert_eq!(lost(&host), vec![(1, reason.to_owned()); 5]);
    assert_eq!(client.heard().len(), 20_000, "the client has them all");
    host.advance(10_001);
    let unheard = 20_000 - (1 << 14);
    assert_eq!(lost(&host), [(unheard - 5, reason.to_owned())]);
    assert_eq!(host.counters().events_dropped.get(), unheard as u64);
}

#[test]
fn the_same_error_again_and_again_is_announced_a_few_times_and_then_counted() {
    let host = TestHost::new(
        "fn on_connection(socket) {
            socket.on(\"bad\", |n| { throw `number ${n}`; });
            socket.on(\"other\", || { let x = (); x.y.z; });
        }",
    );
    let client = host.connect("/").unwrap();
    host.problems();
    for n in 0..100 {
        client.emit("bad", [n]);
    }
    assert_eq!(host.problems().len(), 5);
    client.emit("other", ());
    assert_eq!(host.problems().len(), 1, "another error is another matter");
    host.advance(10_001);
    let repeated = host.events().into_iter().find_map(|event| match event {
        HostEvent::HandlerFailuresSuppressed {
            count: times,
            diagnostic,
        } => Some((times, diagnostic.to_string())),
        _ => None,
    });
    let (times, text) = repeated.unwrap();
    assert_eq!(times, 95);
    assert_eq!(
        host.counters().handler_failures.get(),
        101,
        "all are counted"
    );
    assert!(
        text.contains("number 0") && text.contains("main.rhai:2:"),
        "{text}"
    );
    client.emit("bad", [1]);
    assert_eq!(host.problems().len(), 1, "and it begins anew");
}

#[test]
fn client_chosen_names_do_not_defeat_error_throttling() {
    let host = TestHost::new(
        "fn on_connection(socket) { socket.on_any(|event, args| { throw `no ${event}`; }); }",
    );
    let client = host.connect("/").unwrap();
    for n in 0..100 {
        client.emit(&format!("event {n}"), ());
    }
    assert_eq!(host.problems().len(), 5);
}

#[test]
fn every_error_says_where_even_one_that_no_script_can_catch() {
    let host =
        TestHost::new("fn on_connection(socket) {\n    socket.on(\"bad\", || { loop { } });\n}");
    let client = host.connect("/").unwrap();
    client.emit("bad", ());
    let failed = host.events().into_iter().find_map(|event| match event {
        HostEvent::HandlerFailed { diagnostic } => Some(diagnostic),
        _ => None,
    });
    let diagnostic = failed.unwrap();
    let place = diagnostic.place.unwrap();
    assert_eq!((&*place.file, place.line), ("main.rhai", 2));
    let origin = diagnostic.origin.unwrap();
    assert_eq!(origin.namespace, "/");
    assert_eq!(origin.call, "`bad` handler");
    assert_eq!(origin.socket.as_deref(), Some(client.id()));
    assert_eq!(origin.version, 1);
}

const THROWS: &str = "fn on_connection(socket) {
    socket.on(\"thrown\", || { throw \"not today\"; });
    socket.on(\"declared\", |ack| { throw \"not today\"; });
    socket.on(\"fault\", || { let x = (); x.y.z; });
}";

#[test]
fn clients_see_nothing_of_an_error() {
    let host = TestHost::new(THROWS);
    let client = host.connect("/").unwrap();
    for event in ["thrown", "declared", "fault"] {
        assert_eq!(client.ask(event, ()), None, "{event}");
    }
}

#[test]
fn with_ack_errors_they_see_what_was_thrown_and_no_fault() {
    let mut options = Options::default();
    options.clients.ack_errors = true;
    let host = TestHost::build([("main.rhai", THROWS)], |builder| builder.options(options));
    let client = host.connect("/").unwrap();
    let expected = Some("[{\"error\":\"not today\"}]".to_owned());
    assert_eq!(client.ask("thrown", ()), expected);
    assert_eq!(client.ask("declared", ()), expected);
    assert_eq!(client.ask("fault", ()), None);
}
