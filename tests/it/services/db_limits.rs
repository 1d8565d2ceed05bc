//! Limits of calls: rows, bytes, time, and calls that wait.

use std::time::Duration;

use serde_json::json;

use super::db_support::{Asking, File, postgres};

const MANY: &str = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 1000000) select i from n";

#[tokio::test]
async fn a_million_rows_are_an_error_and_the_next_query_works() {
    let file = File::new();
    let mut urls = vec![file.url(), "sqlite::memory:".to_owned()];
    urls.extend(postgres());
    for url in urls {
        let mut db = Asking::with(&url, |limits| limits.pool = 1).await;
        for _ in 0..3 {
            let error = db.error("query", json!([MANY, []])).await;
            let expected = "the result has more than 1000 rows, the limit of `--db-max-rows`: add `limit 1000` to the \
                            statement";
            assert_eq!(error, expected, "{url}");
            let rows = db.rows(&format!("{MANY} limit 1000"), json!([])).await;
            assert_eq!(rows.as_array().unwrap().len(), 1000, "{url}");
        }
    }
}

#[tokio::test]
async fn a_result_that_is_too_large_is_an_error() {
    let mut urls = vec![(
        "sqlite::memory:".to_owned(),
        "hex(zeroblob(500))",
        "hex(zeroblob(3000000))",
    )];
    urls.extend(postgres().map(|url| (url, "repeat('x', 1000)", "repeat('x', 100000000)")));
    for (url, each, one) in urls {
        let mut db = Asking::with(&url, |limits| limits.max_bytes = 100_000).await;
        let expected = "the result has more than 100000 bytes, the limit of `--db-max-bytes`: select fewer columns or rows";
        for sql in [
            format!("select {each} as x from ({MANY} limit 1000) as n"),
            format!("select {one} as x"),
        ] {
            assert_eq!(
                db.error("query", json!([sql, []])).await,
                expected,
                "{url} {sql}"
            );
            assert_eq!(db.rows("select 1 as x", json!([])).await, json!([{"x": 1}]));
        }
    }
}

#[tokio::test]
async fn a_hanging_query_ends_at_the_limit_and_delays_nobody() {
    let file = File::new();
    let endless =
        "with recursive n(i) as (select 1 union all select i + 1 from n) select sum(i) from n";
    let mut urls = vec![
        (file.url(), endless.to_owned(), 2),
        ("sqlite::memory:".to_owned(), endless.to_owned(), 1),
    ];
    urls.extend(postgres().map(|url| (url, "select pg_sleep(3600)".to_owned(), 2)));
    for (url, hangs, pool) in urls {
        let mut db = Asking::with(&url, |limits| {
            limits.timeout = Duration::from_secs(3);
            limits.pool = pool;
        })
        .await;
        let hanging = db.send("query", json!([hangs, []])).await;
        // The echo and, where there are several connections, another statement are answered while the query runs.
        assert_eq!(db.ask("echo", json!([7])).await, json!([7]));
        if pool > 1 {
            assert_eq!(
                db.execute("create table if not exists beside (x int)", json!([]))
                    .await,
                0
            );
        }
        let answer = db.answer(hanging).await;
        let expected = "the database has not answered within 3s, the limit of `--db-timeout`";
        assert_eq!(answer, json!([expected, null]), "{url}");
        assert_eq!(db.rows("select 1 as x", json!([])).await, json!([{"x": 1}]));
    }
}

#[tokio::test]
async fn a_call_waits_for_a_connection_within_its_own_limit() {
    let Some(url) = postgres() else { return };
    let mut db = Asking::with(&url, |limits| {
        limits.timeout = Duration::from_secs(2);
        limits.pool = 1;
    })
    .await;
    let hanging = db.send("query", json!(["select pg_sleep(3600)", []])).await;
    let waiting = db.send("query", json!(["select 1 as x", []])).await;
    let answer = db.answer(hanging).await;
    assert!(
        answer[0]
            .as_str()
            .unwrap()
            .starts_with("the database has not answered"),
        "{answer}"
    );
    // The connection becomes free when the limit of the second call has nearly passed.
    let answer = db.answer(waiting).await;
    let error = answer[0].as_str().unwrap_or("within 2s");
    assert!(error.contains("within 2s"), "{error}");
    assert_eq!(db.rows("select 1 as x", json!([])).await, json!([{"x": 1}]));
}

#[tokio::test]
async fn a_cancelled_query_does_not_run_on_in_the_server() {
    let Some(url) = postgres() else { return };
    let mut db = Asking::with(&url, |limits| limits.timeout = Duration::from_secs(1)).await;
    db.error("query", json!(["select pg_sleep(3599)", []]))
        .await;
    let sql = "select count(*) as n from pg_stat_activity where query like 'select pg_sleep(3599)%' and state = 'active'";
    while db.rows(sql, json!([])).await != json!([{"n": 0}]) {}
}

#[tokio::test]
async fn a_socket_has_a_maximum_of_calls_that_wait() {
    let script = r#"fn on_connection(socket) {
        socket.on("flood", |n, ack| {
            let done = 0;
            for i in 0..n { db::query("select 1", |err, rows| { done += 1; if done == n { ack.call(done); } }); }
        });
    }"#;
    let mut db = Asking::of_script(script, "sqlite::memory:", |_| {}).await;
    assert_eq!(db.ask("flood", json!([32])).await, json!([32]));
    db.send("flood", json!([33])).await;
    let problem = db
        .running
        .announced(|event| match event {
            patchcord::HostEvent::HandlerFailed { diagnostic } => Some(diagnostic.message),
            _ => None,
        })
        .await;
    assert!(
        problem.contains("32 calls of this socket wait"),
        "{problem}"
    );
}

#[tokio::test]
async fn many_clients_share_few_connections() {
    let file = File::new();
    let mut urls = vec![file.url()];
    urls.extend(postgres());
    for url in urls {
        let mut db = Asking::with(&url, |limits| limits.pool = 3).await;
        db.execute("drop table if exists shared", json!([])).await;
        db.execute("create table shared (x int)", json!([])).await;
        let mut clients = Vec::new();
        for _ in 0..30 {
            let mut client = db.running.websocket().await;
            client.connect("").await;
            client
                .send("421[\"execute\",\"insert into shared values ($1)\",[1]]")
                .await;
            clients.push(client);
        }
        for client in &mut clients {
            let answer = client.until(|packet| packet.starts_with("431")).await;
            assert_eq!(answer, "431[null,1]", "{url}");
        }
        let rows = db.rows("select count(*) as n from shared", json!([])).await;
        assert_eq!(rows, json!([{"n": 30}]), "{url}");
    }
}
