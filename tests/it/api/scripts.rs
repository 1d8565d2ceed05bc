//! Abilities of scripts, and limits that protect other scripts and clients.

use patchcord::testing::TestHost;

use crate::support::gate::Gate;

/// Returns a host of one script that must load, and a client.
fn client(script: &str) -> (TestHost, patchcord::testing::TestClient) {
    let host = TestHost::new(script);
    assert_eq!(host.problems(), [] as [&str; 0]);
    let client = host.connect("/").unwrap();
    (host, client)
}

#[test]
fn a_closure_that_captured_the_socket_calls_it() {
    let (_host, client) = client(
        r#"fn on_connection(socket) {
            socket.on("x", |m| { socket.emit("y", m); });
        }"#,
    );
    client.emit("x", [1]);
    assert_eq!(client.heard(), ["y [1]"]);
}

#[test]
fn handlers_nest_and_share_captured_variables() {
    let (_host, client) = client(
        r#"fn on_connection(socket) {
            let count = 0;
            let seen = [];
            socket.on("add", |n| { count += n; seen.push(n); });
            socket.on("listen", || {
                socket.on("late", || { count += 100; socket.emit("late", count); });
            });
            socket.on("sum", || { socket.emit("sum", count, seen); });
        }"#,
    );
    client.emit("add", [1]);
    client.emit("add", [2]);
    client.emit("listen", ());
    client.emit("late", ());
    client.emit("sum", ());
    assert_eq!(client.heard(), ["late [103]", "sum [103,[1,2]]"]);
}

#[test]
fn several_listeners_run_in_order_of_registration() {
    let (_host, client) = client(
        r#"fn on_connection(socket) {
            socket.on("x", || { socket.emit("first"); });
            socket.once("x", || { socket.emit("once"); });
            socket.on("x", || { socket.emit("last"); });
        }"#,
    );
    client.emit("x", ());
    client.emit("x", ());
    assert_eq!(
        client.heard(),
        ["first []", "once []", "last []", "first []", "last []"]
    );
}

#[test]
fn off_takes_all_listeners_or_one() {
    let (_host, client) = client(
        r#"fn on_connection(socket) {
            let kept = || { socket.emit("kept"); };
            let gone = || { socket.emit("gone"); };
            socket.on("x", kept);
            socket.on("x", gone);
            socket.off("x", gone);
            socket.on("y", gone);
            socket.off("y");
        }"#,
    );
    client.emit("x", ());
    client.emit("y", ());
    assert_eq!(client.heard(), ["kept []"]);
}

#[test]
fn off_takes_the_one_of_several_closures_of_one_source() {
    for (off, left) in [("one", "2"), ("two", "1")] {
        let (_host, client) = client(&format!(
            r#"fn on_connection(socket) {{
                let make = |n| {{ || {{ socket.emit("got", n); }} }};
                let one = make.call(1);
                let two = make.call(2);
                socket.on("x", one);
                socket.on("x", two);
                socket.off("x", {off});
            }}"#
        ));
        client.emit("x", ());
        assert_eq!(client.heard(), [format!("got [{left}]")]);
    }
}

#[test]
fn fewer_and_more_parameters_than_arguments() {
    let (_host, client) = client(
        r#"fn on_connection(socket) {
            socket.on("none", || { socket.emit("none"); });
            socket.on("one", |a| { socket.emit("one", a); });
            socket.on("three", |a, b, c| { socket.emit("three", a, b, c); });
        }"#,
    );
    for event in ["none", "one", "three"] {
        client.emit(event, (1, "two"));
    }
    assert_eq!(
        client.heard(),
        ["none []", "one [1]", "three [1,\"two\",null]"]
    );
}

#[test]
fn a_named_function_is_a_listener() {
    let (_host, client) = client(
        r#"fn double(n) { n * 2 }
        fn on_connection(socket) { socket.on("double", double); }"#,
    );
    assert_eq!(client.ask("double", [21]), Some("[42]".to_owned()));
}

#[test]
fn emit_takes_eight_arguments_and_explains_a_ninth() {
    let (host, client) = client(
        r#"fn on_connection(socket) {
            socket.emit("eight", 1, 2, 3, 4, 5, 6, 7, 8);
            for other in [socket] { other.emit("nine", 1, 2, 3, 4, 5, 6, 7, 8, 9); }
        }"#,
    );
    assert_eq!(client.heard(), ["eight [1,2,3,4,5,6,7,8]"]);
    let problems = host.problems();
    assert!(
        problems[0].contains("takes up to 8 arguments and got 9"),
        "{problems:?}"
    );
    assert!(problems[0].contains("main.rhai:3:43"), "{problems:?}");
}

