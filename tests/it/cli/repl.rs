//! `patchcord repl`: lines that run against scripts in memory, and their results.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use patchcord::{
    script::{Folder, Memory},
    testing::Console,
};

use crate::support::program::Place;

const SCRIPT: &str = r#"fn on_connection(socket) {
    let count = 0;
    socket.on("count", || { count += 1; count });
    socket.on("say", |text| { io.emit("said", text); });
    socket.on("bad", || 1 / 0);
    socket.on("leave", || { socket.disconnect(); });
    set_timeout(|| { socket.emit("late", 1); }, 5000);
    io.data.incr("visits", 1);
}"#;

/// Runs these lines; returns the output, the errors and the exit code.
fn printed(place: &Place, lines: &str) -> (String, String, Option<i32>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_patchcord"))
        .arg("repl")
        .current_dir(place.path())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        text(output.stdout),
        text(output.stderr),
        output.status.code(),
    )
}

fn place() -> Place {
    Place::new(&[("scripts/main.rhai", SCRIPT)])
}

#[test]
fn values_are_shown_and_variables_functions_and_closures_stay() {
    let lines = "\
1 + 2
let name = \"Ada\"
name + \"!\"
()
fn twice(n) { n * 2 }
let n = 0
let add = |by| { n += by; n }
add.call(twice(2))
n
#{ a: [1, true, 1.5] }
";
    let (out, err, code) = printed(&place(), lines);
    let expected = "3\n\"Ada!\"\n4\n4\n{\"a\":[1,true,1.5]}\n";
    assert_eq!((out.as_str(), code), (expected, Some(0)), "{err}");
}

