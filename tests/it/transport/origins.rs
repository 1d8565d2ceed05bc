//! Clients that may connect: origins, transports, and the maximum number.

use futures_util::SinkExt;
use patchcord::{HostEvent, Options, host::Transport};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, handshake::client::Response},
};

use crate::support::server::{Client, Running, says, sid};

const SCRIPT: &str = "fn on_connection(socket) { socket.on(\"disconnect\", |r| { print(r); }); }";
const POLL: &str = "/socket.io/?EIO=4&transport=polling";

async fn running(change: impl FnOnce(&mut Options)) -> Running {
    let mut options = patchcord::testing::options();
    change(&mut options);
    Running::new(&[("main.rhai", SCRIPT)], |b| b.options(options)).await
}

async fn polls(running: &Running, headers: &str) -> String {
    let head =
        format!("GET {POLL} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n{headers}\r\n");
    running.http(&head).await
}

type Connected = (WebSocketStream<MaybeTlsStream<TcpStream>>, Response);

async fn connect(running: &Running, headers: &[(&'static str, &str)]) -> Result<Connected, Error> {
    let address = running.address;
    let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    connect_async(request).await
}

/// Returns the status of a WebSocket handshake.
async fn upgrades(running: &Running, headers: &[(&'static str, &str)]) -> u16 {
    match connect(running, headers).await {
        Ok((_, response)) => response.status().as_u16(),
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
    }
}

const ALLOW: &str = "access-control-allow-origin";
const CREDENTIALS: &str = "access-control-allow-credentials";

#[tokio::test]
async fn by_default_only_the_servers_own_pages_and_no_pages_may_connect() {
    let running = running(|_| {}).await;
    let own = format!("http://{}", running.address);
    let tls = format!("https://{}", running.address);
    for origin in [&own, &tls] {
        let answer = polls(&running, &format!("Origin: {origin}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(upgrades(&running, &[("origin", origin)]).await, 101);
    }
    let answer = polls(&running, "").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(says(&answer, ALLOW), None);
    assert_eq!(upgrades(&running, &[]).await, 101);
    for origin in [
        "https://evil.com",
        "http://127.0.0.1",
        "null",
        "*",
        "nonsense",
    ] {
        let answer = polls(&running, &format!("Origin: {origin}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{origin}: {answer}");
        assert!(
            answer.ends_with("{\"code\":4,\"message\":\"origin not allowed\"}"),
            "{answer}"
        );
        assert_eq!(says(&answer, ALLOW), None, "{origin}");
        assert_eq!(
            upgrades(&running, &[("origin", origin)]).await,
            403,
            "{origin}"
        );
    }
    let forged = "Origin: https://evil.com\r\nX-Forwarded-Host: evil.com\r\n";
    assert!(polls(&running, forged).await.starts_with("HTTP/1.1 403"));
}

#[tokio::test]
async fn pages_of_listed_origins_may_connect_and_read_the_answers() {
    let running =
        running(|options| options.clients.origins = vec!["https://a.com".parse().unwrap()]).await;
    let page = "Origin: https://a.com\r\n";
    let answer = polls(&running, page).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(says(&answer, ALLOW).as_deref(), Some("https://a.com"));
    assert_eq!(says(&answer, CREDENTIALS).as_deref(), Some("true"));
    assert_eq!(says(&answer, "vary").as_deref(), Some("origin"));
    assert_eq!(
        upgrades(&running, &[("origin", "https://a.com")]).await,
        101
    );
    assert_eq!(
        upgrades(&running, &[("origin", "https://b.com")]).await,
        403
    );
    let asks = format!(
        "OPTIONS {POLL} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n\
         Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n"
    );
    let answer = running.http(&format!("{asks}{page}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(says(&answer, ALLOW).as_deref(), Some("https://a.com"));
    assert_eq!(
        says(&answer, "access-control-allow-methods").as_deref(),
        Some("GET,POST")
    );
    assert_eq!(
        says(&answer, "access-control-allow-headers").as_deref(),
        Some("content-type")
    );
    let answer = running
        .http(&format!("{asks}Origin: https://b.com\r\n\r\n"))
        .await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let bad = format!(
        "GET {POLL}&sid=none HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n{page}\r\n"
    );
    let answer = running.http(&bad).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(
        says(&answer, ALLOW).is_some(),
        "a page may read errors, too: {answer}"
    );
}

#[tokio::test]
async fn every_page_may_connect_where_that_is_wanted_but_without_credentials() {
    let running = running(|options| options.clients.origins = vec!["*".parse().unwrap()]).await;
    let answer = polls(&running, "Origin: https://a.com\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(says(&answer, ALLOW).as_deref(), Some("*"));
    assert_eq!(says(&answer, CREDENTIALS), None);
    assert_eq!(
        upgrades(&running, &[("origin", "https://a.com")]).await,
        101
    );
}

#[tokio::test]
async fn scripts_see_no_credentials_of_a_page_that_may_connect_as_every_page() {
    let script = "fn on_connection(socket) {
        let headers = socket.handshake.headers;
        print(`${headers.cookie ?? \"none\"} ${headers.authorization ?? \"none\"}`);
    }";
    let credentials = [
        ("cookie", "session=secret"),
        ("authorization", "Basic c2VjcmV0"),
    ];
    let (secret, none) = ("session=secret Basic c2VjcmV0", "none none");
    for (origins, origin, expected) in [
        (vec!["*"], Some("https://a.com"), none),
        (vec!["*"], Some("null"), none),
        (vec!["*"], Some("nonsense"), none),
        (vec!["null"], Some("null"), none),
        (vec!["null", "https://a.com"], Some("https://a.com"), secret),
        (vec!["*", "https://a.com"], Some("https://a.com"), secret),
        (vec!["*"], None, secret),
    ] {
        let mut options = patchcord::testing::options();
        options.clients.origins = origins
            .iter()
            .map(|origin| origin.parse().unwrap())
            .collect();
        let mut running = Running::new(&[("main.rhai", script)], |b| b.options(options)).await;
        let mut headers = credentials.to_vec();
        headers.extend(origin.map(|origin| ("origin", origin)));
        let lines = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        let answer = polls(&running, &lines.collect::<String>()).await;
        let granted = origin
            .map(|_| "true".to_owned())
            .filter(|_| expected == secret);
        assert_eq!(
            says(&answer, CREDENTIALS),
            granted,
            "{origins:?} {origin:?}"
        );
        let path = format!("{POLL}&sid={}", sid(&answer));
        running.post(&path, "40").await;
        assert_eq!(
            printed(&mut running).await,
            expected,
            "{origins:?} {origin:?}"
        );
        let (mut client, _) = connect(&running, &headers).await.unwrap();
        client.send(Message::text("40")).await.unwrap();
        assert_eq!(
            printed(&mut running).await,
            expected,
            "{origins:?} {origin:?}"
        );
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_its_own_name_is_the_servers() {
    let running = running(|options| {
        options.clients.trust_proxy = 1;
        options.clients.allowed_hosts = Some(vec!["a.com".parse().unwrap()]);
    })
    .await;
    let page = "Origin: https://a.com\r\nX-Forwarded-Host: a.com\r\n";
    assert!(polls(&running, page).await.starts_with("HTTP/1.1 200"));
    let headers = [("origin", "https://a.com"), ("x-forwarded-host", "a.com")];
    assert_eq!(upgrades(&running, &headers).await, 101);
    assert_eq!(
        upgrades(&running, &[("origin", "https://a.com")]).await,
        403
    );
}

#[tokio::test]
async fn a_refused_origin_is_announced_once() {
    let mut running = running(|_| {}).await;
    for origin in ["https://a.com", "https://a.com", "https://b.com"] {
        polls(&running, &format!("Origin: {origin}\r\n")).await;
        upgrades(&running, &[("origin", origin)]).await;
    }
    let mut refused = Vec::new();
    while refused.len() < 2 {
        let origin = running.announced(|event| match event {
            HostEvent::OriginRefused { origin } => Some(origin),
            _ => None,
        });
        refused.push(origin.await);
    }
    assert_eq!(refused, ["https://a.com", "https://b.com"]);
}

#[tokio::test]
async fn the_address_of_a_client_is_what_a_trusted_proxy_says() {
    let script = "fn on_connection(socket) { print(socket.handshake.address); }";
    let forwarded = "6.6.6.6, 192.0.2.7";
    for (proxies, expected) in [(0, "127.0.0.1"), (1, "192.0.2.7"), (2, "6.6.6.6")] {
        let mut options = patchcord::testing::options();
        options.clients.trust_proxy = proxies;
        let mut running = Running::new(&[("main.rhai", script)], |b| b.options(options)).await;
        let answer = polls(&running, &format!("X-Forwarded-For: {forwarded}\r\n")).await;
        let sid = sid(&answer);
        running.post(&format!("{POLL}&sid={sid}"), "40").await;
        assert_eq!(printed(&mut running).await, expected, "polling");
        let (mut client, _) = connect(&running, &[("x-forwarded-for", forwarded)])
            .await
            .unwrap();
        client.send(Message::text("40")).await.unwrap();
        assert_eq!(printed(&mut running).await, expected, "WebSocket");
    }
}

async fn printed(running: &mut Running) -> String {
    let text = running.announced(|event| match event {
        HostEvent::Log { text, .. } => Some(text),
        _ => None,
    });
    text.await
}

/// Polls until a session is possible; returns the sid of the polling session.
async fn seat(running: &Running) -> String {
    loop {
        let answer = polls(running, "").await;
        if answer.starts_with("HTTP/1.1 200") {
            return sid(&answer).to_owned();
        }
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    }
}

#[tokio::test]
async fn no_more_clients_connect_than_may_and_one_that_leaves_makes_room() {
    let running = running(|options| options.clients.max_connections = Some(1)).await;
    let mut first = running.websocket().await;
    first.connect("").await;
    let full = "{\"code\":4,\"message\":\"connection limit reached\"}";
    for _ in 0..3 {
        let answer = polls(&running, "").await;
        assert!(
            answer.starts_with("HTTP/1.1 503") && answer.ends_with(full),
            "{answer}"
        );
        assert_eq!(upgrades(&running, &[]).await, 503);
    }
    drop(first);
    let sid = tokio::time::timeout(crate::support::server::TEST_TIMEOUT, seat(&running))
        .await
        .expect("the seat of a WebSocket is not freed");
    assert_eq!(upgrades(&running, &[]).await, 503);
    // The session keeps its permit when it upgrades.
    let url = format!(
        "ws://{}/socket.io/?EIO=4&transport=websocket&sid={sid}",
        running.address
    );
    let mut client = Client::at(&url).await;
    client.send("2probe").await;
    assert_eq!(client.next().await.unwrap(), "3probe");
    client.send("5").await;
    client.connect("").await;
    assert_eq!(upgrades(&running, &[]).await, 503);
    drop(client);
    let sid = tokio::time::timeout(crate::support::server::TEST_TIMEOUT, seat(&running))
        .await
        .expect("the seat of an upgraded client is not freed");
    running.post(&format!("{POLL}&sid={sid}"), "1").await;
    tokio::time::timeout(crate::support::server::TEST_TIMEOUT, seat(&running))
        .await
        .expect("the seat of a polling client is not freed");
}

#[tokio::test]
async fn rejected_handshake_releases_permit() {
    let running = running(|options| options.clients.max_connections = Some(1)).await;
    for _ in 0..3 {
        let answer = running.get("/socket.io/?EIO=3&transport=polling").await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    assert_eq!(upgrades(&running, &[]).await, 101);
}

#[tokio::test]
async fn a_transport_that_is_off_is_unknown() {
    let unknown = "{\"code\":0,\"message\":\"Transport unknown\"}";
    let websocket =
        running(|options| options.transport.transports = vec![Transport::Websocket]).await;
    let answer = polls(&websocket, "").await;
    assert!(
        answer.starts_with("HTTP/1.1 400") && answer.ends_with(unknown),
        "{answer}"
    );
    websocket.websocket().await.connect("").await;
    let polling = running(|options| options.transport.transports = vec![Transport::Polling]).await;
    assert_eq!(upgrades(&polling, &[]).await, 400);
    let answer = polls(&polling, "").await;
    assert!(answer.contains("\"upgrades\":[]"), "{answer}");
    let path = format!("{POLL}&sid={}", sid(&answer));
    assert!(polling.post(&path, "40").await.ends_with("ok"));
}
