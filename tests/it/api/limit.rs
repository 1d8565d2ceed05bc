//! `limit::allow`: how often a script lets somebody do something.

use patchcord::testing::TestHost;

#[test]
fn a_key_may_be_used_so_often_in_a_period_whoever_uses_it() {
    let script = "fn on_connection(socket) {
        socket.on(\"say\", || limit::allow(\"say\", 2, 1_000));
        socket.on(\"own\", || limit::allow(`own ${socket.id}`, 1, 1_000));
    }";
    let host = TestHost::with([("main.rhai", script), ("other.rhai", script)]);
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/other").unwrap());
    let ask = |client: &patchcord::testing::TestClient, event| client.ask(event, ()).unwrap();
    assert_eq!(
        [&ada, &bob, &ada].map(|one| ask(one, "say")),
        ["[true]", "[true]", "[false]"]
    );
    assert_eq!(
        [&ada, &bob, &bob].map(|one| ask(one, "own")),
        ["[true]", "[true]", "[false]"]
    );
    host.advance(500);
    assert_eq!(
        [&ada, &bob].map(|one| ask(one, "say")),
        ["[true]", "[false]"]
    );
    host.advance(60_000);
    assert_eq!(
        [&ada, &bob, &ada].map(|one| ask(one, "say")),
        ["[true]", "[true]", "[false]"]
    );
}

#[test]
fn an_edit_uses_nothing_up() {
    let script = |text: &str| {
        format!(
            "fn on_connection(socket) {{
                socket.data.is_allowed = limit::allow(\"connect\", 2, 100_000);
                socket.on(\"state\", || [socket.data.is_allowed, \"{text}\"]);
                socket.emit(\"{text}\"); }}"
        )
    };
    let mut host = TestHost::new(&script("0"));
    let ada = host.connect("/").unwrap();
    for n in 1..5 {
        host.edit("main.rhai", &script(&n.to_string()));
        assert_eq!(ada.ask("state", ()).unwrap(), format!("[[true,\"{n}\"]]"));
    }
    let states = [0; 2].map(|_| host.connect("/").unwrap().ask("state", ()).unwrap());
    assert_eq!(states, ["[[true,\"4\"]]", "[[false,\"4\"]]"]);
}

#[test]
fn a_wrong_limit_is_an_error() {
    for (code, message) in [
        (
            "limit::allow(\"a\", 0, 1)",
            "takes 1 to 1000000 times, and got 0",
        ),
        (
            "limit::allow(\"a\", 1, 0)",
            "takes a period of 1 to 604800000 ms, and got 0",
        ),
        (
            "limit::allow(\"a\".repeat(257), 1, 1)",
            "takes a key of at most 256 bytes",
        ),
        ("limit::allow(7, 1, 1)", "unknown function `limit::allow`"),
    ] {
        let host = TestHost::new(&format!("fn on_connection(socket) {{ {code}; }}"));
        let _client = host.connect("/");
        let problems = host.problems();
        assert!(problems[0].contains(message), "{code}: {problems:?}");
    }
    let host = TestHost::new("const OK = limit::allow(\"a\", 1, 1); fn on_connection(socket) { }");
    let problems = host.problems();
    assert!(
        problems[0].contains("`limit::allow` has no place at top level"),
        "{problems:?}"
    );
}
