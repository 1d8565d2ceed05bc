//! Limits of a TCP connection at the stand-alone server.

use std::{fs::File, time::Duration};

use patchcord::{
    Host, HostEvent, Options,
    script::Memory,
    server::{Config, Server},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc::unbounded_channel,
};

use crate::support::{
    server::{Running, TEST_TIMEOUT},
    wire::read_until,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

async fn running(options: impl FnOnce(&mut Options), config: impl FnOnce(&mut Config)) -> Running {
    let (tell, events) = unbounded_channel();
    let mut of_host = patchcord::testing::options();
    options(&mut of_host);
    let host = Host::builder()
        .options(of_host)
        .loader(Memory::from([(
            "main.rhai",
            "fn on_connection(socket) { }",
        )]))
        .on_event(move |event| drop(tell.send(event.clone())))
        .build();
    let _ = host.load().await;
    let mut of_server = Config::default();
    of_server.port = 0;
    config(&mut of_server);
    let server = Server::bind(host, &of_server).await.unwrap();
    Running {
        address: server.address(),
        server,
        events,
    }
}

/// Opens a connection, and asks for the page; returns the connection if it is served.
async fn ask(running: &Running) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    // The write may fail if the connection is closed at once.
    let _ = stream.write_all(GET.as_bytes()).await;
    let mut start = [0; 12];
    let read = tokio::time::timeout(TEST_TIMEOUT, stream.read_exact(&mut start)).await;
    match read.expect("no answer") {
        Ok(_) if start.starts_with(b"HTTP/1.1 200") => Some(stream),
        Ok(_) => {
            assert_eq!(std::str::from_utf8(&start), Ok("HTTP/1.1 503"));
            None
        }
        Err(_) => None,
    }
}

async fn closes(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(TEST_TIMEOUT, stream.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "it is still open");
}

fn refused(event: HostEvent) -> Option<String> {
    match event {
        HostEvent::RequestRejected { reason, .. } => Some(reason),
        _ => None,
    }
}

#[tokio::test]
async fn no_more_tcp_connections_than_may_are_served_and_loopback_has_no_limit_of_its_own() {
    let mut running = running(
        |_| {},
        |config| {
            config.max_tcp_connections = Some(3);
            config.max_tcp_connections_per_address = Some(1);
        },
    )
    .await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(ask(&running).await.expect("there is room for it"));
    }
    assert!(ask(&running).await.is_none());
    assert_eq!(
        running.announced(refused).await,
        "`max-tcp-connections` are open"
    );
    open.pop();
    let room = async {
        loop {
            if let Some(stream) = ask(&running).await {
                break stream;
            }
        }
    };
    let room = tokio::time::timeout(TEST_TIMEOUT, room).await;
    assert!(room.is_ok(), "a connection that closes makes no room");
}

#[tokio::test]
async fn a_websocket_keeps_its_place_among_the_tcp_connections() {
    let running = running(|_| {}, |config| config.max_tcp_connections = Some(1)).await;
    let mut client = running.websocket().await;
    client.connect("").await;
    assert!(ask(&running).await.is_none());
    drop(client);
    let room = async { while ask(&running).await.is_none() {} };
    let room = tokio::time::timeout(TEST_TIMEOUT, room).await;
    assert!(room.is_ok(), "a WebSocket that closes makes no room");
}

#[tokio::test]
async fn a_connection_that_waits_for_its_next_request_is_given_up() {
    let running = running(
        |_| {},
        |config| config.header_timeout = Duration::from_millis(50),
    )
    .await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(GET.as_bytes()).await.unwrap();
    read_until(&mut stream, "</html>").await;
    closes(&mut stream).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_its_response_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    // Larger than the buffers of the system.
    let file = File::create(folder.path().join("large")).unwrap();
    file.set_len(256 << 20).unwrap();
    let mut running = running(
        |options| options.transport.write_timeout = Duration::from_millis(100),
        |config| config.public = Some(folder.path().to_owned()),
    )
    .await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let head = "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let address = stream.local_addr().unwrap();
    let unread = running.announced(|event| match event {
        HostEvent::ResponseUnread { peer, count: times } => Some((peer, times)),
        _ => None,
    });
    assert_eq!(unread.await, (Some(address), 1));
    closes(&mut stream).await;
}

#[tokio::test]
async fn a_head_may_have_32_kib_and_no_more() {
    let mut running = running(|_| {}, |_| {}).await;
    for (length, status) in [
        (32_000, "200"),
        (33_000, "431"),
        (40_000, "431"),
        (90_000, "431"),
    ] {
        let header = "x".repeat(length);
        let head = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nX: {header}\r\nConnection: close\r\n\r\n"
        );
        let answer = running.http(&head).await;
        let expected = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&expected), "{length}: {answer}");
    }
    for _ in 0..3 {
        assert_eq!(
            running.announced(refused).await,
            "the head of a request is larger than 32 KiB"
        );
    }
}
