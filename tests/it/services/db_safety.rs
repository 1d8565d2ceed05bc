//! Limits of the power of clients and scripts over a database.

use serde_json::json;

use super::db_support::{Asking, File, OwnServer, postgres};

#[tokio::test]
async fn a_parameter_is_never_a_part_of_the_statement() {
    let file = File::new();
    let mut urls = vec![file.url()];
    urls.extend(postgres());
    for url in urls {
        let mut db = Asking::new(&url).await;
        db.execute("drop table if exists users", json!([])).await;
        db.execute("create table users (name text)", json!([]))
            .await;
        db.execute("insert into users values ('ada'), ('eve')", json!([]))
            .await;
        for hostile in [
            "' or '1'='1",
            "'; drop table users; --",
            "\\'; drop table users; --",
            "$1",
            "ada' --",
        ] {
            let found = db
                .rows("select * from users where name = $1", json!([hostile]))
                .await;
            assert_eq!(found, json!([]), "{url} {hostile}");
            db.execute(
                "update users set name = $1 where name = $1",
                json!([hostile]),
            )
            .await;
        }
        let rows = db.rows("select count(*) as n from users", json!([])).await;
        assert_eq!(rows, json!([{"n": 2}]), "{url}");
    }
}

#[tokio::test]
async fn statements_of_sqlite_reach_no_other_file_and_change_no_setting() {
    let file = File::new();
    let mut db = Asking::new(&file.url()).await;
    db.execute("create table t (a text)", json!([])).await;
    let other = file.path().join("other.db");
    let other = other.display();
    for sql in [
        format!("attach '{other}' as other"),
        format!("vacuum into '{other}'"),
        "pragma journal_mode = off".to_owned(),
        "pragma foreign_keys = off".to_owned(),
        "pragma writable_schema = on".to_owned(),
        "select load_extension('x')".to_owned(),
        "select writefile('x', 'y')".to_owned(),
        "insert into sqlite_master values (1, 1, 1, 1, 1)".to_owned(),
        "select \"no column\"".to_owned(),
        "select 1; select 2".to_owned(),
        String::new(),
    ] {
        let error = db.error("execute", json!([sql, []])).await;
        assert!(!error.is_empty(), "{sql}");
    }
    let files: Vec<_> = std::fs::read_dir(file.path())
        .unwrap()
        .map(|one| one.unwrap().file_name())
        .collect();
    assert!(
        files
            .iter()
            .all(|name| name.to_string_lossy().starts_with("test.db")),
        "{files:?}"
    );
    assert_eq!(
        db.rows("pragma user_version", json!([])).await,
        json!([{"user_version": 0}])
    );
    // A pattern whose matching would take long.
    let pattern = "%a".repeat(2000);
    let error = db
        .error("query", json!(["select $1 like $2", ["a", pattern]]))
        .await;
    assert!(error.contains("pattern too complex"), "{error}");
}

#[tokio::test]
async fn what_a_client_that_leaves_has_sent_is_written_also_while_the_host_closes() {
    let script = r#"
        fn on_load() { db::execute("create table if not exists visits (socket text)", |err, count| {}); }
        fn on_connection(socket) { socket.on("ready", |ack| db::query("select 1 from visits", |err, rows| ack.call(err))); }
        fn on_disconnect(socket, reason) {
            db::execute("insert into visits values ($1)", [reason], |err, count| print("not called"));
        }"#;
    let file = File::new();
    let mut urls = vec![file.url()];
    let own = postgres().map(|_| OwnServer::start());
    urls.extend(own.iter().map(|server| server.url.clone()));
    for url in urls {
        let mut db = Asking::of_script(script, &url, |_| {}).await;
        while db.ask("ready", json!([])).await[0] != json!(null) {}
        db.running.server.shutdown().await;
        let mut again = Asking::new(&url).await;
        let rows = again.rows("select socket from visits", json!([])).await;
        assert_eq!(rows, json!([{"socket": "server shutting down"}]), "{url}");
    }
}

#[tokio::test]
async fn another_program_that_keeps_the_file_locked_delays_only_the_calls_that_write() {
    let file = File::new();
    let mut db = Asking::with(&file.url(), |limits| {
        limits.timeout = std::time::Duration::from_secs(2);
    })
    .await;
    db.execute("create table t (a int)", json!([])).await;
    // Another host is another program for SQLite.
    let mut other = Asking::new(&file.url()).await;
    let endless = "with recursive n(i) as (select 1 union all select i + 1 from n) insert into t select i from n";
    let writes = other.send("execute", json!([endless, []])).await;
    let error = loop {
        let answer = db
            .ask("execute", json!(["insert into t values (1)", []]))
            .await;
        if let Some(error) = answer[0].as_str() {
            break error.to_owned();
        }
    };
    let expected =
        "the database is in use by another program for longer than 2s, the limit of `--db-timeout`";
    assert_eq!(error, expected);
    assert!(
        db.rows("select a from t limit 1", json!([]))
            .await
            .is_array()
    );
    assert!(other.answer(writes).await[0].is_string());
    assert_eq!(db.execute("insert into t values (1)", json!([])).await, 1);
}
