//! A save changes the behaviour of live connections and keeps their state, everywhere or nowhere.

use patchcord::{HostEvent, testing::TestHost};

use crate::support::{
    gate::{Gate, edit_elsewhere},
    server::TEST_TIMEOUT,
};

const NONE: [&str; 0] = [];

#[test]
fn handlers_follow_the_code_and_variables_keep_their_value() {
    let mut host = TestHost::new(
        "fn on_connection(socket) { let n = 0; socket.on(\"n\", || { n += 1; n }); }",
    );
    let client = host.connect("/").unwrap();
    assert_eq!(client.ask("n", ()).as_deref(), Some("[1]"));
    host.edit(
        "main.rhai",
        "fn on_connection(socket) { let n = 0; socket.on(\"n\", || { n += 10; n }); }",
    );
    assert_eq!(client.ask("n", ()).as_deref(), Some("[11]"));
    assert_eq!(host.problems(), NONE);
}

#[test]
fn a_variable_that_was_not_changed_takes_the_new_initial_value() {
    let script = |greeting: &str| {
        format!(
            "fn on_connection(socket) {{ let text = \"{greeting}\"; socket.on(\"text\", || text); }}"
        )
    };
    let mut host = TestHost::new(&script("hello"));
    let client = host.connect("/").unwrap();
    host.edit("main.rhai", &script("good day"));
    assert_eq!(client.ask("text", ()).as_deref(), Some("[\"good day\"]"));
}

#[test]
fn a_variable_whose_initial_value_changed_its_type_takes_it() {
    let mut host = TestHost::new(
        "fn on_connection(socket) { let x = 0; socket.on(\"x\", || { x += 1; x }); }",
    );
    let client = host.connect("/").unwrap();
    client.emit("x", ());
    host.edit(
        "main.rhai",
        "fn on_connection(socket) { let x = []; socket.on(\"x\", || { x.push(1); x }); }",
    );
    assert_eq!(client.ask("x", ()).as_deref(), Some("[[1]]"));
    let retyped = host.events().into_iter().find_map(|event| match event {
        HostEvent::Replaced { reload, .. } => Some(reload),
        _ => None,
    });
    assert_eq!(retyped.unwrap().retyped(), ["x"]);
}

