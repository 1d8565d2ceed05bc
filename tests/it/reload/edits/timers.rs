//! Effects of a save on timers that are pending, have fired, or were replaced.

use patchcord::testing::TestHost;

use super::{NONE, ask, connect, save, save_nothing, serve};

/// Checks a timer in a variable or in a map, which every event of the client sets again.
fn idle(declare: &str, place: &str) {
    let set = r#"set_timeout(|| { socket.emit("idle"); socket.disconnect(); }, 100)"#;
    let script = format!(
        r#"fn on_connection(socket) {{
            {declare}
            {place} = {set};
            socket.on_any(|event, args| {{ clear_timeout({place}); {place} = {set}; }});
            socket.on("pause", || {{ clear_timeout({place}); }});
            socket.on("x", || 1);
        }}"#
    );
    let mut host = serve(&script);
    let client = host.connect("/").unwrap();
    let paused = host.connect("/").unwrap();
    paused.emit("pause", ());
    save_nothing(&mut host, &script, |host, text| {
        host.advance(60);
        assert_eq!(client.ask("x", ()).as_deref(), Some("[1]"), "{text}");
        assert_eq!(paused.heard(), NONE, "{text}");
    });
    host.advance(99);
    assert_eq!(client.heard(), NONE, "{script}");
    host.advance(1);
    assert_eq!(client.heard(), ["idle []"], "{script}");
    assert_eq!(paused.heard(), NONE, "{script}");
}

#[test]
fn a_timer_that_a_handler_has_replaced_stays_replaced() {
    idle("let idle = ();", "idle");
    idle("let timers = #{ idle: () };", "timers.idle");
    idle("let timers = [()];", "timers[0]");
}

#[test]
fn the_code_of_a_replaced_timer_follows_and_it_keeps_its_due_time() {
    let script = |word: &str| {
        format!(
            r#"fn on_connection(socket) {{
                let idle = set_timeout(|| {{ socket.emit("{word} first"); }}, 100);
                socket.on("again", || {{ clear_timeout(idle); idle = set_timeout(|| {{ socket.emit("{word} again"); }}, 100); }});
            }}"#
        )
    };
    let mut host = serve(&script("old"));
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    host.advance(50);
    ada.emit("again", ());
    save(&mut host, &script("new"));
    host.advance(50);
    assert_eq!(
        (ada.heard(), bob.heard()),
        (vec![], vec!["new first []".to_owned()])
    );
    host.advance(49);
    assert_eq!(ada.heard(), NONE);
    host.advance(1);
    assert_eq!(ada.heard(), ["new again []"]);
}

#[test]
fn a_timer_that_is_inserted_before_others_exchanges_nothing() {
    let fired = r#"set_timeout(|| { socket.emit("first"); }, 50);"#;
    let pending = r#"set_timeout(|| { socket.emit("late"); }, 200);"#;
    let interval = r#"set_interval(|| { n += 1; socket.emit("tick", n); }, 1000);"#;
    let inserted = r#"set_timeout(|| { socket.emit("inserted"); }, 120);"#;
    let script = |timers: [&str; 4]| {
        format!(
            "fn on_connection(socket) {{\nlet n = 0;\n{}\n}}",
            timers.join("\n")
        )
    };
    for edited in [
        script([inserted, fired, pending, interval]),
        script([fired, inserted, pending, interval]),
        script([inserted, pending, interval, fired]),
    ] {
        let mut host = serve(&script([fired, pending, interval, ""]));
        let client = host.connect("/").unwrap();
        host.advance(60);
        assert_eq!(client.heard(), ["first []"]);
        save(&mut host, &edited);
        host.advance(119);
        assert_eq!(client.heard(), NONE, "{edited}");
        host.advance(1);
        assert_eq!(client.heard(), ["inserted []"], "{edited}");
        host.advance(20);
        assert_eq!(client.heard(), ["late []"], "{edited}");
        host.advance(800);
        assert_eq!(client.heard(), ["tick [1]"], "{edited}");
    }
}

#[test]
fn a_timer_that_is_removed_before_others_exchanges_nothing() {
    let script = |first: &str| {
        format!(
            r#"fn on_connection(socket) {{
                let n = 0;
                {first}
                set_timeout(|| {{ socket.emit("second"); }}, 100);
                set_interval(|| {{ n += 1; socket.emit("tick", n); }}, 60);
            }}"#
        )
    };
    let mut host = serve(&script("set_timeout(|| { socket.emit(\"first\"); }, 90);"));
    let client = host.connect("/").unwrap();
    host.advance(70);
    assert_eq!(client.heard(), ["tick [1]"]);
    save(&mut host, &script(""));
    host.advance(50);
    assert_eq!(client.heard(), ["second []", "tick [2]"]);
}

#[test]
fn an_edited_period_counts_from_the_last_tick() {
    let script = |period: u64| {
        format!(
            "fn on_connection(socket) {{ let n = 0; set_interval(|| {{ n += 1; socket.emit(\"tick\", n); }}, {period}); }}"
        )
    };
    let mut host = serve(&script(1000));
    let client = host.connect("/").unwrap();
    host.advance(1000);
    assert_eq!(client.heard(), ["tick [1]"]);
    host.advance(10);
    save(&mut host, &script(50));
    host.advance(39);
    assert_eq!(client.heard(), NONE);
    host.advance(1);
    assert_eq!(client.heard(), ["tick [2]"]);
    host.advance(50);
    assert_eq!(client.heard(), ["tick [3]"]);
    host.advance(20);
    save(&mut host, &script(300));
    host.advance(279);
    assert_eq!(client.heard(), NONE);
    host.advance(1);
    assert_eq!(client.heard(), ["tick [4]"]);
}

