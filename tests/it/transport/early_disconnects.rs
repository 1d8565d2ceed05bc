//! Clients that leave too early or send too late, packet by packet: which hooks run, and that no state of the clients
//! remains.

use std::sync::Arc;

use patchcord::{HostEvent, testing::options};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
};

use crate::support::{
    gate::Gate,
    server::{Client, Running, TEST_TIMEOUT},
    wire::{frame, raw, read_until},
};

/// Script whose `on_handshake` waits for the test, and whose `on_connection` passes a gate.
const MAIN: &str = r#"
fn on_handshake(socket, next) {
    print("handshake");
    socket.join("early");
    wait(|err, value| { print("next"); next.call(); });
}
fn on_connection(socket) {
    print("connection");
    pass();
    print("connected");
    socket.on("n", |n| { print(`event ${n}`); n });
}
fn on_disconnect(socket, reason) { print(`gone: ${reason}`); }
"#;
/// Script that answers with the numbers of sockets and rooms in `/`.
const WATCH: &str = r#"fn on_connection(socket) {
    socket.on("state", || {
        let rooms = [];
        for room in io.of("/").rooms { rooms.push(room); }
        [io.of("/").sockets.len(), rooms.len()]
    });
}
fn on_disconnect(socket, reason) { print(`watch: ${reason}`); }"#;

struct Scene {
    running: Running,
    handshakes: Arc<Semaphore>,
    gate: Gate,
    watching: Client,
}

impl Scene {
    async fn new() -> Self {
        let (handshakes, gate) = (Arc::new(Semaphore::new(0)), Gate::default());
        let (waits, pass) = (handshakes.clone(), gate.clone());
        let files = [("main.rhai", MAIN), ("watch.rhai", WATCH)];
        let running = Running::new(&files, |builder| {
            builder
                .options(options())
                .function("pass", move || pass.pass())
                .async_function("wait", move || {
                    let waits = waits.clone();
                    async move {
                        let permit = waits.acquire().await.map_err(|e| e.to_string())?;
                        permit.forget();
                        Ok::<_, String>(true)
                    }
                })
        })
        .await;
        let mut watching = running.websocket().await;
        watching.connect("/watch,").await;
        Self {
            running,
            handshakes,
            gate,
            watching,
        }
    }

    /// Returns the next line that the scripts log.
    async fn logged(&mut self) -> String {
        let line = |event| match event {
            HostEvent::Log { text, .. } => Some(text),
            HostEvent::HandlerFailed { diagnostic } => panic!("{diagnostic}"),
            _ => None,
        };
        self.running.announced(line).await
    }

    async fn logs(&mut self, lines: &[&str]) {
        for line in lines {
            assert_eq!(self.logged().await, *line);
        }
    }

    /// Returns a client that is in the namespace `/watch`.
    async fn watched(&self) -> TcpStream {
        let mut client = raw(&self.running).await;
        send(&mut client, &["40/watch,"]).await;
        read_until(&mut client, "40/watch,{").await;
        client
    }

    /// Returns a client whose `on_handshake` waits.
    async fn shaking(&mut self) -> TcpStream {
        let mut client = raw(&self.running).await;
        client.write_all(&frame("40")).await.unwrap();
        self.logs(&["handshake"]).await;
        client
    }

    /// Returns a client whose `on_connection` waits at the gate.
    async fn connecting(&mut self) -> TcpStream {
        self.gate.shut_after(0);
        let client = self.shaking().await;
        self.handshakes.add_permits(1);
        self.logs(&["next", "connection"]).await;
        let gate = self.gate.clone();
        tokio::task::spawn_blocking(move || gate.reached())
            .await
            .unwrap();
        client
    }

    /// Waits until no client is in `/`, and in no room of it.
    async fn is_empty(&mut self) {
        let empty = async {
            loop {
                self.watching.send("42/watch,1[\"state\"]").await;
                let state = self
                    .watching
                    .until(|packet| packet.starts_with("43/watch,1"))
                    .await;
                if state == "43/watch,1[[0,0]]" {
                    return;
                }
            }
        };
        tokio::time::timeout(TEST_TIMEOUT, empty)
            .await
            .expect("something remains in `/`");
    }

