//! New listeners, rooms and keys in an `on_connection` that reads state: each client gets those of its own path.

use patchcord::{HostEvent, testing::TestHost};

use super::{NONE, all, ask, connect, save, serve};

/// Returns a script in which two clients play and the others watch; both kinds can get something new.
fn script(both: &str, player: &str, watcher: &str) -> String {
    format!(
        r#"fn on_connection(socket) {{
            {both}
            if io.data.incr("players", 1) > 2 {{ {watcher} socket.on("watch", || "watching"); return; }}
            let score = 0;
            {player}
            socket.on("hit", || {{ score += 1; score }});
        }}"#
    )
}

#[test]
fn a_new_listener_is_added_for_those_whose_path_it_is_on_and_nothing_else_changes() {
    let mut host = serve(&script("", "", ""));
    let clients = connect(&host, 4);
    assert_eq!(all(&clients, "hit"), ["[1]", "[1]", "-", "-"]);
    save(
        &mut host,
        &script("", "socket.on(\"jump\", || \"jumped\");", ""),
    );
    assert_eq!(
        all(&clients, "jump"),
        ["[\"jumped\"]", "[\"jumped\"]", "-", "-"]
    );
    save(
        &mut host,
        &script(
            "",
            "socket.on(\"jump\", || \"jumped\");",
            "socket.on(\"cheer\", || \"hooray\");",
        ),
    );
    assert_eq!(
        all(&clients, "cheer"),
        ["-", "-", "[\"hooray\"]", "[\"hooray\"]"]
    );
    save(
        &mut host,
        &script(
            "socket.on(\"chat\", || \"hi\");",
            "socket.on(\"jump\", || score);",
            "",
        ),
    );
    assert_eq!(all(&clients, "chat"), ["[\"hi\"]"; 4]);
    assert_eq!(all(&clients, "cheer"), ["-"; 4]);
    assert_eq!(all(&clients, "jump"), ["[1]", "[1]", "-", "-"]);
    assert_eq!(all(&clients, "hit"), ["[2]", "[2]", "-", "-"]);
    assert_eq!(
        all(&clients, "watch"),
        ["-", "-", "[\"watching\"]", "[\"watching\"]"]
    );
}

#[test]
fn new_rooms_keys_and_timers_are_added_for_those_whose_path_they_are_on() {
    let state = "socket.on(\"state\", || [\"arena\" in socket.rooms, socket.data.side]);";
    let mut host = serve(&script(state, "", ""));
    let clients = connect(&host, 3);
    let player = "socket.join(\"arena\"); socket.data.side = \"left\"; set_timeout(|| { socket.emit(\"play\"); }, 50);";
    save(
        &mut host,
        &script(state, player, "socket.data.side = \"stands\";"),
    );
    assert_eq!(
        all(&clients, "state"),
        [
            "[[true,\"left\"]]",
            "[[true,\"left\"]]",
            "[[false,\"stands\"]]"
        ]
    );
    host.advance(50);
    let heard: Vec<_> = clients
        .iter()
        .map(patchcord::testing::TestClient::heard)
        .collect();
    assert_eq!(heard, [vec!["play []"], vec!["play []"], vec![]]);
}

#[test]
fn who_was_rejected_gets_nothing_and_hears_nothing() {
    let script = |more: &str| {
        format!(
            r#"fn on_connection(socket) {{
                if io.data.has(socket.handshake.auth.name) {{ socket.emit("taken"); return; }}
                io.data.set(socket.handshake.auth.name, 1);
                {more}
                socket.on("say", || 1);
            }}"#
        )
    };
    let mut host = serve(&script(""));
    let name = std::collections::BTreeMap::from([("name", "ada")]);
    let clients = [
        host.connect_as("/", &name).unwrap(),
        host.connect_as("/", &name).unwrap(),
    ];
    assert_eq!(
        (clients[0].heard(), clients[1].heard()),
        (vec![], vec!["taken []".to_owned()])
    );
    save(&mut host, &script("socket.on(\"new\", || 2);"));
    assert_eq!(all(&clients, "new"), ["[2]", "-"]);
    assert_eq!(all(&clients, "say"), ["[1]", "-"]);
    assert_eq!((clients[0].heard(), clients[1].heard()), (vec![], vec![]));
}

