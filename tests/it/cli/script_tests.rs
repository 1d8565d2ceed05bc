//! `patchcord test`: tests of scripts, written as scripts.

use std::{path::Path, process::Output};

use patchcord::{
    script::{Folder, Memory},
    testing::{Outcome, Suite},
};

use crate::support::program::Place;

/// Runs the tests in `test` on a host that serves `script` as `/`; returns the outcomes.
fn run(script: &str, test: &str) -> Vec<Outcome> {
    let scripts = Memory::from([("main.rhai", script), ("main_test.rhai", test)]);
    let suite = Suite::load(&scripts, |_, _| true).unwrap();
    assert_eq!(suite.problems(), []);
    suite.run(|_| ())
}

/// Runs one test, and returns its problems.
fn problem(script: &str, test: &str) -> String {
    let outcomes = run(script, &format!("fn test_it() {{\n    {test}\n}}"));
    assert_eq!(outcomes.len(), 1);
    let problems: Vec<_> = outcomes[0]
        .problems
        .iter()
        .map(ToString::to_string)
        .collect();
    problems.join("\n\n")
}

/// Runs the tests of a folder, which must pass, and returns their number.
fn passed(folder: &str) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let suite = Suite::load(&Folder::new(folder), |_, _| true).unwrap();
    assert_eq!(suite.problems(), []);
    let outcomes = suite.run(|_| ());
    for outcome in &outcomes {
        assert!(outcome.passed(), "{outcome:#?}");
    }
    outcomes.len()
}

#[test]
fn the_tests_of_the_presets_pass() {
    assert!(passed("scripts") > 12);
}

/// Handlers that are well known from Node: chat rooms, private messages, a to-do list, a game, a feed.
#[test]
fn the_tests_of_the_handlers_pass() {
    assert!(passed("examples/handlers") > 15);
}

/// Functions on texts, arrays, maps and numbers.
#[test]
fn the_tests_of_the_library_pass() {
    assert!(passed("tests/fixtures/library") > 10);
}

/// Passwords, metrics and schedules.
#[test]
fn the_tests_of_the_services_pass() {
    assert_eq!(passed("tests/fixtures/services"), 2);
}

/// The folders have a script and its tests for each kind of edit.
#[test]
fn the_tests_of_the_edits_pass() {
    assert!(passed("examples/edits") > 25);
    assert!(passed("tests/fixtures/edits") > 40);
}

