//! Limits on sessions: number of clients in total, per address and per second, and what the host keeps of a request.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::{HeaderMap, Request, StatusCode, header::RETRY_AFTER},
};
use patchcord::{Host, HostEvent, Options, script::Memory};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};
use tower::ServiceExt;

use crate::support::{
    server::{Running, TEST_TIMEOUT, sid},
    wire::{frame, read_until, upgrade_request},
};

const SCRIPT: &str = "fn on_connection(socket) { print(socket.handshake.headers); }";
const POLL: &str = "/socket.io/?EIO=4&transport=polling";
const CLIENT: &str = "203.0.113.1:5000";

/// Host whose clients have addresses that a test chooses.
struct Door {
    app: Router,
    host: Host,
    events: UnboundedReceiver<HostEvent>,
}

/// Response to a client that opens a session.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

impl Door {
    async fn new(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = patchcord::testing::options();
        change(&mut options);
        let (tell, events) = unbounded_channel();
        let host = Host::builder()
            .options(options)
            .loader(Memory::from([("main.rhai", SCRIPT)]))
            .on_event(move |event| drop(tell.send(event.clone())))
            .build();
        let _ = host.load().await;
        let app = host.service(Router::new()).unwrap();
        Self { app, host, events }
    }

    async fn ask(&self, peer: &str, request: Request<Body>) -> Answer {
        let mut request = request;
        let peer: SocketAddr = peer.parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(peer));
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// Opens a session from `peer`, with headers.
    async fn open(&self, peer: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::get(POLL);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.ask(peer, request.body(Body::empty()).unwrap()).await
    }

    /// Opens sessions until one is rejected; returns their number, and the rejection.
    async fn fill(&self, peer: &str, headers: &[(&str, &str)]) -> (usize, Answer) {
        for count in 0..1_000 {
            let answer = self.open(peer, headers).await;
            if answer.status != StatusCode::OK {
                return (count, answer);
            }
        }
        panic!("no session is refused");
    }

    async fn post(&self, answer: &Answer, packet: &str) {
        let uri = format!("{POLL}&sid={}", sid(&answer.body));
        let request = Request::post(uri).body(Body::from(packet.to_owned()));
        let answer = self.ask(CLIENT, request.unwrap()).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, "ok"));
    }

    /// Returns the announced events that `wanted` accepts.
    fn announced<T>(&mut self, wanted: impl Fn(HostEvent) -> Option<T>) -> Vec<T> {
        let mut found = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            found.extend(wanted(event));
        }
        found
    }
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

fn proxy(event: HostEvent) -> Option<String> {
    match event {
        HostEvent::UntrustedProxy { peer, header } => Some(format!("{header} from {peer}")),
        _ => None,
    }
}

fn retry_after(answer: &Answer) -> u64 {
    let value = answer.headers[RETRY_AFTER].to_str().unwrap();
    value.parse().unwrap()
}

#[tokio::test]
async fn an_address_has_its_own_limit_and_a_client_that_leaves_makes_room() {
    let mut door = Door::new(|options| options.clients.max_connections_per_address = Some(3)).await;
    let first = door.open(CLIENT, &[]).await;
    let (more, refusal) = door.fill("203.0.113.1:6000", &[]).await;
    assert_eq!((more, refusal.status), (2, StatusCode::TOO_MANY_REQUESTS));
    let expected = r#"{"code":4,"message":"too many connections from this address"}"#;
    assert_eq!(refusal.body, expected);
    assert_eq!(retry_after(&refusal), 5);
    assert_eq!(door.open("203.0.113.2:1", &[]).await.status, StatusCode::OK);
    door.post(&first, "1").await;
    assert_eq!(door.fill(CLIENT, &[]).await.0, 1);
    // All addresses of a /64 count as one client's.
    assert_eq!(door.fill("[2001:db8::1]:1", &[]).await.0, 3);
    assert_eq!(door.fill("[2001:db8::ffff:1]:1", &[]).await.0, 0);
    assert_eq!(door.fill("[2001:db8:0:1::1]:1", &[]).await.0, 3);
    let reason = "`max-connections-per-address` clients of this address are connected".to_owned();
    assert_eq!(door.announced(refused), vec![(reason, 1); 5]);
    let counters = door.host.counters();
    assert_eq!(counters.over_max_connections_per_address.get(), 5);
    assert_eq!(counters.requests_rejected.get(), 5);
}

