//! Rollback: the previous version serves again; what became of each version; and how an operator can treat edits that
//! fail.

use patchcord::{
    HostEvent,
    event::{KeptReason, RollbackReason},
    host::{OnRebindFailure, Options, Outcome, RollbackError},
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
    assert_eq!(host.rollback("/").unwrap(), 2);
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
    assert_eq!(rolled_back, Some((3, 2, RollbackReason::Requested, 1)));
    let logged = events.into_iter().filter_map(|event| match event {
        HostEvent::Log { text, .. } => Some(text),
        _ => None,
    });
    assert_eq!(logged.collect::<Vec<_>>(), ["load 2", "reload 2"]);
    assert_eq!(host.rollback("/").unwrap(), 1);
    assert_eq!(client.ask("n", ()).as_deref(), Some("[[1,3]]"));
    assert!(matches!(
        host.rollback("/"),
        Err(RollbackError::NoPrevious(_))
    ));
    assert!(matches!(
        host.rollback("/nowhere"),
        Err(RollbackError::NotServed(_))
    ));
}

#[test]
fn what_was_rolled_back_is_not_tried_again_before_its_file_changes() {
    let mut host = TestHost::with([("main.rhai", &*script(1)), ("other.rhai", &*script(1))]);
    let client = host.connect("/").unwrap();
    host.edit("main.rhai", &script(2));
    host.rollback("/").unwrap();
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
    let refused = host.rollback("/");
    assert!(
        matches!(&refused, Err(RollbackError::Rejected { diagnostics, .. }) if diagnostics[0].to_string().contains("socket `client2`")),
        "{refused:?}"
    );
    assert_eq!(ada.ask("v", ()).as_deref(), Some("[\"\"]"));
}

