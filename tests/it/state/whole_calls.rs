//! A store never has half of a call.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use patchcord::store::{Record, Store, StoreChange, StoreError};

use crate::support::server::Running;

/// Store in memory that looks at its content after each write, as a crash would leave it.
#[derive(Debug, Default, Clone)]
struct Watched(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    values: BTreeMap<String, i64>,
    writes: usize,
    torn: Vec<String>,
}

impl Store for Watched {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn load(&self, _: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        Ok(Vec::new())
    }

    fn write(&self, changes: &[StoreChange]) -> Result<(), StoreError> {
        let mut seen = self.0.lock().unwrap();
        for change in changes {
            let record = Record::decode(change.record.as_ref().unwrap()).unwrap();
            let value = record.value.as_int().unwrap();
            seen.values
                .insert(format!("{}{}", change.namespace, change.key), value);
        }
        seen.writes += 1;
        let values: Vec<_> = seen.values.values().collect();
        if values.windows(2).any(|pair| pair[0] != pair[1]) {
            let torn = format!("{:?}", seen.values);
            seen.torn.push(torn);
        }
        Ok(())
    }
}

/// Runs a script whose handler adds 1 to several keys, with several clients at once, and looks at each save.
async fn never_torn(files: &[(&str, &str)]) {
    let store = Watched::default();
    let running = Running::new(files, |builder| {
        let mut options = patchcord::testing::options();
        options.data.save_every = Duration::from_micros(200);
        builder.options(options).store(store.clone())
    })
    .await;
    let mut tasks = Vec::new();
    for _ in 0..4 {
        let mut client = running.websocket().await;
        tasks.push(tokio::spawn(async move {
            client.connect("").await;
            for _ in 0..150 {
                client.send("421[\"add\"]").await;
                client.until(|packet| packet.starts_with("431")).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    running.server.shutdown().await;
    let seen = store.0.lock().unwrap();
    assert_eq!(seen.torn, Vec::<String>::new());
    assert!(seen.writes > 1, "there was no save while calls ran");
    assert!(seen.values.values().all(|value| *value == 600), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_that_change_the_same_keys() {
    let script = r#"fn on_connection(socket) {
        socket.on("add", || {
            io.data.incr("a", 1);
            let n = 0;
            while n < 300 { n += 1; }
            io.data.incr("b", 1);
            io.data.incr("c", 1);
            true
        });
    }"#;
    never_torn(&[("main.rhai", script)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_that_change_a_key_twice() {
    let script = r#"fn on_connection(socket) {
        socket.on("add", || {
            io.data.update("a", 0, |n| n + 2);
            let n = 0;
            while n < 300 { n += 1; }
            io.data.incr("b", 1);
            io.data.incr("a", -1);
            true
        });
    }"#;
    never_torn(&[("main.rhai", script)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_that_change_two_namespaces() {
    let script = r#"fn on_connection(socket) {
        socket.on("add", || {
            io.data.incr("a", 1);
            let n = 0;
            while n < 300 { n += 1; }
            io.of("/other").data.incr("a", 1);
            true
        });
    }"#;
    never_torn(&[
        ("main.rhai", script),
        ("other.rhai", "fn on_connection(socket) { }"),
    ])
    .await;
}