#[tokio::test]
async fn a_trusted_proxy_determines_the_address_that_counts() {
    let door = Door::new(|options| {
        options.clients.trust_proxy = 1;
        options.clients.max_connections_per_address = Some(2);
    })
    .await;
    for client in ["198.51.100.1", "198.51.100.2"] {
        let forwarded = [("x-forwarded-for", client)];
        assert_eq!(door.fill(CLIENT, &forwarded).await.0, 2);
        // Entries before the last one may be invented by the client.
        let invented = [("x-forwarded-for", &*format!("192.0.2.1, {client}"))];
        assert_eq!(door.fill("203.0.113.2:1", &invented).await.0, 0);
    }
}

/// Runs on a paused clock, which advances while all tasks wait.
#[tokio::test(start_paused = true)]
async fn connects_per_second_are_limited_after_a_burst() {
    let mut door = Door::new(|options| {
        options.clients.max_connects_per_second = Some(3);
        options.clients.max_connects_per_second_per_address = Some(1);
    })
    .await;
    let (count, refusal) = door.fill(CLIENT, &[]).await;
    assert_eq!((count, refusal.status.as_u16()), (10, 429));
    let expected = r#"{"code":4,"message":"too many clients connect from this address"}"#;
    assert_eq!(refusal.body, expected);
    assert_eq!(retry_after(&refusal), 1);
    // Twenty of the thirty sessions of all addresses are left.
    let (count, refusal) = door.fill("127.0.0.1:1", &[]).await;
    assert_eq!((count, refusal.status.as_u16()), (20, 429));
    let expected = r#"{"code":4,"message":"too many clients connect at once"}"#;
    assert_eq!(refusal.body, expected);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(door.fill(CLIENT, &[]).await.0, 2);
    let reasons = door
        .announced(refused)
        .into_iter()
        .map(|(reason, _)| reason);
    assert_eq!(
        reasons.collect::<Vec<_>>(),
        [
            "more than `max-connects-per-second-per-address` clients connect from this address",
            "more than `max-connects-per-second` clients connect",
            "more than `max-connects-per-second-per-address` clients connect from this address",
        ]
    );
    let counters = door.host.counters();
    assert_eq!(counters.over_max_connects_per_second.get(), 1);
    assert_eq!(counters.over_max_connects_per_second_per_address.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_attacker_writes_few_lines_and_all_attempts_are_told() {
    let mut door = Door::new(|options| options.clients.max_connections_per_address = Some(1)).await;
    door.open(CLIENT, &[]).await;
    for _ in 0..1_000 {
        assert_eq!(door.open(CLIENT, &[]).await.status.as_u16(), 429);
    }
    tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_secs(11)).await;
    let times = door.announced(refused).into_iter().map(|(_, times)| times);
    assert_eq!(times.collect::<Vec<_>>(), [1, 1, 1, 1, 1, 995]);
}

#[tokio::test]
async fn loopback_has_no_limit_per_address() {
    let mut door = Door::new(|options| {
        options.clients.max_connections_per_address = Some(1);
        options.clients.max_connects_per_second_per_address = Some(1);
        options.clients.max_unconnected = Some(150);
    })
    .await;
    for peer in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        for _ in 0..50 {
            assert_eq!(door.open(peer, &[]).await.status, StatusCode::OK);
        }
    }
    assert_eq!(door.announced(refused), []);
    // The limit of all clients applies to loopback addresses too.
    let (count, refusal) = door.fill("127.0.0.1:1", &[]).await;
    assert_eq!((count, refusal.status.as_u16()), (0, 503));
}

#[tokio::test]
async fn a_proxy_that_is_not_trusted_is_told_once_and_its_clients_are_not_limited_per_address() {
    for header in ["x-forwarded-for", "forwarded"] {
        let mut door = Door::new(|options| {
            options.clients.max_connections_per_address = Some(1);
            options.clients.max_connects_per_second_per_address = Some(1);
        })
        .await;
        for n in 0..50 {
            let client = format!("for=198.51.100.{n}");
            let answer = door.open(CLIENT, &[(header, &client)]).await;
            assert_eq!(answer.status, StatusCode::OK);
            door.post(&answer, "40").await;
        }
        assert_eq!(
            door.announced(proxy),
            [format!("{header} from {CLIENT}")],
            "once"
        );
        // A client without the proxy has its own limit.
        assert_eq!(door.fill(CLIENT, &[]).await.0, 1);
    }
}

