//! The version before, back again; what became of the versions; and what an operator can choose for failing edits.

use patchcord::{
    HostEvent,
    event::RollBackReason,
    host::{OnRebindFailure, Options, Outcome, RollBackError},
    testing::{TestClient, TestHost},
};

const NONE: [&str; 0] = [];

fn script(version: i64) -> String {
    format!(
        "fn on_load() {{ print(\"load {version}\"); }}
        fn on_reload(socket) {{ print(\"reload {version}\"); }}
        fn on_connection(socket) {{
            let n = 0;
            socket.on(\"n\", || {{ n += 1; [{version}, n] }});
        }}"
    )
}

fn options(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = patchcord::testing::options();
    change(&mut options);
    options
}

#[test]
fn a_roll_back_puts_the_version_before_on_live_connections_and_keeps_their_state() {
    let mut host = TestHost::new(&script(1));
    let client = host.connect("/").unwrap();
    for version in 2..=3 {
        host.edit("main.rhai", &script(version));
    }
    assert_eq!(client.ask("n", ()).as_deref(), Some("[[3,1]]"));
    host.events();
    assert_eq!(host.roll_back("/").unwrap(), 2);
    assert_eq!(client.ask("n", ()).as_deref(), Some("[[2,2]]"));
    let events = host.events();
    let rolled_back = events.iter().find_map(|event| match event {
        HostEvent::RolledBack {
            from,
            version,
            reason,
            reload,
            ..
        } => Some((*from, *version, reason.clone(), reload.rebound)),
        _ => None,
    });
    assert_eq!(rolled_back, Some((3, 2, RollBackReason::Asked, 1)));
    let logged = events.into_iter().filter_map(|event| match event {
        HostEvent::Log { text, .. } => Some(text),
        _ => None,
    });
    assert_eq!(logged.collect::<Vec<_>>(), ["load 2", "reload 2"]);
    assert_eq!(host.roll_back("/").unwrap(), 1);
    assert_eq!(client.ask("n", ()).as_deref(), Some("[[1,3]]"));
    assert!(matches!(
        host.roll_back("/"),
        Err(RollBackError::NoPrevious(_))
    ));
    assert!(matches!(
        host.roll_back("/nowhere"),
        Err(RollBackError::NotServed(_))
    ));
}

#[test]
fn what_was_rolled_back_is_not_tried_again_before_its_file_changes() {
    let mut host = TestHost::with([("main.rhai", &*script(1)), ("other.rhai", &*script(1))]);
    let client = host.connect("/").unwrap();
    host.edit("main.rhai", &script(2));
    host.roll_back("/").unwrap();
    host.edit("other.rhai", &script(2));
    assert_eq!(client.ask("n", ()).as_deref(), Some("[[1,1]]"));
    host.edit("main.rhai", &script(3));
    assert_eq!(client.ask("n", ()).as_deref(), Some("[[3,2]]"));
    let numbers: Vec<_> = host.history("/").iter().map(|r| r.number).collect();
    assert_eq!(numbers, [1, 2, 1, 3], "no number is given twice");
}

#[test]
fn a_roll_back_that_fails_on_a_live_connection_changes_nothing() {
    let serves = |when: &str| {
        format!("fn on_connection(socket) {{ {when} socket.on(\"v\", || \"{when}\"); }}")
    };
    let mut host = TestHost::new(&serves("if socket.id == `client2` { throw 1; }"));
    let ada = host.connect("/").unwrap();
    host.edit("main.rhai", &serves(""));
    let _bob = host.connect("/").unwrap();
    let refused = host.roll_back("/");
    assert!(
        matches!(&refused, Err(RollBackError::Rejected { diagnostics, .. }) if diagnostics[0].to_string().contains("socket `client2`")),
        "{refused:?}"
    );
    assert_eq!(ada.ask("v", ()).as_deref(), Some("[\"\"]"));
}

#[test]
fn the_history_tells_what_became_of_each_version() {
    let mut host = TestHost::with([
        (
            "main.rhai",
            "import \"lib/n\" as n; fn on_connection(socket) {}",
        ),
        ("lib/n.rhai", "fn n() { 1 }"),
        ("b.rhai", "fn on_connection(socket) {}"),
    ]);
    host.edit("lib/n.rhai", "fn n() { ");
    host.edit("lib/n.rhai", "fn n() { 2 }");
    host.edit_all([
        ("lib/n.rhai", "fn n() { 3 }"),
        ("b.rhai", "fn on_connection(socket) { "),
    ]);
    host.roll_back("/").unwrap();
    let history = host.history("/");
    let told: Vec<_> = history.iter().map(|r| (r.number, r.outcome)).collect();
    assert_eq!(
        told,
        [
            (1, Outcome::Loaded),
            (2, Outcome::Rejected),
            (2, Outcome::Replaced),
            (3, Outcome::Rejected),
            (1, Outcome::RolledBack),
        ]
    );
    assert_eq!(history[0].hash, history[4].hash);
    assert_ne!(history[0].hash, history[2].hash);
    assert_eq!(history[0].hash.len(), 12);
    let files: Vec<_> = history[0].files.iter().map(|f| &**f).collect();
    assert_eq!(files, ["main.rhai", "lib/n.rhai"]);
    assert!(history.is_sorted_by_key(|record| record.time));
    assert!(host.history("/nowhere").is_empty());
}

#[test]
fn the_history_and_the_versions_to_go_back_to_are_bounded() {
    let mut host = TestHost::new(&script(0));
    for version in 1..=50 {
        host.edit("main.rhai", &script(version));
    }
    assert_eq!(host.history("/").len(), 32);
    let back = std::iter::from_fn(|| host.roll_back("/").ok()).count();
    assert_eq!(back, 8);
}

/// A host that rolls back by itself, and six clients of it.
fn host_of_six(first: &str) -> (TestHost, Vec<TestClient>) {
    let host = TestHost::build([("main.rhai", first)], |builder| {
        builder.options(options(|options| options.rollback_on_errors = true))
    });
    let clients = (0..6).map(|_| host.connect("/").unwrap()).collect();
    (host, clients)
}

fn reasons(host: &TestHost) -> Vec<RollBackReason> {
    let events = host.events().into_iter();
    events
        .filter_map(|event| match event {
            HostEvent::RolledBack { reason, .. } => Some(reason),
            _ => None,
        })
        .collect()
}

#[test]
fn a_version_that_fails_on_five_connections_is_rolled_back_by_itself() {
    let fine = "fn on_connection(socket) { socket.on(\"x\", || 1); }";
    let (mut host, clients) = host_of_six(fine);
    host.edit(
        "main.rhai",
        "fn on_connection(socket) { socket.on(\"x\", || throw \"no\"); }",
    );
    for client in &clients[..4] {
        client.emit("x", ());
        client.emit("x", ());
    }
    for _ in 0..10 {
        clients[0].emit("x", ());
    }
    assert_eq!(
        reasons(&host),
        [],
        "one client that fails often is one connection"
    );
    clients[4].emit("x", ());
    assert_eq!(reasons(&host), [RollBackReason::Errors { connections: 5 }]);
    assert_eq!(clients[5].ask("x", ()).as_deref(), Some("[1]"));
    let told: Vec<_> = host.history("/").iter().map(|r| r.outcome).collect();
    assert_eq!(
        told,
        [Outcome::Loaded, Outcome::Replaced, Outcome::RolledBack]
    );
}

#[test]
fn errors_that_the_version_before_had_too_roll_nothing_back() {
    let fails = |above: &str| {
        format!("{above}\nfn on_connection(socket) {{\n socket.on(\"x\", || throw \"no\");\n}}")
    };
    let (mut host, clients) = host_of_six(&fails(""));
    clients[0].emit("x", ());
    host.edit("main.rhai", &fails("// the same, further down\n\n"));
    for client in &clients {
        client.emit("x", ());
    }
    assert_eq!(reasons(&host), []);
}

#[test]
fn errors_of_handlers_that_stay_old_roll_nothing_back() {
    let script = |version: i64| {
        format!(
            "fn on_connection(socket) {{ socket.on(\"start\", || {{ socket.on(\"x\", || {{ if io.data.bad == true {{ throw \"no\"; }} {version} }}); }});
                socket.on(\"break\", || {{ io.data.bad = true; }}); }}"
        )
    };
    let (mut host, clients) = host_of_six(&script(1));
    for client in &clients {
        client.emit("start", ());
    }
    host.edit("main.rhai", &script(2));
    clients[0].emit("break", ());
    for client in &clients {
        client.emit("x", ());
    }
    assert_eq!(reasons(&host), []);
    assert_eq!(host.history("/").len(), 2);
}

#[test]
fn a_first_version_that_fails_stays_for_there_is_none_before_it() {
    let (host, clients) =
        host_of_six("fn on_connection(socket) { socket.on(\"x\", || throw \"no\"); }");
    for client in &clients {
        client.emit("x", ());
    }
    assert_eq!(reasons(&host), []);
    assert_eq!(host.history("/").len(), 1);
}

#[test]
fn connections_on_which_an_edit_fails_are_disconnected_if_the_operator_wants_that() {
    let mut host = TestHost::build(
        [(
            "main.rhai",
            "fn on_connection(socket) { socket.on(\"v\", || 1); socket.on(\"disconnect\", |reason| { print(`1 ${reason}`); }); }",
        )],
        |builder| {
            builder.options(options(|options| {
                options.on_rebind_failure = OnRebindFailure::Disconnect;
            }))
        },
    );
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    host.events();
    host.edit(
        "main.rhai",
        "fn on_connection(socket) {
            socket.on(\"v\", || 2); socket.on(\"disconnect\", |reason| { print(`2 ${reason}`); });
            if socket.id == \"client2\" { throw \"no\"; } }",
    );
    assert_eq!(ada.ask("v", ()).as_deref(), Some("[2]"));
    assert_eq!(bob.ask("v", ()), None);
    let events = host.events();
    let disconnected = events.iter().find_map(|event| match event {
        HostEvent::Replaced { reload, .. } => Some(reload.disconnected),
        _ => None,
    });
    assert_eq!(disconnected, Some(1));
    assert!(events.iter().any(|event| matches!(event,
        HostEvent::HandlerFailed { diagnostic } if diagnostic.to_string().contains("socket `client2`"))));
    assert!(
        events.iter().any(
            |event| matches!(event, HostEvent::Log { text, .. } if text == "2 server namespace disconnect")
        ),
        "no call that begins after the switch is one of the old version: {events:?}"
    );
}

#[test]
fn connections_on_which_both_versions_fail_are_counted_and_have_what_was_registered_until_then() {
    let script = |version: i64| {
        format!(
            "fn on_connection(socket) {{
                socket.on(\"v\", || {version});
                socket.on(\"spoil\", || {{ io.data.spoilt = socket.id; }});
                if io.data.spoilt == socket.id {{ throw \"no\"; }}
                socket.on(\"w\", || {version});
            }}"
        )
    };
    let mut host = TestHost::new(&script(1));
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    bob.emit("spoil", ());
    host.events();
    host.edit("main.rhai", &script(2));
    let failing = host.events().into_iter().find_map(|event| match event {
        HostEvent::Replaced { reload, .. } => Some(reload.failing),
        _ => None,
    });
    assert_eq!(failing, Some(1));
    assert_eq!(bob.ask("v", ()).as_deref(), Some("[2]"));
    assert_eq!(bob.ask("w", ()), None);
    assert_eq!(ada.ask("w", ()).as_deref(), Some("[2]"));
    assert_eq!(host.problems(), NONE);
}
