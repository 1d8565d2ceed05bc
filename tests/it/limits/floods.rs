//! Clients that exceed a limit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::Request,
};
use futures_util::{StreamExt, stream};
use patchcord::{
    Host, HostBuilder, HostEvent, Options,
    script::Memory,
    server::{Config, Server},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower::ServiceExt;

use crate::support::{
    server::{Client, Running, TEST_TIMEOUT, sid},
    wire::{frame, raw, read_until},
};

const ECHO: &str = "fn on_connection(socket) { socket.on(\"n\", |n| n); }";

fn cut_off(event: HostEvent) -> Option<String> {
    match event {
        HostEvent::ClientDisconnected { reason, socket, .. } => {
            assert!(socket.is_some());
            Some(reason)
        }
        _ => None,
    }
}

#[tokio::test]
async fn events_beyond_the_rate_are_refused_and_who_goes_on_is_cut_off() {
    let mut options = Options::default();
    options.clients.max_events_per_second = Some(10);
    let mut running = Running::new(&[("main.rhai", ECHO)], |b| b.options(options)).await;
    let mut client = running.websocket().await;
    client.connect("").await;
    for n in 0..11 {
        client.send(&format!("42{n}[\"n\",{n}]")).await;
    }
    for n in 0..10 {
        assert_eq!(
            client.until(|p| p.starts_with("43")).await,
            format!("43{n}[{n}]")
        );
    }
    let lost = running.announced(|event| match event {
        HostEvent::EventDropped { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(lost.await, "rate limit exceeded (`max-events-per-second`)");
    let mut abuser = raw(&running).await;
    abuser.write_all(&frame("40")).await.unwrap();
    read_until(&mut abuser, "40{").await;
    let flood = frame("42[\"n\",1]").repeat(10_000);
    // The write fails once the client is disconnected.
    let _ = abuser.write_all(&flood).await;
    assert_eq!(
        running.announced(cut_off).await,
        "rate limit exceeded repeatedly (`max-events-per-second`)"
    );
}

#[tokio::test]
async fn a_packet_with_too_many_attachments_ends_the_connection() {
    let mut options = Options::default();
    options.transport.max_attachments = 3;
    let mut running = Running::new(&[("main.rhai", ECHO)], |b| b.options(options)).await;
    let mut client = raw(&running).await;
    client.write_all(&frame("40")).await.unwrap();
    read_until(&mut client, "40{").await;
    let mut attachment = frame("x");
    attachment[0] = 0x82;
    client.write_all(&frame("459999-[\"n\",1]")).await.unwrap();
    client.write_all(&attachment.repeat(4)).await.unwrap();
    assert_eq!(
        running.announced(cut_off).await,
        "a packet with 9999 attachments"
    );
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(TEST_TIMEOUT, client.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "it is still open");
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_connection() {
    let mut options = Options::default();
    options.transport.max_payload = 1_000;
    let running = Running::new(&[("main.rhai", ECHO)], |b| b.options(options)).await;
    for kind in [0x81, 0x82] {
        let mut client = raw(&running).await;
        client.write_all(&frame("40")).await.unwrap();
        read_until(&mut client, "40{").await;
        let placeholder = r#"451-["n",{"_placeholder":true,"num":0}]"#;
        let mut fits = frame(&"x".repeat(1_000));
        fits[0] = 0x82;
        client.write_all(&frame(placeholder)).await.unwrap();
        client.write_all(&fits).await.unwrap();
        client.write_all(&frame("421[\"n\",1]")).await.unwrap();
        read_until(&mut client, "431[1]").await;
        let mut large = frame(&"x".repeat(1_001));
        large[0] = kind;
        client.write_all(&large).await.unwrap();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(TEST_TIMEOUT, client.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "it is still open");
    }
}

/// Returns a server with a short timeout for the head of a request.
async fn impatient() -> Server {
    let host = Host::builder()
        .loader(Memory::from([("main.rhai", ECHO)]))
        .build();
    let _ = host.load().await;
    let mut config = Config::default();
    config.port = 0;
    config.header_timeout = Duration::from_millis(50);
    Server::bind(host, &config).await.unwrap()
}

#[tokio::test]
async fn a_request_that_never_ends_is_given_up() {
    let server = impatient().await;
    let mut slow = TcpStream::connect(server.address()).await.unwrap();
    slow.write_all(b"GET /socket.io/?EIO=4 HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    let mut silent = TcpStream::connect(server.address()).await.unwrap();
    for stream in [&mut slow, &mut silent] {
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(TEST_TIMEOUT, stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "it is still open");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let running = Running::new(&[("main.rhai", ECHO)], |b| b).await;
    let header = "x".repeat(100_000);
    let head =
        format!("GET / HTTP/1.1\r\nHost: {{host}}\r\nX: {header}\r\nConnection: close\r\n\r\n");
    let answer = running.http(&head).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

fn refused(event: HostEvent) -> Option<(String, usize)> {
    match event {
        HostEvent::RequestRejected {
            reason,
            count: times,
            ..
        } => Some((reason, times)),
        _ => None,
    }
}

#[tokio::test]
async fn clients_beyond_the_maximum_are_refused_announced_and_counted() {
    let mut options = Options::default();
    options.clients.max_connections = Some(1);
    let (mut running, host) = Running::reloadable(|builder| {
        builder
            .loader(Memory::from([("main.rhai", ECHO)]))
            .options(options)
    })
    .await;
    let mut client = running.websocket().await;
    client.connect("").await;
    for _ in 0..7 {
        let answer = running.get("/socket.io/?EIO=4&transport=polling").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    }
    let reason = "`max-connections` clients are connected".to_owned();
    for _ in 0..5 {
        assert_eq!(running.announced(refused).await, (reason.clone(), 1));
    }
    assert_eq!(host.counters().requests_rejected.get(), 7);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_announced_and_counted() {
    let mut options = Options::default();
    options.transport.max_payload = 1_000;
    let (mut running, host) = Running::reloadable(|builder| {
        builder
            .loader(Memory::from([("main.rhai", ECHO)]))
            .options(options)
    })
    .await;
    let handshake = running.get("/socket.io/?EIO=4&transport=polling").await;
    let path = format!(
        "/socket.io/?EIO=4&transport=polling&sid={}",
        sid(&handshake)
    );
    let answer = running.post(&path, &"x".repeat(1_001)).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let reason = "the body of a request is larger than `max-payload`".to_owned();
    assert_eq!(running.announced(refused).await, (reason, 1));
    assert_eq!(host.counters().requests_rejected.get(), 1);
    // The session ends, as in Node.
    let answer = running.post(&path, "40").await;
    assert!(answer.contains("Session ID unknown"), "{answer}");
}

#[tokio::test]
async fn what_is_kept_of_a_connect_is_bounded() {
    let mut running = Running::new(&[("main.rhai", ECHO)], |b| b).await;
    let mut client = running.websocket().await;
    let auth = |size| format!("40{{\"token\":\"{}\"}}", "x".repeat(size));
    client.send(&auth(70_000)).await;
    assert_eq!(
        client.until(|packet| packet.starts_with("44")).await,
        r#"44{"message":"its `auth` is larger than 64 KiB"}"#
    );
    client.send(&auth(60_000)).await;
    client.until(|packet| packet.starts_with("40{")).await;
    client.send(&format!("40/{},", "x".repeat(300))).await;
    assert_eq!(
        running.announced(cut_off).await,
        "it sent a CONNECT whose namespace is longer than 256 bytes"
    );
}

/// Runs on a paused clock, which advances while all tasks wait.
#[tokio::test(start_paused = true)]
async fn attachments_that_never_come_are_given_up() {
    let host = Host::builder()
        .loader(Memory::from([("main.rhai", ECHO)]))
        .build();
    let _ = host.load().await;
    let app = host.service(Router::new()).unwrap();
    let ask = async |method: &str, query: &str, body: &str| {
        let request = Request::builder()
            .method(method)
            .uri(format!("/socket.io/?EIO=4&transport=polling{query}"))
            .body(Body::from(body.to_owned()))
            .unwrap();
        let answer = app.clone().oneshot(request).await.unwrap();
        let body = to_bytes(answer.into_body(), 10_000).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    };
    let session = format!("&sid={}", sid(&ask("GET", "", "").await));
    assert_eq!(ask("POST", &session, "40").await, "ok");
    let partial = r#"452-["n",{"_placeholder":true,"num":0}]"#;
    assert_eq!(ask("POST", &session, partial).await, "ok");
    let mut pings = 0;
    let end = loop {
        let polled = ask("GET", &session, "").await;
        if !polled.split('\u{1e}').any(|packet| packet == "2") {
            if polled.starts_with("40") {
                continue;
            }
            break polled;
        }
        pings += 1;
        ask("POST", &session, "3").await;
    };
    assert_eq!(pings, 2);
    assert!(end.contains("Session ID unknown"), "{end}");
    assert_eq!(host.counters().clients_disconnected.get(), 1);
}

/// Runs on a paused clock, which advances while all tasks wait.
#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let host = Host::builder()
        .loader(Memory::from([("main.rhai", ECHO)]))
        .build();
    let _ = host.load().await;
    let app = host.service(Router::new()).unwrap();
    let request = |method: &str, query: &str, body| {
        Request::builder()
            .method(method)
            .uri(format!("/socket.io/?EIO=4&transport=polling{query}"))
            .body(body)
            .unwrap()
    };
    let opened = app.clone().oneshot(request("GET", "", Body::empty())).await;
    let opened = to_bytes(opened.unwrap().into_body(), 10_000).await.unwrap();
    let session = format!("&sid={}", sid(std::str::from_utf8(&opened).unwrap()));
    let first = stream::iter([Ok::<_, std::io::Error>("4")]);
    let endless = Body::from_stream(first.chain(stream::pending()));
    let start = tokio::time::Instant::now();
    let answer = app
        .oneshot(request("POST", &session, endless))
        .await
        .unwrap();
    assert_eq!(answer.status(), 408);
    assert_eq!(start.elapsed().as_secs(), 30);
    assert_eq!(host.counters().requests_rejected.get(), 1);
}

/// Adds functions that count the events `n`, each of which takes some time.
fn counting(builder: HostBuilder, count: &Arc<AtomicI64>) -> HostBuilder {
    let (counted, so_far) = (count.clone(), count.clone());
    builder
        .function("work", move || {
            counted.fetch_add(1, Ordering::SeqCst);
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(2) {
                std::hint::spin_loop();
            }
        })
        .function("so_far", move || so_far.load(Ordering::SeqCst))
}

const COUNT: &str = "fn on_connection(socket) {
    socket.on(\"n\", || { work(); });
    socket.on(\"so far\", || so_far());
}";
const MANY: usize = 1000;

/// Checks that another client is answered while the events of the first client are handled, on the only thread.
async fn assert_has_a_turn(other: &mut Client, count: &AtomicI64) {
    while count.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    other.send("421[\"so far\"]").await;
    let answer = other.until(|packet| packet.starts_with("43")).await;
    assert_ne!(
        answer,
        format!("431[{MANY}]"),
        "the other one waited for all"
    );
}

#[tokio::test]
async fn a_client_that_sends_many_events_at_once_leaves_turns_to_others() {
    let count = Arc::new(AtomicI64::new(0));
    let running = Running::new(&[("main.rhai", COUNT)], |b| counting(b, &count)).await;
    let mut other = running.websocket().await;
    other.connect("").await;
    let mut flood = raw(&running).await;
    let events = frame("42[\"n\"]").repeat(MANY);
    flood.write_all(&frame("40")).await.unwrap();
    read_until(&mut flood, "40{").await;
    flood.write_all(&events).await.unwrap();
    assert_has_a_turn(&mut other, &count).await;
}

#[tokio::test]
async fn a_request_with_many_events_leaves_turns_to_others() {
    let count = Arc::new(AtomicI64::new(0));
    let running = Running::new(&[("main.rhai", COUNT)], |b| counting(b, &count)).await;
    let mut other = running.websocket().await;
    other.connect("").await;
    let opened = running.get("/socket.io/?EIO=4&transport=polling").await;
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", sid(&opened));
    assert!(running.post(&path, "40").await.ends_with("ok"));
    let events = ["42[\"n\"]"; MANY].join("\x1e");
    let has_a_turn = assert_has_a_turn(&mut other, &count);
    let (posted, ()) = tokio::join!(running.post(&path, &events), has_a_turn);
    assert!(posted.ends_with("ok"), "{posted}");
}
