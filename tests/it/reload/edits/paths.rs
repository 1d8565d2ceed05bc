//! Saves that change nothing, where `on_connection` takes a path that depends on something outside: each client stays
//! on its own path.

use patchcord::testing::{TestClient, TestHost};

use super::{NONE, all, ask, connect, save, save_nothing, serve};

/// Script in which two clients may play.
const PLAYERS: &str = r#"fn on_connection(socket) {
    if io.data.incr("players", 1) > 2 { io.data.incr("players", -1); socket.emit("full"); socket.disconnect(); return; }
    let score = 0;
    socket.on("hit", || { score += 1; score });
    socket.on("disconnect", |reason| { io.data.incr("players", -1); });
}"#;

#[test]
fn a_full_room_stays_playable_and_becomes_free_again() {
    let mut host = serve(PLAYERS);
    let players = connect(&host, 2);
    let rejected = host.connect("/").unwrap();
    assert_eq!(rejected.heard(), ["full []"]);
    let mut hits = 0;
    save_nothing(&mut host, PLAYERS, |_, text| {
        hits += 1;
        let score = format!("[{hits}]");
        assert_eq!(all(&players, "hit"), [score.clone(), score], "{text}");
        assert_eq!(players[0].heard(), NONE, "{text}");
    });
    players[0].disconnect();
    let next = host.connect("/").unwrap();
    assert_eq!(next.heard(), NONE);
    assert_eq!(ask(&next, "hit"), "[1]");
    assert_eq!(host.connect("/").unwrap().heard(), ["full []"]);
}

#[test]
fn a_limit_by_the_number_of_sockets_is_not_asked_again() {
    let script = r#"fn on_connection(socket) {
        if io.sockets.len() > 2 { socket.on("watch", || "watching"); return; }
        socket.on("play", || "playing");
    }"#;
    let mut host = serve(script);
    let clients = connect(&host, 4);
    save_nothing(&mut host, script, |_, text| {
        assert_eq!(
            all(&clients, "play"),
            ["[\"playing\"]", "[\"playing\"]", "-", "-"],
            "{text}"
        );
        assert_eq!(
            all(&clients, "watch"),
            ["-", "-", "[\"watching\"]", "[\"watching\"]"],
            "{text}"
        );
    });
}

/// Returns scripts, each with its `on_disconnect`, that give `start` only to the first client.
fn hosts() -> [(&'static str, &'static str); 3] {
    let leave = r#"fn on_disconnect(socket, reason) { if io.data.host == socket.id { io.data.remove("host"); } }"#;
    let first = r#"let is_host = io.data.host == ();
        if is_host { io.data.host = socket.id; socket.on("start", || "started"); }"#;
    let init =
        r#"if io.data.init("host", socket.id) == socket.id { socket.on("start", || "started"); }"#;
    let alone = r#"if io.sockets.len() == 1 { socket.on("start", || "started"); }"#;
    [(leave, first), (leave, init), ("", alone)]
}

#[test]
fn a_save_takes_no_handler_from_the_host_and_grants_none_to_a_guest() {
    for (leave, body) in hosts() {
        let script = format!("{leave}\nfn on_connection(socket) {{\n{body}\n}}");
        let mut host = serve(&script);
        let mut clients = connect(&host, 3);
        save_nothing(&mut host, &script, |_, text| {
            assert_eq!(
                all(&clients, "start"),
                ["[\"started\"]", "-", "-"],
                "{text}"
            );
        });
        clients.remove(0).disconnect();
        save_nothing(&mut host, &script, |_, text| {
            assert_eq!(all(&clients, "start"), ["-", "-"], "{text}");
        });
        // A real edit does not give `start` to the others either.
        save(&mut host, &script.replace("\"started\"", "\"begun\""));
        assert_eq!(all(&clients, "start"), ["-", "-"], "{script}");
    }
}

#[test]
fn the_handlers_of_an_admin_stay_with_the_admin_whose_role_changes_later() {
    let script = r#"fn on_connection(socket) {
        socket.on("become", |role| { socket.data.role = role; });
        if socket.data.init("role", socket.handshake.auth.role) == "admin" { socket.on("ban", || "banned"); }
    }"#;
    let mut host = serve(script);
    let role = |role: &str| std::collections::BTreeMap::from([("role", role.to_owned())]);
    let clients = [
        host.connect_as("/", role("admin")).unwrap(),
        host.connect_as("/", role("guest")).unwrap(),
    ];
    clients[0].emit("become", ["guest"]);
    clients[1].emit("become", ["admin"]);
    save_nothing(&mut host, script, |_, text| {
        assert_eq!(all(&clients, "ban"), ["[\"banned\"]", "-"], "{text}");
    });
    save(&mut host, &script.replace("banned", "gone"));
    assert_eq!(all(&clients, "ban"), ["[\"gone\"]", "-"]);
}