#[test]
fn history_records_each_outcome() {
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
    host.rollback("/").unwrap();
    let history = host.history("/");
    let reported: Vec<_> = history.iter().map(|r| (r.number, r.outcome)).collect();
    assert_eq!(
        reported,
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
    let back = std::iter::from_fn(|| host.rollback("/").ok()).count();
    assert_eq!(back, 8);
}

/// Returns a host that rolls back automatically, and six clients of it.
fn host_of_six(first: &str) -> (TestHost, Vec<TestClient>) {
    let host = TestHost::build([("main.rhai", first)], |builder| {
        builder.options(options(|options| options.reload.rollback_on_errors = true))
    });
    let clients = (0..6).map(|_| host.connect("/").unwrap()).collect();
    (host, clients)
}

fn reasons(host: &TestHost) -> Vec<RollbackReason> {
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
        "fn on_connection(socket) { socket.on(\"x\", || [][1]); }",
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
    assert_eq!(reasons(&host), [RollbackReason::Errors { connections: 5 }]);
    assert_eq!(clients[5].ask("x", ()).as_deref(), Some("[1]"));
    let reported: Vec<_> = host.history("/").iter().map(|r| r.outcome).collect();
    assert_eq!(
        reported,
        [Outcome::Loaded, Outcome::Replaced, Outcome::RolledBack]
    );
}

#[test]
fn errors_that_the_version_before_had_too_roll_nothing_back() {
    let fails = |above: &str| {
        format!("{above}\nfn on_connection(socket) {{\n socket.on(\"x\", || [][1]);\n}}")
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
    // The new text of the inner listener captures a variable that clients after `start` do not have.
    let script = |version: i64, declared: &str, used: &str| {
        format!(
            "fn on_connection(socket) {{ socket.on(\"start\", || {{ {declared} socket.on(\"x\", || {{ {used} let n = io.data.n; 1 / n + {version} }}); }});
                socket.on(\"break\", || {{ io.data.n = 0; }}); }}"
        )
    };
    let (mut host, clients) = host_of_six(&script(1, "", ""));
    for client in &clients {
        client.emit("start", ());
    }
    host.edit("main.rhai", &script(2, "let more = 1;", "more += 1;"));
    clients[0].emit("break", ());
    for client in &clients {
        client.emit("x", ());
    }
    assert_eq!(reasons(&host), []);
    assert_eq!(host.history("/").len(), 2);
}

#[test]
fn a_first_version_that_fails_stays_for_there_is_none_before_it() {
    let (host, clients) = host_of_six("fn on_connection(socket) { socket.on(\"x\", || [][1]); }");
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
                options.reload.on_rebind_failure = OnRebindFailure::Disconnect;
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
fn an_edit_takes_no_listener_from_a_connection_whose_on_connection_would_fail_today() {
    let script = |version: i64, more: &str| {
        format!(
            "fn on_connection(socket) {{
                socket.on(\"v\", || {version});
                socket.on(\"spoil\", || {{ io.data.spoilt = socket.id; }});
                if io.data.spoilt == socket.id {{ throw \"no\"; }}
                socket.on(\"w\", || {version}); {more}
            }}"
        )
    };
    let mut host = TestHost::new(&script(1, ""));
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    bob.emit("spoil", ());
    for (version, more) in [(2, ""), (3, "socket.on(\"more\", || 3);")] {
        host.edit("main.rhai", &script(version, more));
        for client in [&ada, &bob] {
            for event in ["v", "w"] {
                assert_eq!(client.ask(event, ()), Some(format!("[{version}]")));
            }
        }
    }
    assert_eq!(bob.ask("more", ()).as_deref(), Some("[3]"));
    assert_eq!(host.problems(), NONE);
}

/// Returns a script that answers with the versions of its library and of itself.
fn with_lib(version: i64) -> String {
    format!(
        "import \"lib/n\" as lib;
        fn on_connection(socket) {{ socket.on(\"v\", || `${{lib::n()}} {version}`); }}"
    )
}

fn lib(n: &str) -> String {
    format!("fn n() {{ {n} }}")
}

/// Returns a host of two namespaces that share a library, and a third namespace.
fn host_with_lib() -> TestHost {
    TestHost::with([
        ("a.rhai", &*with_lib(1)),
        ("b.rhai", &*with_lib(1)),
        ("c.rhai", &*script(1)),
        ("lib/n.rhai", &*lib("1")),
    ])
}

fn version(client: &TestClient) -> String {
    client.ask("v", ()).unwrap_or_default()
}

fn rolled_back(host: &TestHost) -> Vec<(String, u64, u64, u64)> {
    let events = host.events().into_iter();
    let events = events.filter_map(|event| match event {
        HostEvent::RolledBack {
            namespace,
            from,
            version,
            batch,
            ..
        } => Some((namespace.to_string(), from, version, batch)),
        _ => None,
    });
    events.collect()
}

#[test]
fn a_roll_back_undoes_the_whole_batch() {
    let mut host = host_with_lib();
    let (a, b) = (host.connect("/a").unwrap(), host.connect("/b").unwrap());
    host.edit("lib/n.rhai", &lib("2"));
    assert_eq!([version(&a), version(&b)], ["[\"2 1\"]", "[\"2 1\"]"]);
    host.events();
    assert_eq!(host.rollback("/b").unwrap(), 1);
    assert_eq!([version(&a), version(&b)], ["[\"1 1\"]", "[\"1 1\"]"]);
    assert_eq!(
        rolled_back(&host),
        [("/a".to_owned(), 2, 1, 3), ("/b".to_owned(), 2, 1, 3)]
    );
    let batches = |path: &str| -> Vec<_> {
        let history = host.history(path);
        history.iter().map(|r| (r.number, r.batch)).collect()
    };
    assert_eq!(batches("/a"), [(1, Some(1)), (2, Some(2)), (1, Some(3))]);
    assert_eq!(batches("/c"), [(1, Some(1))]);
}

#[test]
fn a_namespace_that_was_saved_again_keeps_that_version_and_goes_with_it_to_before_both() {
    let mut host = host_with_lib();
    let (a, b) = (host.connect("/a").unwrap(), host.connect("/b").unwrap());
    host.edit("lib/n.rhai", &lib("2"));
    host.edit("b.rhai", &with_lib(2));
    host.events();
    assert_eq!(host.rollback("/a").unwrap(), 1);
    assert_eq!([version(&a), version(&b)], ["[\"1 1\"]", "[\"2 2\"]"]);
    let kept = host.events().into_iter().find_map(|event| match event {
        HostEvent::KeptByRollback {
            namespace,
            version,
            reason,
            ..
        } => Some((namespace.to_string(), version, reason)),
        _ => None,
    });
    assert_eq!(kept, Some(("/b".to_owned(), 3, KeptReason::SavedSince)));
    // Skips the batch that is rolled back already.
    assert_eq!(host.rollback("/b").unwrap(), 1);
    assert_eq!(version(&b), "[\"1 1\"]");
    for path in ["/a", "/b"] {
        assert!(matches!(
            host.rollback(path),
            Err(RollbackError::NoPrevious(_))
        ));
    }
}

#[test]
fn a_roll_back_that_fails_in_one_namespace_changes_none_and_forgets_no_edit() {
    let script = |version: i64, when: &str| {
        format!("fn on_connection(socket) {{ {when} socket.on(\"v\", || {version}); }}")
    };
    let fails = "if socket.id == \"client2\" { [][1]; }";
    let mut host = TestHost::with([("a.rhai", &*script(1, "")), ("b.rhai", &*script(1, fails))]);
    let a = host.connect("/a").unwrap();
    host.edit_all([("a.rhai", &*script(2, "")), ("b.rhai", &*script(2, ""))]);
    let b = host.connect("/b").unwrap();
    assert!(matches!(
        host.rollback("/a"),
        Err(RollbackError::Rejected { .. })
    ));
    assert_eq!([version(&a), version(&b)], ["[2]", "[2]"]);
    assert_eq!(host.history("/a").len(), 2, "no file was rejected");
    b.disconnect();
    assert_eq!(host.rollback("/a").unwrap(), 1);
    assert_eq!(version(&a), "[1]");
    host.edit("c.rhai", &script(1, ""));
    assert_eq!(
        version(&a),
        "[1]",
        "what was rolled back is not tried again"
    );
}

#[test]
fn a_file_that_a_batch_brought_keeps_serving() {
    let mut host = host_with_lib();
    let a = host.connect("/a").unwrap();
    host.edit_all([("lib/n.rhai", &*lib("2")), ("d.rhai", &*script(1))]);
    let rolled_back = host.roll_back_last().unwrap();
    assert_eq!(version(&a), "[\"1 1\"]");
    let kept: Vec<_> = rolled_back
        .kept
        .iter()
        .map(|k| (&*k.script, k.reason))
        .collect();
    assert_eq!(kept, [("d.rhai", KeptReason::First)]);
    assert!(host.connect("/d").is_ok());
    host.edit("e.rhai", &script(1));
    // The last batch brought only that file.
    assert!(matches!(
        host.roll_back_last(),
        Err(RollbackError::NoPrevious(path)) if path == "/e"
    ));
}

#[test]
fn roll_backs_go_to_any_batch_and_forward_again() {
    let mut host = host_with_lib();
    let (a, b) = (host.connect("/a").unwrap(), host.connect("/b").unwrap());
    host.edit("lib/n.rhai", &lib("2")); // batch 2
    host.edit("b.rhai", &with_lib(2)); // 3
    host.edit_all([("lib/n.rhai", &*lib("3")), ("e.rhai", &*script(1))]); // 4
    let reported = |host: &mut TestHost, batch: u64| {
        let rolled_back = host.roll_back_to(batch).unwrap();
        let restored = rolled_back.restored.iter();
        let restored: Vec<_> = restored
            .map(|r| (r.namespace.to_string(), r.version))
            .collect();
        (restored, rolled_back.kept.len())
    };
    let (at_a, at_b) = (|n| ("/a".to_owned(), n), |n| ("/b".to_owned(), n));
    assert_eq!(reported(&mut host, 1), (vec![at_a(1), at_b(1)], 1));
    assert_eq!([version(&a), version(&b)], ["[\"1 1\"]", "[\"1 1\"]"]);
    assert_eq!(reported(&mut host, 4), (vec![at_a(3), at_b(4)], 0));
    assert_eq!([version(&a), version(&b)], ["[\"3 1\"]", "[\"3 2\"]"]);
    assert_eq!(reported(&mut host, 3), (vec![at_a(2), at_b(3)], 1));
    assert_eq!([version(&a), version(&b)], ["[\"2 1\"]", "[\"2 2\"]"]);
    assert!(matches!(
        host.roll_back_to(3),
        Err(RollbackError::ServesAlready(3))
    ));
    assert!(matches!(
        host.roll_back_to(99),
        Err(RollbackError::UnknownBatch(99))
    ));
    // This rolls back batch 3, and not the rollbacks since.
    host.roll_back_last().unwrap();
    assert_eq!([version(&a), version(&b)], ["[\"2 1\"]", "[\"2 1\"]"]);
}

#[test]
fn rejected_saves_do_not_evict_rollback_targets() {
    let mut host = TestHost::new(&script(1));
    host.edit("main.rhai", &script(2));
    for n in 0..100 {
        host.edit("main.rhai", &format!("fn on_connection(socket) {{ {n}"));
    }
    host.roll_back_to(1).unwrap();
}

#[test]
fn roll_backs_and_edits_in_turn_keep_the_way_back() {
    let mut host = TestHost::new(&script(0));
    for version in 1..=7 {
        host.edit("main.rhai", &script(version));
    }
    for version in 8..30 {
        host.edit("main.rhai", &script(version));
        host.rollback("/").unwrap();
    }
    for version in (1..=7).rev() {
        assert_eq!(host.rollback("/").unwrap(), version);
    }
}

#[test]
fn a_shared_file_that_fails_in_one_namespace_is_rolled_back_in_all() {
    let mut host = TestHost::build(
        [
            ("a.rhai", &*with_lib(1)),
            ("b.rhai", &*with_lib(1)),
            ("lib/n.rhai", &*lib("1")),
        ],
        |builder| builder.options(options(|options| options.reload.rollback_on_errors = true)),
    );
    let clients: Vec<_> = (0..5).map(|_| host.connect("/a").unwrap()).collect();
    let b = host.connect("/b").unwrap();
    host.edit("lib/n.rhai", &lib("[2][io.sockets.len() / 5]"));
    assert_eq!(version(&b), "[\"2 1\"]", "it fails in `/a` only");
    for client in &clients {
        version(client);
    }
    assert_eq!(version(&clients[0]), "[\"1 1\"]");
    assert_eq!(version(&b), "[\"1 1\"]");
}

#[test]
fn what_a_script_throws_on_purpose_is_an_answer_and_rolls_nothing_back() {
    let serves =
        |body: &str| format!("fn on_connection(socket) {{ socket.on(\"x\", || {{\n {body} }}); }}");
    for (body, count) in [
        ("throw \"too long\";", 0),
        ("throw #{ code: 7 };", 0),
        ("if true { throw; }", 0),
        ("[1][2];", 1),
        // A function of the host fails, at the place of its call.
        ("io.data.x = 1; io.data.push(\"x\", 1, 5);", 1),
        ("throw [1][2];", 1),
    ] {
        let (mut host, clients) = host_of_six(&serves(""));
        host.edit("main.rhai", &serves(body));
        for client in &clients {
            client.emit("x", ());
        }
        assert_eq!(reasons(&host).len(), count, "{body}");
    }
}
