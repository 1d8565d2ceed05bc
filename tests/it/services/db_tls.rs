//! TLS between the host and a PostgreSQL server.

use std::{path::Path, sync::Arc, time::Duration};

use parking_lot::Mutex;
use patchcord::HostEvent;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::db_support::{Asking, OwnServer, postgres};
use crate::support::{program::Place, tls::Authority};

const IS_ENCRYPTED: &str = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
/// First message of a client that wants TLS.
const REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Returns parameters of a URL that trust this authority.
fn trusting(mode: &str, authority: &Authority) -> String {
    format!("sslmode={mode}&sslrootcert={}", authority.file().display())
}

/// Returns the error of a query that finds no connection, for the script and for the operator.
async fn refused(url: &str) -> (String, String) {
    let mut db = Asking::new(url).await;
    let error = db.error("query", json!(["select 1", []])).await;
    let detail = db.running.announced(|event| match event {
        HostEvent::ServiceFailed { error, .. } => Some(error),
        _ => None,
    });
    let detail = detail.await;
    assert!(!detail.contains("test:test"), "{detail}");
    (error, detail)
}

/// Starts a relay to a server, and returns its port and the first eight bytes of each connection.
async fn relay(to: &str) -> (u16, Arc<Mutex<Vec<[u8; 8]>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::<Mutex<Vec<[u8; 8]>>>::default();
    let (to, firsts) = (to.to_owned(), seen.clone());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (to, firsts) = (to.clone(), firsts.clone());
            tokio::spawn(async move {
                let mut first = [0; 8];
                client.read_exact(&mut first).await.unwrap();
                firsts.lock().push(first);
                let mut server = TcpStream::connect(to).await.unwrap();
                server.write_all(&first).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    (port, seen)
}

#[tokio::test]
async fn statements_transactions_and_cancellations_are_encrypted() {
    if postgres().is_none() {
        return;
    }
    let authority = Authority::new();
    let server = OwnServer::with_tls(&authority, &["localhost"]);
    let (_, address) = server.url.split_once('@').unwrap();
    let (address, _) = address.split_once('/').unwrap();
    let (port, seen) = relay(address).await;
    let (_, old) = address.split_once(':').unwrap();
    let url = server
        .url_of("localhost", &trusting("verify-full", &authority))
        .replace(old, &port.to_string());
    let mut db = Asking::with(&url, |limits| {
        limits.timeout = Duration::from_secs(3);
        limits.pool = 1;
    })
    .await;
    let yes = json!([{"ssl": true}]);
    assert_eq!(db.rows(IS_ENCRYPTED, json!([])).await, yes);
    let list = json!([[
        ["create table t (a int)"],
        ["insert into t values (1), (2)", [], 2],
        ["select count(*) as n from t"]
    ]]);
    let answer = db.ask("transaction", list).await;
    assert_eq!(
        (&answer[0], &answer[1][2]),
        (&Value::Null, &json!([{"n": 2}]))
    );
    // More than a record of TLS.
    let large = db.rows("select repeat('x', 1000000) as x", json!([])).await;
    assert_eq!(large[0]["x"].as_str().unwrap().len(), 1_000_000);
    let hangs = "select pg_sleep(3600)";
    let error = db.error("query", json!([hangs, []])).await;
    assert!(error.contains("`--db-timeout`"), "{error}");
    let running = "select count(*) as n from pg_stat_activity where query = 'select pg_sleep(3600)' and state = 'active'";
    while db.rows(running, json!([])).await != json!([{"n": 0}]) {}
    // The connection, the cancellation, and the connection after it.
    let seen = seen.lock().clone();
    assert_eq!(seen, [REQUEST; 3]);
}

#[tokio::test]
async fn each_mode_encrypts_and_checks_as_it_says() {
    if postgres().is_none() {
        return;
    }
    let authority = Authority::new();
    let server = OwnServer::with_tls(&authority, &["localhost"]);
    let unencrypted = json!([{"ssl": false}]);
    for (host, parameters, expected) in [
        ("localhost", "".to_owned(), &unencrypted),
        ("localhost", "sslmode=disable".to_owned(), &unencrypted),
        (
            "localhost",
            trusting("prefer", &authority),
            &json!([{"ssl": true}]),
        ),
        (
            "localhost",
            trusting("require", &authority),
            &json!([{"ssl": true}]),
        ),
        (
            "localhost",
            trusting("verify-ca", &authority),
            &json!([{"ssl": true}]),
        ),
        (
            "127.0.0.1",
            trusting("verify-ca", &authority),
            &json!([{"ssl": true}]),
        ),
    ] {
        let mut db = Asking::new(&server.url_of(host, &parameters)).await;
        assert_eq!(
            &db.rows(IS_ENCRYPTED, json!([])).await,
            expected,
            "{parameters}"
        );
    }
    let unknown = "the connection to the database cannot be encrypted: the certificate of the server is from an unknown authority";
    let other = Authority::new();
    for parameters in [
        "sslmode=prefer".to_owned(),
        "sslmode=require".to_owned(),
        "sslmode=verify-full&sslrootcert=system".to_owned(),
        trusting("require", &other),
        trusting("verify-ca", &other),
    ] {
        let (error, detail) = refused(&server.url_of("localhost", &parameters)).await;
        assert_eq!(error, unknown, "{parameters}");
        assert!(
            detail.contains("localhost") && detail.contains("UnknownIssuer"),
            "{detail}"
        );
    }
    for mode in ["prefer", "require", "verify-full"] {
        let (error, detail) =
            refused(&server.url_of("127.0.0.1", &trusting(mode, &authority))).await;
        assert_eq!(
            error,
            "the connection to the database cannot be encrypted: the certificate of the server is for another host name"
        );
        assert!(detail.contains("localhost"), "{detail}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_used_only_if_encryption_is_not_required() {
    let Some(url) = postgres() else { return };
    let authority = Authority::new();
    for mode in ["require", "verify-full"] {
        let (error, _) = refused(&format!("{url}?{}", trusting(mode, &authority))).await;
        assert_eq!(
            error,
            "the connection to the database cannot be encrypted: the server does not offer TLS"
        );
    }
    let mut db = Asking::new(&format!("{url}?sslmode=prefer")).await;
    assert_eq!(
        db.rows(IS_ENCRYPTED, json!([])).await,
        json!([{"ssl": false}])
    );
}

/// Returns the error of a query to a server that answers the first message with these bytes.
async fn answered_with(answer: &'static [u8], mode: &str) -> String {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut first = [0; 8];
            client.read_exact(&mut first).await.unwrap();
            assert_eq!(first, REQUEST);
            client.write_all(answer).await.unwrap();
            // Reads until the client has left.
            let _ = client.read_to_end(&mut Vec::new()).await;
        }
    });
    let parameters = trusting(mode, &authority);
    refused(&format!(
        "postgres://test:test@127.0.0.1:{port}/x?{parameters}"
    ))
    .await
    .0
}

#[tokio::test]
async fn an_answer_that_is_not_tls_is_refused() {
    // A login without a password, which somebody between the two has added in plain text.
    let slipped_in = b"SR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
    for mode in ["prefer", "require"] {
        assert_eq!(
            answered_with(slipped_in, mode).await,
            "the connection to the database cannot be encrypted: the server does not speak TLS"
        );
        assert_eq!(
            answered_with(b"HTTP/1.1 400 Bad Request\r\n\r\n", mode).await,
            "the connection to the database cannot be encrypted: the server does not understand the request"
        );
    }
}

#[tokio::test]
async fn a_file_without_certificates_is_an_error_that_only_the_operator_sees_in_full() {
    if postgres().is_none() {
        return;
    }
    let authority = Authority::new();
    let server = OwnServer::with_tls(&authority, &["localhost"]);
    std::fs::write(authority.file(), "nothing\n").unwrap();
    let (error, detail) =
        refused(&server.url_of("localhost", &trusting("require", &authority))).await;
    assert_eq!(
        error,
        "the connection to the database cannot be encrypted: the certificates of `sslrootcert` cannot be used"
    );
    assert!(
        detail.contains("it contains no certificate in the format PEM"),
        "{detail}"
    );
}

#[test]
fn the_authorities_of_the_system_are_trusted() {
    if postgres().is_none() {
        return;
    }
    let authority = Authority::new();
    let server = OwnServer::with_tls(&authority, &["localhost"]);
    let script = format!(
        r#"fn on_connection(socket) {{ }}
        fn on_load() {{
            db::query("{IS_ENCRYPTED}", |err, rows| print(`received: ${{err}} ${{rows}}`));
        }}"#
    );
    let place = Place::new(&[("scripts/main.rhai", &script)]);
    let url = format!("main={}", server.url_of("localhost", "sslmode=require"));
    let arguments = [
        "serve",
        "--port",
        "0",
        "--control",
        "none",
        "--db",
        &url,
        "--allow-db",
        "main",
    ];
    let file = authority.file();
    let serving = place.serve(
        &arguments,
        &[("SSL_CERT_FILE", Path::to_str(&file).unwrap())],
    );
    let answer = loop {
        if let Some((_, text)) = serving.line().split_once("received: ") {
            break text.to_owned();
        }
    };
    assert!(answer.contains("true"), "{answer}");
}