    /// Checks that a new client is served, and leaves nothing behind.
    async fn serves(&mut self) {
        self.handshakes.add_permits(1);
        let mut client = self.running.websocket().await;
        client.connect("").await;
        self.logs(&["handshake", "next", "connection", "connected"])
            .await;
        client.send("427[\"n\",7]").await;
        assert_eq!(client.until(|p| p.starts_with("437")).await, "437[7]");
        self.logs(&["event 7"]).await;
        client.send("41").await;
        self.logs(&["gone: client namespace disconnect"]).await;
        self.is_empty().await;
    }
}

/// Waits until a client sees the end of its connection.
async fn closed(mut client: TcpStream) {
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(TEST_TIMEOUT, client.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "it is still open");
}

async fn send(client: &mut TcpStream, packets: &[&str]) {
    let frames: Vec<_> = packets.iter().flat_map(|packet| frame(packet)).collect();
    client.write_all(&frames).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_during_the_handshake_is_never_connected() {
    let mut scene = Scene::new().await;
    let mut client = scene.watched().await;
    send(&mut client, &["40"]).await;
    scene.logs(&["handshake"]).await;
    drop(client);
    scene.logs(&["watch: transport close"]).await;
    scene.handshakes.add_permits(1);
    scene.logs(&["next"]).await;
    scene.is_empty().await;
    scene.serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unnoticed_disconnect_during_handshake_runs_both_hooks() {
    let mut scene = Scene::new().await;
    drop(scene.shaking().await);
    scene.handshakes.add_permits(1);
    scene.logs(&["next"]).await;
    scene.is_empty().await;
    scene.handshakes.add_permits(1);
    let mut client = scene.running.websocket().await;
    client.connect("").await;
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line| line != "event 1") {
        lines.push(scene.logged().await);
        if lines.last().is_some_and(|line| line == "connected") {
            client.send("42[\"n\",1]").await;
        }
    }
    // The hooks of the client that left ran in order, or not at all.
    let gone: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("gone"))
        .collect();
    let connections = lines.iter().filter(|line| *line == "connection").count();
    assert_eq!(connections, 1 + gone.len(), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnect_packet_during_the_handshake_ends_the_connection_as_in_node() {
    let mut scene = Scene::new().await;
    let mut client = scene.watched().await;
    send(&mut client, &["40"]).await;
    scene.logs(&["handshake"]).await;
    send(&mut client, &["41"]).await;
    scene.logs(&["watch: forced server close"]).await;
    closed(client).await;
    scene.handshakes.add_permits(1);
    scene.logs(&["next"]).await;
    scene.is_empty().await;
    scene.serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_during_on_connection_is_gone_after_it() {
    let mut scene = Scene::new().await;
    drop(scene.connecting().await);
    scene.gate.open();
    scene.logs(&["connected", "gone: transport close"]).await;
    scene.is_empty().await;
    scene.serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnect_packet_during_on_connection_is_heard_after_it_and_others_go_on() {
    let mut scene = Scene::new().await;
    let mut client = scene.connecting().await;
    send(&mut client, &["42[\"n\",1]", "41", "40/watch,"]).await;
    scene.gate.open();
    read_until(&mut client, "40/watch,{").await;
    scene
        .logs(&["connected", "event 1", "gone: client namespace disconnect"])
        .await;
    send(&mut client, &["42/watch,5[\"state\"]"]).await;
    read_until(&mut client, "43/watch,5[[0,0]]").await;
    scene.is_empty().await;
    scene.serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_after_the_disconnect_packet_ends_the_connection_as_in_node() {
    let mut scene = Scene::new().await;
    let mut client = scene.watched().await;
    scene.handshakes.add_permits(1);
    send(&mut client, &["40"]).await;
    scene
        .logs(&["handshake", "next", "connection", "connected"])
        .await;
    send(&mut client, &["42[\"n\",1]", "41", "42[\"n\",2]"]).await;
    let mut logged = [
        scene.logged().await,
        scene.logged().await,
        scene.logged().await,
    ];
    // Sorted, because each namespace has turns of its own.
    logged.sort_by_key(|line| line.starts_with("watch"));
    let expected = [
        "event 1",
        "gone: client namespace disconnect",
        "watch: forced server close",
    ];
    assert_eq!(logged, expected);
    closed(client).await;
    scene.is_empty().await;
    scene.serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_connect_to_a_namespace_ends_the_connection_as_in_node() {
    let mut scene = Scene::new().await;
    let mut client = scene.watched().await;
    scene.handshakes.add_permits(1);
    send(&mut client, &["40", "421[\"n\",1]"]).await;
    let heard = read_until(&mut client, "431[1]").await;
    assert_eq!(heard.matches("40{").count(), 1, "{heard}");
    scene
        .logs(&["handshake", "next", "connection", "connected", "event 1"])
        .await;
    send(&mut client, &["40", "422[\"n\",2]"]).await;
    let mut ends = [scene.logged().await, scene.logged().await];
    ends.sort();
    assert_eq!(
        ends,
        ["gone: forced server close", "watch: forced server close"]
    );
    closed(client).await;
    scene.is_empty().await;
    scene.serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_is_left_and_joined_again_on_one_connection() {
    let mut scene = Scene::new().await;
    let mut client = scene.watched().await;
    for round in 0..3 {
        scene.handshakes.add_permits(1);
        send(
            &mut client,
            &["40", &format!("42{round}[\"n\",{round}]"), "41"],
        )
        .await;
        read_until(&mut client, &format!("43{round}[{round}]")).await;
        scene
            .logs(&[
                "handshake",
                "next",
                "connection",
                "connected",
                &format!("event {round}"),
                "gone: client namespace disconnect",
            ])
            .await;
        scene.is_empty().await;
    }
    send(&mut client, &["42/watch,9[\"state\"]"]).await;
    read_until(&mut client, "43/watch,9[[0,0]]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_is_freed_although_clients_went_during_their_handshakes() {
    let mut scene = Scene::new().await;
    for _ in 0..3 {
        let mut client = scene.watched().await;
        send(&mut client, &["40"]).await;
        scene.logs(&["handshake"]).await;
        drop(client);
        scene.logs(&["watch: transport close"]).await;
        scene.handshakes.add_permits(1);
        scene.logs(&["next"]).await;
    }
    scene.is_empty().await;
    let Running {
        server, mut events, ..
    } = scene.running;
    server.shutdown().await;
    let end = async { while events.recv().await.is_some() {} };
    let freed = tokio::time::timeout(TEST_TIMEOUT, end).await;
    assert!(freed.is_ok(), "a session holds its host");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_a_namespace_that_the_server_removes_it_from_stays_in_the_others() {
    const ROOM: &str = "fn on_connection(socket) { }";
    const MAIN: &str = r#"fn on_connection(socket) {
        socket.on("empty", || { for i in 0..8 { io.of(`/room/${i}`).disconnect_sockets(); } 1 });
        socket.on("n", |n| n);
    }"#;
    let files = [("main.rhai", MAIN), ("room/{id}.rhai", ROOM)];
    let running = Running::new(&files, |b| b).await;
    let mut server = raw(&running).await;
    send(&mut server, &["40"]).await;
    read_until(&mut server, "40{").await;
    let leaves = (0..8).flat_map(|n| frame(&format!("41/room/{n},")));
    let leaves: Vec<_> = leaves.collect();
    for _ in 0..50 {
        let mut client = raw(&running).await;
        for n in 0..8 {
            send(&mut client, &[&format!("40/room/{n},")]).await;
            read_until(&mut client, &format!("40/room/{n},{{")).await;
        }
        send(&mut client, &["40"]).await;
        read_until(&mut client, "40{").await;
        send(&mut server, &["421[\"empty\"]"]).await;
        client.write_all(&leaves).await.unwrap();
        read_until(&mut server, "431[1]").await;
        send(&mut client, &["422[\"n\",2]"]).await;
        read_until(&mut client, "432[2]").await;
    }
}
