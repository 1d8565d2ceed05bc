//! A server and raw clients over real sockets.

use std::time::Duration;

use futures_util::SinkExt;
use patchcord::HostEvent;
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::support::server::{ECHO, Running};

#[tokio::test]
async fn an_event_its_ack_and_binary_over_a_websocket() {
    let running = Running::new(&[("main.rhai", ECHO)], |b| b).await;
    let mut client = running.websocket().await;
    let handshake = client.next().await.unwrap();
    assert!(handshake.starts_with("0{"), "{handshake}");
    let id = client.connect("").await;
    assert_eq!(
        client.next().await.unwrap(),
        format!("42[\"hello\",\"{id}\"]")
    );
    client.send("427[\"echo\",{\"a\":[1,2.5,\"ü\"]}]").await;
    assert_eq!(
        client.next().await.unwrap(),
        "42[\"echo\",{\"a\":[1,2.5,\"ü\"]}]"
    );
    assert_eq!(client.next().await.unwrap(), "437[{\"a\":[1,2.5,\"ü\"]}]");
    let plain = "{\"_placeholder\":true,\"num\":0}";
    client.send(&format!("42[\"echo\",{plain}]")).await;
    let echoed = format!("42[\"echo\",{plain}]");
    assert_eq!(
        client.next().await.unwrap(),
        echoed,
        "a packet without attachments"
    );
    client
        .send("451-[\"echo\",{\"_placeholder\":true,\"num\":0}]")
        .await;
    client
        .0
        .send(Message::binary(vec![1, 2, 255]))
        .await
        .unwrap();
    assert_eq!(
        client.next().await.unwrap(),
        "451-[\"echo\",{\"_placeholder\":true,\"num\":0}]"
    );
    assert_eq!(client.next().await.unwrap(), "binary b\"\\x01\\x02\\xff\"");
}

