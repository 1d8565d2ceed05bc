//! Findings of `patchcord check`, before a script runs.
//!
//! `tests/fixtures/check/<case>.rhai` is a script, and `<case>.txt` beside it has the findings, none for a script
//! without problems; modules to import are in `lib`. `UPDATE_EXPECT=1` rewrites the texts.

use std::{collections::BTreeMap, env, fs, path::Path, process::Output};

use patchcord::{
    Host, HostEvent, Options,
    script::{Folder, Memory},
    testing::TestHost,
};

use crate::support::program::Place;

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/check")
}

fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let scripts = entries.filter(|path| path.extension().is_some_and(|e| e == "rhai"));
    scripts
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn printed(scripts: impl IntoIterator<Item = (String, String)>) -> String {
    let host = Host::builder().loader(Memory::from_iter(scripts)).build();
    let found = host.check().unwrap();
    found
        .iter()
        .map(|problem| format!("{problem}\n\n"))
        .collect()
}

#[test]
fn every_script_is_told_what_is_wrong() {
    let update = env::var_os("UPDATE_EXPECT").is_some();
    let modules: BTreeMap<_, _> = files(&folder().join("lib"))
        .into_iter()
        .filter(|(name, _)| name != "other.rhai")
        .map(|(name, text)| (format!("lib/{name}"), text))
        .collect();
    let other = fs::read_to_string(folder().join("lib/other.rhai")).unwrap();
    let mut wrong = Vec::new();
    for (name, text) in files(&folder()) {
        let mut scripts = modules.clone();
        scripts.insert(name.clone(), text);
        if name == "unused.rhai" {
            scripts.insert("lib/other.rhai".to_owned(), other.clone());
        }
        let actual = printed(scripts);
        let expected = folder().join(&name).with_extension("txt");
        if update {
            fs::write(&expected, &actual).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != actual {
            wrong.push(format!("{name}:\n{actual}"));
        }
    }
    assert!(wrong.is_empty(), "not as expected:\n\n{}", wrong.join("\n"));
    assert_eq!(fs::read_to_string(folder().join("clean.txt")).unwrap(), "");
}

#[test]
fn shipped_scripts_have_no_warnings() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in [
        "scripts",
        "examples/edits",
        "examples/handlers",
        "tests/clients/scripts",
        "tests/clients/twins",
    ] {
        let mut options = Options::default();
        options.permissions.allow_env = vec!["JWT_SECRET".parse().unwrap()];
        let host = Host::builder()
            .options(options)
            .loader(Folder::new(root.join(folder)))
            .build();
        let found = host.check().unwrap();
        let errors: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(errors, [] as [&str; 0], "{folder}");
    }
}

/// Habits from JavaScript: the file of an example, a line of it, the same line with the mistake, and the message of
/// `check`.
const TRAPS: [(&str, &str, &str, &str); 11] = [
    (
        "chat.rhai",
        "history: io.data.get(\"history:\" + room, [])",
        "history: io.data.get(\"history:\" + room, []).reverse()",
        "`reverse` changes the value that it is called on, and returns nothing",
    ),
    (
        "chat.rhai",
        "room.starts_with(\"chat:\")",
        "room.startsWith(\"chat:\")",
        "unknown function `startsWith` on `room`",
    ),
    (
        "chat.rhai",
        "user joined\", #{ room: room",
        "user joined\", #{ room: Room",
        "unknown variable `Room`",
    ),
    (
        "messages.rhai",
        "users[user].connected = false; users",
        "for one in users.values() { one.connected = false; } users",
        "`one` is a copy of the element",
    ),
    (
        "messages.rhai",
        "        if io.sockets",
        "        io.data.users[user].connected = false;\n        if io.sockets",
        "fails when another client changes `users` at the same time",
    ),
    (
        "todos.rhai",
        "        todo.id = random_id();",
        "        io.data.count += 1;\n        todo.id = random_id();",
        "write `io.data.incr(\"count\", by)`",
    ),
    (
        "todos.rhai",
        "valid(todo, global::TODO)",
        "valid(todo, #{ title: \"text\" })",
        "`text` is not a shape",
    ),
    (
        "game/{room}.rhai",
        "if moved.len() > 0",
        "if moved.len > 0",
        "`moved.len` is `()` if `moved` is a map",
    ),
    (
        "game/{room}.rhai",
        "x: global::SIZE / 2",
        "x: 101 / 2",
        "`101 / 2` is 50",
    ),
    (
        "feed.rhai",
        "let subscribed = topics(user);\n",
        "let topics = topics(user);\n    let subscribed = [\"a\"].filter(|one| one in topics);\n",
        "`topics` is the function `topics` in this closure",
    ),
    (
        "feed.rhai",
        "#{ id: io.data.incr(\"number\", 1)",
        "#{ id: io.data.incr(\"number\")",
        "`incr`",
    ),
];

