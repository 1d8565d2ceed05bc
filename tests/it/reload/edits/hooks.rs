//! `on_reload(socket)` and `on_reload(socket, before)`.

use patchcord::testing::TestHost;

use super::{NONE, ask, save, serve};

#[test]
fn on_reload_is_told_the_version_and_the_variables_before_and_what_is_lost() {
    let script =
        |hook: &str, variables: &str| format!("{hook}\nfn on_connection(socket) {{ {variables} }}");
    let before = script(
        "",
        r#"let score = 1; let nick = "none"; let same = "same"; let untouched = 5;
        socket.on("change", |n| { score = n; nick = `nick${n}`; });
        socket.on("seen", || [score, nick, same, untouched]);"#,
    );
    let after = script(
        r#"fn on_reload(socket, before) {
            socket.emit("reloaded", before.version, before.vars.score, before.vars.nick, before.vars.same,
                "nick" in before.lost, "score" in before.lost);
        }"#,
        r#"let score = 2; let name = "none"; let same = "same";
        socket.on("change", |n| { score = n; name = `name${n}`; });
        socket.on("seen", || [score, name, same]);"#,
    );
    let mut host = serve(&before);
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    ada.emit("change", [7]);
    save(&mut host, &after);
    assert_eq!(
        ada.heard(),
        ["reloaded [1,7,\"nick7\",\"same\",true,false]"]
    );
    assert_eq!(bob.heard(), ["reloaded [1,1,\"none\",\"same\",true,false]"]);
    assert_eq!(ask(&ada, "seen"), "[[7,\"none\",\"same\"]]");
    assert_eq!(host.problems(), NONE);
}

#[test]
fn on_reload_can_restore_lost_value() {
    let before = r#"fn on_connection(socket) { let nick = "none";
        socket.on("nick", |n| { nick = n; }); socket.on("who", || nick); }"#;
    let after = r#"fn on_reload(socket, before) { if "nick" in before.lost { socket.data.name = before.vars.nick; } }
        fn on_connection(socket) { socket.data.name = "none";
        socket.on("nick", |n| { socket.data.name = n; }); socket.on("who", || socket.data.name); }"#;
    let mut host = serve(before);
    let client = host.connect("/").unwrap();
    client.emit("nick", ["ada"]);
    save(&mut host, after);
    assert_eq!(ask(&client, "who"), "[\"ada\"]");
}

#[test]
fn before_is_that_of_each_save_in_turn() {
    let script = |v: i64| {
        format!(
            "fn on_reload(socket, before) {{ socket.emit(\"reloaded\", before.version, before.vars.n, {v}); }}
            fn on_connection(socket) {{ let n = 0; socket.on(\"n\", || {{ n += {v}; n }}); }}"
        )
    };
    let mut host = serve(&script(1));
    let client = host.connect("/").unwrap();
    let mut n = 0;
    for v in 2..5 {
        save(&mut host, &script(v));
        assert_eq!(client.heard(), [format!("reloaded [{},{n},{v}]", v - 1)]);
        n += v;
        assert_eq!(ask(&client, "n"), format!("[{n}]"));
    }
}

#[test]
fn a_hook_of_one_parameter_goes_on_as_before() {
    let script = |v: i64| {
        format!(
            "fn on_reload(socket) {{ socket.emit(\"reloaded\", {v}); }}
            fn on_connection(socket) {{ socket.on(\"v\", || {v}); }}"
        )
    };
    let mut host = serve(&script(1));
    let client = host.connect("/").unwrap();
    save(&mut host, &script(2));
    assert_eq!(client.heard(), ["reloaded [2]"]);
    // An edit of the hook alone is a change too.
    save(&mut host, &script(2).replace("\"reloaded\"", "\"again\""));
    assert_eq!(client.heard(), ["again [2]"]);
}

#[test]
fn a_save_that_changes_nothing_is_no_reload_for_anyone() {
    let script = "fn on_reload(socket) { socket.emit(\"reloaded\"); print(\"reloaded\"); }
        fn on_connection(socket) { socket.on(\"v\", || 1); }";
    let mut host = serve(script);
    let client = host.connect("/").unwrap();
    host.edit("main.rhai", &format!("// a comment\n{script}"));
    assert_eq!(client.heard(), NONE);
    assert_eq!(host.log(), NONE);
}

#[test]
fn what_on_reload_registers_does_not_pile_up() {
    let script = |v: i64| {
        format!(
            r#"fn on_reload(socket) {{
                let n = 0;
                socket.on("x", || {{ n += 1; socket.emit("x", {v}); }});
                socket.on_any(|event, args| {{ socket.emit("any", {v}); }});
                socket.middleware(|event, args| {{ socket.emit("check", {v}); return; }});
                set_interval(|| {{ socket.emit("tick", {v}); }}, 100);
            }}
            fn on_connection(socket) {{ socket.on("v", || {v}); }}"#
        )
    };
    let mut host = serve(&script(1));
    let client = host.connect("/").unwrap();
    for v in 2..6 {
        save(&mut host, &script(v));
        client.emit("x", ());
        assert_eq!(
            client.heard(),
            [
                format!("check [{v}]"),
                format!("any [{v}]"),
                format!("x [{v}]")
            ]
        );
    }
    host.advance(150);
    assert_eq!(client.heard(), ["tick [5]"]);
}

#[test]
fn what_on_reload_registered_follows_and_goes_with_its_code() {
    let script = |hook: &str, v: i64| {
        format!("{hook}\nfn on_connection(socket) {{ socket.on(\"v\", || {v}); }}")
    };
    let mut host = TestHost::new(&script("", 1));
    let client = host.connect("/").unwrap();
    save(
        &mut host,
        &script("fn on_reload(socket) { socket.on(\"x\", || 1); }", 1),
    );
    assert_eq!(ask(&client, "x"), "[1]");
    save(
        &mut host,
        &script("fn on_reload(socket) { socket.on(\"x\", || 2); }", 1),
    );
    assert_eq!(ask(&client, "x"), "[2]");
    save(&mut host, &script("", 2));
    assert_eq!(client.ask("x", ()), None);
}