#[tokio::test]
async fn what_is_not_socketio_belongs_to_the_app() {
    let running = Running::new(&[("main.rhai", ECHO)], |b| b).await;
    assert!(
        running.get("/").await.contains("<!doctype html>")
            || running.get("/").await.contains("<!DOCTYPE html>")
    );
    assert!(running.get("/nothing").await.starts_with("HTTP/1.1 404"));
    assert!(
        running
            .get("/socket.io/socket.io.js")
            .await
            .starts_with("HTTP/1.1 404")
    );
    assert!(running.get("/socket.io/").await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn a_client_that_leaves_is_heard_of_with_nodes_reason() {
    let mut running = Running::new(&[("main.rhai", ECHO)], |b| b).await;
    let printed = |event| match event {
        HostEvent::Log { text, .. } => Some(text),
        _ => None,
    };
    let mut client = running.websocket().await;
    client.connect("").await;
    client.send("41").await;
    assert_eq!(
        running.announced(printed).await,
        "client namespace disconnect"
    );
    client.connect("").await;
    client.0.close(None).await.unwrap();
    assert_eq!(running.announced(printed).await, "transport close");
    let mut client = running.websocket().await;
    client.connect("").await;
    drop(client);
    assert_eq!(running.announced(printed).await, "transport close");
    let mut client = running.websocket().await;
    client.connect("").await;
    client.send("garbage").await;
    assert_eq!(running.announced(printed).await, "parse error");
    let mut client = running.websocket().await;
    client.connect("").await;
    let Running {
        server, mut events, ..
    } = running;
    server.shutdown().await;
    let mut reasons = Vec::new();
    while let Some(event) = events.recv().await {
        reasons.extend(printed(event));
    }
    assert_eq!(
        reasons,
        ["server shutting down"],
        "and the host is freed, or its events would not end"
    );
}

#[tokio::test]
async fn a_silent_client_times_out() {
    let mut options = patchcord::testing::options();
    options.transport.ping_interval = Duration::from_millis(50);
    options.transport.ping_timeout = Duration::from_millis(50);
    let mut running = Running::new(&[("main.rhai", ECHO)], |b| b.options(options)).await;
    let (mut stream, _) = connect_async(format!(
        "ws://{}/socket.io/?EIO=4&transport=websocket",
        running.address
    ))
    .await
    .unwrap();
    stream.send(Message::text("40")).await.unwrap();
    let reason = running
        .announced(|event| match event {
            HostEvent::Log { text, .. } => Some(text),
            _ => None,
        })
        .await;
    assert_eq!(reason, "ping timeout");
}

#[tokio::test]
async fn a_namespace_without_a_script_is_refused() {
    let running = Running::new(&[("main.rhai", ECHO), ("broken.rhai", "fn")], |b| b).await;
    let mut client = running.websocket().await;
    client.next().await;
    client.send("40/none,").await;
    assert_eq!(
        client.next().await.unwrap(),
        "44/none,{\"message\":\"Invalid namespace\"}"
    );
    client.send("40/broken,").await;
    assert_eq!(
        client.next().await.unwrap(),
        "44/broken,{\"message\":\"script failed to load\"}"
    );
}

/// The answer to the CONNECT of a client is sent while another thread may serve the other client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_has_heard_of_the_connect_is_found_by_the_others() {
    const FIND: &str = r#"fn on_connection(socket) {
        socket.on("find", |id| {
            let other = io.socket(id);
            if other == () { return "nobody"; }
            other.emit("found");
            "somebody"
        });
    }"#;
    let running = Running::new(&[("main.rhai", FIND)], |b| b).await;
    let mut finder = running.websocket().await;
    finder.connect("").await;
    for _ in 0..300 {
        let mut other = running.websocket().await;
        let id = other.connect("").await;
        finder.send(&format!("420[\"find\",\"{id}\"]")).await;
        assert_eq!(
            finder.until(|p| p.starts_with("43")).await,
            "430[\"somebody\"]"
        );
        assert_eq!(other.until(|p| p.starts_with("42")).await, "42[\"found\"]");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_heard_in_the_order_they_came_and_before_later_events() {
    const ASK: &str = r#"fn on_connection(socket) {
        let heard = [];
        socket.on("begin", || {
            heard = [];
            for question in ["a", "b", "c"] { socket.emit("question", question, |answer| { heard.push(answer); }); }
        });
        socket.on("heard", || heard);
    }"#;
    let running = Running::new(&[("main.rhai", ASK)], |b| b).await;
    let mut client = running.websocket().await;
    client.connect("").await;
    for _ in 0..100 {
        client.send("42[\"begin\"]").await;
        let mut ids = Vec::new();
        for _ in 0..3 {
            let question = client.until(|p| p.contains("question")).await;
            ids.push(question[2..].split('[').next().unwrap().to_owned());
        }
        for (id, answer) in ids.iter().zip([1, 2, 3]).rev() {
            client.send(&format!("43{id}[{answer}]")).await;
        }
        client.send("420[\"heard\"]").await;
        assert_eq!(client.until(|p| p.starts_with("43")).await, "430[[3,2,1]]");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_of_one_time_fire_in_the_order_they_were_set() {
    const TIMERS: &str = r#"fn on_connection(socket) {
        socket.on("begin", |ack| {
            let fired = [];
            for n in 0..20 {
                let nth = n;
                set_timeout(|| { fired.push(nth); if fired.len() == 20 { ack.call(fired); } }, 1);
            }
        });
    }"#;
    let running = Running::new(&[("main.rhai", TIMERS)], |b| b).await;
    let mut client = running.websocket().await;
    client.connect("").await;
    let in_order = serde_json::to_string(&[(0..20).collect::<Vec<_>>()]).unwrap();
    for _ in 0..50 {
        client.send("420[\"begin\"]").await;
        assert_eq!(client.next().await.unwrap(), format!("430{in_order}"));
    }
}

#[tokio::test]
async fn a_socket_that_is_ended_twice_hears_of_it_once() {
    let twice = r#"fn on_connection(socket) {
        socket.on("end", || { socket.disconnect(); socket.disconnect(); });
    }"#;
    let running = Running::new(&[("main.rhai", twice), ("echo.rhai", ECHO)], |b| b).await;
    let mut client = running.websocket().await;
    client.connect("").await;
    client.connect("/echo,").await;
    client.until(|packet| packet.contains("hello")).await;
    client.send("42[\"end\"]").await;
    assert_eq!(client.next().await.unwrap(), "41");
    client.send("42/echo,1[\"echo\",1]").await;
    assert_eq!(client.next().await.unwrap(), "42/echo,[\"echo\",1]");
}
