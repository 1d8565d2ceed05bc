//! Rules of an edit for the values of variables, and for calls that run meanwhile.

use std::{sync::mpsc, thread};

use patchcord::{
    HostEvent,
    event::Reload,
    testing::{TestClient, TestHost},
};

use crate::support::{
    gate::{Gate, edit_elsewhere},
    server::TEST_TIMEOUT,
};

const NONE: [&str; 0] = [];

fn reload(host: &TestHost) -> Reload {
    let events = host.events();
    let found = events.iter().find_map(|event| match event {
        HostEvent::Replaced { reload, .. } => Some(reload.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("nothing was replaced: {events:?}"))
}

fn ask(client: &TestClient, event: &str) -> String {
    client.ask(event, ()).unwrap()
}

#[test]
fn a_variable_of_any_kind_keeps_what_the_connection_gave_it_and_otherwise_takes_the_new_value() {
    for (old, new, changed) in [
        ("1", "2", "7"),
        ("1.5", "2.5", "7.5"),
        ("true", "false", "false"),
        ("'a'", "'b'", "'z'"),
        ("\"old\"", "\"new\"", "\"changed\""),
        ("[1, [2]]", "[3]", "[1, [4]]"),
        (
            "#{ a: 1, b: #{ c: 2 } }",
            "#{ a: 1, b: #{ c: 3 } }",
            "#{ a: 1, b: #{ c: 5 } }",
        ),
        ("blob(2, 1)", "blob(3, 2)", "blob(1, 9)"),
    ] {
        let script = |value: &str| {
            format!(
                "fn on_connection(socket) {{
                    let x = {value};
                    socket.on(\"change\", || {{ x = {changed}; }});
                    socket.on(\"x\", || x == {changed});
                    socket.on(\"new\", || x == {new});
                }}"
            )
        };
        let mut host = TestHost::new(&script(old));
        let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
        ada.emit("change", ());
        assert_eq!(ask(&ada, "x"), "[true]", "{changed}");
        host.edit("main.rhai", &script(new));
        assert_eq!(ask(&ada, "x"), "[true]", "{changed} stays");
        assert_eq!(ask(&bob, "new"), "[true]", "{old} follows to {new}");
        assert_eq!(host.problems(), NONE);
    }
}

#[test]
fn a_value_of_a_host_type_is_compared_by_its_content() {
    for (value, shown) in [
        ("re(\"KEY\")", "x.is_match(\"new\")"),
        ("if \"KEY\" == \"new\" { 0..9 } else { 0..5 }", "7 in x"),
        ("if \"KEY\" == \"new\" { 0..=9 } else { 0..=5 }", "7 in x"),
        (
            "if \"KEY\" == \"new\" { socket.data } else { io.data }",
            "x.kind == \"new\"",
        ),
        (
            "[#{ pattern: re(\"KEY\") }]",
            "x[0].pattern.is_match(\"new\")",
        ),
        ("[io.to(\"KEY\")]", "x[0].emit(\"heard\"); 0"),
        ("io.except(\"other\").to(\"KEY\")", "x.emit(\"heard\"); 0"),
        (
            "spread([\"heard\", \"KEY\"])",
            "socket.emit(\"spread\", x); 0",
        ),
    ] {
        let script = |key: &str| {
            let value = value.replace("KEY", key);
            format!(
                "fn on_connection(socket) {{
                    socket.join(\"new\");
                    io.data.kind = \"old\";
                    socket.data.kind = \"new\";
                    let x = {value};
                    socket.on(\"x\", || {{ {shown} }});
                }}"
            )
        };
        let mut host = TestHost::new(&script("old"));
        let ada = host.connect("/").unwrap();
        let is_new = |answer: String| {
            let heard = ada.heard();
            let heard = heard.last().map_or("", String::as_str);
            answer == "[true]" || heard == "heard []" || heard == "spread [\"heard\",\"new\"]"
        };
        assert!(!is_new(ask(&ada, "x")), "{value}");
        host.edit("main.rhai", &script("new"));
        assert!(is_new(ask(&ada, "x")), "{value}");
        assert_eq!(host.problems(), NONE);
    }
}

#[test]
fn a_variable_with_another_database_follows_an_edit() {
    let script = |name: &str| {
        format!(
            "fn on_connection(socket) {{
                let database = db::named(\"{name}\");
                socket.on(\"create\", |ack| database.execute(\"create table t (a int)\", |err, n| ack.call(err == ())));
                socket.on(\"read\", |ack| database.query(\"select * from t\", |err, rows| ack.call(err == ())));
            }}"
        )
    };
    let mut host = TestHost::new(&script("old"));
    let ada = host.connect("/").unwrap();
    assert_eq!(ask(&ada, "create"), "[true]");
    host.edit("main.rhai", &script("new"));
    assert_eq!(ask(&ada, "read"), "[false]", "another database");
}

#[test]
fn a_change_inside_a_value_is_a_change_of_the_variable() {
    let script = |word: &str| {
        format!(
            "fn on_connection(socket) {{
                let list = [\"{word}\"];
                let map = #{{ deep: #{{ list: [\"{word}\"] }} }};
                socket.on(\"add\", || {{ list.push(1); map.deep.list.push(1); }});
                socket.on(\"all\", || [list, map.deep.list]);
            }}"
        )
    };
    let mut host = TestHost::new(&script("old"));
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    ada.emit("add", ());
    host.edit("main.rhai", &script("new"));
    assert_eq!(ask(&ada, "all"), "[[[\"old\",1],[\"old\",1]]]");
    assert_eq!(ask(&bob, "all"), "[[[\"new\"],[\"new\"]]]");
}

#[test]
fn handlers_that_share_a_variable_share_it_after_any_number_of_edits() {
    let script = |by: i64| {
        format!(
            "fn on_connection(socket) {{
                let n = 0;
                let add = || {{ n += {by}; n }};
                socket.on(\"a\", || {{ n += {by}; n }});
                socket.on(\"b\", || add.call());
                socket.on(\"late\", || {{ socket.off(\"c\"); socket.on(\"c\", || {{ n += {by}; n }}); }});
                set_interval(|| {{ n += {by}; }}, 1000);
            }}"
        )
    };
    let mut host = TestHost::new(&script(1));
    let client = host.connect("/").unwrap();
    let mut n = 0;
    for by in 1..6 {
        host.edit("main.rhai", &script(by));
        client.emit("late", ());
        for event in ["a", "b", "c"] {
            n += by;
            assert_eq!(ask(&client, event), format!("[{n}]"));
        }
        host.advance(1000);
        n += by;
    }
    assert_eq!(host.problems(), NONE);
}

#[test]
fn variables_appear_and_those_that_disappear_are_reported_if_they_were_changed() {
    let mut host = TestHost::new(
        "fn on_connection(socket) { let used = 0; let idle = 0;
            socket.on(\"n\", || { used += 1; idle; }); }",
    );
    let client = host.connect("/").unwrap();
    client.emit("n", ());
    host.edit(
        "main.rhai",
        "fn on_connection(socket) { let fresh = 5; socket.on(\"n\", || { fresh += 1; fresh }); }",
    );
    assert_eq!(reload(&host).lost(), ["used"]);
    assert_eq!(ask(&client, "n"), "[6]");
}

#[test]
fn the_handshake_and_its_like_are_what_they_were_at_connection_time() {
    let script = |word: &str| {
        format!(
            "fn on_connection(socket) {{
                let token = random_id();
                let since = now_ms();
                let user = socket.handshake.auth.user;
                socket.on(\"all\", || [token, since]);
                socket.on(\"user\", || `{word} ${{user}}`);
            }}"
        )
    };
    let mut host = TestHost::new(&script("old"));
    let auth = std::collections::BTreeMap::from([("user", "Ada")]);
    let client = host.connect_as("/", auth).unwrap();
    let all = ask(&client, "all");
    for word in ["new", "newer"] {
        host.edit("main.rhai", &script(word));
        assert_eq!(ask(&client, "all"), all);
        assert_eq!(ask(&client, "user"), format!("[\"{word} Ada\"]"));
    }
}

#[test]
fn helper_functions_and_hooks_follow_at_once() {
    let script = |version: i64| {
        format!(
            "fn helper() {{ {version} }}
            fn on_handshake(socket) {{ if socket.handshake.auth.refuse == true {{ throw \"refused by {version}\"; }} }}
            fn on_disconnect(socket, reason) {{ print(\"left {version}\"); }}
            fn on_connection(socket) {{ socket.on(\"late\", || {{ socket.on(\"v\", || helper()); }}); socket.on(\"w\", || helper()); }}"
        )
    };
    let mut host = TestHost::new(&script(1));
    let client = host.connect("/").unwrap();
    client.emit("late", ());
    host.edit("main.rhai", &script(2));
    assert_eq!(ask(&client, "w"), "[2]");
    assert_eq!(ask(&client, "v"), "[2]", "a late closure follows, too");
    let auth = std::collections::BTreeMap::from([("refuse", true)]);
    assert_eq!(host.connect_as("/", auth).unwrap_err().0, "refused by 2");
    client.disconnect();
    assert_eq!(host.log(), ["left 2"]);
}

#[test]
fn a_draft_that_fails_in_one_namespace_changes_nothing_in_the_others() {
    let script = |version: i64, when: &str| {
        format!(
            "fn on_connection(socket) {{ {when} socket.on(\"v\", || {version}); socket.join(\"{version}\"); }}"
        )
    };
    let mut host = TestHost::with([("a.rhai", &*script(1, "")), ("b.rhai", &*script(1, ""))]);
    let (a, b) = (host.connect("/a").unwrap(), host.connect("/b").unwrap());
    host.events();
    host.edit_all([
        ("a.rhai", &*script(2, "")),
        (
            "b.rhai",
            &*script(
                2,
                "if socket.id == \"client2\" { throw \"not for this one\"; }",
            ),
        ),
    ]);
    assert_eq!([ask(&a, "v"), ask(&b, "v")], ["[1]", "[1]"]);
    let problems = host.problems();
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].contains("not for this one") && problems[0].contains("socket `client2`"),
        "{problems:?}"
    );
    b.disconnect();
    host.edit("b.rhai", &script(3, ""));
    assert_eq!(
        ask(&a, "v"),
        "[2]",
        "what was fine is tried again with the next save"
    );
}

#[test]
fn a_running_handler_ends_on_its_version_and_what_waits_behind_it_is_the_new_ones() {
    let script = |version: i64| {
        format!(
            "fn version() {{ {version} }}
            fn on_connection(socket) {{
                let n = 0;
                socket.on(\"slow\", || {{ let began = version(); n += 1; pass(); n += 1; [began, {version}, version(), n] }});
                socket.on(\"v\", || [version(), n]);
            }}"
        )
    };
    let gate = Gate::default();
    let pass = gate.clone();
    let mut options = patchcord::Options::default();
    options.limits.time = TEST_TIMEOUT;
    let host = TestHost::build([("main.rhai", &*script(1))], |builder| {
        builder
            .options(options)
            .function("pass", move || pass.pass())
    });
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    gate.shut_after(0);
    let (done, answered) = mpsc::channel();
    thread::spawn(move || {
        let slow = ada.ask("slow", ());
        drop(done.send((ada, slow)));
    });
    gate.reached();
    let edited = edit_elsewhere(host, script(2));
    // `bob` gets no answer while the reload is at work on this very connection.
    while bob.ask("v", ()).as_deref() != Some("[[2,0]]") {
        thread::yield_now();
    }
    gate.open();
    let (ada, slow) = answered
        .recv_timeout(TEST_TIMEOUT)
        .expect("the call does not end");
    assert_eq!(slow.as_deref(), Some("[[1,1,1,2]]"));
    let host = edited
        .recv_timeout(TEST_TIMEOUT)
        .expect("the reload does not end");
    assert_eq!(ask(&ada, "v"), "[[2,2]]");
    assert_eq!(host.problems(), NONE);
}
