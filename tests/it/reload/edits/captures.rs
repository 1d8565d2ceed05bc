//! Closures that capture other variables than before, closures that are gone, and listeners that have moved.

use super::{NONE, all, ask, connect, save, saved, serve};

#[test]
fn a_variable_that_a_closure_captures_anew_is_the_one_that_others_of_its_frame_share() {
    let script = |a: &str| {
        format!(
            r#"fn on_connection(socket) {{
                let n = 5; let room = "hall";
                socket.on("go", |to| {{ room = to; }});
                socket.on("a", || {a});
            }}"#
        )
    };
    let mut host = serve(&script("n"));
    let client = host.connect("/").unwrap();
    client.emit("go", ["attic"]);
    save(&mut host, &script("[n, room]"));
    assert_eq!(ask(&client, "a"), "[[5,\"attic\"]]");
    client.emit("go", ["cellar"]);
    assert_eq!(ask(&client, "a"), "[[5,\"cellar\"]]", "it is one variable");
}

#[test]
fn a_variable_that_a_late_closure_captures_anew_is_that_of_its_own_login() {
    let script = |say: &str| {
        format!(
            r#"fn on_connection(socket) {{
                socket.on("login", |name, event| {{
                    let hits = 0;
                    socket.on("say" + event, || {say});
                    socket.on("hit" + event, || {{ hits += 1; [name, hits] }});
                }});
            }}"#
        )
    };
    let mut host = serve(&script("\"nothing\""));
    let client = host.connect("/").unwrap();
    client.emit("login", ("ada", 1));
    client.emit("login", ("bob", 2));
    client.emit("hit2", ());
    let reload = saved(&mut host, &script("[name, hits]"));
    // `say` captured nothing, so nothing shows which login it belongs to: it follows the edit if that can be known, or
    // stays as it is.
    let says = [ask(&client, "say1"), ask(&client, "say2")];
    match reload.keep_old {
        0 => assert_eq!(says, ["[[\"ada\",0]]", "[[\"bob\",1]]"]),
        _ => assert_eq!(
            (says, reload.keep_old),
            (["[\"nothing\"]".to_owned(), "[\"nothing\"]".to_owned()], 2)
        ),
    }
}

#[test]
fn a_late_closure_that_shares_a_variable_with_another_gets_the_others_variables() {
    let script = |say: &str| {
        format!(
            r#"fn on_connection(socket) {{
                socket.on("login", |name| {{
                    let hits = 0;
                    socket.on("say", || {say});
                    socket.on("hit", || {{ hits += 1; [name, hits] }});
                }});
            }}"#
        )
    };
    let mut host = serve(&script("hits"));
    let client = host.connect("/").unwrap();
    client.emit("login", ["ada"]);
    client.emit("hit", ());
    let reload = saved(&mut host, &script("[name, hits]"));
    assert_eq!(ask(&client, "say"), "[[\"ada\",1]]");
    assert_eq!(reload.keep_old, 0);
    client.emit("hit", ());
    assert_eq!(ask(&client, "say"), "[[\"ada\",2]]");
}

#[test]
fn a_new_variable_of_on_connection_comes_from_the_draft() {
    let script = |declare: &str, a: &str, late: &str| {
        format!(
            r#"fn on_connection(socket) {{
                let n = 0; {declare}
                socket.on("a", || {a});
                socket.on("login", || {{ socket.on("late", || {late}); }});
            }}"#
        )
    };
    let mut host = serve(&script("", "{ n += 1; n }", "n"));
    let client = host.connect("/").unwrap();
    client.emit("login", ());
    client.emit("a", ());
    save(
        &mut host,
        &script("let step = 10;", "{ n += step; step += 1; n }", "[n, step]"),
    );
    assert_eq!(ask(&client, "a"), "[11]");
    assert_eq!(ask(&client, "late"), "[[11,11]]", "both have one variable");
    assert_eq!(ask(&client, "a"), "[22]");
}

