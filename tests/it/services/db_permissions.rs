//! Permissions: databases that scripts may use, and the flags of `patchcord serve`.

use patchcord::{Host, Options, script::Memory};

use super::db_support::{Asking, File};
use crate::support::program::Place;

const SCRIPT: &str = r#"fn on_connection(socket) {
    socket.on("main", || db::query("select 1 as x", |err, rows| socket.emit("main", err, rows)));
    socket.on("logs", || db::named("logs").query("select 2 as x", |err, rows| socket.emit("logs", err, rows)));
}"#;

#[tokio::test]
async fn a_script_uses_only_databases_that_are_allowed() {
    let mut db = Asking::of_script(SCRIPT, "sqlite::memory:", |_| {}).await;
    db.client.send("42[\"main\"]").await;
    let heard = db.client.until(|packet| packet.starts_with("42")).await;
    assert_eq!(heard, "42[\"main\",null,[{\"x\":1}]]");
    db.client.send("42[\"logs\"]").await;
    let problem = db
        .running
        .announced(|event| match event {
            patchcord::HostEvent::HandlerFailed { diagnostic } => Some(diagnostic.message),
            _ => None,
        })
        .await;
    assert!(
        problem
            .contains("scripts may not use the database `logs`: allow it with `--allow-db logs`"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_database_that_is_allowed_and_not_declared_is_an_error() {
    let mut options = patchcord::testing::options();
    options.permissions.allow_db = vec!["main".to_owned()];
    let mut running =
        crate::support::server::Running::new(&[("main.rhai", SCRIPT)], |b| b.options(options))
            .await;
    let mut client = running.websocket().await;
    client.connect("").await;
    client.send("42[\"main\"]").await;
    let problem = running
        .announced(|event| match event {
            patchcord::HostEvent::HandlerFailed { diagnostic } => Some(diagnostic.message),
            _ => None,
        })
        .await;
    assert_eq!(
        problem,
        "there is no database `main`: declare it with `--db main=URL`"
    );
}

fn warnings(options: Options) -> Vec<String> {
    let host = Host::builder()
        .options(options)
        .loader(Memory::from([("main.rhai", SCRIPT)]))
        .build();
    let found = host.check().unwrap();
    found.into_iter().map(|one| one.message).collect()
}

#[test]
fn check_warns_about_databases_that_are_not_allowed() {
    let mut options = Options::default();
    let both = [
        "scripts may not use the database `main`",
        "scripts may not use the database `logs`",
    ];
    assert_eq!(warnings(options.clone()), both);
    options.permissions.allow_db = vec!["main".to_owned(), "logs".to_owned()];
    assert_eq!(warnings(options), [""; 0]);
}

#[test]
fn a_module_of_the_application_takes_the_place_of_the_databases() {
    let db = patchcord::Functions::new().function("query(sql)", |sql: &str| sql.len() as i64);
    let script = "fn on_connection(socket) { socket.emit(\"n\", db::query(\"four\")); }";
    let host = Host::builder()
        .loader(Memory::from([("main.rhai", script)]))
        .module("db", db)
        .build();
    assert_eq!(host.check().unwrap(), []);
}

#[test]
fn options_of_databases_are_validated_and_show_no_password() {
    let mut options = Options::default();
    options.databases.urls = vec!["main=postgres://ada:sesame@localhost/x".parse().unwrap()];
    assert_eq!(options.validate(), Ok(()));
    assert!(!format!("{options:?}").contains("sesame"));
    for (url, expected) in [
        (
            "main=sqlite:/no/such/folder/x.db",
            "option `databases.urls`: `main`: there is no folder `/no/such/folder`",
        ),
        (
            "main=@/no/such/file",
            "option `databases.urls`: `main`: cannot read `/no/such/file`: No such file or directory (os error 2)",
        ),
        (
            "main=postgres://ada:sesame@h/x?sslmode=verify-full&sslrootcert=/no/such/file",
            "option `databases.urls`: `main`: `sslrootcert`: there is no file `/no/such/file`",
        ),
        (
            "main=postgres://ada:sesame@h/x?sslmode=allow",
            "option `databases.urls`: `main`: expected `sslmode=disable`, `prefer`, `require`, `verify-ca` or `verify-full`",
        ),
        (
            "main=postgres://ada:sesame@h:port/x",
            "option `databases.urls`: `main`: the URL is not valid: invalid value for option `port`",
        ),
    ] {
        options.databases.urls = vec![url.parse().unwrap()];
        assert_eq!(options.validate().unwrap_err().to_string(), expected);
    }
    options.databases.urls = vec!["a=sqlite:x".parse().unwrap(), "a=sqlite:y".parse().unwrap()];
    let error = options.validate().unwrap_err().to_string();
    assert_eq!(
        error,
        "option `databases.urls`: two databases have the name `a`"
    );
    for text in [
        "",
        "main",
        "main=",
        "=sqlite:x",
        "main=mysql://x",
        "ma in=sqlite:x",
        "main=@",
        "main=sqlite:",
    ] {
        assert!(
            text.parse::<patchcord::host::DatabaseUrl>().is_err(),
            "{text}"
        );
    }
}

#[test]
fn flags_declare_databases_and_no_message_shows_a_password() {
    let file = File::new();
    let place = Place::new(&[]);
    let secret = file.path().join("url");
    std::fs::write(&secret, "postgres://ada:sesame@127.0.0.1:1/x\n").unwrap();
    let arguments = ["serve", "--port", "0", "--control", "none", "--verbose"];
    let given = format!("main={},logs=@{}", file.url(), secret.display());
    let arguments = [
        &arguments[..],
        &["--db", &given, "--allow-db", "main,other"],
    ]
    .concat();
    let serving = place.serve(&arguments, &[]);
    let mut errors = String::new();
    while !errors.contains("`--allow-db other`") {
        errors += &serving.line();
        errors.push('\n');
    }
    for expected in [
        format!("scripts may use the databases `main={}`", file.url()),
        "`--db logs=...`: scripts may not use it without `--allow-db logs`".to_owned(),
        "`--allow-db other`: no `--db other=URL` declares it".to_owned(),
    ] {
        assert!(errors.contains(&expected), "{errors}");
    }
    assert!(!errors.contains("sesame"), "{errors}");
    let wrong = "main=postgre://ada:sesame@localhost/x";
    for (arguments, environment) in [
        (vec!["serve", "--db", wrong], vec![]),
        (vec!["serve"], vec![("PATCHCORD_DB", wrong)]),
        (
            vec!["serve", "--help"],
            vec![("PATCHCORD_DB", "main=postgres://ada:sesame@localhost/x")],
        ),
    ] {
        let output = place.run(&arguments, &environment);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(text.contains("--db") && !text.contains("sesame"), "{text}");
    }
}
