//! Data after a restart.

use patchcord::store::RedbStore;

use crate::support::server::{Client, Running};

/// Starts a server with a file that keeps its data.
async fn serve(file: &std::path::Path, files: &[(&str, &str)]) -> Running {
    let store = RedbStore::open(file).unwrap();
    Running::new(files, |builder| builder.store(store)).await
}

async fn ask(client: &mut Client, namespace: &str, event: &str) -> String {
    let prefix = match namespace {
        "/" => String::new(),
        path => format!("{path},"),
    };
    client.send(&format!("42{prefix}1[\"{event}\"]")).await;
    let head = format!("43{prefix}1");
    let answer = client.until(|packet| packet.starts_with(&head)).await;
    answer[head.len()..].to_owned()
}

/// Serves a script, asks it to write, closes the server, and asks another server of the same data to read.
async fn written_and_read(script: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.redb");
    let first = serve(&file, &[("main.rhai", script)]).await;
    let mut client = first.websocket().await;
    client.connect("").await;
    ask(&mut client, "/", "write").await;
    first.server.shutdown().await;
    let second = serve(&file, &[("main.rhai", script)]).await;
    let mut client = second.websocket().await;
    client.connect("").await;
    let answer = ask(&mut client, "/", "read").await;
    second.server.shutdown().await;
    answer
}

#[tokio::test]
async fn every_type_comes_back_as_it_was() {
    let answer = written_and_read(
        r#"fn on_connection(socket) {
            socket.on("write", || {
                io.data.whole = 7;
                io.data.float = 1.0;
                io.data.text = "Ada é 🦀";
                io.data.letter = 'x';
                io.data.blob = blob(2, 255);
                io.data.flag = true;
                io.data.nested = #{ list: [1, [2.5, #{ "$blob": "no" }]], unit: () };
                io.data.set("", "the empty key");
                true
            });
            socket.on("read", || {
                let types = [];
                for key in ["whole", "float", "text", "letter", "blob", "flag"] { types.push(type_of(io.data[key])); }
                [types, io.data.whole, io.data.float, io.data.text, io.data.letter, io.data.blob[1], io.data.flag,
                    io.data.nested, io.data[""]]
            });
        }"#,
    )
    .await;
    assert_eq!(
        answer,
        r#"[[["i64","f64","string","char","blob","bool"],7,1,"Ada é 🦀","x",255,true,{"list":[1,[2.5,{"$blob":"no"}]],"unit":null},"the empty key"]]"#
    );
}

#[tokio::test]
async fn a_removed_key_does_not_come_back() {
    let script = r#"fn on_connection(socket) {
        socket.on("write", || {
            io.data.gone = 1;
            io.data.stays = 2;
            io.data.flush(|err| { });
            io.data.remove("gone");
            true
        });
        socket.on("read", || io.data.to_map());
    }"#;
    assert_eq!(written_and_read(script).await, r#"[{"stays":2}]"#);
}

#[tokio::test]
async fn on_load_and_init_find_what_was_kept() {
    let script = r#"
        fn on_load() { io.data.starts = io.data.get("starts", 0) + 1; }
        fn on_connection(socket) {
            socket.on("write", || io.data.init("history", ["first"]));
            socket.on("read", || [io.data.init("history", []), io.data.starts]);
        }"#;
    assert_eq!(written_and_read(script).await, r#"[[["first"],2]]"#);
}

#[tokio::test]
async fn namespaces_keep_their_data_apart_also_instances_of_a_pattern() {
    let script = r#"fn on_connection(socket) {
        socket.on("write", || { io.data.name = io.name; true });
        socket.on("read", || io.data.to_map());
    }"#;
    let files = [
        ("main.rhai", script),
        ("chat.rhai", script),
        ("room/{id}.rhai", script),
    ];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.redb");
    let paths = ["/", "/chat", "/room/1", "/room/12"];
    for event in ["write", "read"] {
        let running = serve(&file, &files).await;
        let mut client = running.websocket().await;
        for path in paths {
            client.connect(if path == "/" { "" } else { path }).await;
            let answer = ask(&mut client, path, event).await;
            if event == "read" {
                assert_eq!(answer, format!(r#"[{{"name":"{path}"}}]"#));
            }
        }
        client.connect("/room/2").await;
        assert_eq!(ask(&mut client, "/room/2", "read").await, "[{}]");
        running.server.shutdown().await;
    }
}

#[tokio::test]
async fn data_of_a_removed_instance_is_read_again() {
    let script = r#"fn on_connection(socket) {
        socket.on("write", || { io.data.incr("visits", 1); true });
        socket.on("read", || io.data.visits);
    }"#;
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path().join("state.redb")).unwrap();
    let running = Running::new(&[("room/{id}.rhai", script)], |builder| {
        let mut options = patchcord::testing::options();
        // Each new instance takes the place of the one before.
        options.clients.max_namespaces = 1;
        builder.options(options).store(store)
    })
    .await;
    let mut client = running.websocket().await;
    for visit in 1..=3 {
        for path in ["/room/1", "/room/2"] {
            client.connect(path).await;
            ask(&mut client, path, "write").await;
            assert_eq!(ask(&mut client, path, "read").await, format!("[{visit}]"));
            client.send(&format!("41{path},")).await;
        }
    }
}

#[tokio::test]
async fn flush_is_answered_when_everything_is_saved() {
    let script = r#"fn on_connection(socket) {
        socket.on("order", |ack| {
            io.data.push("orders", "tea", 10);
            io.data.flush(|err| ack.call(err, io.data.orders));
        });
    }"#;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.redb");
    let running = Running::new(&[("main.rhai", script)], |builder| {
        let mut options = patchcord::testing::options();
        // A flush does not wait for this.
        options.data.save_every = std::time::Duration::from_secs(3600);
        options.data.file = Some(file.clone());
        builder.options(options)
    })
    .await;
    let mut client = running.websocket().await;
    client.connect("").await;
    assert_eq!(ask(&mut client, "/", "order").await, r#"[null,["tea"]]"#);
    assert_eq!(
        ask(&mut client, "/", "order").await,
        r#"[null,["tea","tea"]]"#
    );
}

#[tokio::test]
async fn flush_without_a_store_is_answered_at_once() {
    let script = r#"fn on_connection(socket) {
        socket.on("order", |ack| io.data.flush(|err| ack.call(err)));
    }"#;
    let running = Running::new(&[("main.rhai", script)], |builder| builder).await;
    let mut client = running.websocket().await;
    client.connect("").await;
    assert_eq!(ask(&mut client, "/", "order").await, "[null]");
}

#[tokio::test]
async fn a_value_as_deep_as_it_may_be_comes_back() {
    let answer = written_and_read(
        r#"fn on_connection(socket) {
            socket.on("write", || {
                let value = 0;
                for n in 0..120 { value = if n % 2 == 0 { [value] } else { #{ key: value } }; }
                io.data.deep = value;
                true
            });
            socket.on("read", || {
                let value = io.data.deep;
                let depth = 0;
                while type_of(value) != "i64" {
                    value = if type_of(value) == "array" { value[0] } else { value.key };
                    depth += 1;
                }
                depth
            });
        }"#,
    )
    .await;
    assert_eq!(answer, "[120]");
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_a_new_file() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state.redb");
    drop(RedbStore::open(&file).unwrap());
    let mode = file.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
