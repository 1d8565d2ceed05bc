//! Databases in tests of scripts.

use patchcord::{
    script::Memory,
    testing::{Suite, TestClient, TestHost},
};
use serde_json::json;

const SCRIPT: &str = r#"
fn on_load() {
    db::execute("create table if not exists messages (id integer primary key, text text)", |err, count| {
        if err != () { print(err); }
    });
}

fn on_connection(socket) {
    socket.on("say", |text| {
        db::execute("insert into messages (text) values ($1)", [text], |err, count| socket.emit("stored", err, count));
    });
    socket.on("history", |ack| {
        db::query("select text from messages order by id", |err, rows| ack.call(err, rows.map(|row| row.text)));
    });
    socket.on("now", |ack| db::query("select now() as t", |err, rows| ack.call(err, rows)));
    socket.on("log", || db::named("logs").execute("create table x (a int)", |err, count| print(err)));
}"#;

#[test]
fn statements_of_tests_run_in_a_database_in_memory() {
    let mut host = TestHost::new(SCRIPT);
    let ada = host.connect("/").unwrap();
    assert_eq!(say(&host, &ada, "hello"), "stored [null,1]");
    assert_eq!(ask(&host, &ada, "history"), "[null,[\"hello\"]]");
    // An edit runs no statement again.
    host.edit(
        "main.rhai",
        &SCRIPT.replace("order by id", "order by id desc"),
    );
    assert_eq!(say(&host, &ada, "bye"), "stored [null,1]");
    assert_eq!(ask(&host, &ada, "history"), "[null,[\"bye\",\"hello\"]]");
    let other = TestHost::new(SCRIPT);
    let eve = other.connect("/").unwrap();
    assert_eq!(ask(&other, &eve, "history"), "[null,[]]");
    assert_eq!(host.problems(), [""; 0]);
}

/// Returns the answer of a script, which may come after the step in which it was asked.
fn ask(host: &TestHost, client: &TestClient, event: &str) -> String {
    let answer = client.ask(event, ()).or_else(|| {
        host.advance(1);
        client.answers().pop()
    });
    answer.unwrap_or_default()
}

fn say(host: &TestHost, client: &TestClient, text: &str) -> String {
    client.emit("say", [text]);
    host.advance(1);
    client.heard().pop().unwrap_or_default()
}

#[test]
fn a_test_answers_for_a_database() {
    let host = TestHost::new(SCRIPT);
    let ada = host.connect("/").unwrap();
    let refused = ask(&host, &ada, "now");
    assert!(
        refused.contains(
            "no such function: now; tests run statements in SQLite, and `db_answer(part, answer)`"
        ),
        "{refused}"
    );
    host.answer_sql("now()", json!([{"t": "today"}]));
    assert_eq!(ask(&host, &ada, "now"), "[null,[{\"t\":\"today\"}]]");
    host.answer_sql("now()", json!({"error": "it is late"}));
    assert_eq!(ask(&host, &ada, "now"), "[\"it is late\",null]");
    host.answer_sql("insert", json!(3));
    assert_eq!(say(&host, &ada, "hello"), "stored [null,3]");
    host.answer_sql("insert", json!("three"));
    assert!(say(&host, &ada, "hello").contains("`db_answer` takes an array of rows for `query`"));
}

#[test]
fn tests_of_scripts_set_answers_and_see_statements() {
    let tests = r#"
        fn test_statements_run() {
            let ada = connect("/");
            advance(1);
            db_calls();
            ada.emit("say", "hello");
            advance(1);
            assert_eq(db_calls(), [#{ database: "main", sql: "insert into messages (text) values ($1)", parameters: ["hello"] }]);
            ada.emit("log");
            advance(1);
            assert_eq(db_calls()[0].database, "logs");
        }
        fn test_answers_are_set() {
            db_answer("from messages", [#{ text: "from a test" }]);
            db_answer("insert", #{ error: "disk full" });
            let ada = connect("/");
            ada.emit("say", "hello");
            advance(1);
            ada.expect("stored", "disk full", ());
        }"#;
    let scripts = Memory::from([("main.rhai", SCRIPT), ("main_test.rhai", tests)]);
    let suite = Suite::load(&scripts, |_, _| true).unwrap();
    assert_eq!(suite.problems(), []);
    for outcome in suite.run(|_| ()) {
        assert!(outcome.passed(), "{outcome:#?}");
    }
}
