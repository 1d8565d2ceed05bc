//! Databases of tests, and a client that asks a script for their answers.

use std::{path::Path, process::Command};

use patchcord::{Options, host::DatabaseOptions};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(super) use crate::support::database::postgres;
use crate::support::{
    server::{Client, Running},
    tls::Authority,
};

/// Script that passes statements of its client to the database.
pub(super) const SCRIPT: &str = r#"fn on_connection(socket) {
    socket.on("query", |sql, values, ack| db::query(sql, values, |err, rows| ack.call(err, rows)));
    socket.on("execute", |sql, values, ack| db::execute(sql, values, |err, count| ack.call(err, count)));
    socket.on("transaction", |list, ack| db::transaction(list, |err, results| ack.call(err, results)));
    socket.on("echo", |x| x);
}"#;

/// Server whose script uses one database, and a client.
pub(super) struct Asking {
    pub(super) running: Running,
    pub(super) client: Client,
    asked: usize,
    /// Packets that have arrived, and that nobody has asked for yet.
    heard: Vec<String>,
}

/// Options of a host whose scripts use one database.
pub(super) fn options(url: &str, change: impl FnOnce(&mut DatabaseOptions)) -> Options {
    let mut options = patchcord::testing::options();
    options.databases.urls = vec![format!("main={url}").parse().unwrap()];
    options.permissions.allow_db = vec!["main".to_owned()];
    change(&mut options.databases);
    options
}

impl Asking {
    pub(super) async fn new(url: &str) -> Self {
        Self::with(url, |_| {}).await
    }

    pub(super) async fn with(url: &str, change: impl FnOnce(&mut DatabaseOptions)) -> Self {
        Self::of_script(SCRIPT, url, change).await
    }

    pub(super) async fn of_script(
        script: &str,
        url: &str,
        change: impl FnOnce(&mut DatabaseOptions),
    ) -> Self {
        let options = options(url, change);
        let running = Running::new(&[("main.rhai", script)], |b| b.options(options)).await;
        let mut client = running.websocket().await;
        client.connect("").await;
        Self {
            running,
            client,
            asked: 0,
            heard: Vec::new(),
        }
    }

    /// Sends an event with a callback, and returns the number of the callback.
    pub(super) async fn send(&mut self, event: &str, args: Value) -> usize {
        self.asked += 1;
        let mut packet = vec![json!(event)];
        packet.extend(args.as_array().unwrap().clone());
        let packet = Value::Array(packet);
        self.client.send(&format!("42{}{packet}", self.asked)).await;
        self.asked
    }

    /// Returns the answer to the callback with a number.
    pub(super) async fn answer(&mut self, number: usize) -> Value {
        let head = format!("43{number}[");
        // Answers come in any order.
        let packet = loop {
            if let Some(index) = self
                .heard
                .iter()
                .position(|packet| packet.starts_with(&head))
            {
                break self.heard.remove(index);
            }
            let packet = self.client.next().await;
            self.heard
                .push(packet.expect("the server closed the connection"));
        };
        serde_json::from_str(&packet[head.len() - 1..]).unwrap()
    }

    pub(super) async fn ask(&mut self, event: &str, args: Value) -> Value {
        let number = self.send(event, args).await;
        self.answer(number).await
    }

    /// Returns the rows of a query, or panics with its error.
    pub(super) async fn rows(&mut self, sql: &str, values: Value) -> Value {
        let answer = self.ask("query", json!([sql, values])).await;
        assert_eq!(answer[0], Value::Null, "{sql}");
        answer[1].clone()
    }

    /// Returns the number of rows that a statement changes, or panics with its error.
    pub(super) async fn execute(&mut self, sql: &str, values: Value) -> i64 {
        let answer = self.ask("execute", json!([sql, values])).await;
        assert_eq!(answer[0], Value::Null, "{sql}");
        answer[1].as_i64().unwrap()
    }

    /// Returns the error of an event.
    pub(super) async fn error(&mut self, event: &str, args: Value) -> String {
        let answer = self.ask(event, args).await;
        answer[0].as_str().expect("it did not fail").to_owned()
    }
}

/// PostgreSQL server of one test, which may stop it.
pub(super) struct OwnServer {
    folder: TempDir,
    pub(super) url: String,
}

impl OwnServer {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The server runs as another user, who may enter the folder.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let url = Self::script("start", &folder.path().join("pg"), &[]);
        Self { folder, url }
    }

    /// Starts a server that speaks TLS with a certificate for these names.
    pub(super) fn with_tls(authority: &Authority, names: &[&str]) -> Self {
        let server = Self::start();
        let identity = authority.identity(names);
        let path = |name: &str| server.folder.path().join(name);
        let (certificate, key) = (path("server.crt"), path("server.key"));
        std::fs::write(&certificate, identity.certificate_pem()).unwrap();
        std::fs::write(&key, identity.key_pem()).unwrap();
        Self::script("secure", &path("pg"), &[&certificate, &key]);
        server
    }

    /// Returns the URL with another host, and with parameters.
    pub(super) fn url_of(&self, host: &str, parameters: &str) -> String {
        format!("{}?{parameters}", self.url.replace("127.0.0.1", host))
    }

    pub(super) fn run(&self, command: &str) {
        Self::script(command, &self.folder.path().join("pg"), &[]);
    }

    fn script(command: &str, folder: &Path, more: &[&Path]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/postgres");
        let output = Command::new(script)
            .arg(command)
            .arg(folder)
            .args(more)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.run("stop");
    }
}

/// Folder with a file of SQLite.
pub(super) struct File(TempDir);

impl File {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(super) fn url(&self) -> String {
        format!("sqlite:{}", self.path().join("test.db").display())
    }
}