#[tokio::test]
async fn forged_proxy_header_leaves_capacity() {
    let door = Door::new(|options| options.clients.max_unconnected = Some(30)).await;
    let invented = [("x-forwarded-for", "198.51.100.1")];
    let (count, refusal) = door.fill(CLIENT, &invented).await;
    assert_eq!((count, refusal.status.as_u16()), (10, 429));
    assert_eq!(door.fill(CLIENT, &[]).await.0, 10);
    assert_eq!(door.open("203.0.113.2:1", &[]).await.status, StatusCode::OK);
}

/// Reads responses until the server closes the connection; returns the statuses of all.
async fn statuses(mut stream: impl AsyncReadExt + Unpin) -> Vec<String> {
    let mut answers = String::new();
    stream.read_to_string(&mut answers).await.unwrap();
    let answers = answers.split("HTTP/1.1 ").skip(1);
    answers.map(|answer| answer[..3].to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_handshakes_from_one_address_locks_nobody_out() {
    const FLOOD: usize = 3_000;
    let (running, host) = Running::reloadable(|builder| {
        let mut options = patchcord::testing::options();
        options.clients.trust_proxy = 1;
        options.clients.max_connections = Some(100);
        options.clients.max_unconnected = Some(30);
        // A long timeout, so that the sessions of the flood keep their permits.
        options.transport.connect_timeout = TEST_TIMEOUT * 10;
        builder
            .options(options)
            .loader(Memory::from([("main.rhai", SCRIPT)]))
    })
    .await;
    let (read, mut write) = TcpStream::connect(running.address)
        .await
        .unwrap()
        .into_split();
    let request =
        format!("GET {POLL} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n");
    let last = request.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let flood = request.repeat(FLOOD - 1) + last.as_str();
    let answers = tokio::spawn(statuses(read));
    let flooding = tokio::spawn(async move {
        write.write_all(flood.as_bytes()).await.unwrap();
        // The write half is returned, because dropping it would end the connection before the last response.
        write
    });
    let mut others = Vec::new();
    for n in 0..60 {
        let mut client = TcpStream::connect(running.address).await.unwrap();
        let forwarded = format!("\r\nX-Forwarded-For: 198.51.100.{n}\r\n");
        let head = upgrade_request(running.address).replacen("\r\n", &forwarded, 1);
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(&frame("40")).await.unwrap();
        let connected = tokio::time::timeout(TEST_TIMEOUT, read_until(&mut client, "40{")).await;
        connected.expect("another client cannot connect");
        others.push(client);
    }
    let _open = flooding.await.unwrap();
    let mut expected = vec!["200"; 10];
    expected.resize(FLOOD, "429");
    assert_eq!(answers.await.unwrap(), expected);
    let counters = host.counters();
    assert_eq!(counters.over_max_unconnected.get() as usize, FLOOD - 10);
}

#[tokio::test]
async fn long_headers_are_left_out_and_told() {
    let mut door = Door::new(|_| {}).await;
    let large = "x".repeat(9_000);
    let headers = [
        ("x-first", "1"),
        ("x-large", &*large),
        ("x-last", "2"),
        ("x-most", &*large),
    ];
    let answer = door.open(CLIENT, &headers).await;
    door.post(&answer, "40").await;
    let left_out = |event| match event {
        HostEvent::HeadersLeftOut {
            names,
            count: times,
            ..
        } => Some((names, times)),
        _ => None,
    };
    let names = ["x-large", "x-most"].map(str::to_owned).to_vec();
    let mut events = Vec::new();
    let text = loop {
        match door.events.recv().await.unwrap() {
            HostEvent::Log { text, .. } => break text,
            event => events.extend(left_out(event)),
        }
    };
    assert_eq!(events, [(names, 1)]);
    assert_eq!(text, r#"#{"x-first": "1", "x-last": "2"}"#);
    assert_eq!(door.host.counters().headers_left_out.get(), 1);
}

#[tokio::test]
async fn a_long_query_opens_no_session() {
    let mut door = Door::new(|_| {}).await;
    for (length, status) in [(8_000, 200), (9_000, 414)] {
        let uri = format!("{POLL}&token={}", "x".repeat(length));
        let request = Request::get(uri).body(Body::empty()).unwrap();
        assert_eq!(door.ask(CLIENT, request).await.status.as_u16(), status);
    }
    let reason = "the path and query of a request are longer than 8 KiB".to_owned();
    assert_eq!(door.announced(refused), [(reason, 1)]);
    assert_eq!(door.host.counters().requests_too_long.get(), 1);
}
