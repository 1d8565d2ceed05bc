//! Previews: what a save would do, without the save.

use patchcord::{
    HostEvent,
    testing::{TestClient, TestHost},
};

use crate::support::{preview::timeless, program::Place};

/// Script with state of every kind that an edit touches: variables in shared cells, closures in maps, handlers in
/// handlers, timers, rooms, `socket.data`, acks that a script waits for.
const BEFORE: &str = r#"
fn on_connection(socket) {
    let score = 0;
    let bag = #{ hp: 10, gone: 1, f: |x| x + 1 };
    let limit = 10;
    let nick = "none";
    socket.data.rank = "low";
    socket.join("team-red");
    socket.on("hit", || { score += 1; bag.hp -= 1; score });
    socket.on("see", || [score, bag.hp, bag.f.call(1), limit, nick, socket.data.rank, socket.rooms.len()]);
    socket.on("name", |to| { nick = to; });
    socket.on("old", || "old");
    socket.on("late", || { socket.on("later", || [score, "late 1"]); });
    socket.on("ask", || { socket.emit("question", |answer| { socket.emit("answered", answer, score); }); });
    let beat = set_interval(|| { score += 100; }, 1000);
    socket.on("stop", || clear_interval(beat));
}
fn on_reload(socket, before) { socket.emit("reloaded"); }
"#;

fn after() -> String {
    BEFORE
        .replace("hp: 10, gone: 1", "hp: 20, mana: 5")
        .replace("let limit = 10", "let limit = 20")
        .replace("let nick = \"none\"", "let nick = 7")
        .replace("data.rank = \"low\"", "data.rank = \"high\"")
        .replace("team-red", "team-blue")
        .replace(
            "socket.on(\"old\", || \"old\");",
            "socket.on(\"new\", || \"new\");",
        )
        .replace("late 1", "late 2")
        .replace("x + 1", "x + 2")
        .replace("score, \"late", "score, nick, limit, \"late")
}

fn play(clients: &[TestClient]) {
    for (nth, client) in clients.iter().enumerate() {
        for _ in 0..nth {
            client.emit("hit", ());
        }
        client.emit("late", ());
        client.emit("ask", ());
        if nth > 1 {
            client.emit("name", ["Ada"]);
        }
    }
}

fn seen(clients: &[TestClient]) -> Vec<(Option<String>, Vec<String>)> {
    let clients = clients.iter();
    clients
        .map(|one| (one.ask("see", ()), one.heard()))
        .collect()
}

#[test]
fn a_save_reports_what_its_preview_has_reported() {
    let host_of = || {
        let host = TestHost::new(BEFORE);
        let clients: Vec<_> = (0..4).map(|_| host.connect("/").unwrap()).collect();
        play(&clients);
        host.events();
        (host, clients)
    };
    let (mut host, clients) = host_of();
    let preview = host.preview_texts([("main.rhai", &*after())]);
    assert!(!preview.is_rejected());
    assert_eq!(host.events(), [], "a preview announces nothing");
    host.edit("main.rhai", &after());
    let reported = timeless(host.events());
    assert_eq!(timeless(preview.events), reported);
    let [
        HostEvent::Replaced {
            reload,
            version: 2,
            batch: 2,
            ..
        },
    ] = &*reported
    else {
        panic!("{reported:?}");
    };
    let rooms: usize = reload
        .rooms
        .iter()
        .map(|room| room.joined + room.left)
        .sum();
    assert_eq!((reload.rebound, rooms), (4, 8), "{reload:?}");
    assert!(
        reload.kept().contains(&"bag") && reload.retyped().contains(&"nick"),
        "{reload:?}"
    );
    // The state is as if there had been no preview.
    let (mut other, others) = host_of();
    other.edit("main.rhai", &after());
    assert_eq!(seen(&clients), seen(&others));
    for client in clients.iter().chain(&others) {
        assert_eq!(client.ask("new", ()).as_deref(), Some("[\"new\"]"));
        assert!(client.ask("later", ()).unwrap().contains("late"));
    }
}

#[test]
fn nobody_can_observe_a_preview() {
    let host = TestHost::new(BEFORE);
    let other = TestHost::new(BEFORE);
    let [(clients, _), (others, _)] = [&host, &other].map(|host| {
        let clients: Vec<_> = (0..4).map(|_| host.connect("/").unwrap()).collect();
        play(&clients);
        (clients, ())
    });
    host.advance(500);
    other.advance(500);
    for text in [
        after(),
        "fn on_connection(socket) { throw \"no\"; }".to_owned(),
        "fn".to_owned(),
    ] {
        host.preview_texts([("main.rhai", &*text)]);
        host.preview_texts([("new.rhai", &*text)]);
    }
    assert_eq!(seen(&clients), seen(&others));
    host.advance(700);
    other.advance(700);
    for (client, other) in clients.iter().zip(&others) {
        for (event, args) in [
            ("hit", ""),
            ("later", ""),
            ("name", "Bob"),
            ("old", ""),
            ("new", ""),
        ] {
            assert_eq!(
                client.ask(event, [args]),
                other.ask(event, [args]),
                "{event}"
            );
        }
        client.emit("stop", ());
        other.emit("stop", ());
    }
    host.advance(3000);
    other.advance(3000);
    assert_eq!(seen(&clients), seen(&others));
    assert_eq!(host.versions().len(), 1);
    assert!(
        host.connect("/new").is_err(),
        "the new script serves nobody"
    );
}