#[test]
fn clients_connect_and_what_they_are_sent_is_shown() {
    let lines = "\
let ada = connect(\"/\")
let bob = connect()
ada.emit(\"say\", \"hi\")
ada.ask(\"count\") + ada.ask(\"count\")
bob
bob.handlers
io.data.visits
io.sockets.len()
io.emit(\"news\", 1, [2])
advance(5000)
ada.expect(\"said\", \"hi\")
bob.emit(\"leave\")
bob.connected
";
    let (out, err, code) = printed(&place(), lines);
    let expected = r#"ada heard said ["hi"]
bob heard said ["hi"]
3
bob
["bad","count","leave","say"]
2
2
ada heard news [1,[2]]
bob heard news [1,[2]]
ada heard late [1]
bob heard late [1]
["hi"]
bob left: server namespace disconnect
false
"#;
    assert_eq!((out.as_str(), code), (expected, Some(0)), "{err}");
}

#[test]
fn a_line_goes_on_until_it_is_finished() {
    let lines = "\
let sum = 0;
for n in [1,
  2] {

  sum += n;
}
sum
connect(
  \"/\"
).ask(\"count\")
`a
b`
#{
  a: 1
}
let x =
  5
if x == 5 { \"five\" } else {
  \"other\" }
/* more
than one line */ x
";
    let (out, err, code) = printed(&place(), lines);
    let expected = "3\n1\n\"a\\nb\"\n{\"a\":1}\n\"five\"\n5\n";
    assert_eq!((out.as_str(), code), (expected, Some(0)), "{err}");
    // The input ends in the middle of a function.
    let (_, err, code) = printed(&place(), "1\nfn f() {\n");
    assert_eq!(code, Some(1), "{err}");
    assert!(err.contains("--> repl:"), "{err}");
}

#[test]
fn a_problem_is_drawn_at_its_place_and_the_lines_after_it_run() {
    let lines = "\
let n = 1
fn half(n) {
  n / 0
}
half(n)
conect(\"/\")
1 +* 2
connect().expect(\"nothing\")
connect(\"/nowhere\")
loop { n += 1 }
connect().emit()
import \"lib/names\" as names;
n > 1
";
    let (out, err, code) = printed(&place(), lines);
    assert_eq!((out.as_str(), code), ("true\n", Some(1)), "{err}");
    for expected in [
        " --> repl:3:5\n  |\n3 |   n / 0\n  |     ^\n",
        "hint: there is a function `connect`",
        " --> repl:7:4\n",
        "hint: no function is for this call: `emit(Client)`\nerror: ",
        "hint: a console imports no files",
        "error: expected `nothing`",
        "hint: got nothing",
        "error: `/nowhere` refused the client: Invalid namespace",
        // The line uses up its operations or its time, depending on the speed of the machine.
        "\n  --> repl:10:",
    ] {
        assert!(err.contains(expected), "no {expected:?} in {err}");
    }
}

#[test]
fn a_handler_that_fails_and_a_script_that_does_not_load_are_told() {
    let place = place();
    let (out, err, code) = printed(&place, "connect().emit(\"bad\")\n");
    assert_eq!((out.as_str(), code), ("", Some(1)));
    assert!(err.contains("main.rhai:5:"), "{err}");
    assert!(err.contains("called from `bad` handler"), "{err}");
    place.write("scripts/main.rhai", "fn on_connection(");
    let (_, err, code) = printed(&place, "1\n");
    assert_eq!(code, Some(1));
    assert!(err.contains("main.rhai:1:"), "{err}");
    assert_eq!(place.run(&["repl", "nowhere"], &[]).status.code(), Some(2));
}

#[test]
fn a_save_takes_effect_on_the_clients_of_the_console() {
    let place = place();
    let mut child = Command::new(env!("CARGO_BIN_EXE_patchcord"))
        .args(["repl", "scripts"])
        .current_dir(place.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut answer = |line: &str| {
        writeln!(input, "{line}").unwrap();
        let mut answer = String::new();
        output.read_line(&mut answer).unwrap();
        answer
    };
    assert_eq!(answer("let ada = connect(); ada.ask(\"count\")"), "1\n");
    place.write("scripts/main.rhai", &SCRIPT.replace("+= 1", "+= 10"));
    assert_eq!(answer("ada.ask(\"count\")"), "11\n");
    // An edit of the REPL does not change the file, and holds until the file is saved.
    let line = "let text = script(\"main.rhai\"); text.replace(\"+= 10\", \"+= 100\"); edit(\"main.rhai\", text); ada.ask(\"count\")";
    assert_eq!(answer(line), "111\n");
    place.write("scripts/main.rhai", &SCRIPT.replace("+= 1", "+= 1000"));
    assert_eq!(answer("ada.ask(\"count\")"), "1111\n");
    drop(input);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_state_of_a_connection_can_be_asked_for() {
    let place = Place::new(&[]);
    fs::write(place.path().join("bot.rhai"), SCRIPT).unwrap();
    let lines = [
        "let ada = connect()",
        "ada.ask(\"count\")",
        "inspect(ada).version",
        "why(\"nothing\", ada)",
    ];
    let arguments: Vec<_> = lines.iter().flat_map(|line| ["-e", line]).collect();
    let output = place.run(&[&["repl", "bot.rhai"], &arguments[..]].concat(), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    let last: Vec<_> = text.lines().rev().take(2).collect();
    assert_eq!(
        last,
        ["\"never listened to by any version that is known\"", "1"]
    );
}

#[test]
fn lines_can_be_given_as_arguments() {
    let place = Place::new(&[]);
    fs::write(place.path().join("bot.rhai"), SCRIPT).unwrap();
    let output = place.run(
        &[
            "repl",
            "bot.rhai",
            "-e",
            "let a = connect()",
            "-e",
            "a.ask(\"count\")",
        ],
        &[],
    );
    assert_eq!(output.stdout, b"1\n", "{output:?}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn readme_repl_session_matches_output() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let (_, session) = readme.split_once("```text\n> let ada").unwrap();
    let (session, _) = session.split_once("```").unwrap();
    let mut console = Console::open(Arc::new(Folder::new(root.join("scripts")))).unwrap();
    for step in format!("let ada{session}").split("\n> ") {
        let (line, expected) = step.split_once('\n').unwrap();
        let answer = console.run(line);
        let mut printed = answer.heard;
        printed.extend(answer.value.unwrap());
        assert_eq!(printed.join("\n"), expected.trim_end(), "{line}");
    }
}

#[test]
fn names_are_completed() {
    let script = "fn on_connection(socket) { }";
    let scripts = Memory::from([("main.rhai", script)]);
    let mut console = Console::open(Arc::new(scripts)).unwrap();
    console.run("let ada = connect(); fn twice(n) { n * 2 }");
    for (text, place, expected) in [
        ("ada.em", 4, vec!["emit"]),
        ("ada.expect_", 4, vec!["expect_none", "expect_within"]),
        ("x(ada.hand", 6, vec!["handlers"]),
        (
            "io.socket",
            3,
            vec!["socket", "sockets", "sockets_join", "sockets_leave"],
        ),
        ("connec", 0, vec!["connect"]),
        ("1 + tw", 4, vec!["twice"]),
        ("ad", 0, vec!["ada", "advance", "advance_to"]),
        ("ada.id.", 7, vec![]),
        ("nobody.", 7, vec![]),
    ] {
        let (at, names) = console.complete(text);
        assert_eq!(
            (at, names),
            (place, expected.into_iter().map(str::to_owned).collect()),
            "{text}"
        );
    }
}
