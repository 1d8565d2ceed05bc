//! The report of a save: what changed in the code, and for how many connections.

use patchcord::{
    HostEvent,
    event::{ChangeKind, Reload},
    host::{OnRebindFailure, Options},
    testing::TestHost,
};

const NONE: [&str; 0] = [];

/// Returns the reports of the events so far, with the namespaces.
fn reports(host: &TestHost) -> Vec<(String, Reload)> {
    let events = host.events().into_iter();
    let reports = events.filter_map(|event| match event {
        HostEvent::Replaced {
            namespace, reload, ..
        }
        | HostEvent::RolledBack {
            namespace, reload, ..
        } => Some((namespace.to_string(), reload)),
        _ => None,
    });
    reports.collect()
}

fn report(host: &TestHost) -> Reload {
    let mut reports = reports(host);
    assert_eq!(reports.len(), 1, "{reports:?}");
    reports.remove(0).1
}

/// Saves another text of a script without clients, and returns the report of its code.
fn code(old: &str, new: &str) -> Vec<String> {
    let mut host = TestHost::new(old);
    host.edit("main.rhai", new);
    assert_eq!(host.problems(), NONE);
    let mut host = TestHost::new(old);
    host.edit("main.rhai", new);
    report(&host).details("main.rhai")
}

const CHAT: &str = r#"const MAX = 5;
fn say(text) { `said ${text}` }
fn on_load() { set_interval(|| { io.emit("tick"); }, 1000); }
fn on_connection(socket) {
    let limit = 10;
    socket.on("chat message", |text| { limit += 1; say(text) });
    socket.on("login", || {
        socket.on("late", || 1);
        set_timeout(|| { socket.emit("ask", |answer| { print(answer); }); }, 500);
    });
    socket.on("line", || 2);
}
"#;

#[test]
fn code_that_differs_is_reported_by_its_event_with_file_and_line() {
    for (from, to, report) in [
        (
            "say(text) });",
            "say(text + text) });",
            "~ \"chat message\" main.rhai:6",
        ),
        ("|| 1);", "|| 3);", "~ \"late\" main.rhai:8"),
        ("print(answer)", "print(2)", "~ emit \"ask\" main.rhai:9"),
        (
            "io.emit(\"tick\")",
            "io.emit(\"tock\")",
            "~ set_interval main.rhai:3",
        ),
        ("}, 1000)", "}, 2000)", "~ set_interval main.rhai:3"),
        ("}, 500)", "}, 600)", "~ set_timeout main.rhai:9"),
        ("`said ${text}`", "`says ${text}`", "~ fn say main.rhai:2"),
        ("const MAX = 5", "const MAX = 6", "~ const MAX main.rhai:1"),
        (
            "const MAX = 5;",
            "const MAX = 5; const MIN = 1;",
            "+ const MIN main.rhai:1",
        ),
        (
            "let limit = 10",
            "let limit = 20",
            "~ let limit main.rhai:5",
        ),
        (
            "let limit = 10;",
            "let limit = 10; print(1);",
            "~ fn on_connection main.rhai:4",
        ),
        (
            "    let limit",
            "    socket.on(\"typing\", || 4);\n    let limit",
            "+ \"typing\" main.rhai:5",
        ),
        ("    socket.on(\"line\", || 2);\n", "", "- \"line\""),
        (
            "\"line\"",
            "\"message\"",
            "~ \"line\" -> \"message\" main.rhai:11",
        ),
        (
            "const MAX",
            "fn idle() { }\nconst MAX",
            "+ fn idle main.rhai:1",
        ),
        (
            "const MAX = 5;",
            "const MAX = 5; if MAX > 9 { throw 1; }",
            "~ top level main.rhai:1",
        ),
        ("        socket.on(\"late\", || 1);\n", "", "- \"late\""),
    ] {
        assert!(CHAT.contains(from), "{from}");
        assert_eq!(
            code(CHAT, &CHAT.replace(from, to)),
            [report],
            "{from} -> {to}"
        );
    }
    let renamed = CHAT.replace("say(text)", "speak(text)");
    assert_eq!(
        code(CHAT, &renamed),
        ["~ fn say -> fn speak main.rhai:2    ~ \"chat message\" :6"]
    );
}

