//! An edit that is rejected changes nothing anywhere.

use patchcord::testing::TestHost;

#[test]
fn a_broken_save_changes_nothing_anywhere_and_the_repair_takes_all() {
    let mut host = TestHost::with([
        (
            "a.rhai",
            "fn on_connection(socket) { socket.on(\"v\", || 1); }",
        ),
        (
            "b.rhai",
            "fn on_connection(socket) { socket.on(\"v\", || 1); }",
        ),
    ]);
    let (a, b) = (host.connect("/a").unwrap(), host.connect("/b").unwrap());
    host.events();
    host.edit_all([
        (
            "a.rhai",
            "fn on_connection(socket) { socket.on(\"v\", || 2); }",
        ),
        (
            "b.rhai",
            "fn on_connection(socket) { socket.on(\"v\" || 2); }",
        ),
    ]);
    assert_eq!(a.ask("v", ()).as_deref(), Some("[1]"));
    assert_eq!(b.ask("v", ()).as_deref(), Some("[1]"));
    let problems = host.problems();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].contains("b.rhai:1:"), "{problems:?}");
    host.edit(
        "b.rhai",
        "fn on_connection(socket) { socket.on(\"v\", || 3); }",
    );
    assert_eq!(
        a.ask("v", ()).as_deref(),
        Some("[2]"),
        "the edit of `a` is tried again with the next batch"
    );
    assert_eq!(b.ask("v", ()).as_deref(), Some("[3]"));
}

#[test]
fn a_draft_that_fails_on_one_live_connection_rejects_the_edit_everywhere() {
    let mut host = TestHost::new(
        "fn on_connection(socket) { let n = io.data.incr(\"n\", 1); socket.on(\"v\", || n); }",
    );
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    host.events();
    host.edit(
        "main.rhai",
        "fn on_connection(socket) { if socket.id == \"client2\" { throw 1; } socket.on(\"v\", || 99); }",
    );
    assert_eq!(ada.ask("v", ()).as_deref(), Some("[1]"));
    assert_eq!(bob.ask("v", ()).as_deref(), Some("[2]"));
    let problems = host.problems();
    assert!(problems[0].contains("socket `client2`"), "{problems:?}");
}

#[test]
fn an_edit_with_an_effect_at_top_level_is_refused_and_has_none() {
    let mut host = TestHost::build(
        [(
            "main.rhai",
            "fn on_connection(socket) { socket.on(\"v\", || 1); }",
        )],
        |builder| builder.effect("save", || -> () { panic!("the effect happened") }),
    );
    let client = host.connect("/").unwrap();
    host.edit(
        "main.rhai",
        "save();\nfn on_connection(socket) { socket.on(\"v\", || 2); }",
    );
    let problems = host.problems();
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].contains("a function with an effect has no place at top level"),
        "{problems:?}"
    );
    assert!(problems[0].contains("main.rhai:1:1"), "{problems:?}");
    assert_eq!(client.ask("v", ()).as_deref(), Some("[1]"));
}