#[test]
fn a_preview_counts_the_connections_that_reject_a_save() {
    let mut host = TestHost::new("fn on_connection(socket) { socket.on(\"v\", || 1); }");
    let _clients: Vec<_> = (0..3).map(|_| host.connect("/").unwrap()).collect();
    host.events();
    let text = "fn on_connection(socket) { let x = #{}; x.y.z(); socket.on(\"v\", || 2); }";
    let preview = host.preview_texts([("main.rhai", text)]);
    assert!(preview.is_rejected());
    let problem = preview.problems().remove(0);
    assert!(
        problem
            .hints
            .iter()
            .any(|hint| hint == "it fails on 3 of 3 connections"),
        "{problem}"
    );
    host.edit("main.rhai", text);
    assert_eq!(timeless(preview.events), timeless(host.events()));
    // Previews the undo of a rejected save, which repairs the text.
    let undone = host.preview_texts([(
        "main.rhai",
        "fn on_connection(socket) { socket.on(\"v\", || 1); }",
    )]);
    assert!(
        matches!(&*undone.events, [HostEvent::Unchanged { version: 1, .. }]),
        "{undone:?}"
    );
}

#[test]
fn closures_that_stay_old_in_values_are_counted_on_copies() {
    let before = r#"
        fn login(socket, name) {
            let greet = #{ hi: |to| "hi " + to };
            socket.on("greet", |to| greet.hi.call(to));
        }
        fn on_connection(socket) { socket.on("login", |name| { login(socket, name); }); }
    "#;
    let after = before.replace("\"hi \" + to", "\"hi \" + to + name");
    let mut host = TestHost::new(before);
    let client = host.connect("/").unwrap();
    client.emit("login", ["Ada"]);
    host.events();
    let preview = host.preview_texts([("main.rhai", &*after)]);
    assert_eq!(
        client.ask("greet", ["Bob"]).as_deref(),
        Some("[\"hi Bob\"]")
    );
    host.edit("main.rhai", &after);
    let reported = timeless(host.events());
    assert_eq!(timeless(preview.events), reported);
    let [HostEvent::Replaced { reload, .. }] = &*reported else {
        panic!("{reported:?}");
    };
    assert_eq!(
        reload.keep_old, 1,
        "`name` is a variable that it does not have"
    );
}

#[test]
fn a_person_asks_the_running_server_what_the_files_would_change() {
    let script =
        |n: i64| format!("fn on_connection(socket) {{\n    socket.on(\"v\", || {n});\n}}\n");
    let place = Place::new(&[
        ("scripts/main.rhai", &script(1)),
        ("scripts/chat.rhai", &script(1)),
    ]);
    let _serving = place.serve(&["--port", "0", "--no-watch", "--control", "c.sock"], &[]);
    let check = |arguments: &[&str]| {
        let arguments = [&["check", "--live", "--control", "c.sock"], arguments].concat();
        let output = place.run(&arguments, &[]);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    assert_eq!(
        check(&[]),
        (0, "nothing would change\n".to_owned(), String::new())
    );
    place.write("scripts/main.rhai", &script(2));
    let (code, out, _) = check(&[]);
    assert_eq!(
        (code, &*out),
        (
            0,
            "main.rhai: version 2 of / would serve on 0 connections\n  ~ \"v\" main.rhai:2\n"
        )
    );
    place.write(
        "scripts/chat.rhai",
        "fn on_connection(socket) { socket.emti(); }",
    );
    let (code, out, err) = check(&[]);
    assert_eq!((code, &*err), (1, "error: the save would be rejected\n"));
    assert!(out.contains("unknown function `emti`"), "{out}");
    assert!(
        out.contains("chat.rhai: version 1 would keep serving\n"),
        "{out}"
    );
    // Checks only one file; the other one counts with the text that was loaded.
    let (code, out, _) = check(&["scripts/main.rhai"]);
    assert_eq!(
        (code, &*out),
        (
            0,
            "main.rhai: version 2 of / would serve on 0 connections\n  ~ \"v\" main.rhai:2\n"
        )
    );
    let (code, out, _) = check(&["--format", "json", "scripts/main.rhai"]);
    let events: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &events["events"][0]["type"]),
        (0, &"replaced".into())
    );
    let (code, _, err) = check(&["scripts"]);
    assert_eq!((code, &*err), (1, "error: the save would be rejected\n"));
    let (code, _, err) = check(&["nowhere.rhai"]);
    assert_eq!(code, 2, "{err}");
    let output = place.run(&["ctl", "--control", "c.sock", "preview", "none.rhai"], &[]);
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "error: there is no script `none.rhai`\n"
    );
}
