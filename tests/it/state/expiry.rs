//! Keys that expire.

use patchcord::{
    store::{Record, RedbStore, Store, StoreChange},
    testing::TestHost,
};

use crate::support::server::Running;

const SCRIPT: &str = r#"fn on_connection(socket) {
    socket.on("set", |key, value, ttl| io.data.set(key, value, #{ ttl: ttl }));
    socket.on("set_forever", |key, value| io.data.set(key, value));
    socket.on("assign", |key, value| { io.data[key] = value; });
    socket.on("incr", |key| io.data.incr(key, 1));
    socket.on("expire", |key, ttl| io.data.expire(key, ttl));
    socket.on("look", |key| [io.data[key], io.data.ttl(key), key in io.data, io.data.keys()]);
    socket.on("own", |ttl| { socket.data.set("code", 1, #{ ttl: ttl }); });
    socket.on("own_look", || [socket.data.code]);
}"#;

#[test]
fn a_key_is_gone_when_its_time_is_over() {
    let host = TestHost::new(SCRIPT);
    let ada = host.connect("/").unwrap();
    ada.emit("set", ("code", 417, 60_000));
    host.advance(59_000);
    assert_eq!(
        ada.ask("look", ["code"]).as_deref(),
        Some(r#"[[417,1000,true,["code"]]]"#)
    );
    host.advance(1_000);
    assert_eq!(
        ada.ask("look", ["code"]).as_deref(),
        Some("[[null,null,false,[]]]")
    );
    assert_eq!(
        ada.ask("incr", ["code"]).as_deref(),
        Some("[1]"),
        "it begins again"
    );
    host.advance(3_600_000);
    assert_eq!(
        ada.ask("look", ["code"]).as_deref(),
        Some(r#"[[1,null,true,["code"]]]"#)
    );
}

#[test]
fn a_write_in_place_keeps_the_time_and_set_removes_it() {
    let host = TestHost::new(SCRIPT);
    let ada = host.connect("/").unwrap();
    for key in ["a", "b", "c"] {
        ada.emit("set", (key, 1, 1_000));
    }
    ada.ask("incr", ["a"]);
    ada.emit("assign", ("b", 5));
    ada.emit("set_forever", ("c", 6));
    assert_eq!(
        ada.ask("look", ["a"]).as_deref(),
        Some(r#"[[2,1000,true,["a","b","c"]]]"#)
    );
    host.advance(1_000);
    assert_eq!(
        ada.ask("look", ["c"]).as_deref(),
        Some(r#"[[6,null,true,["c"]]]"#)
    );
}

#[test]
fn expire_sets_changes_and_removes_the_time() {
    let host = TestHost::new(SCRIPT);
    let ada = host.connect("/").unwrap();
    assert_eq!(ada.ask("expire", ("none", 5)).as_deref(), Some("[false]"));
    ada.emit("set_forever", ("a", 1));
    assert_eq!(ada.ask("expire", ("a", 5_000)).as_deref(), Some("[true]"));
    assert_eq!(ada.ask("expire", ("a", 9_000)).as_deref(), Some("[true]"));
    host.advance(6_000);
    assert_eq!(
        ada.ask("look", ["a"]).as_deref(),
        Some(r#"[[1,3000,true,["a"]]]"#)
    );
    assert_eq!(ada.ask("expire", ("a", ())).as_deref(), Some("[true]"));
    host.advance(600_000);
    assert_eq!(
        ada.ask("look", ["a"]).as_deref(),
        Some(r#"[[1,null,true,["a"]]]"#)
    );
    assert_eq!(ada.ask("expire", ("a", 0)).as_deref(), Some("[true]"));
    assert_eq!(
        ada.ask("look", ["a"]).as_deref(),
        Some("[[null,null,false,[]]]")
    );
}

#[test]
fn keys_of_a_socket_expire_too() {
    let host = TestHost::new(SCRIPT);
    let ada = host.connect("/").unwrap();
    ada.emit("own", [50]);
    assert_eq!(ada.ask("own_look", ()).as_deref(), Some("[[1]]"));
    host.advance(50);
    assert_eq!(ada.ask("own_look", ()).as_deref(), Some("[[null]]"));
}

#[tokio::test]
async fn what_expires_while_the_host_is_down_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path().join("state.redb")).unwrap();
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_millis()).unwrap();
    let change =
        |key: &str, deadline| StoreChange::new("/", key, Some(Record::encode(&1.into(), deadline)));
    let changes = [
        change("over", Some(now - 1)),
        change("later", Some(now + 3_600_000)),
        change("never", None),
    ];
    store.write(&changes).unwrap();
    let running = Running::new(&[("main.rhai", SCRIPT)], |builder| builder.store(store)).await;
    let mut client = running.websocket().await;
    client.connect("").await;
    client.send(r#"421["look","later"]"#).await;
    let answer = client.until(|packet| packet.starts_with("431")).await;
    assert!(answer.contains(r#"true,["later","never"]]"#), "{answer}");
}

#[test]
fn keys_and_maps_of_a_prefix() {
    let script = r#"fn on_connection(socket) {
        for key in ["user:2", "user:1", "use", "users", "v", ""] { io.data.set(key, key.len()); }
        socket.on("keys", |prefix| [io.data.keys(prefix), io.data.to_map(prefix).len()]);
    }"#;
    let host = TestHost::new(script);
    let ada = host.connect("/").unwrap();
    assert_eq!(
        ada.ask("keys", ["user:"]).as_deref(),
        Some(r#"[[["user:1","user:2"],2]]"#)
    );
    assert_eq!(
        ada.ask("keys", ["use"]).as_deref(),
        Some(r#"[[["use","user:1","user:2","users"],4]]"#)
    );
    assert_eq!(
        ada.ask("keys", [""]).as_deref(),
        Some(r#"[[["","use","user:1","user:2","users","v"],6]]"#)
    );
    assert_eq!(ada.ask("keys", ["x"]).as_deref(), Some("[[[],0]]"));
}

#[test]
fn an_edit_that_adds_a_key_with_a_time_acts_on_live_connections() {
    let before = "fn on_connection(socket) { socket.on(\"ttl\", || [io.data.ttl(\"code\")]); }";
    let mut host = TestHost::new(before);
    let ada = host.connect("/").unwrap();
    assert_eq!(ada.ask("ttl", ()).as_deref(), Some("[[null]]"));
    let added = "io.data.set(\"code\", 1, #{ ttl: 60_000 }); socket.on";
    host.edit("main.rhai", &before.replacen("socket.on", added, 1));
    assert_eq!(ada.ask("ttl", ()).as_deref(), Some("[[60000]]"));
}