#[test]
fn a_wrong_event_name_or_value_is_an_error_with_its_place() {
    for (call, message) in [
        (
            "socket.emit(1)",
            "takes the name of an event, a string, and got",
        ),
        (
            "socket.emit(1, 2)",
            "takes the name of an event, a string, and got",
        ),
        (
            "let event = \"connect\"; socket.emit(event)",
            "`connect` is a reserved event name",
        ),
        (
            "let event = \"\\x00mark\"; socket.emit(event)",
            "begins with a NUL",
        ),
        (
            "let f = || 1; socket.emit(\"x\", f, 2)",
            "a closure cannot be sent",
        ),
        (
            "let f = || 1; io.emit(\"x\", #{ a: [f] })",
            "a closure cannot be sent",
        ),
        ("socket.emit(\"x\", io.socket(socket.id))", "cannot be sent"),
    ] {
        let (host, client) = client(&format!("fn on_connection(socket) {{\n    {call};\n}}"));
        assert_eq!(client.heard(), [] as [&str; 0], "{call}");
        let problems = host.problems();
        assert!(problems[0].contains(message), "{call}: {problems:?}");
        assert!(problems[0].contains("main.rhai:2:"), "{call}: {problems:?}");
    }
}

#[test]
fn everyone_but_the_sender_and_everyone() {
    let host = TestHost::new(
        r#"fn on_connection(socket) {
            socket.on("others", |x| { socket.broadcast("a", x); socket.broadcast.emit("b", x); });
            socket.on("all", |x| { io.emit("all", x); });
        }"#,
    );
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    ada.emit("others", [1]);
    ada.emit("all", [2]);
    assert_eq!(ada.heard(), ["all [2]"]);
    assert_eq!(bob.heard(), ["a [1]", "b [1]", "all [2]"]);
}

#[test]
fn spread_stands_for_the_elements_of_an_array() {
    let (_host, client) = client(
        r#"fn on_connection(socket) {
            socket.on_any(|event, args| { socket.emit("got", event, spread(args)); });
            socket.on("x", |a| { socket.emit("own", a); });
        }"#,
    );
    client.emit("x", (1, [2], "three"));
    assert_eq!(client.heard(), ["got [\"x\",1,[2],\"three\"]", "own [1]"]);
}

#[test]
fn print_and_debug_say_which_script_line_and_socket() {
    let (host, _client) =
        client("fn on_connection(socket) {\n    print(\"hi\");\n    debug([1, \"a\"]);\n}");
    let lines: Vec<_> = host
        .events()
        .into_iter()
        .filter_map(|event| match event {
            patchcord::HostEvent::Log {
                text,
                namespace,
                socket,
                script,
                line,
                ..
            } => Some(format!(
                "{namespace} {} {}:{} {text}",
                socket?, script?, line?
            )),
            _ => None,
        })
        .collect();
    assert_eq!(
        lines,
        [
            "/ client1 main.rhai:2 hi",
            "/ client1 main.rhai:3 [1, \"a\"]"
        ]
    );
}

#[test]
fn an_error_ends_its_call_only_and_says_where() {
    let (host, client) = client(
        "fn deep(x) { x.nope() }\nfn on_connection(socket) {\n    socket.on(\"bad\", |x| { deep(x) });\n    \
         socket.on(\"bad\", || { socket.emit(\"next listener\"); });\n}",
    );
    client.emit("bad", [1]);
    assert_eq!(client.heard(), ["next listener []"]);
    let problems = host.problems();
    assert!(problems[0].contains("main.rhai:1:16"), "{problems:?}");
    assert!(
        problems[0].contains("called from `bad` handler of namespace `/`"),
        "{problems:?}"
    );
}

#[test]
fn a_panic_in_a_native_function_ends_its_call_only() {
    let host = TestHost::build(
        [(
            "main.rhai",
            "fn on_connection(socket) { socket.on(\"x\", || boom()); socket.on(\"y\", || 1); }",
        )],
        |builder| builder.function("boom", || -> i64 { panic!("out of coffee") }),
    );
    let client = host.connect("/").unwrap();
    assert_eq!(client.ask("x", ()), None);
    assert_eq!(client.ask("y", ()), Some("[1]".to_owned()));
    let problems = host.problems();
    assert!(
        problems[0].contains("a native function panicked: out of coffee"),
        "{problems:?}"
    );
}

#[test]
fn a_call_that_runs_too_long_is_ended() {
    for script in [
        "loop { }",
        "let a = [1]; a.pad(1000, 0); loop { a.for_each(|| { this += 1; }); }",
    ] {
        let (host, client) = client(&format!(
            "fn on_connection(socket) {{ socket.on(\"x\", || {{ {script} }}); socket.on(\"y\", || 1); }}"
        ));
        assert_eq!(client.ask("x", ()), None, "{script}");
        assert_eq!(client.ask("y", ()), Some("[1]".to_owned()), "{script}");
        assert_eq!(host.problems().len(), 1, "{script}");
    }
}

