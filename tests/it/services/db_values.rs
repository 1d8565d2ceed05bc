//! Values of scripts and of databases.

use serde_json::{Value, json};

use super::db_support::{Asking, File, postgres};

/// Each row: an expression with one parameter, the parameter, and the value that comes back.
async fn come_back(db: &mut Asking, rows: &[(&str, Value, Value)]) {
    for (expression, given, expected) in rows {
        let sql = format!("select {expression} as x");
        let rows = db.rows(&sql, json!([given])).await;
        assert_eq!(rows, json!([{ "x": expected }]), "{sql} with {given}");
    }
}

#[tokio::test]
async fn sqlite_returns_values_as_they_were_stored() {
    let file = File::new();
    let mut db = Asking::new(&file.url()).await;
    let rows = [
        ("$1", json!(null), json!(null)),
        ("$1", json!(true), json!(1)),
        ("$1", json!(i64::MAX), json!(i64::MAX)),
        ("$1", json!(0.1), json!(0.1)),
        ("$1", json!("höre \u{0}'\";--"), json!("höre \u{0}'\";--")),
        ("?1", json!("a"), json!("a")),
        ("?", json!("a"), json!("a")),
        ("json_extract($1, '$.a[1]')", json!({"a": [1, 2]}), json!(2)),
        ("typeof($1)", json!(1.5), json!("real")),
    ];
    come_back(&mut db, &rows).await;
    db.execute("create table t (b bool, j json, t text)", json!([]))
        .await;
    let values = json!([true, {"a": [1, null, "x"]}, "2026-01-02T03:04:05Z"]);
    assert_eq!(
        db.execute("insert into t values ($1, $2, $3)", values)
            .await,
        1
    );
    let stored = db.rows("select * from t", json!([])).await;
    let expected = json!([{"b": true, "j": {"a": [1, null, "x"]}, "t": "2026-01-02T03:04:05Z"}]);
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn sqlite_takes_numbered_parameters_in_any_order_and_not_in_strings_or_comments() {
    let mut db = Asking::new("sqlite::memory:").await;
    let sql = "select $2 as b, $1 as a, $2 as c, '$3 ?' as text -- $4\n";
    let rows = db.rows(sql, json!(["first", "second"])).await;
    let expected = json!([{"a": "first", "b": "second", "c": "second", "text": "$3 ?"}]);
    assert_eq!(rows, expected);
    let named = db.error("query", json!(["select :name", [1]])).await;
    assert_eq!(
        named,
        "the parameters of a statement are `$1`, `$2` and so on, found `:name`"
    );
}

#[tokio::test]
async fn postgres_returns_values_as_they_were_stored() {
    let Some(url) = postgres() else { return };
    let mut db = Asking::new(&url).await;
    let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    let rows = [
        ("$1::text", json!(null), json!(null)),
        ("$1::bool", json!(true), json!(true)),
        ("$1::int2", json!(-7), json!(-7)),
        ("$1::int4", json!(7), json!(7)),
        ("$1::int8", json!(i64::MIN), json!(i64::MIN)),
        ("$1::int4", json!("7"), json!(7)),
        ("$1::float8", json!(0.1), json!(0.1)),
        ("$1::float4", json!(0.1), json!(0.1)),
        ("$1::float8", json!(3), json!(3)),
        (
            "$1::numeric",
            json!("12345678901234567890.05"),
            json!("12345678901234567890.05"),
        ),
        ("$1::numeric", json!("-0.00010"), json!("-0.00010")),
        ("$1::numeric", json!("10000.5"), json!("10000.5")),
        ("$1::numeric", json!(42), json!("42")),
        ("$1::numeric", json!("NaN"), json!("NaN")),
        ("$1::numeric(10,2)", json!(1.5), json!("1.50")),
        ("$1::text", json!("höre '\";--\\"), json!("höre '\";--\\")),
        ("$1::char(3)", json!("a"), json!("a  ")),
        ("$1::uuid", json!(uuid), json!(uuid)),
        (
            "$1::timestamptz",
            json!("2026-01-02T03:04:05.678+01:00"),
            json!("2026-01-02T02:04:05.678Z"),
        ),
        (
            "$1::timestamp",
            json!("1999-12-31 23:59:59"),
            json!("1999-12-31T23:59:59"),
        ),
        ("$1::timestamptz", json!("infinity"), json!("infinity")),
        ("$1::date", json!("1970-02-03"), json!("1970-02-03")),
        ("$1::time", json!("03:04:05.5"), json!("03:04:05.5")),
        (
            "$1::jsonb",
            json!({"a": [1, null, "x", 1.5]}),
            json!({"a": [1, null, "x", 1.5]}),
        ),
        ("$1::json", json!([1, {"b": true}]), json!([1, {"b": true}])),
        (
            "$1::jsonb",
            json!("{\"admin\": true}"),
            json!("{\"admin\": true}"),
        ),
        ("$1::int4[]", json!([1, null, 3]), json!([1, null, 3])),
        (
            "$1::int4[]",
            json!([[1, 2], [3, 4]]),
            json!([[1, 2], [3, 4]]),
        ),
        ("$1::int4[]", json!([]), json!([])),
        (
            "$1::text[]",
            json!(["a\"b\\c,{}", "NULL", ""]),
            json!(["a\"b\\c,{}", "NULL", ""]),
        ),
        ("$1::jsonb[]", json!([{"a": "\"x"}]), json!([{"a": "\"x"}])),
        ("1 = any($1::int4[])", json!([1, 2]), json!(true)),
        ("pg_sleep($1)", json!(0), json!("")),
    ];
    let (void, rows) = rows.split_last().unwrap();
    come_back(&mut db, rows).await;
    let nothing = db
        .rows(&format!("select {} as x", void.0), json!([0]))
        .await;
    assert_eq!(nothing, json!([{ "x": null }]));
}

#[tokio::test]
async fn postgres_has_types_of_its_own() {
    let Some(url) = postgres() else { return };
    let mut db = Asking::new(&url).await;
    for sql in [
        "drop table if exists own",
        "drop domain if exists positive",
        "drop type if exists mood",
        "create type mood as enum ('happy', 'sad')",
        "create domain positive as int check (value > 0)",
        "create table own (m mood, p positive, ms mood[])",
    ] {
        db.execute(sql, json!([])).await;
    }
    let values = json!(["happy", 7, ["sad", null]]);
    db.execute("insert into own values ($1, $2, $3)", values)
        .await;
    let rows = db.rows("select * from own", json!([])).await;
    assert_eq!(rows, json!([{"m": "happy", "p": 7, "ms": ["sad", null]}]));
    let wrong = db
        .error("query", json!(["select '(1,2)'::point as p", []]))
        .await;
    let expected = "column `p` has a value of type `point` that scripts do not have: select it as text, with `p::text`";
    assert_eq!(wrong, expected);
}

#[tokio::test]
async fn binary_data_is_stored_as_bytes_in_both() {
    let script = r#"fn on_connection(socket) {
        socket.on("store", |type, ack| {
            db::query("select " + type + " as x", [base64::decode("AP8B")], |err, rows| {
                ack.call(err, if err == () { rows[0].x.to_blob().len() } else { () });
            });
        });
    }"#;
    let mut urls = vec![("sqlite::memory:".to_owned(), "$1")];
    urls.extend(postgres().map(|url| (url, "$1::bytea")));
    for (url, expression) in urls {
        let mut db = Asking::of_script(script, &url, |_| {}).await;
        assert_eq!(db.ask("store", json!([expression])).await, json!([null, 3]));
    }
}

