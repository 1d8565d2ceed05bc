//! Host names that the server answers to: pages of other sites must not reach it under a name of their own.

use std::net::SocketAddr;

use axum::{Router, routing::get};
use patchcord::{Host, HostEvent, Options, script::Memory};
use tokio::net::TcpListener;

use crate::support::server::{Running, http, sid};

const SCRIPT: (&str, &str) = ("main.rhai", "fn on_connection(socket) { }");
const POLL: &str = "/socket.io/?EIO=4&transport=polling";
const UPGRADE: &str = "Connection: Upgrade, close\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

async fn running(change: impl FnOnce(&mut Options), listen: &str) -> Running {
    let mut options = patchcord::testing::options();
    change(&mut options);
    let scripts = Memory::from([SCRIPT]);
    let (running, _) = Running::configured(
        |builder| builder.loader(scripts).options(options),
        |config| {
            config.host = listen.to_owned();
            config.metrics = true;
        },
    )
    .await;
    running
}

fn allow(names: &[&str]) -> impl FnOnce(&mut Options) {
    let names = names.iter().map(|name| name.parse().unwrap()).collect();
    move |options| options.clients.allowed_hosts = Some(names)
}

async fn ask(address: SocketAddr, path: &str, headers: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    http(address, &request).await
}

/// Returns `true` if a request with these headers is answered.
async fn answers(running: &Running, headers: &str) -> bool {
    let address = ([127, 0, 0, 1], running.address.port()).into();
    let answer = ask(address, POLL, headers).await;
    // A request with two hosts is rejected, because it is not clear which of them is meant.
    let twice = headers.matches("Host:").count() > 1 && answer.starts_with("HTTP/1.1 400");
    let refused = twice || answer.starts_with("HTTP/1.1 403");
    assert!(refused || answer.starts_with("HTTP/1.1 200"), "{answer}");
    !refused
}

#[tokio::test]
async fn at_a_loopback_address_a_name_of_another_site_is_refused_on_every_path() {
    let running = running(|_| {}, "127.0.0.1").await;
    let port = running.address.port();
    let rebound = format!("Host: evil.example:{port}\r\nOrigin: http://evil.example:{port}\r\n");
    let opened = running.get(POLL).await;
    let session = format!("{POLL}&sid={}", sid(&opened));
    let paths = [
        "/",
        "/echo",
        "/metrics",
        "/assets/page.js",
        "/missing",
        "/socket.io/socket.io.js",
        POLL,
        &session,
    ];
    for path in paths {
        let answer = ask(running.address, path, &rebound).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{path}: {answer}");
        assert!(answer.contains("`--allowed-host evil.example`"), "{answer}");
        assert!(!answer.contains("access-control-"), "{answer}");
        let upgrade = format!("{UPGRADE}{rebound}");
        let websocket = path.replace("polling", "websocket");
        let request = format!("GET {websocket} HTTP/1.1\r\n{upgrade}\r\n");
        let answer = http(running.address, &request).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{path}: {answer}");
    }
    let answer = running
        .http("GET http://evil.example/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[tokio::test]
async fn addresses_and_localhost_are_answered() {
    let running = running(|_| {}, "localhost").await;
    for host in [
        "localhost:80",
        "LocalHost.",
        "app.localhost:3000",
        "127.0.0.1",
        "10.0.0.7:3000",
        "[::1]:3000",
    ] {
        assert!(
            answers(&running, &format!("Host: {host}\r\n")).await,
            "{host}"
        );
    }
    for host in [
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        "a b",
        "evil.example\r\nHost: localhost",
    ] {
        assert!(
            !answers(&running, &format!("Host: {host}\r\n")).await,
            "{host}"
        );
    }
}

#[tokio::test]
async fn listed_names_are_answered_wherever_the_server_listens() {
    for listen in ["127.0.0.1", "0.0.0.0"] {
        let running = running(allow(&["a.example", "*.b.example"]), listen).await;
        for host in ["a.example", "A.EXAMPLE:8080", "x.b.example", "127.0.0.1"] {
            assert!(
                answers(&running, &format!("Host: {host}\r\n")).await,
                "{host}"
            );
        }
        for host in ["b.example", "x.a.example", "evil.example"] {
            assert!(
                !answers(&running, &format!("Host: {host}\r\n")).await,
                "{host}"
            );
        }
    }
}

#[tokio::test]
async fn every_name_is_answered_where_that_is_wanted_or_others_reach_the_server_anyway() {
    for running in [
        running(allow(&["*"]), "127.0.0.1").await,
        running(|_| {}, "0.0.0.0").await,
    ] {
        assert!(answers(&running, "Host: any.example\r\n").await);
    }
}

#[tokio::test]
async fn the_name_that_a_trusted_proxy_was_asked_for_counts_too() {
    let forwarded = "Host: 127.0.0.1\r\nX-Forwarded-Host: a.example\r\n";
    let evil = "Host: a.example\r\nX-Forwarded-Host: evil.example\r\n";
    let forged = "Host: evil.example\r\nX-Forwarded-Host: a.example\r\n";
    for (proxies, headers, expected) in [
        (0, forwarded, true),
        (0, evil, true),
        (0, forged, false),
        (1, forwarded, true),
        (1, evil, false),
        (1, forged, false),
    ] {
        let change = |options: &mut Options| {
            options.clients.trust_proxy = proxies;
            allow(&["a.example"])(options);
        };
        let running = running(change, "127.0.0.1").await;
        assert_eq!(
            answers(&running, headers).await,
            expected,
            "{proxies} {headers}"
        );
    }
}

#[tokio::test]
async fn a_refused_host_is_announced_once_and_counted_each_time() {
    let (mut running, host) =
        Running::configured(|b| b.loader(Memory::from([SCRIPT])), |_| {}).await;
    for name in ["a.example", "a.example", "b.example"] {
        ask(running.address, "/", &format!("Host: {name}\r\n")).await;
        ask(running.address, POLL, &format!("Host: {name}\r\n")).await;
    }
    let mut refused = Vec::new();
    while refused.len() < 2 {
        let name = running.announced(|event| match event {
            HostEvent::HostRefused { host } => Some(host),
            _ => None,
        });
        refused.push(name.await);
    }
    assert_eq!(refused, ["a.example", "b.example"]);
    assert_eq!(host.counters().hosts_refused.get(), 6);
}

#[tokio::test]
async fn an_embedded_host_checks_the_names_that_its_options_list_for_the_app_too() {
    for (allowed, expected) in [
        (None, "HTTP/1.1 200"),
        (Some(vec![]), "HTTP/1.1 403"),
        (Some(vec!["a.example".parse().unwrap()]), "HTTP/1.1 200"),
    ] {
        let mut options = patchcord::testing::options();
        options.clients.allowed_hosts = allowed;
        let host = Host::builder()
            .options(options)
            .loader(Memory::from([SCRIPT]))
            .build();
        let _ = host.load().await;
        let app = Router::new().route("/own", get("own"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = host.service(app).unwrap();
        let serving = tokio::spawn(async { axum::serve(listener, app).await });
        for path in ["/own", POLL] {
            let answer = ask(address, path, "Host: a.example\r\n").await;
            assert!(answer.starts_with(expected), "{path}: {answer}");
            let answer = ask(address, path, "Host: 127.0.0.1\r\n").await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        }
        serving.abort();
    }
}
