//! Namespaces that are created on demand.

use patchcord::testing::TestHost;

use crate::support::server::Running;

const ROOM: &str = "fn on_connection(socket) {
    let n = io.data.incr(\"visitors\", 1);
    socket.on(\"who\", || [socket.nsp, socket.params, n]);
    socket.on(\"say\", |text| { io.emit(\"said\", text); });
}";

#[test]
fn each_instance_has_clients_and_data_of_its_own() {
    let host = TestHost::with([
        ("room/{id}.rhai", ROOM),
        ("room/lobby.rhai", "fn on_connection(socket) { }"),
    ]);
    let [one, also_one, two] =
        ["/room/1", "/room/1", "/room/2"].map(|path| host.connect(path).unwrap());
    assert_eq!(
        one.ask("who", ()).as_deref(),
        Some("[[\"/room/1\",{\"id\":\"1\"},1]]")
    );
    assert_eq!(
        also_one.ask("who", ()).as_deref(),
        Some("[[\"/room/1\",{\"id\":\"1\"},2]]")
    );
    assert_eq!(
        two.ask("who", ()).as_deref(),
        Some("[[\"/room/2\",{\"id\":\"2\"},1]]")
    );
    one.emit("say", ["hi"]);
    assert_eq!(also_one.heard(), ["said [\"hi\"]"]);
    assert_eq!(two.heard(), [] as [&str; 0]);
    for path in ["/room", "/room/", "/room/1/2", "/rooms/1"] {
        assert_eq!(
            host.connect(path).unwrap_err().0,
            "Invalid namespace",
            "{path}"
        );
    }
    assert_eq!(
        host.connect("/room/lobby").unwrap().ask("who", ()),
        None,
        "a file of its own comes first"
    );
}

#[test]
fn an_edit_reaches_every_instance() {
    let mut host = TestHost::with([("room/{id}.rhai", ROOM)]);
    let (one, two) = (
        host.connect("/room/1").unwrap(),
        host.connect("/room/2").unwrap(),
    );
    host.edit("room/{id}.rhai", &ROOM.replace("\"said\"", "\"shouted\""));
    for client in [&one, &two] {
        client.emit("say", ["hi"]);
        assert_eq!(client.heard(), ["shouted [\"hi\"]"]);
    }
    assert_eq!(
        host.connect("/room/3").unwrap().ask("who", ()).as_deref(),
        Some("[[\"/room/3\",{\"id\":\"3\"},1]]")
    );
}

#[test]
fn an_instance_that_nobody_is_in_is_freed_after_a_while() {
    let host = TestHost::with([("room/{id}.rhai", ROOM)]);
    let who = || host.connect("/room/1").unwrap();
    let client = who();
    client.disconnect();
    host.advance(1_000);
    assert_eq!(
        who().ask("who", ()).as_deref(),
        Some("[[\"/room/1\",{\"id\":\"1\"},2]]"),
        "its data is still there"
    );
    host.connect("/room/1").unwrap().disconnect();
    host.advance(1_000);
    let stays = who();
    host.advance(40_000);
    assert!(stays.ask("who", ()).is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_clients_at_the_same_time_meet_in_one_instance() {
    let running = Running::new(&[("game/{id}.rhai", ROOM)], |b| b).await;
    for game in 0..30 {
        let namespace = format!("/game/{game},");
        let (mut ada, mut bob) = tokio::join!(running.websocket(), running.websocket());
        tokio::join!(ada.connect(&namespace), bob.connect(&namespace));
        ada.send(&format!("42{namespace}[\"say\",\"hi\"]")).await;
        let message = format!("42{namespace}[\"said\",\"hi\"]");
        tokio::join!(ada.until(|p| p == message), bob.until(|p| p == message));
    }
}

#[tokio::test]
async fn a_dynamic_namespace_over_polling() {
    let running = Running::new(&[("room/{id}.rhai", ROOM)], |b| b).await;
    let handshake = running.get("/socket.io/?EIO=4&transport=polling").await;
    let sid = handshake
        .split("\"sid\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
    running
        .post(&path, "40/room/7,\x1e42/room/7,1[\"who\"]")
        .await;
    let mut heard = String::new();
    while !heard.contains("43/room/7,1") {
        heard += &running.get(&path).await;
    }
    assert!(
        heard.contains("43/room/7,1[[\"/room/7\",{\"id\":\"7\"},1]]"),
        "{heard}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_takes_over_the_path_of_an_instance() {
    let script =
        |name: &str| format!("fn on_connection(socket) {{ socket.on(\"who\", || \"{name}\"); }}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("room")).unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    write("room/{id}.rhai", script("dynamic"));
    let (running, host) = Running::reloadable(|builder| builder.scripts(folder.path())).await;
    let who = async || {
        let mut client = running.websocket().await;
        client.connect("/room/lobby,").await;
        client.send("42/room/lobby,1[\"who\"]").await;
        let answer = client.until(|packet| packet.starts_with("43")).await;
        (client, answer)
    };
    let (mut first, answer) = who().await;
    assert_eq!(answer, "43/room/lobby,1[\"dynamic\"]");
    // A file that does not load changes nothing for the connected clients.
    write("room/lobby.rhai", "fn on_connection(".to_owned());
    assert_eq!(host.reload().await.unwrap_err().diagnostics.len(), 1);
    first.send("42/room/lobby,2[\"who\"]").await;
    first
        .until(|packet| packet == "43/room/lobby,2[\"dynamic\"]")
        .await;
    write("room/lobby.rhai", script("named"));
    host.reload().await.unwrap();
    first.until(|packet| packet == "41/room/lobby,").await;
    let (_second, answer) = who().await;
    assert_eq!(answer, "43/room/lobby,1[\"named\"]");
}

#[test]
fn a_parameter_may_be_a_part_of_a_name_or_the_rest_of_a_path() {
    let who = "fn on_connection(socket) { socket.on(\"who\", || socket.params); }";
    let host = TestHost::with([("dynamic-{n}.rhai", who), ("files/{*path}.rhai", who)]);
    for (path, params) in [
        ("/dynamic-7", "[{\"n\":\"7\"}]"),
        ("/files/a/b", "[{\"path\":\"a/b\"}]"),
    ] {
        let client = host.connect(path).unwrap();
        assert_eq!(client.ask("who", ()).as_deref(), Some(params), "{path}");
    }
    for path in ["/dynamic-", "/dynamic", "/files"] {
        let refused = host.connect(path).unwrap_err();
        assert_eq!(refused.0, "Invalid namespace", "{path}");
    }
}