#[tokio::test]
async fn a_parameter_of_another_type_is_named() {
    let mut urls = vec!["sqlite::memory:".to_owned()];
    urls.extend(postgres());
    for url in urls {
        let script = r#"fn on_connection(socket) {
            let answer = |ack| |err, rows| ack.call(err);
            socket.on("closure", |ack| db::query("select $1, $2", [1, || 1], answer.call(ack)));
            socket.on("secret", |ack| db::query("select $1", [env("KEY")], answer.call(ack)));
            socket.on("inside", |ack| db::query("select $1", [#{ a: [timestamp()] }], answer.call(ack)));
            socket.on("several", |ack| db::query("select 1", [2], answer.call(ack)));
            socket.on("fewer", |ack| db::query("select $1, $2", [2], answer.call(ack)));
        }"#;
        let mut options = super::db_support::options(&url, |_| {});
        options.permissions.allow_env = vec!["KEY=x".parse().unwrap()];
        let running =
            crate::support::server::Running::new(&[("main.rhai", script)], |b| b.options(options))
                .await;
        let mut client = running.websocket().await;
        client.connect("").await;
        for (event, expected) in [
            (
                "closure",
                "parameter 2 is a closure, which a database cannot keep",
            ),
            (
                "secret",
                "parameter 1 is a secret: pass `secret.reveal()` if the database may see it",
            ),
            (
                "inside",
                "parameter 1 contains a timestamp at `a[0]`, which a database cannot keep",
            ),
            ("several", "the statement has 0 parameters, found 1 values"),
            ("fewer", "the statement has 2 parameters, found 1 values"),
        ] {
            client.send(&format!("421[\"{event}\"]")).await;
            let answer = client.until(|packet| packet.starts_with("431")).await;
            assert_eq!(answer, format!("431{}", json!([expected])), "{url}");
        }
    }
}

#[tokio::test]
async fn postgres_names_the_type_that_it_expects() {
    let Some(url) = postgres() else { return };
    let mut db = Asking::new(&url).await;
    for (sql, value, expected) in [
        (
            "select $1",
            json!(1),
            "parameter 1 is an integer, and the statement expects `text`: write `$1::bigint`, or pass a string",
        ),
        (
            "select $1::int4",
            json!(1.5),
            "parameter 1 is a float, and the statement expects `int4`",
        ),
        (
            "select $1::int4",
            json!({"a": 1}),
            "parameter 1 is a map, and the statement expects `int4`",
        ),
        (
            "select $1::int4[]",
            json!("{1}"),
            "parameter 1 is a string, and the statement expects `int4[]`",
        ),
        (
            "select $1::int2",
            json!(70000),
            "value \"70000\" is out of range for type smallint (SQLSTATE 22003)",
        ),
        (
            "select $1::int4",
            json!("x"),
            "invalid input syntax for type integer: \"x\" (SQLSTATE 22P02)",
        ),
        (
            "select $1::text",
            json!("a\u{0}b"),
            "invalid byte sequence for encoding \"UTF8\": 0x00 (SQLSTATE 22021)",
        ),
    ] {
        assert_eq!(
            db.error("query", json!([sql, [value]])).await,
            expected,
            "{sql}"
        );
    }
}

#[tokio::test]
async fn two_columns_of_one_name_are_an_error() {
    let mut urls = vec!["sqlite::memory:".to_owned()];
    urls.extend(postgres());
    for url in urls {
        let mut db = Asking::new(&url).await;
        let error = db
            .error("query", json!(["select 1 as a, 2 as a", []]))
            .await;
        let expected = "two columns have the name `a`: give one of them another name with `as`";
        assert_eq!(error, expected, "{url}");
    }
}