#[test]
fn nothing_of_a_call_runs_inside_another() {
    let host = TestHost::new(
        r#"fn on_connection(socket) {
            socket.on("quit", || { socket.disconnect(); socket.emit("not sent"); print("end of quit"); });
            socket.on("disconnect", |reason| { print(reason); });
        }"#,
    );
    let client = host.connect("/").unwrap();
    client.emit("quit", ());
    assert_eq!(host.log(), ["end of quit", "server namespace disconnect"]);
    client.emit("quit", ());
    assert_eq!(
        host.log(),
        [] as [&str; 0],
        "events after the disconnect are not handled"
    );
}

#[test]
fn events_that_wait_when_the_server_disconnects_the_socket_are_not_handled() {
    let gate = Gate::default();
    let pass = gate.clone();
    let host = TestHost::build(
        [(
            "main.rhai",
            r#"fn on_connection(socket) {
                socket.on("quit", || { pass(); socket.disconnect(); });
                socket.on("x", || { print("handled"); });
                socket.on("disconnect", |reason| { print(reason); });
            }"#,
        )],
        |builder| builder.function("pass", move || pass.pass()),
    );
    let client = host.connect("/").unwrap();
    gate.shut_after(0);
    std::thread::scope(|scope| {
        scope.spawn(|| client.emit("quit", ()));
        gate.reached();
        client.emit("x", ());
        gate.open();
    });
    assert_eq!(host.log(), ["server namespace disconnect"]);
}

/// The host keeps the listeners of any event, and middlewares, under names that begin with a NUL.
#[test]
fn a_client_cannot_call_listeners_of_any_event_or_middlewares_by_name() {
    let host = TestHost::new(
        r#"fn on_connection(socket) {
            let seen = [];
            socket.middleware(|event, args| { seen.push(`check ${event.len} ${args.len}`); });
            socket.on_any(|event, args| { seen.push(`any ${event.len} ${args.len}`); });
            socket.on_any_outgoing(|event, args| { seen.push("out"); });
            socket.on("seen", || seen.len());
        }"#,
    );
    let client = host.connect("/").unwrap();
    for (count, name) in ["any", "outgoing", "middleware"].into_iter().enumerate() {
        client.emit(&format!("\0{name}"), ["x", "y", "z"]);
        // Each event goes through the middleware and the listener of any event once, as this question does.
        let heard = format!("[{}]", 2 * (2 * count + 2));
        assert_eq!(client.ask("seen", ()).as_deref(), Some(&*heard), "{name}");
    }
    assert_eq!(host.problems(), [] as [&str; 0]);
}

#[test]
fn a_listener_on_another_socket_is_an_error() {
    let host = TestHost::build(
        [(
            "main.rhai",
            r#"fn on_connection(socket) { swap(socket).on("x", || 1); }"#,
        )],
        |builder| {
            let last = std::sync::Mutex::new(None);
            builder.function("swap", move |socket: rhai::Dynamic| {
                last.lock()
                    .unwrap()
                    .replace(socket.clone())
                    .unwrap_or(socket)
            })
        },
    );
    let _ada = host.connect("/").unwrap();
    let _bob = host.connect("/").unwrap();
    let problems = host.problems();
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].contains("`on` works on the socket whose handler is running only"),
        "{problems:?}"
    );
}

#[test]
fn an_effect_at_top_level_is_refused_and_does_not_happen() {
    let host = TestHost::build(
        [(
            "main.rhai",
            "fn on_connection(socket) { }\nfn visit() { save() }\nvisit();",
        )],
        |builder| builder.effect("save", || -> () { panic!("the effect happened") }),
    );
    let problems = host.problems();
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].contains("a function with an effect has no place at top level"),
        "{problems:?}"
    );
    assert!(problems[0].contains("main.rhai:2:"), "{problems:?}");
    let refused = host.connect("/").unwrap_err();
    assert_eq!(refused.0, "script failed to load");
}

#[test]
fn json_of_a_map_that_captured_itself_is_an_error() {
    let (host, client) = client(
        r#"fn on_connection(socket) {
            let map = #{ n: 1 };
            map.itself = || map;
            socket.on("json", || map.to_json());
        }"#,
    );
    assert_eq!(client.ask("json", ()), None);
    let problems = host.problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("main.rhai:4:"), "{problems:?}");
}

#[test]
fn json_of_a_map_leaves_the_map_as_it_is() {
    let (host, client) = client(
        r#"fn on_connection(socket) {
            let map = #{ n: 1 };
            socket.on("json", || [map.to_json(), map.to_json(), map]);
        }"#,
    );
    assert_eq!(
        client.ask("json", ()).as_deref(),
        Some(r#"[["{\"n\":1}","{\"n\":1}",{"n":1}]]"#)
    );
    assert_eq!(host.problems(), [] as [&str; 0]);
}

#[test]
fn a_socket_has_a_limit_of_listeners() {
    let (host, client) =
        client("fn on_connection(socket) { socket.on(\"x\", || { socket.on(\"y\", || 1); }); }");
    for _ in 0..1000 {
        client.emit("x", ());
    }
    let problems = host.problems();
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].contains("1000 listeners, which is the limit"),
        "{problems:?}"
    );
}
