//! Code that no draft reaches follows an edit: handlers in handlers, in timers, in ack callbacks, in functions.

use patchcord::testing::TestHost;

use super::{NONE, all, ask, connect, save, saved, serve};

/// Returns a script that registers `say` in a callback of the kind `way`; `say` answers with the version and a count
/// that must be kept.
fn script(way: &str, version: i64) -> String {
    let say =
        format!("let count = 0; socket.on(\"say\", || {{ count += 1; [{version}, count] }});");
    let body = match way {
        "handler" => format!("socket.on(\"login\", || {{ {say} }});"),
        "handler in a handler" => {
            format!("socket.on(\"before\", || {{ socket.on(\"login\", || {{ {say} }}); }});")
        }
        "timer" => format!("socket.on(\"login\", || {{ set_timeout(|| {{ {say} }}, 10); }});"),
        "timer at once" => format!("set_timeout(|| {{ {say} }}, 10);"),
        "ack" => format!("socket.emit(\"who\", |name| {{ {say} }});"),
        "ack in a handler" => {
            format!("socket.on(\"login\", || {{ socket.emit(\"who\", |name| {{ {say} }}); }});")
        }
        "ack with a timeout" => {
            format!("socket.timeout(500).emit(\"who\", |err, name| {{ {say} }});")
        }
        "fetched" => {
            format!("socket.on(\"login\", || {{ io.fetch_sockets(|all| {{ {say} }}); }});")
        }
        "middleware" => format!(
            "socket.middleware(|event, args| {{ if event == \"login\" {{ {say} }} }}); socket.on(\"login\", || 0);"
        ),
        _ => {
            return format!(
                "fn login(socket) {{ {say} }}\nfn on_connection(socket) {{ socket.on(\"login\", || {{ login(socket); }}); }}"
            );
        }
    };
    format!("fn on_connection(socket) {{ {body} }}")
}

const WAYS: [&str; 10] = [
    "handler",
    "handler in a handler",
    "timer",
    "timer at once",
    "ack",
    "ack in a handler",
    "ack with a timeout",
    "fetched",
    "middleware",
    "function",
];

#[test]
fn a_handler_follows_whoever_registered_it() {
    for way in WAYS {
        let mut host = serve(&script(way, 1));
        let clients = connect(&host, 2);
        for client in &clients {
            client.emit("before", ());
            client.emit("login", ());
            client.answer(["Ada"]);
        }
        host.advance(20);
        assert_eq!(all(&clients, "say"), ["[[1,1]]", "[[1,1]]"], "{way}");
        for version in 2..5 {
            let reload = saved(&mut host, &script(way, version));
            assert_eq!(
                all(&clients, "say"),
                [
                    format!("[[{version},{version}]]"),
                    format!("[[{version},{version}]]")
                ],
                "{way}"
            );
            assert_eq!(reload.keep_old, 0, "{way}");
        }
        assert_eq!(host.problems(), NONE, "{way}");
    }
}

