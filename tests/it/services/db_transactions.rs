//! Transactions.

use serde_json::json;

use super::db_support::{Asking, File, postgres};

/// Databases with a table of accounts, whose name is unique to the test.
async fn accounts(file: &File, table: &str) -> Vec<Asking> {
    let mut urls = vec![file.url(), "sqlite::memory:".to_owned()];
    urls.extend(postgres());
    let mut all = Vec::new();
    for url in urls {
        let mut db = Asking::new(&url).await;
        db.execute(&format!("drop table if exists {table}"), json!([]))
            .await;
        let sql =
            format!("create table {table} (id int primary key, n int not null check (n >= 0))");
        db.execute(&sql, json!([])).await;
        let sql = format!("insert into {table} values (1, 100), (2, 0)");
        assert_eq!(db.execute(&sql, json!([])).await, 2);
        all.push(db);
    }
    all
}

#[tokio::test]
async fn statements_of_a_transaction_take_effect_together_or_not_at_all() {
    let file = File::new();
    for mut db in accounts(&file, "money").await {
        let pay = |amount: i32| {
            json!([[
                ["update money set n = n + $1 where id = 2", [amount], 1],
                ["update money set n = n - $1 where id = 1", [amount], 1],
                ["select n from money order by id"],
            ]])
        };
        let paid = db.ask("transaction", pay(70)).await;
        assert_eq!(paid, json!([null, [1, 1, [{"n": 30}, {"n": 70}]]]));
        let error = db.error("transaction", pay(70)).await;
        assert!(
            error.starts_with("statement 2: ") && error.ends_with("(SQLSTATE 23514)"),
            "{error}"
        );
        let rows = db.rows("select n from money order by id", json!([])).await;
        assert_eq!(rows, json!([{"n": 30}, {"n": 70}]));
        // Nobody has this id.
        let nobody = json!([[
            ["update money set n = 5 where id = 1"],
            ["delete from money where id = 9", [], 1]
        ]]);
        let error = db.error("transaction", nobody).await;
        assert_eq!(error, "statement 2: expected 1 rows, found 0");
        let rows = db.rows("select n from money order by id", json!([])).await;
        assert_eq!(rows, json!([{"n": 30}, {"n": 70}]));
    }
}

#[tokio::test]
async fn a_transaction_is_an_array_of_statements() {
    let file = File::new();
    for mut db in accounts(&file, "shapes").await {
        let shape = "expected `[sql]`, `[sql, parameters]` or `[sql, parameters, rows]`";
        for (list, expected) in [
            (json!([["select 1"], []]), format!("statement 2: {shape}")),
            (json!(["select 1"]), format!("statement 1: {shape}")),
            (json!([["select 1", 7]]), format!("statement 1: {shape}")),
            (
                json!([["select 1", [], -1]]),
                format!("statement 1: {shape}"),
            ),
            (
                json!([["select 1"], ["commit"]]),
                "statement 2: the statement has ended the transaction".to_owned(),
            ),
        ] {
            assert_eq!(db.error("transaction", json!([list])).await, expected);
        }
        assert_eq!(db.ask("transaction", json!([[]])).await, json!([null, []]));
        assert_eq!(db.rows("select 1 as x", json!([])).await, json!([{"x": 1}]));
    }
}

#[tokio::test]
async fn a_statement_cannot_leave_a_transaction_open() {
    let file = File::new();
    for mut db in accounts(&file, "open").await {
        for event in ["execute", "query"] {
            let error = db.error(event, json!(["begin", []])).await;
            let expected = "the statement leaves a transaction open, which has been rolled back: use `db::transaction`";
            assert_eq!(error, expected);
        }
        assert_eq!(
            db.execute("update open set n = 7 where id = 1", json!([]))
                .await,
            1
        );
        let mut other = db.running.websocket().await;
        other.connect("").await;
        other
            .send("421[\"query\",\"select n from open where id = 1\",[]]")
            .await;
        let answer = other.until(|packet| packet.starts_with("431")).await;
        assert_eq!(answer, "431[null,[{\"n\":7}]]");
    }
}

#[tokio::test]
async fn statements_that_return_rows_and_counts_of_all_kinds() {
    let file = File::new();
    for mut db in accounts(&file, "kinds").await {
        let rows = db
            .rows(
                "insert into kinds values (3, $1) returning id, n",
                json!([5]),
            )
            .await;
        assert_eq!(rows, json!([{"id": 3, "n": 5}]));
        assert_eq!(
            db.execute("update kinds set n = n + 1 where id > $1", json!([1]))
                .await,
            2
        );
        assert_eq!(
            db.execute("update kinds set n = 1 where id > 99", json!([]))
                .await,
            0
        );
        assert_eq!(
            db.execute("create index if not exists kinds_n on kinds (n)", json!([]))
                .await,
            0
        );
        assert_eq!(
            db.execute("delete from kinds returning id", json!([]))
                .await,
            3
        );
        assert_eq!(db.rows("delete from kinds", json!([])).await, json!([]));
        let error = db
            .error(
                "execute",
                json!(["insert into kinds values (1, 1), (1, 1)", []]),
            )
            .await;
        assert!(error.ends_with("(SQLSTATE 23505)"), "{error}");
        let error = db
            .error("execute", json!(["insert into kinds values (1, null)", []]))
            .await;
        assert!(error.ends_with("(SQLSTATE 23502)"), "{error}");
    }
}
