//! A host on a `SocketIo` of the application, beside namespaces that are written in Rust.

use axum::Router;
use patchcord::{
    AttachError, Host, HostEvent,
    host::Transport,
    script::Memory,
    server::{Config, Server},
    socketioxide::{ParserConfig, SocketIo},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::api::handshake::{TIMES, assert_time_stands};
use crate::support::{
    application::{CHAT, Program, connect_to_rust},
    server::{TEST_TIMEOUT, get, post, sid},
    wire::{frame, raw_at, read_until, stalled_client_at},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_and_rust_share_one_server_and_edits_are_live() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("chat.rhai");
    std::fs::write(&file, CHAT).unwrap();
    let mut options = patchcord::testing::options();
    options.transport.transports = vec![Transport::Websocket];
    let server = options.socket_io();
    let mut program = Program::on(server, |builder| builder.scripts(folder.path())).await;
    assert_eq!(program.warnings(), [] as [&str; 0]);

    let (mut ada, mut bob) = (program.client().await, program.client().await);
    ada.connect("/chat,").await;
    bob.connect("/chat,").await;
    // `from` shows that the client is in the room.
    for client in [&mut ada, &mut bob] {
        assert_eq!(
            client.until(|packet| packet.contains("from")).await,
            "42/chat,[\"from\",\"127.0.0.1\"]"
        );
    }

    connect_to_rust(&mut ada).await;
    ada.send("42/rust,[\"double\",21]").await;
    assert_eq!(
        ada.until(|packet| packet.contains("doubled")).await,
        "42/rust,[\"doubled\",42]"
    );

    ada.send("42/chat,1[\"add\",5]").await;
    assert_eq!(ada.next().await.unwrap(), "43/chat,1[5]");
    ada.send("42/chat,[\"say\",\"hi\"]").await;
    for client in [&mut ada, &mut bob] {
        let reported = client.until(|packet| packet.contains("said")).await;
        assert_eq!(reported, "42/chat,[\"said\",\"hi\"]");
    }
    // Events that the application itself emits reach the clients too.
    program
        .io
        .of("/chat")
        .unwrap()
        .to("room")
        .emit("said", "by Rust")
        .await
        .unwrap();
    let reported = bob.until(|packet| packet.contains("said")).await;
    assert_eq!(reported, "42/chat,[\"said\",\"by Rust\"]");

    ada.send("42/chat,[\"ask\"]").await;
    let question = ada.until(|packet| packet.contains("question")).await;
    let number = question.strip_prefix("451-/chat,").unwrap();
    let number: String = number.chars().take_while(char::is_ascii_digit).collect();
    assert_eq!(ada.next().await.unwrap(), "binary b\"AA\"");
    ada.send(&format!("43/chat,{number}[\"yes\"]")).await;
    let answered = ada.until(|packet| packet.contains("answered")).await;
    assert_eq!(answered, "42/chat,[\"answered\",\"yes\"]");

    std::fs::write(&file, CHAT.replace("n += x", "n += 10 * x")).unwrap();
    let _ = program.host.reload().await;
    ada.send("42/chat,2[\"add\",5]").await;
    assert_eq!(ada.next().await.unwrap(), "43/chat,2[55]");
    program.host.rollback("/chat").await.unwrap();
    ada.send("42/chat,3[\"add\",5]").await;
    assert_eq!(ada.next().await.unwrap(), "43/chat,3[60]");

    let mut mallory = program.client().await;
    mallory.send("40/chat,{\"name\":\"mallory\"}").await;
    let refused = mallory.until(|packet| packet.starts_with("44")).await;
    assert_eq!(refused, "44/chat,{\"message\":\"not you\"}");

    ada.send("42/chat,4[\"rooms\"]").await;
    assert_eq!(ada.next().await.unwrap(), "43/chat,4[[2,3,true]]");

    bob.send("42/chat,[\"bye\"]").await;
    assert_eq!(bob.next().await.unwrap(), "41/chat,");
    let reason = program
        .announced(|event| match event {
            HostEvent::Log { text, .. } => Some(text),
            _ => None,
        })
        .await;
    assert_eq!(reason, "server namespace disconnect");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polling_clients_of_an_attached_host_are_served() {
    let program = Program::new(&[("chat.rhai", CHAT)], |b| b).await;
    let handshake = get(program.address, "/socket.io/?EIO=4&transport=polling").await;
    let path = format!(
        "/socket.io/?EIO=4&transport=polling&sid={}",
        sid(&handshake)
    );
    assert!(
        post(program.address, &path, "40/chat,")
            .await
            .ends_with("ok")
    );
    let mut heard = String::new();
    while !heard.contains("\"from\"") {
        heard += &get(program.address, &path).await;
    }
    assert!(
        post(program.address, &path, "42/chat,1[\"add\",2]")
            .await
            .ends_with("ok")
    );
    while !heard.contains("43/chat,1[2]") {
        heard += &get(program.address, &path).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dynamic_namespaces_are_made_on_an_attached_server() {
    let room = "fn on_connection(socket) {
        io.data.incr(\"here\", 1);
        socket.emit(\"room\", socket.params.id, io.data.here); }";
    let mut options = patchcord::testing::options();
    options.clients.max_namespaces = 2;
    let program = Program::new(&[("room/{id}.rhai", room)], |b| b.options(options)).await;
    let mut members = Vec::new();
    for (path, expected) in [("7", "\"7\",1"), ("7", "\"7\",2"), ("8", "\"8\",1")] {
        let mut client = program.client().await;
        client.connect(&format!("/room/{path},")).await;
        let room = client.until(|packet| packet.contains("\"room\"")).await;
        assert_eq!(room, format!("42/room/{path},[\"room\",{expected}]"));
        members.push(client);
    }
    let mut client = program.client().await;
    for path in ["/room/9", "/room/7/more", "/other"] {
        client.send(&format!("40{path},")).await;
        let refused = client.until(|packet| packet.starts_with("44")).await;
        assert_eq!(
            refused,
            format!("44{path},{{\"message\":\"Invalid namespace\"}}")
        );
    }
    assert!(program.io.of("/room/9").is_none(), "it was made for nobody");
}

#[tokio::test]
async fn attach_warns_about_missing_guarantees() {
    let script = "fn on_connection(socket) { }";
    let mut options = patchcord::testing::options();
    options.clients.max_connections = Some(10);
    let scripts = Memory::from([("main.rhai", script), ("rust.rhai", script)]);
    let mut program = Program::on(SocketIo::builder(), |builder| {
        builder.loader(scripts).options(options)
    })
    .await;
    assert_eq!(
        program.warnings(),
        [
            "on a `SocketIo` of the application, `socket.id` is the session id of Engine.IO: whoever learns the id of a \
             client that polls can act as that client; give clients ids of your own, or allow WebSockets only",
            "`max_buffer_size` of the `SocketIo` is 128: a client is disconnected when a call sends it more packets than that; \
             a call may send 10000 and more",
            "`ws_max_message_size` of the `SocketIo` is 67108864, so the option `transport.max_payload`, 1000000, has no effect",
            "the option `clients.max_connections` has no effect on a `SocketIo` of the application",
            "no script serves `/rust`: the `SocketIo` has a namespace of this name already",
        ]
    );
    let mut client = program.client().await;
    client.connect("").await;
    connect_to_rust(&mut client).await;
    client.send("42/rust,[\"double\",1]").await;
    assert_eq!(
        client.until(|packet| packet.starts_with("42")).await,
        "42/rust,[\"doubled\",2]",
        "the program's own namespace goes on"
    );
    assert_eq!(
        program.host.attach(&program.io),
        Err(AttachError::ServesAlready)
    );
}

#[tokio::test]
async fn a_host_has_one_server() {
    let host = || Host::builder().loader(Memory::default()).build();
    let serves = host();
    let _app = serves.service(Router::new()).unwrap();
    let second = serves.service(Router::new());
    assert_eq!(second.err(), Some(AttachError::ServesAlready));
    let (_, io) = SocketIo::new_layer();
    assert_eq!(serves.attach(&io), Err(AttachError::ServesAlready));
    let mut config = Config::default();
    config.port = 0;
    assert!(Server::bind(serves, &config).await.is_err());

    let attached = host();
    attached.attach(&io).unwrap();
    let second = attached.service(Router::new());
    assert_eq!(second.err(), Some(AttachError::ServesAlready));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_an_attached_host_are_served_after_it_has_refused_to_serve_an_app() {
    let program = Program::new(&[("chat.rhai", CHAT)], |b| b).await;
    let mut before = program.client().await;
    before.connect("/chat,").await;
    assert!(program.host.service(Router::new()).is_err());
    let mut after = program.client().await;
    after.connect("/chat,").await;
    // `from` shows that the client is in the room.
    for client in [&mut before, &mut after] {
        client.until(|packet| packet.contains("from")).await;
    }
    after.send("42/chat,[\"say\",\"hi\"]").await;
    for client in [&mut before, &mut after] {
        client.until(|packet| packet.contains("said")).await;
    }
    // `close` closes the server to which the clients are connected.
    program.host.close().await;
    for client in [&mut before, &mut after] {
        client.until(|packet| packet == "41/chat,").await;
    }
}

#[tokio::test]
async fn another_parser_is_refused() {
    let (_, io) = SocketIo::builder()
        .with_parser(ParserConfig::msgpack())
        .build_layer();
    let host = Host::builder().loader(Memory::default()).build();
    assert_eq!(host.attach(&io), Err(AttachError::OtherParser));
    let (_, io) = SocketIo::new_layer();
    host.attach(&io).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attached_host_disconnects_only_slow_clients() {
    let script = "fn on_connection(socket) {
        let big = \"x\"; big.pad(60000, 'x');
        socket.on(\"flood\", || { for i in 0..20 { io.emit(\"big\", big); } });
        socket.on(\"ping\", || \"pong\");
        socket.on(\"disconnect\", |reason| print(socket.id + \" \" + reason)); }";
    let mut options = patchcord::testing::options();
    options.limits.time = TEST_TIMEOUT;
    let scripts = Memory::from([("main.rhai", script)]);
    let mut program = Program::on(SocketIo::builder(), |builder| {
        builder.loader(scripts).options(options)
    })
    .await;
    let mut stalled = raw_at(program.address).await;
    stalled.write_all(&frame("40")).await.unwrap();
    read_until(&mut stalled, "40{").await;
    let mut client = program.client().await;
    client.connect("").await;
    let mut rounds = 0;
    let parted = 'flood: loop {
        client.send(&format!("42{rounds}[\"flood\"]")).await;
        let answer = format!("43{rounds}[");
        client.until(|packet| packet.starts_with(&answer)).await;
        while let Ok(event) = program.events.try_recv() {
            if let HostEvent::ClientDisconnected { socket, reason, .. } = event {
                assert!(reason.contains("`max_buffer_size`"), "{reason}");
                break 'flood socket.unwrap();
            }
        }
        rounds += 1;
        assert!(rounds < 200, "the stalled client was never parted with");
    };
    let left = program
        .announced(|event| match event {
            HostEvent::Log { text, .. } => Some(text),
            _ => None,
        })
        .await;
    assert_eq!(left, format!("{parted} transport error"));
    client.send("421000[\"ping\"]").await;
    let pong = client.until(|packet| packet.starts_with("431000")).await;
    assert_eq!(pong, "431000[\"pong\"]");
    // When the client reads again, it receives the DISCONNECT.
    let (mut chunk, mut tail) = (vec![0; 1 << 16], Vec::new());
    while !tail.windows(2).any(|bytes| bytes == b"41") {
        let count = stalled.read(&mut chunk).await.unwrap();
        assert!(count > 0, "it was closed without a word");
        tail.drain(..tail.len().saturating_sub(1));
        tail.extend_from_slice(&chunk[..count]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volatile_broadcast_reaches_everybody_but_the_clients_that_do_not_read() {
    let script = "fn on_connection(socket) {
        let big = \"\"; big.pad(60000, 'x');
        socket.on(\"tell\", |n| { io.volatile.emit(\"told\", n, big); });
        socket.on(\"ping\", |n| n); }";
    // A client that does not read can be sent this many packets, and what the buffers of both systems hold.
    let mut options = patchcord::testing::options();
    options.limits.time = TEST_TIMEOUT;
    let server = options.socket_io().max_buffer_size(16);
    let scripts = Memory::from([("main.rhai", script)]);
    let mut program = Program::on(server, |b| b.loader(scripts).options(options)).await;
    // The order of a broadcast is random: with this many clients of both kinds, those that read are hardly ever all
    // before the others.
    let mut stalled = Vec::new();
    for _ in 0..4 {
        stalled.push(stalled_client_at(program.address).await);
    }
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = program.client().await;
        client.connect("").await;
        clients.push(client);
    }
    let mut parted = 0;
    for n in 0.. {
        assert!(n < 400, "{parted} of the stalled clients were parted with");
        clients[0].send(&format!("42[\"tell\",{n}]")).await;
        // The answer to the first client comes when the broadcast is over, and the other answers come after it.
        for client in &mut clients {
            client.send(&format!("42{n}[\"ping\",{n}]")).await;
            let start = format!("42[\"told\",{n},");
            let pong = format!("43{n}[{n}]");
            let packet = client
                .until(|packet| packet.starts_with(&start) || packet == pong)
                .await;
            assert_ne!(packet, pong, "a client has missed a broadcast");
            client.until(|packet| packet == pong).await;
        }
        while let Ok(event) = program.events.try_recv() {
            parted += usize::from(matches!(event, HostEvent::ClientDisconnected { .. }));
        }
        if parted == stalled.len() {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_of_a_handshake_on_an_attached_server_is_when_the_client_connected() {
    let program = Program::new(&[("main.rhai", TIMES)], |b| b).await;
    assert_time_stands(program.client().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_on_an_attached_server_is_cut_off() {
    let mut options = patchcord::testing::options();
    options.clients.max_events_per_second = Some(5);
    let mut program = Program::new(&[("chat.rhai", CHAT)], |b| b.options(options)).await;
    let mut client = raw_at(program.address).await;
    client.write_all(&frame("40/chat,")).await.unwrap();
    read_until(&mut client, "40/chat,{").await;
    let flood = async {
        let events = frame("42/chat,[\"add\",1]").repeat(100);
        // The write fails when socketioxide closes the connection, because the socket is gone.
        while client.write_all(&events).await.is_ok() {}
        std::future::pending::<()>().await;
    };
    let mut heard = Vec::new();
    let cut_off = program.announced(|event| {
        match event {
            HostEvent::ClientDisconnected { socket, reason, .. } => {
                heard.push((socket.is_some(), reason));
            }
            HostEvent::Log { text, .. } => heard.push((true, text)),
            _ => {}
        }
        (heard.len() == 2).then(|| heard.clone())
    });
    let heard = tokio::select! {
        heard = cut_off => heard,
        () = flood => unreachable!("it goes on"),
    };
    let reason = "rate limit exceeded repeatedly (`max-events-per-second`)";
    let expected = [reason, "server namespace disconnect"];
    assert_eq!(heard, expected.map(|text| (true, text.to_owned())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_an_attached_host_leaves_the_programs_own_namespaces() {
    let mut program = Program::new(&[("chat.rhai", CHAT)], |b| b).await;
    let mut client = program.client().await;
    client.connect("/chat,").await;
    connect_to_rust(&mut client).await;
    program.host.close().await;
    client.until(|packet| packet == "41/chat,").await;
    let reason = program
        .announced(|event| match event {
            HostEvent::Log { text, .. } => Some(text),
            _ => None,
        })
        .await;
    assert_eq!(reason, "server shutting down");
    client.send("40/chat,").await;
    let refused = client.until(|packet| packet.starts_with("44")).await;
    assert_eq!(refused, "44/chat,{\"message\":\"Invalid namespace\"}");
    client.send("42/rust,[\"double\",4]").await;
    let doubled = client.until(|packet| packet.starts_with("42")).await;
    assert_eq!(doubled, "42/rust,[\"doubled\",8]");
}
