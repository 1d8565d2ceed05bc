//! Counters of a host, and `GET /metrics`.

use patchcord::{
    script::Memory,
    server::{Config, Server},
    testing::TestHost,
};

use crate::support::server::Running;

const SCRIPT: &str = r#"fn on_connection(socket) {
    socket.on("fail", || { throw "no"; });
    socket.on("disconnect", || { socket.emit("too late"); });
}"#;

#[test]
fn what_is_ignored_as_in_node_is_counted() {
    let host = TestHost::new(SCRIPT);
    let client = host.connect("/").unwrap();
    client.emit("fail", ());
    client.emit("nobody listens", ());
    client.disconnect();
    let counted: Vec<_> = host
        .counters()
        .all()
        .into_iter()
        .filter(|(_, _, count)| *count > 0)
        .map(|(name, _, count)| (name, count))
        .collect();
    assert_eq!(
        counted,
        [
            ("sockets_connected", 1),
            ("sockets_disconnected", 1),
            ("events_received", 2),
            ("events_unhandled", 1),
            ("sends_after_disconnect", 1),
            ("handler_failures", 1)
        ]
    );
}

#[test]
fn an_event_that_only_on_any_hears_is_not_unheard() {
    let host = TestHost::new("fn on_connection(socket) { socket.on_any(|event, args| { }); }");
    host.connect("/").unwrap().emit("x", ());
    assert_eq!(host.counters().events_unhandled.get(), 0);
    assert_eq!(host.counters().events_received.get(), 1);
}

#[tokio::test]
async fn metrics_are_there_when_asked_for() {
    let scripts: Memory = [("main.rhai", SCRIPT), ("room/{id}.rhai", SCRIPT)]
        .into_iter()
        .collect();
    let (host, mut config) = (
        patchcord::Host::builder().loader(scripts).build(),
        Config::default(),
    );
    let _ = host.load().await;
    (config.port, config.metrics) = (0, true);
    let server = Server::bind(host, &config).await.unwrap();
    let running = Running::at(server);
    let mut client = running.websocket().await;
    client.connect("/room/1,").await;
    client.connect("").await;
    client.send("420[\"nobody listens\"]").await;
    client.send("42[\"fail\"]").await;
    // The DISCONNECT is handled after the events, because they are of one connection.
    client.send("41").await;
    client.connect("").await;
    let metrics = running.get("/metrics").await;
    for line in [
        "patchcord_sockets_connected_total 3",
        "patchcord_events_received_total 2",
        "patchcord_events_unhandled_total 1",
        "patchcord_handler_failures_total 1",
        "patchcord_sockets{namespace=\"/room/{id}\"} 1",
        "patchcord_sockets{namespace=\"/\"} 1",
    ] {
        assert!(
            metrics.contains(&format!("\n{line}\n")),
            "{line} in {metrics}"
        );
    }
}

#[tokio::test]
async fn metrics_are_not_there_by_themselves() {
    let running = Running::new(&[("main.rhai", SCRIPT)], |b| b).await;
    assert!(running.get("/metrics").await.starts_with("HTTP/1.1 404"));
}