#[test]
fn comments_layout_and_moved_code_are_no_change() {
    let moved = CHAT
        .replace("    socket.on(\"line\", || 2);\n", "")
        .replace(
            "fn say",
            "fn lines(socket) {\n    socket.on(\"line\", || 2);\n}\nfn say",
        );
    let moved = moved.replace("    let limit", "    lines(socket);\n    let limit");
    for (text, report) in [
        (format!("// a comment\n\n{CHAT}"), vec![]),
        (
            CHAT.replace("    ", "\t").replace("|| 1", "|| /* one */ 1"),
            vec![],
        ),
        // Only the place of the listener is different.
        (
            moved,
            vec!["+ fn lines main.rhai:2    ~ fn on_connection :7"],
        ),
    ] {
        assert_eq!(code(CHAT, &text), report, "{text}");
    }
}

#[test]
fn a_closure_that_moved_and_changed_says_where_it_was() {
    let old = "fn on_connection(socket) {\n socket.on(\"login\", || { socket.on(\"say\", |text| print(`${text} 1`)); });\n}";
    let new = "fn on_connection(socket) {\n socket.on(\"say\", |text| print(`${text} 2`));\n socket.on(\"login\", || { 0; });\n}";
    assert_eq!(
        code(old, new),
        ["~ \"say\" main.rhai:2 (was main.rhai:2)    ~ \"login\" :3"]
    );
}

#[test]
fn a_save_that_changes_nothing_for_anyone_is_known_as_such() {
    let mut host = TestHost::new(CHAT);
    let _client = host.connect("/").unwrap();
    host.edit("main.rhai", &format!("{CHAT}// the end"));
    let same = report(&host);
    assert!(same.changes_nothing(), "{same:?}");
    assert_eq!(same.rebound, 1);
    host.edit("main.rhai", &CHAT.replace("|| 2", "|| 3"));
    assert!(!report(&host).changes_nothing());
}

fn with_limit(limit: &str) -> String {
    format!(
        "fn on_connection(socket) {{
            let limit = {limit};
            socket.data.color = \"{limit}\";
            socket.on(\"limit\", |l| {{ limit = l; }});
            socket.on(\"color\", |c| {{ socket.data.color = c; }});
        }}"
    )
}

#[test]
fn a_variable_is_reported_with_both_values_and_the_connections_that_follow_or_keep() {
    let mut host = TestHost::new(&with_limit("10"));
    let clients: Vec<_> = (0..5).map(|_| host.connect("/").unwrap()).collect();
    clients[0].emit("limit", [77]);
    clients[1].emit("limit", [78]);
    clients[2].emit("color", ["red"]);
    host.events();
    host.edit("main.rhai", &with_limit("20"));
    let followed = report(&host);
    let counts: Vec<_> = followed
        .variables
        .iter()
        .map(|v| {
            (
                &*v.name,
                v.from.as_deref(),
                v.to.as_deref(),
                v.followed,
                v.kept,
            )
        })
        .collect();
    assert_eq!(
        counts,
        [
            ("limit", Some("10"), Some("20"), 3, 2),
            ("socket.data.color", Some("\"10\""), Some("\"20\""), 4, 1),
        ]
    );
    assert_eq!(
        followed.details("main.rhai"),
        [
            "~ fn on_connection main.rhai:1",
            "limit 10 -> 20 on 3, kept on 2    socket.data.color \"10\" -> \"20\" on 4, kept on 1"
        ]
    );
    let written = serde_json::to_value(&followed).unwrap();
    assert_eq!(written["variables"][0]["kept"], 2);
    assert_eq!(written["code"][0]["name"], "fn on_connection");
}