#[test]
fn a_handler_that_a_function_of_an_imported_file_registered_follows() {
    let lib = |version: i64| {
        format!(
            "const V = {version};
            fn login(socket) {{ let count = 0; socket.on(\"say\", || {{ count += 1; [global::V, {version}, count] }}); }}"
        )
    };
    for call in [
        "socket.on(\"login\", || { talk::login(socket); });",
        "set_timeout(|| talk::login(socket), 5);",
    ] {
        let main = format!("import \"lib/talk\" as talk;\nfn on_connection(socket) {{ {call} }}");
        let mut host = TestHost::with([("main.rhai", main.as_str()), ("lib/talk.rhai", &lib(1))]);
        let client = host.connect("/").unwrap();
        client.emit("login", ());
        host.advance(5);
        assert_eq!(ask(&client, "say"), "[[1,1,1]]", "{call}");
        host.edit("lib/talk.rhai", &lib(2));
        assert_eq!(ask(&client, "say"), "[[2,2,2]]", "{call}");
        // A comment above the function moves it.
        host.edit("lib/talk.rhai", &format!("// moved\n\n{}", lib(3)));
        assert_eq!(ask(&client, "say"), "[[3,3,3]]", "{call}");
        assert_eq!(host.problems(), NONE, "{call}");
    }
}

#[test]
fn a_named_function_is_followed_through_everything_that_calls_it() {
    let script = |version: i64| {
        format!(
            r#"fn score(n) {{ [{version}, n] }}
            fn turn(socket) {{ socket.emit("turn", score(0)); set_timeout(|| turn(socket), 50); }}
            fn on_connection(socket) {{
                turn(socket);
                socket.on("login", || {{ socket.on("late", || score(1)); }});
                socket.emit("who", |name| {{ socket.emit("answered", score(2)); }});
                let table = #{{ f: || score(3) }};
                socket.on("table", || table.f.call());
            }}"#
        )
    };
    let mut host = serve(&script(1));
    let client = host.connect("/").unwrap();
    client.emit("login", ());
    host.advance(50);
    client.heard();
    save(&mut host, &script(2));
    host.advance(50);
    assert_eq!(
        client.heard(),
        ["turn [[2,0]]"],
        "the game loop goes on, once"
    );
    assert_eq!(ask(&client, "late"), "[[2,1]]");
    assert_eq!(ask(&client, "table"), "[[2,3]]");
    client.answer(["Ada"]);
    assert_eq!(client.heard(), ["answered [[2,2]]"]);
}

#[test]
fn the_loop_that_schedules_itself_follows_whatever_form_it_has() {
    let by_function = |v: i64| {
        format!(
            "fn step(socket) {{ socket.emit(\"step {v}\"); set_timeout(|| step(socket), 20); }}
            fn on_connection(socket) {{ socket.on(\"start\", || step(socket)); }}"
        )
    };
    let by_closure = |v: i64| {
        format!(
            "fn on_connection(socket) {{
                let step = (); step = || {{ socket.emit(\"step {v}\"); set_timeout(step, 20); }};
                socket.on(\"start\", || {{ set_timeout(step, 20); }});
            }}"
        )
    };
    let scripts: [&dyn Fn(i64) -> String; 2] = [&by_function, &by_closure];
    for script in scripts {
        let mut host = serve(&script(1));
        let client = host.connect("/").unwrap();
        client.emit("start", ());
        host.advance(30);
        client.heard();
        for v in 2..5 {
            save(&mut host, &script(v));
            host.advance(20);
            assert_eq!(client.heard(), [format!("step {v} []")], "{}", script(v));
        }
    }
}

#[test]
fn closures_in_variables_maps_and_arrays_follow_wherever_they_were_made() {
    let script = |v: i64| {
        format!(
            r#"fn on_connection(socket) {{
                let n = 0; let f = (); let table = #{{ }}; let list = [];
                socket.on("learn", || {{
                    f = || {{ n += 1; [{v}, "f", n] }};
                    table["g"] = || {{ n += 1; [{v}, "g", n] }};
                    list.push(|| {{ n += 1; [{v}, "h", n] }});
                    table["deep"] = #{{ list: [|| {{ n += 1; [{v}, "i", n] }}] }};
                }});
                socket.on("f", || f.call());
                socket.on("g", || table.g.call());
                socket.on("h", || {{ let h = list[0]; h.call() }});
                socket.on("i", || {{ let i = table.deep.list[0]; i.call() }});
            }}"#
        )
    };
    let mut host = serve(&script(1));
    let client = host.connect("/").unwrap();
    client.emit("learn", ());
    let mut n = 0;
    for v in 1..4 {
        save(&mut host, &format!("{}// {v}\n", script(v)));
        for name in ["f", "g", "h", "i"] {
            n += 1;
            assert_eq!(ask(&client, name), format!("[[{v},\"{name}\",{n}]]"));
        }
    }
    assert_eq!(host.problems(), NONE);
}

#[test]
fn of_two_equal_closures_the_edited_one_follows_and_the_other_does_not() {
    let script = |one: i64, two: i64, between: &str| {
        format!(
            r#"fn on_connection(socket) {{
                socket.on("login", || {{
                    socket.on("a", || {one});
                    {between}
                    socket.on("b", || {two});
                }});
            }}"#
        )
    };
    let mut host = serve(&script(1, 1, ""));
    let client = host.connect("/").unwrap();
    client.emit("login", ());
    for (one, two, between) in [
        (1, 2, ""),
        (2, 2, ""),
        (2, 2, "let x = 0;"),
        (3, 2, "// here"),
        (2, 3, ""),
    ] {
        save(&mut host, &script(one, two, between));
        assert_eq!(
            (ask(&client, "a"), ask(&client, "b")),
            (format!("[{one}]"), format!("[{two}]"))
        );
    }
}

#[test]
fn a_handler_that_was_copied_before_it_was_edited_is_not_taken_for_its_copy() {
    let mut host = serve(
        r#"fn on_connection(socket) { let n = 0; socket.on("login", || { socket.on("hit", || { n += 1; n }); }); }"#,
    );
    let client = host.connect("/").unwrap();
    client.emit("login", ());
    save(
        &mut host,
        r#"fn on_connection(socket) { let n = 0; socket.on("login", || {
            socket.on("strike", || { n += 1; n });
            socket.on("hit", || { n += 100; n }); }); }"#,
    );
    assert_eq!(ask(&client, "hit"), "[100]");
}