#[test]
fn clients_events_acks_time_edits_and_data() {
    let script = r#"
        fn on_connection(socket) {
            io.data.incr("visits", 1);
            let n = 0;
            socket.on("count", || { n += 1; n });
            socket.on("two", |ack| { ack.call(1, 2); });
            socket.on("file", |bytes| bytes.len);
            socket.emit("name?", |name| { socket.emit("hello", name); });
            set_timeout(|| { socket.emit("late", 1); }, 5000);
            socket.on("leave", || { socket.disconnect(); });
            socket.on("query", || socket.handshake.query.room);
            socket.timeout(100).emit("quick?", |err, answer| { socket.emit("waited", err); });
        }"#;
    let test = r#"
        fn test_all() {
            let ada = connect("/", #{ query: #{ room: "tea" } });
            ada.expect("name?");
            ada.answer("Ada");
            ada.expect("hello", "Ada");
        }"#;
    let more = r#"
        fn test_more() {
            let ada = connect("/", #{ query: #{ room: "tea" } });
            assert_eq(ada.ask("query"), "tea");
            assert_eq(ada.ask("count"), 1);
            assert_eq(ada.ask("two"), [1, 2]);
        }
        fn test_time() {
            let ada = connect("/");
            advance(4999);
            ada.expect_none("late");
            ada.expect("waited", "operation has timed out");
            ada.expect_within(10, "late", 1);
            assert_eq(data("/").visits, 1);
        }
        fn test_edit() {
            let ada = connect("/");
            ada.ask("count");
            let text = script("main.rhai");
            text.replace("n += 1; n }", "n += 10; n }");
            edit("main.rhai", text);
            assert_eq(ada.ask("count"), 11);
            edit("main.rhai", "fn on_connection(");
            assert_eq(failures().len, 1);
            assert_eq(ada.ask("count"), 21);
        }
        fn test_the_report_of_an_edit_and_the_state_of_a_connection() {
            let ada = connect("/");
            ada.ask("count");
            let text = script("main.rhai");
            text.replace("n = 0", "n = 5");
            assert_eq(preview("main.rhai", text).variables[0].kept, 1);
            assert_eq(preview("main.rhai", "fn on_connection("), ());
            assert_eq(inspect(ada).version, 1);
            assert(throws(|| edit("main.rhai", "n = 7", "n = 8")).contains("does not contain `n = 7`"));
            let report = edit("main.rhai", "n = 0", "n = 5");
            assert_eq(report.version, 2);
            assert_eq(report.rebound, 1);
            let variable = report.variables[0];
            assert_eq([variable.name, variable.kept], ["n", 1]);
            assert_eq(edit("main.rhai", text), ());
            let state = inspect(ada);
            assert_eq(state.version, 2);
            assert_eq(state.vars.n, 1);
            assert_eq(state.variables[0].initial, 5);
            assert(why("count", ada).starts_with("listened to: main.rhai:"));
            text.replace("\"count\"", "\"counted\"");
            edit("main.rhai", text);
            assert(why("count", ada).starts_with("not listened to since version 3; version 2 did"));
            assert_eq(edit("main.rhai", "fn on_connection("), ());
            assert_eq(failures().len, 1);
            let other = edit("other.rhai", "fn on_connection(socket) { }");
            assert_eq([other.namespace, other.version], ["/other", 1]);
            ada.disconnect();
            assert(throws(|| inspect(ada)).contains("is connected"));
        }
        fn test_leaving() {
            let ada = connect("/");
            assert(ada.connected);
            ada.emit("leave");
            assert(!ada.connected);
            assert_eq(refused("/nowhere", #{}), "Invalid namespace");
            assert(throws(|| ada.expect("nothing")).contains("nothing"));
        }
        fn helper() { throw "this is no test"; }"#;
    for outcome in run(script, &format!("{test}{more}")) {
        assert!(outcome.passed(), "{outcome:#?}");
    }
}

#[test]
fn a_failure_says_what_was_expected_and_what_came_and_where() {
    let script = "fn on_connection(socket) { socket.emit(\"welcome\", \"hi\"); socket.on(\"bad\", || 1 / 0); }";
    let printed = problem(script, "connect(\"/\").expect(\"welcome\", \"hello\");");
    let expected = "\
error: expected `welcome` with [\"hello\"]
 --> main_test.rhai:2:18
  |
2 |     connect(\"/\").expect(\"welcome\", \"hello\");
  |                  ^^^^^^
hint: got `welcome` with [\"hi\"]";
    assert!(printed.starts_with(expected), "{printed}");

    for (test, expected, got) in [
        (
            "connect(\"/\").expect(\"x\");",
            "expected `x`",
            "got `welcome`",
        ),
        (
            "connect(\"/\").expect_none(\"welcome\");",
            "expected no `welcome`",
            "got `welcome`",
        ),
        (
            "connect(\"/\").expect_within(5, \"x\", 1);",
            "expected `x` with [1] within 5 ms",
            "got `welcome`",
        ),
        (
            "connect(\"/\").ask(\"x\");",
            "expected an answer to `x`, got none",
            "",
        ),
        (
            "connect(\"/\").answer(1);",
            "expected a question of the server, got none",
            "",
        ),
        (
            "connect(\"/no\");",
            "`/no` refused the client: Invalid namespace",
            "",
        ),
        (
            "refused(\"/\", #{});",
            "expected `/` to refuse the client, got in",
            "",
        ),
        ("assert_eq(1 + 1, 3);", "expected 3", "got 2"),
        ("assert(1 > 2);", "expected this to be true", ""),
        ("throws(|| 1);", "expected this to throw", ""),
        (
            "connect(\"/\").emit(\"bad\");",
            "division by zero",
            "called from `bad` handler",
        ),
    ] {
        let printed = problem(script, test);
        assert!(printed.contains(expected), "{test}: {printed}");
        assert!(printed.contains(got), "{test}: {printed}");
    }
}

#[test]
fn binary_data_late_answers_and_what_a_test_prints() {
    let script = r#"
        fn on_connection(socket) {
            socket.emit("bytes", blob(3, 7));
            socket.on("all", |ack| io.timeout(50).emit("who", |err, answers| ack.call(answers)));
            socket.on("from", || socket.handshake.address);
        }"#;
    let test = r#"
        fn test_same() {
            let ada = connect("/");
            ada.expect("bytes", blob(3, 7));
            assert_eq(connect("/").expect("bytes")[0].to_blob(), blob(3, 7));
            assert_eq(connect("/").expect("bytes"), [blob(3, 7)]);
            assert_eq(ada.ask("from"), "127.0.0.1");
            print("said so");
        }
        fn test_late() { assert_eq(connect("/").ask_within(60, "all"), []); }"#;
    for outcome in run(script, test) {
        assert!(outcome.passed(), "{outcome:#?}");
        if outcome.name == "test_same" {
            assert_eq!(outcome.log, ["said so"]);
        }
    }
    for (test, expected) in [
        (
            "connect(\"/\").expect(\"bytes\", blob(3, 8));",
            "error: expected `bytes` with [<3 bytes: 08 08 08>]",
        ),
        (
            "connect(\"/\").expect(\"bytes\", blob(3, 8));",
            "hint: got `bytes` with [<3 bytes: 07 07 07>]",
        ),
        (
            "connect(\"/\").ask_within(40, \"all\");",
            "expected an answer to `all` within 40 ms, got none",
        ),
        (
            "connect(\"/\").expect_within(\"a\", 1);",
            "`expect_within` takes milliseconds first, a whole number, and got string",
        ),
        (
            "connect(\"/\", #{ auht: 1 });",
            "a client comes with `auth` and `query`, and not with `auht`",
        ),
    ] {
        let printed = problem(script, test);
        assert!(printed.contains(expected), "{test}: {printed}");
    }
}

#[test]
fn the_program_runs_tests_and_its_exit_code_says_whether_all_pass() {
    let place = Place::new(&[
        (
            "scripts/main.rhai",
            "fn on_connection(socket) { socket.emit(\"hi\", 1); }",
        ),
        (
            "scripts/main_test.rhai",
            "fn test_one() { connect(\"/\").expect(\"hi\", 1); }\nfn test_two() { assert(true); }",
        ),
    ]);
    let text = |output: &Output| String::from_utf8(output.stdout.clone()).unwrap();
    let output = place.run(&["test"], &[]);
    assert_eq!(
        text(&output),
        "main_test.rhai::test_one ok\nmain_test.rhai::test_two ok\n\n2 passed, 0 failed\n"
    );
    assert_eq!(output.status.code(), Some(0));
    let output = place.run(&["test", "scripts/main_test.rhai", "--filter", "two"], &[]);
    assert_eq!(
        text(&output),
        "main_test.rhai::test_two ok\n\n1 passed, 0 failed\n"
    );

    place.write(
        "scripts/main.rhai",
        "fn on_connection(socket) { socket.emit(\"hi\", 2); }",
    );
    let output = place.run(&["test"], &[]);
    assert_eq!(output.status.code(), Some(1));
    let printed = text(&output);
    assert!(
        printed.contains("main_test.rhai::test_one FAILED\n"),
        "{printed}"
    );
    assert!(printed.contains("hint: got `hi` with [2]"), "{printed}");
    assert!(printed.ends_with("\n1 passed, 1 failed\n"), "{printed}");
    let output = place.run(&["test", "--format", "json"], &[]);
    let report: serde_json::Value = serde_json::from_str(&text(&output)).unwrap();
    assert_eq!(report["tests"][0]["problems"][0]["place"]["line"], 1);

    place.write("scripts/main_test.rhai", "fn test_one() { conect(\"/\"); }");
    let output = place.run(&["test"], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("hint: there is a function `connect`"),
        "{output:?}"
    );

    place.write("scripts/main_test.rhai", "fn test_one() { }");
    for wrong in [&["test", "nowhere"][..], &["test", "--filter", "none"]] {
        assert_eq!(place.run(wrong, &[]).status.code(), Some(2), "{wrong:?}");
    }
}

/// Returns a folder with a script and its two tests, of which the second fails.
fn one_fails() -> Place {
    Place::new(&[
        (
            "scripts/main.rhai",
            "fn on_connection(socket) { socket.emit(\"hi\", 1); }",
        ),
        (
            "scripts/main_test.rhai",
            "fn test_one() { connect(\"/\").expect(\"hi\", 1); }\nfn test_two() { print(\"<&>\"); connect(\"/\").expect(\"hi\", 2); }",
        ),
    ])
}

#[test]
fn results_are_written_as_junit_for_build_servers() {
    let place = one_fails();
    let output = place.run(&["test", "--format", "junit"], &[]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    for expected in [
        "<testsuites name=\"patchcord\" tests=\"2\" skipped=\"0\" failures=\"1\" errors=\"0\">",
        "<testsuite name=\"main_test.rhai\" tests=\"2\" skipped=\"0\" errors=\"0\" failures=\"1\">",
        "<testcase name=\"test_one\" classname=\"main_test.rhai\" time=\"",
        "<failure message=\"expected `hi` with [2]\">error: expected `hi` with [2]",
        "--&gt; main_test.rhai:2:",
        "<system-out>&lt;&amp;&gt;</system-out>",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    place.write("scripts/main_test.rhai", "fn test_one(");
    let output = place.run(&["test", "--format", "junit"], &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("errors=\"1\""), "{text}");
    assert!(text.contains("<error message=\"expected "), "{text}");
}

#[test]
fn tests_run_again_when_a_script_or_a_test_is_saved() {
    let place = one_fails();
    let running = place.start(&["test", "--watch"]);
    running.until("1 passed, 1 failed");
    place.write(
        "scripts/main.rhai",
        "fn on_connection(socket) { socket.emit(\"hi\", 1); socket.emit(\"hi\", 2); }",
    );
    running.until("2 passed, 0 failed");
    place.write(
        "scripts/main_test.rhai",
        "fn test_three() { assert(true); }",
    );
    let seen = running.until("1 passed, 0 failed");
    assert!(
        seen.contains(&"main_test.rhai::test_three ok".to_owned()),
        "{seen:?}"
    );
}

#[test]
fn a_terminal_shows_how_far_the_tests_are() {
    let shown = one_fails().run_at_a_terminal("test");
    assert!(shown.contains("\r\u{1b}[K1/2 test_"), "{shown:?}");
    assert!(shown.contains("\r\u{1b}[K2/2 test_"), "{shown:?}");
    assert!(shown.contains("1 passed, 1 failed"), "{shown:?}");
}