#[test]
fn each_trap_is_found_when_it_is_put_back_into_the_examples() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/handlers");
    for (file, line, trap, told_of) in TRAPS {
        let text = fs::read_to_string(folder.join(file)).unwrap();
        assert!(text.contains(line), "{file} has no `{line}`");
        let found = printed([(file.to_owned(), text.replacen(line, trap, 1))]);
        assert!(found.contains(told_of), "{file}: {trap}\n{found}");
    }
}

#[test]
fn a_file_is_not_served_beside_one_of_the_same_namespaces() {
    let script = "fn on_connection(socket) { }";
    let found = printed([
        ("room/{id}.rhai".to_owned(), script.to_owned()),
        ("room/{name}.rhai".to_owned(), script.to_owned()),
        ("room/lobby.rhai".to_owned(), script.to_owned()),
    ]);
    assert!(
        found.contains("`room/{name}.rhai` serves the same namespace as `room/{id}.rhai`"),
        "{found}"
    );
    assert_eq!(found.matches("error").count(), 1, "{found}");
}

/// Returns the names before `(` in the parts of a hint in backticks.
fn called(hint: &str) -> Vec<String> {
    let code = hint.split('`').skip(1).step_by(2);
    let heads = code.flat_map(|code| code.split('(').rev().skip(1));
    let names = heads.map(|head| {
        let start = head.rfind(|c: char| !c.is_alphanumeric() && c != '_');
        head[start.map_or(0, |start| start + 1)..].to_owned()
    });
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn every_function_that_a_hint_for_those_from_node_names_is_there() {
    let known = format!(
        "{}\n{}\ntype_of(\ncall(\non_connection(",
        fs::read_to_string(folder().parent().unwrap().join("functions.txt")).unwrap(),
        Host::builder().build().definitions()
    );
    let mut count = 0;
    for file in ["node_globals", "node_handles", "node_values"] {
        let printed = fs::read_to_string(folder().join(file).with_extension("txt")).unwrap();
        for hint in printed.lines().filter(|line| line.starts_with("hint: ")) {
            for name in called(hint) {
                let is_there =
                    known.contains(&format!("\n{name}(")) || known.contains(&format!("fn {name}("));
                assert!(is_there, "`{name}` in {hint}");
                count += 1;
            }
        }
    }
    assert!(count > 40, "{count}");
}

#[test]
fn tests_are_checked_with_the_words_that_they_have() {
    let place = Place::new(&[]);
    place.write(
        "scripts/main_test.rhai",
        "fn test_it() {\n    let ada = connect(\"/\");\n    ada.expcet(\"hello\");\n    let a = 1;\n    io.emit(\"a\");\n}",
    );
    for arguments in [&["check"][..], &["check", "scripts/main_test.rhai"]] {
        let output = place.run(arguments, &[]);
        let text = String::from_utf8(output.stdout).unwrap();
        for expected in [
            "error: unknown function `expcet` on `ada`\n --> main_test.rhai:3:9",
            "hint: `ada` has a function `expect(...)`",
            "error: unknown variable `io`\n --> main_test.rhai:5:5",
            "2 errors, 1 warning\n",
        ] {
            assert!(text.contains(expected), "{arguments:?}: {text}");
        }
        assert_eq!(output.status.code(), Some(1));
    }
    place.write(
        "scripts/main_test.rhai",
        "fn test_it() {\n    let a = 1;\n}",
    );
    let output = place.run(&["check", "--format", "json"], &[]);
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found[0]["message"], "unused variable `a`");
    assert_eq!(output.status.code(), Some(0));

    fs::write(place.path().join("scripts/bytes.rhai"), [0xff, 0xfe]).unwrap();
    let output = place.run(&["check"], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains(
            "error: `bytes.rhai` cannot be read as text: the text is UTF-16; save it as UTF-8"
        ),
        "{text}"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_program_tells_and_its_exit_code_says_whether_anything_is_wrong() {
    let fine = "fn on_connection(socket) { socket.emit(\"hello\"); }";
    let place = Place::new(&[("scripts/main.rhai", fine)]);
    let text = |output: &Output| String::from_utf8(output.stdout.clone()).unwrap();

    let output = place.run(&["check"], &[]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output), "1 script checked: 0 errors, 0 warnings\n");

    let unused = "fn on_connection(socket) { let a = 1; }";
    place.write("scripts/chat.rhai", unused);
    let output = place.run(&["check", "scripts"], &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(text(&output).contains("warning: unused variable `a`"));
    let output = place.run(&["check", "--strict", "scripts"], &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");

    place.write(
        "scripts/chat.rhai",
        "fn on_connection(socket) { socket.emti(); }",
    );
    let output = place.run(&["check"], &[]);
    assert_eq!(output.status.code(), Some(1));
    let printed = text(&output);
    assert!(
        printed.starts_with("error: unknown function `emti` on `socket`\n --> chat.rhai:1:35\n")
    );
    assert!(
        printed.ends_with("\n2 scripts checked: 1 error, 0 warnings\n"),
        "{printed}"
    );
    let output = place.run(&["check", "scripts/main.rhai"], &[]);
    assert_eq!(output.status.code(), Some(0));

    let output = place.run(&["check", "--format", "json"], &[]);
    assert_eq!(output.status.code(), Some(1));
    let found: serde_json::Value = serde_json::from_str(&text(&output)).unwrap();
    assert_eq!(found[0]["place"]["column"], 35);
    assert_eq!(found[0]["hints"][0], "`socket` has a function `emit(...)`");

    for wrong in [&["check", "nowhere"], &["check", "--nonsense"]] {
        assert_eq!(place.run(wrong, &[]).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn a_typo_is_reported_on_save_and_a_warning_does_not_hold_up_a_save() {
    let mut host = TestHost::new("fn on_connection(socket) { socket.on(\"v\", || 1); }");
    let ada = host.connect("/").unwrap();
    host.edit(
        "main.rhai",
        "fn on_connection(socket) { socket.on(\"v\", || { socket.emti(\"x\"); 2 }); }",
    );
    assert_eq!(ada.ask("v", ()).as_deref(), Some("[1]"));
    assert!(host.problems()[0].contains("unknown function `emti` on `socket`"));
    host.edit(
        "main.rhai",
        "fn on_connection(socket) { let a = 1; socket.on(\"v\", || 3); }",
    );
    assert_eq!(ada.ask("v", ()).as_deref(), Some("[3]"));
    let warned = host.events().into_iter().find_map(|event| match event {
        HostEvent::Warnings { diagnostics } => Some(diagnostics),
        _ => None,
    });
    assert_eq!(warned.unwrap()[0].message, "unused variable `a`");
}

#[test]
fn functions_of_an_embedder_are_known() {
    let host = TestHost::build(
        [("main.rhai", "fn on_connection(socket) { twice(1); }")],
        |builder| builder.function("twice", |n: i64| n * 2),
    );
    assert_eq!(host.problems(), [] as [&str; 0]);
    let host = TestHost::build(
        [(
            "main.rhai",
            "fn on_connection(socket) { twcie(1); twice(1, 2); }",
        )],
        |builder| builder.function("twice", |n: i64| n * 2),
    );
    let problems = host.problems();
    assert!(
        problems[0].ends_with("hint: there is a function `twice`"),
        "{problems:?}"
    );
    assert!(
        problems[1].contains("`twice` takes 1 argument, found 2"),
        "{problems:?}"
    );
}