#[test]
fn a_reset_because_of_the_type_a_map_with_new_keys_and_a_gone_key_are_reported() {
    let script = |items: &str, player: &str, data: &str| {
        format!(
            "fn on_connection(socket) {{
                let items = {items};
                let player = {player};
                {data}
                socket.on(\"set\", |i| {{ items = i; player.hp = i; socket.data.other = i; }});
            }}"
        )
    };
    let data = "socket.data.color = \"red\"; socket.data.size = 1;";
    let mut host = TestHost::new(&script("0", "#{ hp: 10 }", data));
    let (ada, _bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    ada.emit("set", [3]);
    host.events();
    host.edit(
        "main.rhai",
        &script(
            "[]",
            "#{ hp: 10, mana: 5 }",
            "socket.data.size = 1; socket.data.age = 2;",
        ),
    );
    let report = report(&host);
    assert_eq!(report.retyped(), ["items"]);
    assert_eq!(
        report.details("main.rhai")[1..],
        [
            "items 0 -> [] on 1, with another type on 1    player #{\"hp\": 10} -> #{\"hp\": 10, \"mana\": 5} on 1, new keys on 1",
            "socket.data.age = 2 on 2    socket.data.color \"red\" removed on 2",
        ]
    );
}

fn with_name(declaration: &str, name: &str, more: &str) -> String {
    format!(
        "fn other(socket) {{ {more} }}
        fn on_connection(socket) {{
            {declaration}
            socket.on(\"name\", |n| {{ {name} = n; }});
            other(socket);
        }}"
    )
}

#[test]
fn lost_values_come_with_the_new_name_if_there_is_only_one_of_the_type_in_the_function() {
    let old = with_name("let nick = \"\";", "nick", "");
    for (declaration, name, more, report) in [
        (
            "let name = \"\";",
            "name",
            "",
            "nick: 2 values lost; renamed to `name`?",
        ),
        // The value of `name` is `()`, which has another type than the lost values.
        ("let name = ();", "name", "", "nick: 2 values lost"),
        ("let name = 0;", "name", "", "nick: 2 values lost"),
        (
            "let name = \"\"; let title = \"\";",
            "name = title; title",
            "",
            "nick: 2 values lost",
        ),
        (
            "let name = \"\"; let count = 0;",
            "count += 1; name",
            "",
            "nick: 2 values lost; renamed to `name`?",
        ),
        // The new variable of the type is in another function.
        (
            "let unused = 0;",
            "unused",
            "let title = \"\"; socket.on(\"title\", |t| { title = t; });",
            "nick: 2 values lost",
        ),
    ] {
        let mut host = TestHost::new(&old);
        let clients: Vec<_> = (0..3).map(|_| host.connect("/").unwrap()).collect();
        clients[0].emit("name", ["Ada"]);
        clients[1].emit("name", ["Bob"]);
        host.events();
        host.edit("main.rhai", &with_name(declaration, name, more));
        let details = self::report(&host).details("main.rhai");
        assert!(
            details.contains(&report.to_owned()),
            "{declaration}: {details:?}"
        );
    }
}

#[test]
fn closures_that_keep_an_older_text_are_grouped_by_place_and_reason() {
    let script = |say: &str| {
        format!(
            "fn login(socket, room) {{
    socket.on(\"say\", |text| {{ {say} }});
}}
fn on_connection(socket) {{
    socket.on(\"login\", |room| {{ login(socket, room); }});
}}"
        )
    };
    let mut host = TestHost::new(&script("1"));
    let clients: Vec<_> = (0..4).map(|_| host.connect("/").unwrap()).collect();
    clients[..3]
        .iter()
        .for_each(|client| client.emit("login", ["hall"]));
    host.events();
    host.edit("main.rhai", &script("room"));
    let first = report(&host);
    assert_eq!((first.keep_old, first.stale.len()), (3, 1));
    assert_eq!((first.stale[0].line, first.stale[0].connections), (2, 3));
    assert_eq!(
        first.details("main.rhai"),
        [
            "~ \"say\" main.rhai:2",
            "! \"say\" :2 stays version 1 on 3: captures `room`, which they do not have"
        ]
    );
    assert_eq!(clients[0].ask("say", ["x"]).as_deref(), Some("[1]"));
    // The closures still do after a save that changes nothing, and that save does not report it again.
    host.edit("main.rhai", &format!("{}\n", script("room")));
    let same = report(&host);
    assert!(same.changes_nothing());
    assert_eq!(same.keep_old, 3);
}

#[test]
fn a_closure_whose_code_is_gone_stays_old_only_where_something_holds_it() {
    let held = "fn on_connection(socket) {\n socket.on(\"keep\", || { io.data.x = 1; });\n let f = || 17;\n socket.on(\"f\", || f.call());\n}";
    let gone = "fn on_connection(socket) {\n let f = ();\n socket.on(\"f\", || f.call());\n}";
    let mut host = TestHost::new(held);
    let client = host.connect("/").unwrap();
    host.edit("main.rhai", gone);
    let report = report(&host);
    assert!(
        report.stale.iter().all(|stale| stale.name == "closure f"),
        "{report:?}"
    );
    assert_eq!(client.ask("keep", ()), None);
}

#[test]
fn an_event_that_clients_have_just_sent_is_removed_with_their_number() {
    let script =
        |line: &str| format!("fn on_connection(socket) {{ socket.on(\"a\", || 1); {line} }}");
    let mut host = TestHost::new(&script("socket.on(\"line\", || 2);"));
    let clients: Vec<_> = (0..3).map(|_| host.connect("/").unwrap()).collect();
    clients[..2]
        .iter()
        .for_each(|client| drop(client.ask("line", ())));
    host.events();
    host.edit("main.rhai", &script(""));
    let removed = report(&host);
    assert_eq!(
        (removed.silent[0].connections, removed.silent[0].recent),
        (3, 2)
    );
    assert_eq!(removed.removed, 3);
    assert_eq!(
        removed.details("main.rhai"),
        ["- \"line\" (2 clients sent it in the last minute)"]
    );
    host.edit("main.rhai", &script("socket.on(\"row\", || 2);"));
    let added = report(&host);
    assert_eq!((added.added, added.code[0].kind), (3, ChangeKind::Added));
    clients[..1]
        .iter()
        .for_each(|client| drop(client.ask("row", ())));
    host.edit("main.rhai", &script("socket.on(\"text\", || 2);"));
    assert_eq!(
        report(&host).details("main.rhai"),
        ["~ \"row\" -> \"text\" main.rhai:1 (1 client sent it in the last minute)"]
    );
}

#[test]
fn rooms_that_connections_join_and_leave_are_reported_by_name() {
    let script = |room: &str| format!("fn on_connection(socket) {{ socket.join(\"{room}\"); }}");
    let mut host = TestHost::new(&script("hall"));
    let _clients: Vec<_> = (0..2).map(|_| host.connect("/").unwrap()).collect();
    host.edit("main.rhai", &script("lobby"));
    assert_eq!(
        report(&host).details("main.rhai"),
        [
            "~ fn on_connection main.rhai:1",
            "room `hall` left on 2    room `lobby` joined on 2"
        ]
    );
}

#[test]
fn of_many_names_the_first_are_listed_in_lines_of_limited_length() {
    let script = |rooms: &str| format!("fn on_connection(socket) {{ {rooms} }}");
    let mut host = TestHost::new(&script(""));
    let _client = host.connect("/").unwrap();
    host.edit(
        "main.rhai",
        &script("for n in 0..30 { socket.join(`room ${n}`); }"),
    );
    let report = report(&host);
    assert_eq!(report.rooms.len(), 30);
    let details = report.details("main.rhai");
    assert!(details.iter().all(|line| line.len() <= 110), "{details:#?}");
    let rooms = details.iter().map(|line| line.matches("room `").count());
    assert_eq!(rooms.sum::<usize>(), 20);
    assert!(
        details.last().unwrap().ends_with("and 10 more"),
        "{details:#?}"
    );
}

#[test]
fn failures_of_on_connection_are_reported_by_reason_with_numbers() {
    let script = |problem: &str, n: i64| {
        format!(
            "fn on_load() {{ let big = \"\"; big.pad(5000, 'x'); io.data.big = big; }}
fn on_connection(socket) {{
    socket.on(\"spoil\", |what| {{ io.data[socket.id] = what; }});
    // Too much to be kept: the draft sees what there is now.
    let what = io.data.big; what = io.data[socket.id];
    if what == \"old\" {{ throw \"no\"; }}
    {problem}
    socket.on(\"n\", || {n});
}}"
        )
    };
    let mut options: Options = patchcord::testing::options();
    options.reload.on_rebind_failure = OnRebindFailure::Disconnect;
    let old = script("", 1);
    let mut host = TestHost::build([("main.rhai", &*old)], |b| b.options(options));
    let clients: Vec<_> = (0..6).map(|_| host.connect("/").unwrap()).collect();
    for (client, what) in clients.iter().zip(["old", "old", "a", "a", "b"]) {
        client.emit("spoil", [what]);
    }
    host.events();
    let problem = "if what == \"a\" || what == \"b\" { throw what; }";
    host.edit("main.rhai", &script(problem, 2));
    let failed = report(&host);
    assert_eq!((failed.failing, failed.disconnected), (2, 3));
    let details = failed.details("main.rhai");
    assert_eq!(
        details[details.len() - 3..],
        [
            "! `on_connection` fails on 2 as before: no (main.rhai:6)",
            "! 2 disconnected, `on_connection` fails on them: a (main.rhai:7)",
            "! 1 disconnected, `on_connection` fails on them: b (main.rhai:7)",
        ]
    );
}

#[test]
fn a_batch_reports_the_code_of_a_shared_file_once() {
    let lib = |n: i64| format!("fn n() {{ {n} }}");
    let main = "import \"lib/n\" as n; fn on_connection(socket) { socket.on(\"n\", || n::n()); }";
    let mut host = TestHost::with([
        ("main.rhai", main),
        ("chat.rhai", main),
        ("lib/n.rhai", &*lib(1)),
    ]);
    host.edit("lib/n.rhai", &lib(2));
    let reports = reports(&host);
    let details: Vec<_> = reports
        .iter()
        .map(|(_, reload)| reload.details("x"))
        .collect();
    assert_eq!(details, [vec!["~ fn n lib/n.rhai:1".to_owned()], vec![]]);
    assert!(
        reports
            .iter()
            .all(|(_, reload)| reload.code.len() == 1 && !reload.changes_nothing())
    );
}

#[test]
fn a_rollback_has_the_report_of_a_save() {
    let mut host = TestHost::new(&with_limit("10"));
    let _client = host.connect("/").unwrap();
    host.edit("main.rhai", &with_limit("20"));
    host.events();
    host.rollback("/").unwrap();
    assert_eq!(
        report(&host).details("main.rhai")[1],
        "limit 20 -> 10 on 1    socket.data.color \"20\" -> \"10\" on 1"
    );
}

/// Returns the announced events without a listener: the event, the version that lacks its listener, and the number of
/// clients.
fn unheard(host: &TestHost) -> Vec<(String, Option<u64>, usize)> {
    let events = host.events().into_iter();
    let unheard = events.filter_map(|event| match event {
        HostEvent::Unheard {
            event,
            since,
            clients,
            ..
        } => Some((event, since, clients)),
        _ => None,
    });
    unheard.collect()
}

#[test]
fn an_event_whose_listener_is_gone_or_renamed_is_announced_once_with_the_clients_that_send_it() {
    let script = |event: &str| {
        format!(
            "fn on_connection(socket) {{ socket.on(\"{event}\", |x| x); socket.on(\"b\", || 1); }}"
        )
    };
    let mut host = TestHost::new(&script("line"));
    let clients: Vec<_> = (0..3).map(|_| host.connect("/").unwrap()).collect();
    let send = |host: &TestHost, event: &str| {
        for client in &clients[..2] {
            client.emit(event, [1]);
            client.emit(event, [2]);
        }
        host.advance(10_001);
        unheard(host)
    };
    // `other` never had a listener; the others of the script still have one.
    assert_eq!(send(&host, "other"), [("other".to_owned(), None, 1)]);
    host.edit("main.rhai", &script("message"));
    assert_eq!(send(&host, "other"), []);
    assert_eq!(send(&host, "message"), []);
    assert_eq!(send(&host, "line"), [("line".to_owned(), Some(2), 2)]);
    assert_eq!(send(&host, "line"), []);
    // Nothing is announced for a further version without the listener.
    host.edit("main.rhai", &format!("{}//", script("message")));
    assert_eq!(send(&host, "line"), []);
    host.edit("main.rhai", &script("line"));
    assert_eq!(send(&host, "line"), []);
    assert_eq!(send(&host, "message"), [("message".to_owned(), Some(4), 2)]);
    host.edit(
        "main.rhai",
        "fn on_connection(socket) { socket.on_any(|event, args| { }); }",
    );
    assert_eq!(send(&host, "line"), [], "it is heard by all events");
    host.edit("main.rhai", "fn on_connection(socket) { }");
    assert_eq!(send(&host, "line"), [("line".to_owned(), Some(5), 2)]);
}

#[test]
fn an_event_that_nobody_ever_listened_to_is_announced_once_with_the_similar_name() {
    let host = TestHost::new(
        r#"fn on_connection(socket) {
            socket.on("chat message", |text| text);
            socket.on("log in", || { socket.on("start", || 1); socket.on("quit", || 2); });
        }"#,
    );
    let clients = [host.connect("/").unwrap(), host.connect("/").unwrap()];
    let send = |host: &TestHost, event: &str| {
        for client in &clients {
            client.emit(event, [1]);
        }
        let events = host.events().into_iter();
        let texts = events.filter_map(|event| match event {
            HostEvent::Unheard { event, similar, .. } => Some((event, similar)),
            _ => None,
        });
        texts.collect::<Vec<_>>()
    };
    let similar = Some("chat message".to_owned());
    assert_eq!(
        send(&host, "chat mesage"),
        [("chat mesage".to_owned(), similar)]
    );
    assert_eq!(send(&host, "chat mesage"), []);
    // The script has a listener for `start`, which these clients have not registered yet.
    assert_eq!(send(&host, "start"), []);
    assert_eq!(send(&host, "chat message"), []);
    // Names of events from clients must not fill up the log.
    assert_eq!(send(&host, &"x".repeat(10_000)), []);
    let many = (0..200).flat_map(|n| send(&host, &n.to_string()));
    assert_eq!(many.count(), 48, "50 names of a script");
}

#[test]
fn a_name_that_is_not_a_literal_counts_as_a_listener_too() {
    let script = |prefix: &str| {
        format!("fn on_connection(socket) {{ socket.on(`{prefix}-${{1 + 1}}`, || 1); }}")
    };
    let mut host = TestHost::new(&script("team"));
    let client = host.connect("/").unwrap();
    assert_eq!(client.ask("team-2", ()).as_deref(), Some("[1]"));
    host.events();
    host.edit("main.rhai", &script("squad"));
    assert_eq!(client.ask("team-2", ()), None);
    let details = report(&host).details("main.rhai");
    assert!(
        details.contains(&"- \"team-2\" on 1".to_owned()),
        "{details:?}"
    );
    host.advance(10_001);
    assert_eq!(unheard(&host), [("team-2".to_owned(), Some(2), 1)]);
}

#[test]
fn a_new_variable_that_a_draft_lends_to_a_live_closure_keeps_its_initial_value() {
    let script = |name: &str| {
        format!(
            "fn on_connection(socket) {{
                let {name} = \"nobody\";
                socket.on(\"set\", |n| {{ {name} = n; }});
                socket.on(\"get\", || {name});
            }}"
        )
    };
    let mut host = TestHost::new(&script("nick"));
    let client = host.connect("/").unwrap();
    host.edit("main.rhai", &script("name"));
    assert_eq!(client.ask("get", ()).as_deref(), Some("[\"nobody\"]"));
    client.emit("set", ["Ada"]);
    assert_eq!(client.ask("get", ()).as_deref(), Some("[\"Ada\"]"));
}
