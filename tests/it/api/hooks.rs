//! `on_load`, `on_reload` and `io.on("connection", ...)`: what runs when a version begins to serve.

use patchcord::{HostEvent, testing::TestHost};

const NONE: [&str; 0] = [];

/// Returns the diagnostic of a script that does not load.
fn refused(script: &str) -> String {
    let host = TestHost::new(script);
    let problems = host.problems();
    assert_eq!(problems.len(), 1, "{script}: {problems:?}");
    assert_eq!(
        host.connect("/").unwrap_err().0,
        "script failed to load",
        "{script}"
    );
    problems[0].clone()
}

#[test]
fn on_load_runs_at_the_start_and_at_each_edit_before_everything_else() {
    let script = |version: i64| {
        format!(
            "fn on_load() {{ io.data.init(\"history\", []); print(\"load {version}\"); }}
            fn on_reload(socket) {{ print(`reload {version} ${{io.data.history.len}}`); }}
            fn on_connection(socket) {{
                print(`connection {version} ${{io.data.history.len}}`);
                socket.on(\"say\", |text| {{ io.data.push(\"history\", text, 10); print(`say {version}`); }});
            }}"
        )
    };
    let mut host = TestHost::new(&script(1));
    let client = host.connect("/").unwrap();
    client.emit("say", ["hi"]);
    assert_eq!(host.log(), ["load 1", "connection 1 0", "say 1"]);
    host.edit("main.rhai", &script(2));
    client.emit("say", ["hi"]);
    assert_eq!(host.log(), ["load 2", "reload 2 1", "say 2"]);
}

#[test]
fn timers_of_on_load_go_on_with_the_new_code_and_end_when_it_is_gone() {
    let script = |version: i64| {
        format!(
            "fn on_load() {{ let n = 0; set_interval(|| {{ n += 1; io.emit(\"tick\", {version}, n); }}, 100); }}
            fn on_connection(socket) {{}}"
        )
    };
    let mut host = TestHost::new(&script(1));
    let client = host.connect("/").unwrap();
    host.advance(250);
    assert_eq!(client.heard(), ["tick [1,1]", "tick [1,2]"]);
    host.edit("main.rhai", &script(2));
    host.advance(250);
    assert_eq!(client.heard(), ["tick [2,3]", "tick [2,4]", "tick [2,5]"]);
    host.edit("main.rhai", "fn on_connection(socket) {}");
    host.advance(500);
    assert_eq!(client.heard(), NONE);
    host.edit("main.rhai", &script(3));
    host.close();
    host.advance(500);
    assert_eq!(client.heard(), NONE);
    assert_eq!(host.problems(), NONE);
}

#[test]
fn a_timer_of_on_load_can_be_cleared_and_starts_others() {
    let host = TestHost::new(
        "fn on_load() {
            let clock = set_interval(|| { print(\"tick\"); }, 100);
            set_timeout(|| { clear_interval(clock); set_timeout(|| { print(\"end\"); }, 100); }, 250);
        }
        fn on_connection(socket) {}",
    );
    host.advance(1000);
    assert_eq!(host.log(), ["tick", "tick", "end"]);
}

#[test]
fn closures_that_on_load_gave_are_called_in_the_namespaces_own_turn_with_the_newest_code() {
    let script = |version: i64| {
        format!(
            "fn on_load() {{
                let asked = 0;
                set_interval(|| {{ asked += 1; io.timeout(5000).emit(\"ready?\", |err, answers| {{ print(`{version}: ${{answers}}`); }}); }}, 100);
            }}
            fn on_connection(socket) {{}}"
        )
    };
    let mut host = TestHost::new(&script(1));
    let client = host.connect("/").unwrap();
    host.advance(200);
    client.answer(["yes"]);
    let logged = host.events().into_iter().find_map(|event| match event {
        HostEvent::Log { text, socket, .. } => Some((text, socket)),
        _ => None,
    });
    assert_eq!(logged, Some(("1: [\"yes\"]".to_owned(), None)));
    host.edit("main.rhai", &script(2));
    client.answer(["later"]);
    assert_eq!(host.log(), ["2: [\"later\"]"]);
}

#[test]
fn on_load_runs_for_each_instance_of_a_dynamic_namespace() {
    let script = |version: i64| {
        format!(
            "fn on_load() {{ print(`{version} ${{io.name}}`); set_interval(|| {{ io.emit(\"tick\", io.name, {version}); }}, 100); }}
            fn on_connection(socket) {{ print(`connection ${{socket.nsp}}`); }}"
        )
    };
    let mut host = TestHost::with([("room/{id}.rhai", &*script(1))]);
    assert_eq!(host.log(), NONE, "nobody has asked for a room");
    let (one, two) = (
        host.connect("/room/1").unwrap(),
        host.connect("/room/2").unwrap(),
    );
    assert_eq!(
        host.log(),
        [
            "1 /room/1",
            "connection /room/1",
            "1 /room/2",
            "connection /room/2"
        ]
    );
    host.edit("room/{id}.rhai", &script(2));
    let mut log = host.log();
    log.sort();
    assert_eq!(log, ["2 /room/1", "2 /room/2"]);
    host.advance(100);
    assert_eq!(one.heard(), ["tick [\"/room/1\",2]"]);
    assert_eq!(two.heard(), ["tick [\"/room/2\",2]"]);
    one.disconnect();
    host.advance(31_000);
    two.heard();
    assert_eq!(
        one.heard(),
        NONE,
        "the instance is forgotten, with its timer"
    );
    host.advance(100);
    assert_eq!(two.heard(), ["tick [\"/room/2\",2]"]);
}

#[test]
fn an_error_in_on_load_is_reported_and_the_version_serves() {
    let mut host = TestHost::new("fn on_connection(socket) { socket.on(\"v\", || 1); }");
    let client = host.connect("/").unwrap();
    host.edit(
        "main.rhai",
        "fn on_load() { throw \"no\"; }\nfn on_connection(socket) { socket.on(\"v\", || 2); }",
    );
    let problems = host.problems();
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].contains("called from `on_load` of namespace `/`, version 2"),
        "{problems:?}"
    );
    assert_eq!(client.ask("v", ()).as_deref(), Some("[2]"));
}

#[test]
fn on_reload_is_the_first_call_of_the_new_version_with_all_effects_and_the_kept_state() {
    let script = |version: i64| {
        format!(
            "fn on_reload(socket) {{
                socket.emit(\"reloaded\", {version}, socket.data.name);
                socket.join(\"live\");
                socket.on(\"late\", || \"late\");
                set_timeout(|| {{ socket.emit(\"later\"); }}, 100);
            }}
            fn on_connection(socket) {{
                let n = 0;
                socket.data.name = \"nobody\";
                socket.on(\"name\", |name| {{ socket.data.name = name; }});
                socket.on(\"n\", || {{ n += 1; [{version}, n, socket.rooms.contains(\"live\")] }});
            }}"
        )
    };
    let mut host = TestHost::new(&script(1));
    let client = host.connect("/").unwrap();
    client.emit("name", ["Ada"]);
    client.ask("n", ());
    assert_eq!(
        client.heard(),
        NONE,
        "a client that connects is not reloaded"
    );
    host.edit("main.rhai", &script(2));
    assert_eq!(client.heard(), ["reloaded [2,\"Ada\"]"]);
    assert_eq!(client.ask("n", ()).as_deref(), Some("[[2,2,true]]"));
    assert_eq!(client.ask("late", ()).as_deref(), Some("[\"late\"]"));
    host.advance(100);
    assert_eq!(client.heard(), ["later []"]);
    assert_eq!(host.problems(), NONE);
}

#[test]
fn an_error_in_on_reload_is_a_handler_error_and_has_no_vote() {
    let mut host = TestHost::new("fn on_connection(socket) { socket.on(\"v\", || 1); }");
    let client = host.connect("/").unwrap();
    host.edit(
        "main.rhai",
        "fn on_reload(socket) { throw \"no\"; }\nfn on_connection(socket) { socket.on(\"v\", || 2); }",
    );
    let problems = host.problems();
    assert!(problems[0].contains("`on_reload`"), "{problems:?}");
    assert!(problems[0].contains("socket `client1`"), "{problems:?}");
    assert_eq!(client.ask("v", ()).as_deref(), Some("[2]"));
}

#[test]
fn io_on_connection_at_top_level_is_on_connection_and_is_edited_live() {
    let script = |by: i64| {
        format!(
            "const BY = {by};
            fn add(n) {{ n + global::BY }}
            io.on(\"connection\", |socket| {{
                let n = 0;
                socket.on(\"n\", || {{ n = add(n); io.emit(\"n\", n); n + BY * 0 }});
            }});"
        )
    };
    let mut host = TestHost::new(&script(1));
    assert_eq!(host.problems(), NONE);
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    assert_eq!(ada.ask("n", ()).as_deref(), Some("[1]"));
    assert_eq!(bob.ask("n", ()).as_deref(), Some("[1]"));
    host.edit("main.rhai", &script(10));
    assert_eq!(ada.ask("n", ()).as_deref(), Some("[11]"));
    assert_eq!(bob.heard(), ["n [1]", "n [1]", "n [11]"]);
    assert_eq!(host.problems(), NONE);
}

#[test]
fn io_on_connection_uses_the_namespace_of_the_client() {
    let host = TestHost::with([(
        "room/{id}.rhai",
        "io.on(\"connection\", |socket| { socket.on(\"all\", || { io.emit(\"hello\", io.name); }); });",
    )]);
    let (one, two) = (
        host.connect("/room/1").unwrap(),
        host.connect("/room/2").unwrap(),
    );
    one.emit("all", ());
    assert_eq!(one.heard(), ["hello [\"/room/1\"]"]);
    assert_eq!(two.heard(), NONE);
}

#[test]
fn a_variable_of_the_top_level_that_connections_would_share_is_refused() {
    let problem =
        refused("let users = #{};\nio.on(\"connection\", |socket| { users[socket.id] = true; });");
    assert!(
        problem.contains("`users` would be shared by all connections"),
        "{problem}"
    );
    assert!(
        problem.contains("hint: keep it in `io.data.users`"),
        "{problem}"
    );
    assert!(problem.contains("main.rhai:2:"), "{problem}");

    let problem = refused(
        "let count = 0;\nfn on_connection(socket) {\n    socket.on(\"n\", || { count += 1; });\n}",
    );
    assert!(
        problem.contains("what connections share is kept in `io.data.count`"),
        "{problem}"
    );
    assert!(problem.contains("main.rhai:3:"), "{problem}");

    let problem = refused(
        "let greet = |name| `hi ${name}`;\nio.on(\"connection\", |socket| { greet.call(1); });",
    );
    assert!(
        problem.contains("hint: write it as a function: `fn greet(...) { ... }`"),
        "{problem}"
    );
}

#[test]
fn a_variable_of_the_top_level_that_nobody_uses_or_that_is_declared_again_is_none_of_our_business()
{
    let host = TestHost::new(
        "let n = 2; const TWICE = n * 2;
        fn helper(n) { n + 1 }
        fn on_connection(socket) { let n = helper(1); socket.on(\"n\", || n + global::TWICE); for n in 0..2 { print(n); } }",
    );
    assert_eq!(host.problems(), NONE);
    let client = host.connect("/").unwrap();
    assert_eq!(client.ask("n", ()).as_deref(), Some("[6]"));
}

#[test]
fn io_on_has_one_place_and_one_event() {
    let cases = [
        (
            "io.on(\"connection\", |s| {}); io.on(\"connection\", |s| {});",
            "a script registers it only once",
        ),
        (
            "io.on(\"connect\", |s| {});",
            "knows the event `connection` only, and got `connect`",
        ),
        (
            "io.on(\"connection\", |s| {}); fn on_connection(socket) {}",
            "one of them is too many",
        ),
    ];
    for (script, text) in cases {
        let problem = refused(script);
        assert!(problem.contains(text), "{problem}");
    }
    let host = TestHost::new("fn on_connection(socket) { io.on(\"connection\", |s| {}); }");
    host.connect("/").unwrap();
    assert!(host.problems()[0].contains("at the top level"));
    let host = TestHost::with([
        ("main.rhai", "import \"lib/a\" as a; fn on_connection(s) {}"),
        ("lib/a.rhai", "io.on(\"connection\", |s| {});"),
    ]);
    let problems = host.problems();
    assert!(
        problems[0].contains("`lib/a.rhai` is imported and serves nobody"),
        "{problems:?}"
    );
}

#[test]
fn an_effect_at_top_level_is_refused_and_told_where_it_belongs() {
    for effect in [
        "io.emit(\"x\");",
        "io.to(\"room\").emit(\"x\");",
        "io.data.n = 1;",
        "io.disconnect_sockets();",
        "set_interval(|| 1, 100);",
        "print(\"hello\");",
        "log::warn(\"hello\");",
    ] {
        let problem = refused(&format!("{effect} fn on_connection(socket) {{}}"));
        assert!(problem.contains("has no place at top level"), "{problem}");
        assert!(problem.contains("on_load"), "{problem}");
    }
}
