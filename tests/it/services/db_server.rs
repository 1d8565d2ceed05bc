//! A PostgreSQL server that restarts, is not there, or changes its schema.

use serde_json::{Value, json};

use super::db_support::{Asking, OwnServer, postgres};

/// Asks until the database answers. Counts the failures.
async fn until_it_answers(db: &mut Asking) -> usize {
    let mut failures = 0;
    while db.ask("query", json!(["select 1 as x", []])).await[0] != Value::Null {
        failures += 1;
    }
    failures
}

#[tokio::test]
async fn a_restart_of_the_server_costs_at_most_a_failed_call_for_each_connection() {
    if postgres().is_none() {
        return;
    }
    let server = OwnServer::start();
    let mut db = Asking::with(&server.url, |limits| limits.pool = 4).await;
    let mut calls = Vec::new();
    for _ in 0..4 {
        calls.push(db.send("query", json!(["select pg_sleep(0.2)", []])).await);
    }
    for call in calls {
        assert_eq!(db.answer(call).await[0], Value::Null);
    }
    server.run("restart");
    assert!(until_it_answers(&mut db).await <= 4);
    // A call during which the server stops has a clear error, and the echo beside it works.
    let lost = db.send("query", json!(["select pg_sleep(3600)", []])).await;
    assert_eq!(db.ask("echo", json!([1])).await, json!([1]));
    server.run("crash");
    let error = db.answer(lost).await[0].as_str().unwrap().to_owned();
    assert!(
        error.contains("the connection to the database is lost") || error.contains("SQLSTATE 57P"),
        "{error}"
    );
    let error = db.error("query", json!(["select 1 as x", []])).await;
    assert_eq!(error, "the database cannot be reached: connection refused");
    assert_eq!(db.ask("echo", json!([2])).await, json!([2]));
    server.run("restart");
    until_it_answers(&mut db).await;
}

#[tokio::test]
async fn a_refused_login_tells_the_operator_more_than_the_script() {
    let Some(url) = postgres() else { return };
    let url = url.replace(":test@", ":opensesame@");
    let mut db = Asking::new(&url).await;
    let error = db.error("query", json!(["select 1", []])).await;
    assert_eq!(
        error,
        "the database refuses the connection (SQLSTATE 28P01)"
    );
    let announced = db
        .running
        .announced(|event| match event {
            patchcord::HostEvent::ServiceFailed {
                service,
                target,
                error,
                ..
            } => Some((service, target, error)),
            _ => None,
        })
        .await;
    assert_eq!(
        (announced.0.as_str(), announced.1.as_str()),
        ("db::query", "main")
    );
    assert!(
        announced
            .2
            .contains("password authentication failed for user"),
        "{}",
        announced.2
    );
    assert!(!announced.2.contains("opensesame"), "{}", announced.2);
}

#[tokio::test]
async fn a_changed_schema_does_not_disturb_prepared_statements() {
    let Some(url) = postgres() else { return };
    let mut db = Asking::with(&url, |limits| limits.pool = 1).await;
    for sql in [
        "drop table if exists schemas",
        "create table schemas (a int)",
        "insert into schemas values (1)",
    ] {
        db.execute(sql, json!([])).await;
    }
    let all = "select * from schemas";
    assert_eq!(db.rows(all, json!([])).await, json!([{"a": 1}]));
    db.execute("alter table schemas add b text default 'x'", json!([]))
        .await;
    assert_eq!(db.rows(all, json!([])).await, json!([{"a": 1, "b": "x"}]));
    // More statements than a connection keeps.
    for n in 0..250 {
        let rows = db.rows(&format!("select {n} as n"), json!([])).await;
        assert_eq!(rows, json!([{ "n": n }]));
    }
    let rows = db
        .rows(
            "select count(*) as n from pg_prepared_statements",
            json!([]),
        )
        .await;
    assert!(rows[0]["n"].as_i64().unwrap() <= 101, "{rows}");
}

#[tokio::test]
async fn a_statement_that_the_protocol_does_not_support_breaks_nothing() {
    let Some(url) = postgres() else { return };
    let mut db = Asking::with(&url, |limits| limits.pool = 1).await;
    db.execute("create table if not exists copied (a int)", json!([]))
        .await;
    for sql in ["copy copied from stdin", "copy copied to stdout"] {
        let error = db.error("execute", json!([sql, []])).await;
        assert!(
            error.contains("the connection to the database is lost"),
            "{error}"
        );
        assert_eq!(db.rows("select 1 as x", json!([])).await, json!([{"x": 1}]));
    }
    let error = db.error("execute", json!(["select 1; select 2", []])).await;
    assert_eq!(
        error,
        "one call runs one statement: use `db::transaction` for several"
    );
    assert_eq!(db.execute("", json!([])).await, 0);
    assert_eq!(db.execute("listen news", json!([])).await, 0);
    assert_eq!(db.execute("notify news, 'x'", json!([])).await, 0);
    assert_eq!(db.rows("select 1 as x", json!([])).await, json!([{"x": 1}]));
}