#[test]
fn handles_that_a_closure_uses_anew_are_no_hindrance() {
    for say in [
        "{ io.emit(\"said\", 1); 2 }",
        "{ socket.emit(\"said\", 1); 2 }",
        "{ socket.broadcast.emit(\"x\"); io.emit(\"said\", 1); 2 }",
        "{ log::info(\"x\"); socket.emit(\"said\", global::ONE); 2 }",
    ] {
        let script = |say: &str| {
            format!(
                "const ONE = 1;
                fn late(socket) {{ socket.on(\"function\", || {say}); }}
                fn on_connection(socket) {{ socket.on(\"login\", || {{ socket.on(\"say\", || {say}); late(socket); }}); }}"
            )
        };
        let mut host = serve(&script("1"));
        let client = host.connect("/").unwrap();
        client.emit("login", ());
        let reload = saved(&mut host, &script(say));
        for event in ["say", "function"] {
            assert_eq!(ask(&client, event), "[2]", "{event}: {say}");
            assert_eq!(client.heard(), ["said [1]"], "{event}: {say}");
        }
        assert_eq!(reload.keep_old, 0, "{say}");
    }
}

#[test]
fn a_closure_that_lacks_a_variable_stays_as_it_is_and_works_and_is_reported() {
    let script = |declare: &str, say: &str, v: i64| {
        format!(
            r#"fn on_connection(socket) {{
                let total = 0;
                socket.on("login", |name| {{
                    {declare}
                    socket.on("say", || {say});
                    socket.on("v", || {v});
                }});
            }}"#
        )
    };
    let mut host = serve(&script("", "{ total += 1; total }", 1));
    let clients = connect(&host, 2);
    for client in &clients {
        client.emit("login", ["ada"]);
        assert_eq!(ask(client, "say"), "[1]");
    }
    let reload = saved(
        &mut host,
        &script(
            "let level = name.len;",
            "{ total += 100; [total, level] }",
            2,
        ),
    );
    assert_eq!(reload.keep_old, 2);
    assert_eq!(
        all(&clients, "say"),
        ["[2]", "[2]"],
        "it stays old, and works on the same variable"
    );
    assert_eq!(all(&clients, "v"), ["[2]", "[2]"]);
    // Clients that log in from now on have the new code.
    let next = host.connect("/").unwrap();
    next.emit("login", ["ada"]);
    assert_eq!(ask(&next, "say"), "[[100,3]]");
    // As soon as the code no longer needs the missing variable, the closure follows.
    let reload = saved(&mut host, &script("", "{ total += 1000; total }", 3));
    assert_eq!(reload.keep_old, 0);
    assert_eq!(all(&clients, "say"), ["[1002]", "[1002]"]);
    assert_eq!(host.problems(), NONE);
}

#[test]
fn a_closure_in_a_variable_whose_code_is_gone_stays_callable() {
    let script = |learn: &str, v: i64| {
        format!(
            r#"fn double(n) {{ n * {v} }}
            fn on_connection(socket) {{
                let f = (); let table = #{{ }}; let list = []; let n = 0;
                socket.on("learn", || {{ {learn} }});
                socket.on("f", |x| f.call(x));
                socket.on("table", |x| table.f.call(x));
                socket.on("list", |x| {{ let g = list[0]; g.call(x) }});
                socket.on("n", || n);
                socket.on("v", || {v});
            }}"#
        )
    };
    let learn = "f = |x| { n += 1; double(x) }; table[\"f\"] = |x| { n += 1; x }; list.push(|x| { n += 1; -x });";
    let mut host = serve(&script(learn, 2));
    let client = host.connect("/").unwrap();
    client.emit("learn", ());
    for v in 3..5 {
        save(&mut host, &script("n = 0;", v));
        assert_eq!(ask(&client, "v"), format!("[{v}]"));
        let answer = client.ask("f", [10]).unwrap();
        assert!(
            answer == "[20]" || answer == format!("[{}]", 10 * v),
            "{answer}"
        );
        assert_eq!(client.ask("table", [10]).as_deref(), Some("[10]"));
        assert_eq!(client.ask("list", [10]).as_deref(), Some("[-10]"));
    }
    assert_eq!(ask(&client, "n"), "[6]");
    assert_eq!(host.problems(), NONE);
}

#[test]
fn a_listener_and_a_timer_go_with_the_code_that_registered_them() {
    let script =
        |login: &str| format!("fn on_connection(socket) {{ socket.on(\"v\", || 1); {login} }}");
    let say = "socket.on(\"say\", || 1);";
    let timer = "set_interval(|| { socket.emit(\"tick\"); }, 50);";
    let with = script(&format!("socket.on(\"login\", || {{ {say} {timer} }});"));
    for without in [
        script(""),
        script("socket.on(\"login\", || { });"),
        script("socket.on(\"login\", || { 5 });"),
    ] {
        let mut host = serve(&with);
        let client = host.connect("/").unwrap();
        client.emit("login", ());
        host.advance(60);
        assert_eq!(
            (client.heard(), ask(&client, "say")),
            (vec!["tick []".to_owned()], "[1]".to_owned())
        );
        save(&mut host, &without);
        assert_eq!(client.ask("say", ()), None, "{without}");
        host.advance(200);
        assert_eq!(client.heard(), NONE, "{without}");
        assert_eq!(ask(&client, "v"), "[1]");
    }
}

#[test]
fn a_listener_that_moved_is_not_added_a_second_time() {
    let say =
        |v: i64| format!("socket.on(\"say\", |text| {{ socket.emit(\"said\", {v}, text); }});");
    let nested = |v: i64| {
        format!(
            "fn on_connection(socket) {{ socket.on(\"login\", || {{ {} }}); }}",
            say(v)
        )
    };
    let by_function = |v: i64| {
        format!(
            "fn login(socket) {{ {} }}\nfn on_connection(socket) {{ socket.on(\"login\", || login(socket)); }}",
            say(v)
        )
    };
    let flat = |v: i64| {
        format!(
            "fn on_connection(socket) {{ socket.on(\"login\", || {{ }}); {} }}",
            say(v)
        )
    };
    for before in [nested(1), by_function(1)] {
        for v in [1, 2] {
            let mut host = serve(&before);
            let (member, stranger) = (host.connect("/").unwrap(), host.connect("/").unwrap());
            member.emit("login", ());
            save(&mut host, &flat(v));
            for client in [&member, &stranger] {
                client.emit("say", ["hi"]);
                assert_eq!(
                    client.heard(),
                    [format!("said [{v},\"hi\"]")],
                    "{before} -> {}",
                    flat(v)
                );
            }
            save(&mut host, &format!("// saved\n{}", flat(v)));
            member.emit("say", ["hi"]);
            assert_eq!(member.heard().len(), 1);
        }
    }
}

#[test]
fn a_listener_that_moved_into_a_function_or_another_place_keeps_its_state() {
    let count = "let n = 0; socket.on(\"n\", || { n += 1; n });";
    let flat = format!("fn on_connection(socket) {{ {count} }}");
    let moved = format!(
        "fn counter(socket) {{ {count} }}\nfn on_connection(socket) {{ counter(socket); }}"
    );
    let lower =
        format!("fn on_connection(socket) {{ socket.on(\"other\", || 0); if true {{ {count} }} }}");
    let mut host = serve(&flat);
    let client = host.connect("/").unwrap();
    let mut n = 0;
    for script in [&flat, &moved, &lower, &flat] {
        save(&mut host, &format!("{script}\n// {n}"));
        n += 1;
        assert_eq!(ask(&client, "n"), format!("[{n}]"), "{script}");
    }
}

#[test]
fn a_renamed_event_keeps_its_closure_and_its_state() {
    let script = |event: &str, late: &str, by: i64| {
        format!(
            r#"fn on_connection(socket) {{
                let n = 0;
                socket.on("{event}", || {{ n += {by}; n }});
                socket.on("login", || {{ let m = 0; socket.on("{late}", || {{ m += {by}; m }}); }});
            }}"#
        )
    };
    let mut host = serve(&script("hit", "line", 1));
    let client = host.connect("/").unwrap();
    client.emit("login", ());
    assert_eq!(
        (ask(&client, "hit"), ask(&client, "line")),
        ("[1]".to_owned(), "[1]".to_owned())
    );
    save(&mut host, &script("strike", "draw", 1));
    assert_eq!(
        (client.ask("hit", ()), client.ask("line", ())),
        (None, None)
    );
    assert_eq!(
        (ask(&client, "strike"), ask(&client, "draw")),
        ("[2]".to_owned(), "[2]".to_owned())
    );
    save(&mut host, &script("hit", "line", 10));
    assert_eq!(
        (client.ask("strike", ()), client.ask("draw", ())),
        (None, None)
    );
    assert_eq!(
        (ask(&client, "hit"), ask(&client, "line")),
        ("[12]".to_owned(), "[12]".to_owned())
    );
}

#[test]
fn swapped_listeners_of_one_event_exchange_neither_code_nor_variables_nor_fate() {
    let one = "socket.on(\"x\", || { a += 1; socket.emit(\"one\", a); });";
    let two = "socket.once(\"x\", || { b += 1; socket.emit(\"two\", b); });";
    let three = "socket.on(\"x\", || { c += 1; socket.emit(\"three\", c); });";
    let script = |listeners: [&str; 3]| {
        format!(
            "fn on_connection(socket) {{ let a = 0; let b = 0; let c = 0;\n{}\n}}",
            listeners.join("\n")
        )
    };
    let mut host = serve(&script([one, two, three]));
    let client = host.connect("/").unwrap();
    client.emit("x", ());
    client.heard();
    let mut n = 1;
    for order in [
        [three, two, one],
        [two, one, three],
        [one, "", three],
        [one, two, three],
    ] {
        save(&mut host, &script(order));
        client.emit("x", ());
        n += 1;
        let mut heard = client.heard();
        heard.retain(|text| !text.starts_with("two"));
        heard.sort();
        assert_eq!(
            heard,
            [format!("one [{n}]"), format!("three [{n}]")],
            "{order:?}"
        );
    }
}

#[test]
fn a_once_that_has_fired_and_a_listener_that_is_off_stay_so_when_others_are_inserted_before_them() {
    let script = |more: &str| {
        format!(
            r#"fn on_connection(socket) {{
                {more}
                socket.once("x", || {{ socket.emit("once"); }});
                let f = || {{ socket.emit("off"); }};
                socket.on("x", f);
                socket.on("stop", || {{ socket.off("x", f); }});
            }}"#
        )
    };
    let mut host = serve(&script(""));
    let client = host.connect("/").unwrap();
    client.emit("x", ());
    client.emit("stop", ());
    client.heard();
    save(
        &mut host,
        &script(
            "socket.once(\"x\", || { socket.emit(\"new once\"); }); socket.on(\"x\", || { socket.emit(\"new\"); });",
        ),
    );
    client.emit("x", ());
    assert_eq!(client.heard(), ["new once []", "new []"]);
    client.emit("x", ());
    assert_eq!(client.heard(), ["new []"]);
}

#[test]
fn off_by_a_function_finds_the_listener_after_an_edit() {
    let script = |v: i64| {
        format!(
            r#"fn named() {{ {v} }}
            fn on_connection(socket) {{
                let f = || {v};
                socket.on("f", f); socket.on("named", named);
                socket.on("stop", || {{ socket.off("f", f); socket.off("named", named); }});
            }}"#
        )
    };
    let mut host = serve(&script(1));
    let client = host.connect("/").unwrap();
    save(&mut host, &script(2));
    assert_eq!(
        (ask(&client, "f"), ask(&client, "named")),
        ("[2]".to_owned(), "[2]".to_owned())
    );
    client.emit("stop", ());
    assert_eq!((client.ask("f", ()), client.ask("named", ())), (None, None));
}