/// Checks a client that `check` admitted by something that is used up: the client keeps its access.
fn used_up(check: &str) {
    let script = format!(
        r#"fn on_load() {{ io.data.init("ticket", "gold"); }}
        fn on_connection(socket) {{
            {check}
            let count = 0;
            socket.on("count", || {{ count += 1; count }});
        }}"#
    );
    let mut host = serve(&script);
    let client = host
        .connect_as("/", std::collections::BTreeMap::from([("name", "ada")]))
        .unwrap();
    assert_eq!(ask(&client, "count"), "[1]", "{script}");
    let mut count = 1;
    save_nothing(&mut host, &script, |host, text| {
        count += 1;
        assert_eq!(ask(&client, "count"), format!("[{count}]"), "{text}");
        assert_eq!(host.problems(), NONE, "{text}");
    });
    // The code inside follows the edit, and `check` does not run again.
    save(&mut host, &script.replace("count += 1;", "count += 100;"));
    assert_eq!(
        ask(&client, "count"),
        format!("[{}]", count + 100),
        "{script}"
    );
}

#[test]
fn a_one_time_ticket_is_not_asked_for_again() {
    used_up(r#"if io.data.remove("ticket") == () { throw "no ticket"; }"#);
    used_up(r#"if io.data.remove("ticket") == () { return; }"#);
    used_up(
        r#"if io.data.remove("ticket") == () { socket.emit("no"); socket.disconnect(); return; }"#,
    );
}

#[test]
fn a_taken_name_is_not_refused_to_the_one_who_has_it() {
    used_up(
        r#"let name = socket.handshake.auth.name;
        if io.data.has(name) { throw "taken"; } io.data[name] = socket.id;"#,
    );
    used_up(
        r#"let name = socket.handshake.auth.name;
        if io.data.has(name) { return; } io.data[name] = socket.id;"#,
    );
    used_up(
        r#"let names = io.data.get("names", []);
        if socket.handshake.auth.name in names { throw "taken"; } io.data.push("names", socket.handshake.auth.name, 9);"#,
    );
    used_up(
        r#"for other in io.sockets { if other.data.name == socket.handshake.auth.name { throw "taken"; } }
        socket.data.name = socket.handshake.auth.name;"#,
    );
}

#[test]
fn edit_does_not_redraw_random_value() {
    used_up(r#"if io.data.incr("seats", 1) > 1 { throw "full"; }"#);
    used_up(r#"if io.data.incr("seats", 1) > 1 { return; }"#);
    used_up(r#"io.data.update("seats", 0, |n| n + 1); if io.data.seats > 1 { throw "full"; }"#);
}

#[test]
fn what_chance_gave_stays_with_whoever_has_it() {
    for chance in [
        "rand_bool()",
        "rand(1, 6) > 3",
        "rand_float() < 0.5",
        "now_ms() % 2 == 0",
        "random_id() > \"V\"",
    ] {
        let script = format!(
            "fn on_connection(socket) {{\nif {chance} {{ socket.on(\"win\", || \"won\"); }}\n}}"
        );
        let mut host = serve(&script);
        let clients = connect(&host, 16);
        let before = all(&clients, "win");
        save_nothing(&mut host, &script, |_, text| {
            assert_eq!(all(&clients, "win"), before, "{text}");
        });
        save(&mut host, &script.replace("won", "better"));
        let after: Vec<_> = before
            .iter()
            .map(|answer| answer.replace("won", "better"))
            .collect();
        assert_eq!(all(&clients, "win"), after, "{script}");
    }
}

#[test]
fn an_edited_prefix_of_a_room_follows_the_team_that_each_client_got() {
    let script = r#"fn on_connection(socket) {
        let team = if io.data.incr("n", 1) % 2 == 1 { "red" } else { "blue" };
        socket.join("team-" + team);
        socket.on("rooms", || { let rooms = []; for room in socket.rooms { if room != socket.id { rooms.push(room); } } rooms });
    }"#;
    let mut host = serve(script);
    let clients = connect(&host, 3);
    save(&mut host, &script.replace("team-", "squad-"));
    assert_eq!(
        all(&clients, "rooms"),
        [
            "[[\"squad-red\"]]",
            "[[\"squad-blue\"]]",
            "[[\"squad-red\"]]"
        ]
    );
    let fourth = host.connect("/").unwrap();
    assert_eq!(
        ask(&fourth, "rooms"),
        "[[\"squad-blue\"]]",
        "no draft has drawn a number"
    );
}

#[test]
fn an_edited_prefix_follows_what_chance_and_a_function_of_the_program_gave() {
    let script = r#"fn on_connection(socket) {
        let team = rand(1, 1000000);
        let turn = next();
        socket.join("team-" + team);
        socket.data.turn = `turn-${turn}`;
        socket.on("seen", || { let rooms = []; for room in socket.rooms { if room != socket.id { rooms.push(room); } } [rooms, socket.data.turn] });
    }"#;
    let calls = std::sync::atomic::AtomicI64::new(0);
    let mut host = TestHost::build([("main.rhai", script)], |builder| {
        builder.function("next", move || {
            calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
        })
    });
    let clients: Vec<TestClient> = connect(&host, 3);
    let before = all(&clients, "seen");
    save(
        &mut host,
        &script.replace("team-", "squad-").replace("turn-", "at-"),
    );
    let after: Vec<_> = before
        .iter()
        .map(|text| text.replace("team-", "squad-").replace("turn-", "at-"))
        .collect();
    assert_eq!(all(&clients, "seen"), after);
}

#[test]
fn what_the_handshake_checked_is_not_checked_again() {
    let script = r#"fn on_load() { io.data.init("ticket", 1); }
    fn on_handshake(socket) { if io.data.remove("ticket") == () { throw "no ticket"; } socket.data.vip = true; }
    fn on_connection(socket) {
        if socket.data.vip == true { socket.on("vip", || 1); }
        socket.on("leave vip", || { socket.data.vip = false; });
    }"#;
    let mut host = serve(script);
    let client = host.connect("/").unwrap();
    client.emit("leave vip", ());
    save_nothing(&mut host, script, |_, text| {
        assert_eq!(ask(&client, "vip"), "[1]", "{text}");
    });
    save(&mut host, &script.replace("|| 1", "|| 2"));
    assert_eq!(ask(&client, "vip"), "[2]");
}

#[test]
fn an_edit_and_its_undo_leave_everything_as_it_was() {
    let mut host = serve(PLAYERS);
    let players = connect(&host, 2);
    assert_eq!(all(&players, "hit"), ["[1]", "[1]"]);
    for edited in [
        PLAYERS.replace("score += 1", "score += 50"),
        PLAYERS.replace("> 2", "> 20"),
        PLAYERS.replace("let score = 0", "let score = 9000"),
        PLAYERS.replace("let score", "socket.on(\"more\", || 1); let score"),
    ] {
        save(&mut host, &edited);
        save(&mut host, PLAYERS);
        assert_eq!(all(&players, "more"), ["-", "-"], "{edited}");
        assert_eq!(players[1].heard(), NONE, "{edited}");
    }
    assert_eq!(all(&players, "hit"), ["[2]", "[2]"]);
}

#[test]
fn an_edit_that_reads_too_much_for_the_tape_can_be_undone() {
    let script = r#"fn on_connection(socket) {
        if io.sockets.len() == 2 { socket.on("start", || 1); }
        let id = random_id();
        socket.on("id", || id);
        socket.on("setup", || { let s = ""; for i in 0..500 { s += "0123456789"; } io.data.large = s; });
    }"#;
    let large = script.replace("let id", "let large = io.data.large;\nlet id");
    let mut host = serve(script);
    let mut clients = connect(&host, 3);
    clients[0].emit("setup", ());
    let ids = all(&clients, "id");
    for text in [&large, script, &large.replace("|| 1", "|| 2"), script] {
        save(&mut host, text);
        assert_eq!(all(&clients, "id"), ids);
    }
    clients.remove(0).disconnect();
    clients.remove(0).disconnect();
    save(&mut host, &script.replace("== 2", "<= 2"));
    assert_eq!(all(&clients, "start"), ["-"]);
    assert_eq!(all(&clients, "id"), ids[2..]);
}
