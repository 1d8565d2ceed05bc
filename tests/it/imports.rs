//! What a script imports, and what keeps it from being loaded.

use patchcord::testing::TestHost;

#[test]
fn imported_modules_make_handlers_and_are_called_in_them() {
    let host = TestHost::with([
        (
            "main.rhai",
            r#"import "lib/greet" as greet;
            const MARK = "!";
            fn mark(text) { text + global::MARK }
            fn on_connection(socket) {
                greet::listen(socket);
                socket.on("greet", |name| mark(greet::text(name)));
                socket.on("inside", |name| { import "lib/greet" as inner; inner::text(name) });
            }"#,
        ),
        (
            "lib/greet.rhai",
            r#"const HELLO = "hello";
            fn text(name) { `${global::HELLO} ${name}` }
            fn listen(socket) {
                let greeted = 0;
                socket.on("module", |name| { greeted += 1; socket.emit("module", text(name), greeted); });
            }"#,
        ),
    ]);
    assert_eq!(host.problems(), [] as [&str; 0]);
    let client = host.connect("/").unwrap();
    assert_eq!(
        client.ask("greet", ["ada"]),
        Some("[\"hello ada!\"]".to_owned())
    );
    assert_eq!(
        client.ask("inside", ["ada"]),
        Some("[\"hello ada\"]".to_owned())
    );
    client.emit("module", ["ada"]);
    client.emit("module", ["bob"]);
    assert_eq!(
        client.heard(),
        ["module [\"hello ada\",1]", "module [\"hello bob\",2]"]
    );
}

#[test]
fn scripts_cannot_leave_their_folder_or_load_for_ever() {
    for (files, message) in [
        (
            vec![("main.rhai", "import \"../secret\" as s;")],
            "leads out of the scripts folder",
        ),
        (
            vec![("main.rhai", "import \"/etc/passwd\" as s;")],
            "leads out of the scripts folder",
        ),
        (
            vec![("main.rhai", "let p = \"lib/a\"; import p as s;")],
            "needs a path that is written out",
        ),
        (
            vec![("main.rhai", "import \"nobody\" as s;")],
            "there is no file `nobody.rhai`",
        ),
        (
            vec![
                ("main.rhai", "import \"lib/a\" as a;"),
                ("lib/a.rhai", "import \"lib/b\" as b;"),
                ("lib/b.rhai", "import \"lib/a\" as a;"),
            ],
            "circular import: main.rhai -> lib/a.rhai -> lib/b.rhai -> lib/a.rhai",
        ),
        (
            vec![("main.rhai", "loop { } fn on_connection(socket) { }")],
            "main.rhai:1:",
        ),
        (
            vec![("main.rhai", "fn on_connection() { }")],
            "`on_connection` has the wrong parameters",
        ),
        (
            vec![("main.rhai", "const N = 1;")],
            "has no function `on_connection`",
        ),
        (
            vec![("main.rhai", "io.emit(\"x\"); fn on_connection(socket) { }")],
            "has no place at top level",
        ),
    ] {
        let host = TestHost::with(files.clone());
        let problems = host.problems();
        assert_eq!(problems.len(), 1, "{files:?}");
        assert!(problems[0].contains(message), "{files:?}: {problems:?}");
        let refused = host.connect("/").unwrap_err();
        assert_eq!(refused.0, "script failed to load");
    }
}
