//! The second listener, for the operator.

use std::net::SocketAddr;

use patchcord::script::Memory;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    program::Place,
    server::{Running, TEST_TIMEOUT, get, http},
};

const SCRIPT: (&str, &str) = ("main.rhai", "fn on_connection(socket) { }");

async fn running(scripts: Memory) -> (Running, SocketAddr) {
    let (running, _) = Running::configured(
        |builder| builder.loader(scripts),
        |config| config.admin_listen = Some("127.0.0.1:0".to_owned()),
    )
    .await;
    let admin = running.server.admin_address().unwrap();
    (running, admin)
}

#[tokio::test]
async fn metrics_and_health_are_at_the_operators_address_only() {
    let (running, admin) = running(Memory::from([SCRIPT])).await;
    let metrics = get(admin, "/metrics").await;
    assert!(metrics.starts_with("HTTP/1.1 200"), "{metrics}");
    assert!(
        metrics.contains("patchcord_sockets_connected_total 0"),
        "{metrics}"
    );
    assert!(
        metrics.contains("patchcord_present_keys{namespace=\"/\"} 0"),
        "{metrics}"
    );
    for path in ["/healthz", "/readyz"] {
        let answer = get(admin, path).await;
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\nok"),
            "{answer}"
        );
    }
    for path in ["/metrics", "/healthz", "/readyz"] {
        let answer = running.get(path).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
    for path in ["/", "/socket.io/?EIO=4&transport=polling"] {
        let answer = get(admin, path).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
}

#[tokio::test]
async fn a_server_is_ready_while_a_script_serves() {
    let (_running, admin) = running(Memory::from([("main.rhai", "fn")])).await;
    assert!(get(admin, "/healthz").await.starts_with("HTTP/1.1 200"));
    assert!(get(admin, "/readyz").await.starts_with("HTTP/1.1 503"));
}

#[tokio::test]
async fn names_of_other_sites_are_refused_at_the_operators_address_too() {
    let (_running, admin) = running(Memory::from([SCRIPT])).await;
    for path in ["/metrics", "/healthz", "/readyz", "/"] {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
        let answer = http(admin, &request).await;
        assert!(answer.starts_with("HTTP/1.1 403"), "{path}: {answer}");
        assert!(answer.contains("`--allowed-host evil.example`"), "{answer}");
    }
}

#[tokio::test]
async fn it_closes_with_the_server_whatever_its_clients_do() {
    let (running, admin) = running(Memory::from([SCRIPT])).await;
    // A connection that stays open for the next request, and one that has never sent any.
    let mut idle = TcpStream::connect(admin).await.unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();
    let _silent = TcpStream::connect(admin).await.unwrap();
    tokio::time::timeout(TEST_TIMEOUT, running.server.shutdown())
        .await
        .expect("it does not close");
    assert!(TcpStream::connect(admin).await.is_err());
}

#[test]
fn admin_address_is_printed_after_server_address() {
    let place = Place::new(&[]);
    let running = place.start(&["--port", "0", "--admin-listen", "127.0.0.1:0"]);
    let lines = running.first(2);
    let address = |line: &str| {
        line.strip_prefix("listening on http://127.0.0.1:")
            .map(str::to_owned)
    };
    assert!(
        address(&lines[0]).is_some_and(|port| port.parse::<u16>().is_ok()),
        "{lines:?}"
    );
    let admin = address(&lines[1]).unwrap();
    assert!(
        admin.ends_with(" for the operator: /metrics /healthz /readyz"),
        "{lines:?}"
    );
}
