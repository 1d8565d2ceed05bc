//! The state of live connections as data, why an event is not heard, and initial values again.

use patchcord::{
    HostEvent,
    event::Reload,
    host::{Answer, Inspection, SteerError, Variable},
    testing::{TestClient, TestHost},
};
use serde_json::{Value, json};

const GAME: &str = "fn on_connection(socket) {
    let score = 0;
    let names = [];
    let best = |a, b| { if a > b { a } else { b } };
    let idle = set_timeout(|| { socket.emit(\"idle\"); }, 60000);
    socket.data.team = \"red\";
    socket.join(\"lobby\");
    socket.on(\"hit\", |n| { score = best.call(score, n); names.push(`${n}`); score });
    socket.on(\"busy\", || { idle.clear(); idle = set_timeout(|| {}, 5000); });
    socket.once(\"hello\", || { socket.data.greeted = true; socket.join(\"greeted\"); });
    socket.on(\"login\", |name| {
        let room = name + \"'s\";
        socket.on(\"say\", |text| { socket.emit(\"said\", room, text); });
    });
    socket.on(\"ask\", || { socket.emit(\"question\", |answer| { score = answer; }); });
    set_interval(|| { score += 1; }, 1000);
}
";

fn variable<'a>(inspection: &'a Inspection, name: &str) -> &'a Variable {
    let mut found = inspection.variables.iter().chain(&inspection.data);
    found
        .find(|one| one.name == name)
        .unwrap_or_else(|| panic!("{name} of {inspection:#?}"))
}

fn both(inspection: &Inspection, name: &str) -> (Value, Option<Value>) {
    let found = variable(inspection, name);
    (found.value.clone(), found.initial.clone())
}

fn playing(host: &TestHost) -> TestClient {
    let ada = host.connect("/").unwrap();
    ada.emit("hit", [7]);
    ada.emit("hello", ());
    ada
}

fn reload(host: &TestHost) -> Reload {
    let events = host.events();
    let found = events.iter().find_map(|event| match event {
        HostEvent::Replaced { reload, .. } => Some(reload.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("{events:?}"))
}

#[test]
fn an_inspection_has_listeners_timers_rooms_data_acks_and_variables_with_their_initial_values() {
    let host = TestHost::new(GAME);
    let ada = playing(&host);
    host.advance(400);
    ada.emit("ask", ());
    let seen = host.inspect(ada.id()).unwrap();
    assert_eq!(
        (&*seen.namespace, &*seen.script, seen.version),
        ("/", "main.rhai", 1)
    );
    let listeners: Vec<_> = seen
        .listeners
        .iter()
        .map(|one| (&*one.event, one.line, one.once))
        .collect();
    assert_eq!(
        listeners,
        [
            ("hit", 8, false),
            ("busy", 9, false),
            ("login", 11, false),
            ("ask", 15, false)
        ]
    );
    let timers: Vec<_> = seen
        .timers
        .iter()
        .map(|one| (one.function, one.due_in, one.period, one.line))
        .collect();
    assert_eq!(
        timers,
        [
            ("set_timeout", 59_600, None, 5),
            ("set_interval", 600, Some(1_000), 16)
        ]
    );
    assert_eq!(seen.rooms, [ada.id(), "lobby", "greeted"]);
    let acks: Vec<_> = seen
        .acks
        .iter()
        .map(|one| (one.missing, one.line))
        .collect();
    assert_eq!(acks, [(1, 15)]);
    assert_eq!(both(&seen, "team"), (json!("red"), Some(json!("red"))));
    assert_eq!(both(&seen, "greeted"), (json!(true), None));
    assert_eq!(both(&seen, "score"), (json!(7), Some(json!(0))));
    assert_eq!(both(&seen, "names"), (json!(["7"]), Some(json!([]))));
    assert_eq!(both(&seen, "best").0, json!("closure main.rhai:4"));
    let written = serde_json::to_value(&seen).unwrap();
    assert_eq!(written["listeners"][0]["file"], "main.rhai");
    assert_eq!(written["timers"][1]["period"], 1000);
}

#[test]
fn an_inspection_disturbs_nothing() {
    let host = TestHost::new(GAME);
    let ada = playing(&host);
    let before = host.inspect(ada.id()).unwrap();
    assert_eq!(host.inspect(ada.id()).unwrap(), before);
    assert_eq!(ada.heard(), Vec::<String>::new());
    assert_eq!(ada.ask("hit", [3]).as_deref(), Some("[7]"));
    host.advance(1_000);
    assert_eq!(ada.ask("hit", [1]).as_deref(), Some("[8]"));
}

#[test]
fn initial_values_are_those_of_the_path_that_the_connection_took() {
    let host = TestHost::new(
        "fn on_connection(socket) {
    let seat = io.data.incr(\"seats\", 1);
    let role = if seat == 1 { \"host\" } else { \"guest\" };
    socket.on(\"role\", || { seat += 10; role });
}",
    );
    let clients: Vec<_> = (0..3).map(|_| host.connect("/").unwrap()).collect();
    for (client, (seat, role)) in clients
        .iter()
        .zip([(1, "host"), (2, "guest"), (3, "guest")])
    {
        client.emit("role", ());
        let seen = host.inspect(client.id()).unwrap();
        assert_eq!(both(&seen, "seat"), (json!(seat + 10), Some(json!(seat))));
        assert_eq!(both(&seen, "role"), (json!(role), Some(json!(role))));
    }
    let next = host.connect("/").unwrap();
    let seen = host.inspect(next.id()).unwrap();
    assert_eq!(
        both(&seen, "seat").0,
        json!(4),
        "inspections count no seats"
    );
}

#[test]
fn closures_with_an_older_text_are_marked_with_the_reason() {
    let before = "fn on_connection(socket) {
    let tools = #{};
    socket.on(\"login\", |name| {
        tools.greet = || \"hi \" + name;
        socket.on(\"say\", |text| { text });
    });
    socket.on(\"use\", || tools.greet.call());
}";
    let after = "fn on_connection(socket) {
    let tools = #{};
    socket.on(\"login\", |name| {
        let room = name;
        socket.on(\"say\", |text| { room + text });
    });
    socket.on(\"use\", || tools.greet.call());
}";
    let mut host = TestHost::new(before);
    let ada = host.connect("/").unwrap();
    ada.emit("login", ["Ada"]);
    host.edit("main.rhai", after);
    let seen = host.inspect(ada.id()).unwrap();
    let say = seen
        .listeners
        .iter()
        .find(|one| one.event == "say")
        .unwrap();
    let stale = say.stale.as_ref().unwrap();
    assert_eq!((say.version, stale.version, stale.line), (1, 1, 5));
    assert_eq!(stale.lacks.as_deref(), Some("room"));
    let tools = variable(&seen, "tools");
    assert_eq!(
        tools.value,
        json!({ "greet": "closure main.rhai:4 of version 1" })
    );
    assert_eq!((tools.stale.len(), &tools.stale[0].lacks), (1, &None));
    let others = seen.listeners.iter().filter(|one| one.event != "say");
    assert!(
        others
            .into_iter()
            .all(|one| one.stale.is_none() && one.version == 2)
    );
    let why = host.why("say", Some(ada.id())).unwrap();
    assert_eq!(
        why.answers[0].to_string(),
        "listened to: main.rhai:5 (version 1: its new code captures `room`, which it does not have)"
    );
}

#[test]
fn long_values_are_cut() {
    let host = TestHost::new(
        "fn on_connection(socket) {
    let long = \"x\";
    let many = [];
    let deep = #{};
    socket.on(\"fill\", || {
        long.pad(1000, \"x\");
        for n in 0..1000 { many.push(#{ n: n, all: [n, n, n] }); }
        for n in 0..20 { deep = #{ deep: deep }; }
    });
}",
    );
    let ada = host.connect("/").unwrap();
    ada.emit("fill", ());
    let seen = host.inspect(ada.id()).unwrap();
    assert_eq!(host.problems(), Vec::<String>::new());
    let long = both(&seen, "long").0;
    assert_eq!(long.as_str().unwrap(), format!("{}...", "x".repeat(200)));
    let many = both(&seen, "many").0;
    assert_eq!(many.as_array().unwrap().len(), 33);
    assert_eq!(many[32], "and 968 more");
    assert!(many.to_string().len() < 4_000, "{many}");
    assert!(both(&seen, "deep").0.to_string().contains("..."));
}

#[test]
fn a_socket_that_is_not_connected_is_an_error() {
    let host = TestHost::new(GAME);
    let ada = host.connect("/").unwrap();
    assert_eq!(host.connected().len(), 1);
    let id = ada.id().to_owned();
    ada.disconnect();
    assert_eq!(host.inspect(&id), Err(SteerError::NoSocket(id.clone())));
    assert_eq!(
        host.inspect(&id).unwrap_err().to_string(),
        format!("no socket `{id}` is connected")
    );
    assert_eq!(host.why("hit", Some(&id)), Err(SteerError::NoSocket(id)));
    assert_eq!(host.connected(), []);
}

fn answers(host: &TestHost, event: &str) -> Vec<(String, usize)> {
    let answers = host.why(event, None).unwrap().answers.into_iter();
    answers.map(|one| (one.to_string(), one.sockets)).collect()
}

#[test]
fn why_says_what_became_of_an_event() {
    let mut host = TestHost::new(GAME);
    let ada = playing(&host);
    let bob = host.connect("/").unwrap();
    bob.emit("login", ["Bob"]);
    assert_eq!(
        answers(&host, "hello"),
        [
            ("listened to: main.rhai:10 (once, version 1)".to_owned(), 1),
            (
                "not listened to any more: `once` at main.rhai:10 was called".to_owned(),
                1
            ),
        ]
    );
    assert_eq!(
        answers(&host, "say"),
        [
            ("listened to: main.rhai:13 (version 1)".to_owned(), 1),
            (
                "not listened to: version 1 does at main.rhai:13, on another path than this client took".to_owned(),
                1
            ),
        ]
    );
    let never = "never listened to by any version that is known".to_owned();
    assert_eq!(answers(&host, "nothing"), [(never.clone(), 2)]);
    host.edit("main.rhai", &GAME.replace("\"hit\"", "\"shot\""));
    host.edit(
        "main.rhai",
        &GAME.replace("\"hit\"", "\"shoot\"").replace("best", "good"),
    );
    assert_eq!(
        answers(&host, "hit"),
        [(
            "not listened to since version 2; version 1 did at main.rhai:8".to_owned(),
            2
        )]
    );
    host.rollback("/").unwrap();
    assert_eq!(
        answers(&host, "shoot"),
        [(
            "not listened to: version 3 does at main.rhai:8, and was rolled back".to_owned(),
            2
        )]
    );
    let why = host.why("shot", Some(ada.id())).unwrap();
    assert!(
        matches!(why.answers[0].answer, Answer::Listens { .. }),
        "{why:?}"
    );
    let written = serde_json::to_value(host.why("hit", Some(bob.id())).unwrap()).unwrap();
    assert_eq!(written["answers"][0]["answer"], "not_since");
    assert_eq!(written["answers"][0]["since"], 2);
    assert_eq!(written["answers"][0]["examples"], json!([bob.id()]));
}

#[test]
fn why_knows_of_off_of_catch_alls_and_of_namespaces_without_sockets() {
    let host = TestHost::with([
        (
            "main.rhai",
            "fn say(text) { }
fn on_connection(socket) {
    socket.on(\"say\", say);
    socket.on(\"mute\", || { socket.off(\"say\"); });
    socket.on_any(|event, args| { });
}",
        ),
        (
            "chat.rhai",
            "fn on_connection(socket) { socket.on(\"say\", |x| x); }",
        ),
    ]);
    let ada = host.connect("/").unwrap();
    let listens = "listened to: main.rhai:1 (version 1); a listener of any event hears it";
    assert_eq!(
        host.why("say", Some(ada.id())).unwrap().answers[0].to_string(),
        listens
    );
    ada.emit("mute", ());
    assert_eq!(
        answers(&host, "say"),
        [
            (
                "not listened to any more: `off` has removed the listener at main.rhai:1; a listener of any event hears it"
                    .to_owned(),
                1
            ),
            (
                "not listened to: version 1 does at chat.rhai:1, on another path than this client took".to_owned(),
                0
            ),
        ]
    );
}

#[test]
fn a_reset_restores_initial_values_and_leaves_the_rest() {
    let mut host = TestHost::new(GAME);
    let ada = playing(&host);
    let reset = host.reset(ada.id(), None).unwrap();
    let changed: Vec<_> = reset
        .variables
        .iter()
        .map(|one| (&*one.name, &*one.from, &*one.to))
        .collect();
    assert_eq!(
        changed,
        [
            ("names", "[\"7\"]", "[]"),
            ("score", "7", "0"),
            ("socket.data.greeted", "true", "()")
        ]
    );
    let seen = host.inspect(ada.id()).unwrap();
    assert_eq!(
        (both(&seen, "score").0, both(&seen, "names").0),
        (json!(0), json!([]))
    );
    assert_eq!(seen.data.len(), 1);
    assert_eq!(
        (seen.rooms.len(), seen.timers.len()),
        (3, 2),
        "rooms and timers stay"
    );
    assert_eq!(
        ada.ask("hit", [3]).as_deref(),
        Some("[3]"),
        "closures in values work"
    );
    assert_eq!(
        host.reset(ada.id(), Some("names")).unwrap().variables.len(),
        1
    );
    assert_eq!(
        ada.ask("hit", [1]).as_deref(),
        Some("[3]"),
        "the others stay"
    );
}

#[test]
fn a_reset_takes_the_names_that_there_are_and_no_timers() {
    let mut host = TestHost::new(GAME);
    let (ada, bob) = (playing(&host), host.connect("/").unwrap());
    let error = host.reset(ada.id(), Some("scores")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no variable `scores`; there are: best, idle, names, score, socket.data.greeted, socket.data.team"
    );
    ada.emit("busy", ());
    let error = host.reset(ada.id(), Some("idle")).unwrap_err();
    assert_eq!(error, SteerError::Timer("idle".to_owned()));
    assert_eq!(
        host.reset(ada.id(), None)
            .unwrap()
            .kept
            .into_iter()
            .collect::<Vec<_>>(),
        ["idle"]
    );
    bob.emit("hit", [2]);
    ada.emit("hit", [5]);
    let all = host.reset_all(Some("score")).unwrap();
    assert_eq!(all.len(), 2);
    for client in [&ada, &bob] {
        assert_eq!(
            both(&host.inspect(client.id()).unwrap(), "score").0,
            json!(0)
        );
    }
    assert!(host.reset_all(Some("scores")).is_err());
}

#[test]
fn a_rebind_begins_anew_for_real_without_disconnecting() {
    let mut host = TestHost::new(
        "fn on_handshake(socket) { socket.data.user = \"ada\"; }
fn on_connection(socket) {
    let visits = 0;
    let me = ();
    me = |n| if n == 0 { 0 } else { me.call(n - 1) };
    io.data.incr(\"begun\", 1);
    socket.join(\"lobby\");
    io.emit(\"joined\", socket.data.user);
    socket.on(\"visit\", || { visits += 1; visits });
    socket.on(\"move\", || { socket.leave(\"lobby\"); socket.join(\"attic\"); socket.data.at = \"attic\"; socket.data.user = \"x\"; });
    socket.on(\"late\", || { socket.on(\"more\", || 1); set_timeout(|| { visits += 100; }, 50); });
    socket.on(\"ask\", || { socket.emit(\"question\", |answer| { visits += answer; }); });
    set_interval(|| { visits += 10; }, 1000);
    socket.on(\"disconnect\", || { io.data.incr(\"left\", 1); });
}",
    );
    let ada = host.connect("/").unwrap();
    for event in ["visit", "move", "late", "ask"] {
        ada.emit(event, ());
    }
    host.advance(900);
    ada.heard();
    let rebound = host.rebind(ada.id()).unwrap();
    assert!(rebound.connected);
    assert_eq!(
        (rebound.version, rebound.listeners, rebound.timers),
        (1, 5, 1)
    );
    assert_eq!(ada.heard(), ["joined [\"ada\"]"]);
    let seen = host.inspect(ada.id()).unwrap();
    assert_eq!(seen.rooms, [ada.id(), "lobby"]);
    assert_eq!(
        seen.data
            .iter()
            .map(|one| (&*one.name, one.value.clone()))
            .collect::<Vec<_>>(),
        [("user", json!("ada"))]
    );
    assert_eq!(seen.acks, []);
    ada.answer([1000]);
    assert_eq!(ada.ask("more", ()), None, "a listener of a handler is gone");
    host.advance(999);
    assert_eq!(
        ada.ask("visit", ()).as_deref(),
        Some("[1]"),
        "old timers and answers have no effect"
    );
    host.advance(1);
    assert_eq!(
        ada.ask("visit", ()).as_deref(),
        Some("[12]"),
        "the new timer has"
    );
    assert_eq!(host.problems(), Vec::<String>::new());
    ada.disconnect();
    let watching = host.connect("/").unwrap();
    assert_eq!(host.counters().sockets_disconnected.get(), 1);
    drop(watching);
}

#[test]
fn a_rebind_whose_on_connection_fails_disconnects() {
    let mut host = TestHost::new(
        "fn on_connection(socket) {
    if io.data.incr(\"begun\", 1) > 1 { throw \"full\"; }
    socket.on(\"hit\", || 1);
}",
    );
    let ada = host.connect("/").unwrap();
    let rebound = host.rebind(ada.id()).unwrap();
    assert!(!rebound.connected);
    assert_eq!(host.connected(), []);
    assert_eq!(host.problems().len(), 1);
}

#[test]
fn a_save_of_a_script_with_the_reset_comment_begins_anew() {
    let mut host = TestHost::new(GAME);
    let (ada, bob) = (playing(&host), host.connect("/").unwrap());
    let text = format!("// @reset\n{GAME}");
    host.edit("main.rhai", &text);
    let saved = reload(&host);
    assert_eq!((saved.reset, saved.rebound), (2, 2));
    let reported = saved.details("main.rhai");
    let line = "! 2 of 2 begin again, because of `// @reset`";
    assert!(
        reported.iter().any(|reported| reported == line),
        "{reported:?}"
    );
    assert_eq!(serde_json::to_value(&saved).unwrap()["reset"], 2);
    for client in [&ada, &bob] {
        let seen = host.inspect(client.id()).unwrap();
        assert_eq!((seen.version, both(&seen, "score").0), (2, json!(0)));
        assert_eq!(seen.rooms, [client.id(), "lobby"]);
        assert_eq!((seen.listeners.len(), seen.timers.len()), (5, 2));
    }
    ada.emit("hit", [9]);
    host.edit("main.rhai", &text.replace("score = 0", "score = 1"));
    assert_eq!(reload(&host).reset, 2);
    assert_eq!(both(&host.inspect(ada.id()).unwrap(), "score").0, json!(1));
    ada.emit("hit", [9]);
    host.edit("main.rhai", GAME);
    assert_eq!(reload(&host).reset, 0);
    assert_eq!(
        both(&host.inspect(ada.id()).unwrap(), "score").0,
        json!(9),
        "without it, values stay"
    );
    assert_eq!(host.counters().sockets_disconnected.get(), 0);
}

#[test]
fn the_comment_counts_in_an_imported_file_and_not_in_a_sentence_or_a_text() {
    let main = "import \"lib/n\" as n;
fn on_connection(socket) {
    let score = 0;
    let text = \"// @reset\"; // about @reset
    socket.on(\"hit\", || { score += n::n(); [score, text] });
}";
    let mut host = TestHost::with([("main.rhai", main), ("lib/n.rhai", "fn n() { 1 }")]);
    let ada = host.connect("/").unwrap();
    ada.emit("hit", ());
    host.edit("main.rhai", &main.replace("about", "of"));
    assert_eq!(reload(&host).reset, 0);
    host.edit("lib/n.rhai", "// @reset\nfn n() { 2 }");
    assert_eq!(reload(&host).reset, 1);
    assert_eq!(ada.ask("hit", ()).as_deref(), Some("[[2,\"// @reset\"]]"));
}

#[test]
fn instances_of_a_dynamic_namespace_answer_from_the_versions_of_their_script() {
    let script =
        |event: &str| format!("fn on_connection(socket) {{ socket.on(\"{event}\", |x| x); }}");
    let mut host = TestHost::with([("room/{id}.rhai", &*script("old"))]);
    let clients = [
        host.connect("/room/1").unwrap(),
        host.connect("/room/2").unwrap(),
    ];
    host.edit("room/{id}.rhai", &script("new"));
    let reported = "not listened to since version 2; version 1 did at room/{id}.rhai:1";
    for client in &clients {
        let why = host.why("old", Some(client.id())).unwrap();
        assert_eq!(why.answers[0].to_string(), reported);
        let seen = host.inspect(client.id()).unwrap();
        assert_eq!((&*seen.script, seen.version), ("room/{id}.rhai", 2));
    }
    let why = host.why("old", None).unwrap();
    let sockets: Vec<_> = why
        .answers
        .iter()
        .map(|one| (&*one.namespace, one.sockets))
        .collect();
    assert!(
        sockets.contains(&("/room/1", 1)) && sockets.contains(&("/room/2", 1)),
        "{sockets:?}"
    );
}

#[test]
fn an_answer_that_was_asked_for_before_a_rebind_has_no_effect() {
    let (release, released) = tokio::sync::watch::channel(false);
    let script = "fn on_connection(socket) {
        let n = 0;
        later(|err, value| { n += 1; print(`answered ${n}`); });
        socket.on(\"n\", || n);
    }";
    let mut host = TestHost::build([("main.rhai", script)], |builder| {
        builder.async_function("later", move || {
            let mut released = released.clone();
            async move {
                released
                    .wait_for(|is| *is)
                    .await
                    .map(|_| true)
                    .map_err(|error| error.to_string())
            }
        })
    });
    let ada = host.connect("/").unwrap();
    assert!(host.rebind(ada.id()).unwrap().connected);
    release.send(true).unwrap();
    host.advance(5);
    assert_eq!(host.log(), ["answered 1"]);
    assert_eq!(ada.ask("n", ()).as_deref(), Some("[1]"));
}