#[test]
fn an_edited_period_that_is_over_already_ticks_at_once() {
    let script = |period: u64| {
        format!(
            "fn on_connection(socket) {{ set_interval(|| {{ socket.emit(\"tick\"); }}, {period}); }}"
        )
    };
    let mut host = serve(&script(60_000));
    let client = host.connect("/").unwrap();
    host.advance(500);
    save(&mut host, &script(50));
    host.advance(1);
    assert_eq!(client.heard(), ["tick []"]);
    host.advance(49);
    assert!(client.heard().len() <= 1, "it does not make up for ticks");
}

#[test]
fn an_edited_period_of_an_interval_that_a_handler_set_counts_from_the_last_tick() {
    let script = |period: u64| {
        format!(
            r#"fn on_connection(socket) {{
                socket.on("start", || {{ let n = 0; set_interval(|| {{ n += 1; socket.emit("tick", n); }}, {period}); }});
            }}"#
        )
    };
    let mut host = serve(&script(1000));
    let client = host.connect("/").unwrap();
    client.emit("start", ());
    host.advance(1010);
    assert_eq!(client.heard(), ["tick [1]"]);
    save(&mut host, &script(50));
    host.advance(40);
    assert_eq!(client.heard(), ["tick [2]"]);
    host.advance(50);
    assert_eq!(client.heard(), ["tick [3]"]);
}

/// Returns a script with an interval of the namespace, and `rest`, the part that is edited.
fn load(tick: &str, rest: &str) -> String {
    format!(
        r#"fn on_load() {{ let n = 0; set_interval(|| {{ n += 1; io.emit("{tick}", n); }}, 1000); }}
        fn on_connection(socket) {{ {rest} }}"#
    )
}

#[test]
fn an_interval_of_on_load_ticks_however_often_one_saves() {
    let mut host = serve(&load("tick", ""));
    let clients = connect(&host, 2);
    for nth in 0..15 {
        host.advance(200);
        save(
            &mut host,
            &load("tick", &format!("socket.on(\"v\", || {nth});")),
        );
    }
    assert_eq!(clients[0].heard(), ["tick [1]", "tick [2]", "tick [3]"]);
    host.advance(200);
    save(&mut host, &load("tock", ""));
    host.advance(800);
    assert_eq!(
        clients[1].heard().last().map(String::as_str),
        Some("tock [4]")
    );
}

#[test]
fn an_edit_of_on_load_sets_no_timer_twice_and_keeps_the_state_of_the_others() {
    let with = |more: &str| {
        format!(
            r#"fn on_load() {{
                let n = 0;
                set_interval(|| {{ n += 1; io.emit("tick", n); }}, 100);
                {more}
            }}
            fn on_connection(socket) {{ }}"#
        )
    };
    let mut host = serve(&with(""));
    let client = host.connect("/").unwrap();
    host.advance(250);
    assert_eq!(client.heard(), ["tick [1]", "tick [2]"]);
    save(
        &mut host,
        &with("set_timeout(|| { io.emit(\"once\"); }, 70);"),
    );
    host.advance(100);
    assert_eq!(client.heard(), ["tick [3]", "once []"]);
    save(&mut host, &with(""));
    host.advance(200);
    assert_eq!(client.heard(), ["tick [4]", "tick [5]"]);
}

#[test]
fn on_load_runs_again_only_if_its_own_code_changed() {
    let script = |printed: &str, tick: i64, rest: i64| {
        format!(
            "fn on_load() {{ print(\"{printed}\"); set_interval(|| {tick}, 1000); }}
            fn on_connection(socket) {{ socket.on(\"v\", || {rest}); }}"
        )
    };
    let mut host = TestHost::new(&script("one", 1, 1));
    assert_eq!(host.log(), ["one"]);
    for (printed, tick, rest, log) in [
        ("one", 1, 2, vec![]),
        ("one", 2, 2, vec![]),
        ("two", 2, 2, vec!["two"]),
    ] {
        host.edit("main.rhai", &script(printed, tick, rest));
        assert_eq!(host.log(), log);
    }
}

#[test]
fn timers_keep_their_due_times_through_edits_around_them() {
    let script = |v: i64| {
        format!(
            r#"fn on_connection(socket) {{
                socket.on("v", || {v});
                set_timeout(|| {{ socket.emit("own {v}"); }}, 100);
                socket.on("start", || {{ set_timeout(|| {{ socket.emit("late {v}"); }}, 100); }});
            }}"#
        )
    };
    let mut host = serve(&script(0));
    let client = host.connect("/").unwrap();
    host.advance(45);
    client.emit("start", ());
    for v in 1..10 {
        save(&mut host, &script(v));
        host.advance(6);
        assert_eq!(ask(&client, "v"), format!("[{v}]"));
    }
    assert_eq!(client.heard(), NONE);
    host.advance(1);
    assert_eq!(client.heard(), ["own 9 []"]);
    host.advance(44);
    assert_eq!(client.heard(), NONE);
    host.advance(1);
    assert_eq!(client.heard(), ["late 9 []"]);
}