#[test]
fn a_late_handler_and_the_new_code_share_the_variable() {
    let script = |by: i64| {
        format!(
            "fn on_connection(socket) {{ let n = 0;
                socket.on(\"start\", || {{ socket.on(\"late\", || {{ n += 1; n }}); }});
                socket.on(\"n\", || {{ n += {by}; n }}); }}"
        )
    };
    let mut host = TestHost::new(&script(100));
    let client = host.connect("/").unwrap();
    client.emit("start", ());
    assert_eq!(client.ask("late", ()).as_deref(), Some("[1]"));
    host.edit("main.rhai", &script(1000));
    assert_eq!(client.ask("n", ()).as_deref(), Some("[1001]"));
    assert_eq!(client.ask("late", ()).as_deref(), Some("[1002]"));
    assert_eq!(client.ask("n", ()).as_deref(), Some("[2002]"));
}

#[test]
fn a_pending_ack_and_the_new_code_share_the_variable() {
    let script = |suffix: &str| {
        format!(
            "fn on_connection(socket) {{ let waiting = [];
                socket.on(\"ask\", |ack| {{ waiting.push(ack); }});
                socket.on(\"answer\", || {{ for ack in waiting {{ ack.call(\"{suffix}\"); }} waiting.len }}); }}"
        )
    };
    let mut host = TestHost::new(&script("old"));
    let client = host.connect("/").unwrap();
    client.ask("ask", ());
    host.edit("main.rhai", &script("new"));
    client.emit("answer", ());
    assert_eq!(client.answers(), ["[\"new\"]"]);
}

#[test]
fn helper_closures_and_command_tables_are_code_around_carried_variables() {
    let script = |by: i64| {
        format!(
            "fn on_connection(socket) {{
                let count = 0;
                let add = || {{ count += {by}; count }};
                let commands = #{{ add: || {{ count += {by} * 10; count }}, zero: || {{ count = 0; }} }};
                socket.on(\"add\", || add.call());
                socket.on(\"command\", |name| commands[name].call());
            }}"
        )
    };
    let mut host = TestHost::new(&script(1));
    let client = host.connect("/").unwrap();
    assert_eq!(client.ask("add", ()).as_deref(), Some("[1]"));
    assert_eq!(client.ask("command", ["add"]).as_deref(), Some("[11]"));
    host.edit("main.rhai", &script(2));
    assert_eq!(client.ask("add", ()).as_deref(), Some("[13]"));
    assert_eq!(client.ask("command", ["add"]).as_deref(), Some("[33]"));
    client.emit("command", ["zero"]);
    assert_eq!(client.ask("add", ()).as_deref(), Some("[2]"));
    assert_eq!(host.problems(), NONE);
}

#[test]
fn one_name_for_several_variables_is_told_apart_by_event() {
    let script = |by: i64| {
        format!(
            "fn counter(socket, event) {{ let n = 0; socket.on(event, || {{ n += {by}; n }}); }}
            fn on_connection(socket) {{ counter(socket, \"a\"); counter(socket, \"b\"); }}"
        )
    };
    let mut host = TestHost::new(&script(1));
    let client = host.connect("/").unwrap();
    client.emit("a", ());
    client.emit("a", ());
    client.emit("b", ());
    host.edit("main.rhai", &script(10));
    assert_eq!(client.ask("a", ()).as_deref(), Some("[12]"));
    assert_eq!(client.ask("b", ()).as_deref(), Some("[11]"));
}

#[test]
fn handlers_made_in_loops_keep_a_variable_each() {
    let script = |by: i64| {
        format!(
            "fn on_connection(socket) {{
                for i in 0..3 {{ let n = i; socket.on(\"x\", || {{ n += {by}; socket.emit(\"n\", n); }}); }}
            }}"
        )
    };
    let mut host = TestHost::new(&script(10));
    let client = host.connect("/").unwrap();
    client.emit("x", ());
    assert_eq!(client.heard(), ["n [10]", "n [11]", "n [12]"]);
    host.edit("main.rhai", &script(100));
    client.emit("x", ());
    assert_eq!(client.heard(), ["n [110]", "n [111]", "n [112]"]);
}

#[test]
fn values_drawn_at_connection_time_stay() {
    let script = |word: &str| {
        format!(
            "fn on_connection(socket) {{
                let guest = `guest${{io.data.incr(\"guests\", 1)}}`;
                socket.on(\"who\", || `{word} ${{guest}}`);
            }}"
        )
    };
    let mut host = TestHost::new(&script("am"));
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    host.edit("main.rhai", &script("I am"));
    assert_eq!(ada.ask("who", ()).as_deref(), Some("[\"I am guest1\"]"));
    assert_eq!(bob.ask("who", ()).as_deref(), Some("[\"I am guest2\"]"));
    let carl = host.connect("/").unwrap();
    assert_eq!(
        carl.ask("who", ()).as_deref(),
        Some("[\"I am guest3\"]"),
        "drafts drew nothing from the real data"
    );
}

#[test]
fn a_live_client_is_not_welcomed_again() {
    let mut host = TestHost::build(
        [(
            "main.rhai",
            "fn on_connection(socket) { audit(); socket.emit(\"welcome\"); }",
        )],
        |builder| {
            let calls = std::sync::atomic::AtomicI64::new(0);
            builder.effect("audit", move || {
                assert_eq!(
                    calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
                    0,
                    "an effect ran in a draft"
                );
            })
        },
    );
    let client = host.connect("/").unwrap();
    assert_eq!(client.heard(), ["welcome []"]);
    host.edit(
        "main.rhai",
        "fn on_connection(socket) { audit(); socket.emit(\"welcome\"); io.emit(\"all\"); socket.broadcast(\"b\");
            print(\"hi\"); socket.on(\"x\", || 1); }",
    );
    assert_eq!(client.heard(), NONE);
    assert_eq!(client.ask("x", ()).as_deref(), Some("[1]"));
    assert_eq!(host.problems(), NONE);
}

#[test]
fn off_and_a_fired_once_stay_in_force() {
    let script = |word: &str| {
        format!(
            "fn on_connection(socket) {{
                socket.once(\"x\", || {{ socket.emit(\"once {word}\"); }});
                socket.on(\"x\", || {{ socket.emit(\"on {word}\"); }});
                socket.on(\"gone\", || {{ socket.emit(\"gone {word}\"); }});
                socket.on(\"stop\", || {{ socket.off(\"gone\"); }});
            }}"
        )
    };
    let mut host = TestHost::new(&script("1"));
    let client = host.connect("/").unwrap();
    client.emit("x", ());
    client.emit("stop", ());
    client.heard();
    host.edit("main.rhai", &script("2"));
    client.emit("x", ());
    client.emit("gone", ());
    assert_eq!(client.heard(), ["on 2 []"]);
}

#[test]
fn a_handler_appears_and_another_disappears() {
    let mut host = TestHost::new("fn on_connection(socket) { socket.on(\"a\", || 1); }");
    let client = host.connect("/").unwrap();
    host.edit(
        "main.rhai",
        "fn on_connection(socket) { socket.on(\"b\", || 2); }",
    );
    assert_eq!(client.ask("a", ()), None);
    assert_eq!(client.ask("b", ()).as_deref(), Some("[2]"));
}

#[test]
fn a_named_function_and_a_closure_follow_whoever_registered_them() {
    let script = |n: i64| {
        format!(
            "fn chat(text) {{ `{n}: ${{text}}` }}
            fn on_connection(socket) {{
                socket.on(\"login\", || {{ socket.on(\"chat\", chat); socket.on(\"late\", || {n}); }});
            }}"
        )
    };
    let mut host = TestHost::new(&script(1));
    let client = host.connect("/").unwrap();
    client.emit("login", ());
    host.events();
    host.edit("main.rhai", &script(2));
    assert_eq!(client.ask("chat", ["hi"]).as_deref(), Some("[\"2: hi\"]"));
    assert_eq!(client.ask("late", ()).as_deref(), Some("[2]"));
    let keep_old = host.events().into_iter().find_map(|event| match event {
        HostEvent::Replaced { reload, .. } => Some(reload.keep_old),
        _ => None,
    });
    assert_eq!(keep_old, Some(0));
}

#[test]
fn a_named_function_of_an_imported_file_follows_too() {
    let lib = |n: i64| {
        format!(
            "const N = {n};
            fn chat(text) {{ `${{global::N}}{n}: ${{text}}` }}
            fn listen(socket) {{ socket.on(\"login\", || {{ socket.on(\"chat\", chat); }}); }}"
        )
    };
    let main = "import \"lib/talk\" as talk;\nfn on_connection(socket) { talk::listen(socket); }";
    let mut host = TestHost::with([("main.rhai", main), ("lib/talk.rhai", &lib(1))]);
    let client = host.connect("/").unwrap();
    client.emit("login", ());
    assert_eq!(client.ask("chat", ["hi"]).as_deref(), Some("[\"11: hi\"]"));
    host.edit("lib/talk.rhai", &lib(2));
    assert_eq!(client.ask("chat", ["hi"]).as_deref(), Some("[\"22: hi\"]"));
    assert_eq!(host.problems(), [] as [&str; 0]);
}

#[test]
fn a_change_in_an_imported_module_reaches_live_connections() {
    let lib = |n: i64| {
        format!(
            "fn n() {{ {n} }} fn listen(socket) {{ let k = 0; socket.on(\"k\", || {{ k += {n}; k }}); }}"
        )
    };
    let mut host = TestHost::with([
        (
            "main.rhai",
            "import \"lib/n\" as n; fn on_connection(socket) { socket.on(\"n\", || n::n()); n::listen(socket); }",
        ),
        ("lib/n.rhai", &lib(1)),
    ]);
    let client = host.connect("/").unwrap();
    assert_eq!(client.ask("k", ()).as_deref(), Some("[1]"));
    host.edit("lib/n.rhai", &lib(2));
    assert_eq!(client.ask("n", ()).as_deref(), Some("[2]"));
    assert_eq!(client.ask("k", ()).as_deref(), Some("[3]"));
}

#[test]
fn a_connection_whose_old_draft_fails_too_has_no_vote() {
    let script = |version: i64| {
        format!(
            "fn on_connection(socket) {{
                socket.on(\"v\", || {version});
                socket.on(\"spoil\", || {{ io.data.spoilt = socket.id; }});
                if io.data.spoilt == socket.id {{ throw 1; }}
            }}"
        )
    };
    let mut host = TestHost::new(&script(1));
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    bob.emit("spoil", ());
    host.events();
    host.edit("main.rhai", &script(2));
    assert_eq!(ada.ask("v", ()).as_deref(), Some("[2]"));
    assert_eq!(bob.ask("v", ()).as_deref(), Some("[2]"));
    assert_eq!(host.problems(), NONE);
}

#[test]
fn a_script_that_is_broken_at_the_start_serves_after_its_repair() {
    let mut host = TestHost::with([
        ("main.rhai", "fn on_connection(socket) { "),
        (
            "fine.rhai",
            "fn on_connection(socket) { socket.on(\"v\", || 1); }",
        ),
    ]);
    assert_eq!(host.connect("/").unwrap_err().0, "script failed to load");
    assert_eq!(
        host.connect("/fine").unwrap().ask("v", ()).as_deref(),
        Some("[1]")
    );
    assert_eq!(host.connect("/none").unwrap_err().0, "Invalid namespace");
    host.edit(
        "main.rhai",
        "fn on_connection(socket) { socket.on(\"v\", || 2); }",
    );
    assert_eq!(
        host.connect("/").unwrap().ask("v", ()).as_deref(),
        Some("[2]")
    );
}

#[test]
fn an_identical_save_does_nothing() {
    let script = "fn on_connection(socket) { }";
    let mut host = TestHost::new(script);
    let _client = host.connect("/").unwrap();
    host.events();
    host.edit("main.rhai", script);
    assert_eq!(host.events().len(), 0);
}

#[test]
fn everything_a_connection_held_is_freed_when_it_leaves() {
    struct Held(std::sync::Arc<()>);
    impl Clone for Held {
        fn clone(&self) -> Self {
            Self(self.0.clone())
        }
    }
    let token = std::sync::Arc::new(());
    let given = Held(token.clone());
    let host = TestHost::build(
        [(
            "main.rhai",
            "fn on_connection(socket) { let token = token();
                socket.on(\"x\", || { socket.on(\"y\", || token); socket.id }); }",
        )],
        move |builder| builder.function("token", move || given.clone()),
    );
    let kept = std::sync::Arc::strong_count(&token);
    let clients: Vec<_> = (0..50).map(|_| host.connect("/").unwrap()).collect();
    for client in &clients {
        client.emit("x", ());
    }
    assert!(std::sync::Arc::strong_count(&token) > kept);
    for client in clients {
        client.disconnect();
    }
    assert_eq!(std::sync::Arc::strong_count(&token), kept);
}

#[test]
fn scripts_hear_that_the_server_ends() {
    let host = TestHost::new(
        "fn on_connection(socket) { socket.on(\"disconnect\", |reason| { print(reason); }); }",
    );
    let _client = host.connect("/").unwrap();
    host.close();
    assert_eq!(host.log(), ["server shutting down"]);
    assert_eq!(host.connect("/").unwrap_err().0, "server shutting down");
}

#[test]
fn a_client_that_leaves_while_an_edit_is_drafted_does_not_hold_it_up() {
    let script =
        |v: i64| format!("fn on_connection(socket) {{ pass({v}); socket.on(\"v\", || {v}); }}");
    // Drafts of the new code; those of the old code are answered from the tape, without a call of `pass`.
    let drafts = 2;
    for drafts_before in 0..drafts {
        let gate = Gate::default();
        let pass = gate.clone();
        let host = TestHost::build([("main.rhai", &*script(1))], |builder| {
            builder.function("pass", move |_: i64| pass.pass())
        });
        let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
        gate.shut_after(drafts_before);
        let edited = edit_elsewhere(host, script(2));
        gate.reached();
        ada.disconnect();
        gate.open();
        let host = edited
            .recv_timeout(TEST_TIMEOUT)
            .expect("the reload does not end");
        assert_eq!(bob.ask("v", ()).as_deref(), Some("[2]"));
        assert_eq!(host.problems(), NONE);
    }
}