#[test]
fn a_listener_that_is_removed_from_one_path_goes_from_those_on_it() {
    let both = |first: &str, second: &str| {
        format!(
            "fn on_connection(socket) {{ if io.data.incr(\"n\", 1) % 2 == 1 {{ {first} }} else {{ {second} }} }}"
        )
    };
    let a = "socket.on(\"a\", || 1);";
    let mut host = serve(&both(a, a));
    let clients = connect(&host, 4);
    save(&mut host, &both(a, ""));
    assert_eq!(all(&clients, "a"), ["[1]", "-", "[1]", "-"]);
}

#[test]
fn an_edited_limit_applies_to_newcomers_and_leaves_those_who_are_in() {
    let script = |limit: i64| {
        format!(
            r#"fn on_connection(socket) {{
                if io.data.incr("players", 1) > {limit} {{ io.data.incr("players", -1); socket.emit("full"); socket.disconnect(); return; }}
                socket.on("hit", || 1);
            }}"#
        )
    };
    let mut host = serve(&script(2));
    let clients = connect(&host, 2);
    save(&mut host, &script(3));
    assert_eq!(all(&clients, "hit"), ["[1]", "[1]"]);
    assert_eq!(
        ask(&host.connect("/").unwrap(), "hit"),
        "[1]",
        "the drafts have counted nobody"
    );
    assert_eq!(host.connect("/").unwrap().heard(), ["full []"]);
    assert_eq!((clients[0].heard(), clients[1].heard()), (vec![], vec![]));
}

#[test]
fn new_condition_reads_current_state_once() {
    let script = |check: &str| {
        format!(
            r#"fn on_connection(socket) {{
                socket.on("open", |open| {{ io.data.open = open; }});
                {check}
            }}"#
        )
    };
    let gate = "if io.data.open == true { socket.on(\"in\", || 1); }";
    let mut host = serve(&script(""));
    let client = host.connect("/").unwrap();
    client.emit("open", [true]);
    save(&mut host, &script(gate));
    assert_eq!(ask(&client, "in"), "[1]");
    client.emit("open", [false]);
    save(&mut host, &format!("// saved\n{}", script(gate)));
    assert_eq!(
        ask(&client, "in"),
        "[1]",
        "it has read `true`, once for all"
    );
    save(&mut host, &script(&gate.replace("|| 1", "|| 2")));
    assert_eq!(ask(&client, "in"), "[2]");
}

#[test]
fn an_edit_that_fails_on_some_says_on_how_many_and_groups_them_by_reason() {
    let script = |check: &str| {
        format!(
            r#"fn on_connection(socket) {{
                socket.on("v", || 1);
                {check}
            }}"#
        )
    };
    let mut host = serve(&script(""));
    let clients = connect(&host, 5);
    host.events();
    host.edit(
        "main.rhai",
        &script("if socket.id == \"client1\" { throw \"first\"; } if socket.id != \"client5\" { throw \"others\"; } socket.on(\"w\", || 2);"),
    );
    let rejected = host.events().into_iter().find_map(|event| match event {
        HostEvent::Rejected { diagnostics, .. } => Some(
            diagnostics
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
        ),
        _ => None,
    });
    let texts = rejected.expect("it is refused");
    assert_eq!(texts.len(), 2, "one for each reason: {texts:#?}");
    let of = |reason: &str| {
        texts
            .iter()
            .find(|text| text.starts_with(&format!("error: {reason}")))
            .unwrap_or_else(|| panic!("{reason}: {texts:#?}"))
    };
    assert!(of("first").contains("1 of 5"), "{texts:#?}");
    assert!(of("others").contains("3 of 5"), "{texts:#?}");
    assert_eq!(all(&clients, "w"), ["-"; 5]);
    assert_eq!(all(&clients, "v"), ["[1]"; 5]);
}

#[test]
fn a_draft_does_nothing_that_anybody_can_see() {
    let script = |v: i64| {
        format!(
            r#"fn on_connection(socket) {{
                let n = io.data.incr("n", 1);
                io.data.push("log", {v}, 99);
                for other in io.sockets {{ other.emit("hello", {v}); other.data.seen = {v}; other.join("met"); }}
                io.emit("joined", {v}); print({v});
                set_timeout(|| {{ socket.emit("later", {v}); }}, 50);
                socket.on("state", || [n, io.data.n, io.data.log]);
            }}"#
        )
    };
    let mut host = TestHost::new(&script(1));
    let clients = connect(&host, 2);
    host.advance(60);
    clients.iter().for_each(|client| drop(client.heard()));
    let before = all(&clients, "state");
    host.events();
    host.edit("main.rhai", &script(2));
    assert_eq!(host.log(), NONE);
    assert_eq!((clients[0].heard(), clients[1].heard()), (vec![], vec![]));
    assert_eq!(all(&clients, "state"), before);
}
