//! Imports of a script, and what prevents it from loading.

use std::{fs, os::unix::fs::symlink};

use patchcord::{Host, testing::TestHost};

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

/// Links are followed, because anybody who can make links in the folder can write scripts there too, and folders of
/// configurations consist of links.
#[tokio::test]
async fn links_in_the_folder_are_followed_wherever_they_lead() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    fs::create_dir_all(at("scripts/lib")).unwrap();
    fs::create_dir(at("shared")).unwrap();
    fs::write(at("shared/words.rhai"), "fn word() { 1 }").unwrap();
    symlink(at("shared/words.rhai"), at("scripts/lib/link.rhai")).unwrap();
    symlink(at("shared"), at("scripts/lib/dir")).unwrap();
    let script = "import \"lib/link\" as one; import \"lib/dir/words\" as two;
        fn on_connection(socket) { one::word() + two::word(); }";
    fs::write(at("scripts/main.rhai"), script).unwrap();
    let host = Host::builder().scripts(at("scripts")).build();
    host.load().await.unwrap();
    let out = "import \"../shared/words\" as words; fn on_connection(socket) { words::word(); }";
    fs::write(at("scripts/out.rhai"), out).unwrap();
    let problems = host.reload().await.unwrap_err().diagnostics;
    let messages: Vec<_> = problems
        .iter()
        .map(|problem| problem.message.as_str())
        .collect();
    assert_eq!(
        messages,
        ["the import `../shared/words` leads out of the scripts folder"]
    );
    let hints = &problems[0].hints;
    assert!(
        hints.iter().any(|hint| hint.contains("a link")),
        "{hints:?}"
    );
}
