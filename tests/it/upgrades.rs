//! Sessions that go from polling to a WebSocket, as raw clients do it.

use patchcord::HostEvent;

use crate::sockets::{Client, ECHO, Running, sid};

#[tokio::test]
async fn polling_and_the_upgrade_to_a_websocket() {
    let running = Running::of(&[("main.rhai", ECHO)], |b| b).await;
    let handshake = running.get("/socket.io/?EIO=4&transport=polling").await;
    let path = format!(
        "/socket.io/?EIO=4&transport=polling&sid={}",
        sid(&handshake)
    );
    assert!(running.post(&path, "40").await.ends_with("ok"));
    let mut heard = String::new();
    while !heard.contains("hello") {
        heard += &running.get(&path).await;
    }
    let url = format!(
        "ws://{}/socket.io/?EIO=4&transport=websocket&sid={}",
        running.address,
        sid(&handshake)
    );
    let mut client = Client::at(&url).await;
    client.send("2probe").await;
    assert_eq!(client.next().await.unwrap(), "3probe");
    client.send("5").await;
    client.send("421[\"echo\",\"upgraded\"]").await;
    assert_eq!(
        client.until(|p| p.starts_with("42")).await,
        "42[\"echo\",\"upgraded\"]"
    );
    assert_eq!(client.next().await.unwrap(), "431[\"upgraded\"]");
}

#[tokio::test]
async fn a_session_whose_upgrade_fails_ends_and_scripts_hear_of_it() {
    let mut running = Running::of(&[("main.rhai", ECHO)], |b| b).await;
    for probes in [false, true] {
        let handshake = running.get("/socket.io/?EIO=4&transport=polling").await;
        let path = format!(
            "/socket.io/?EIO=4&transport=polling&sid={}",
            sid(&handshake)
        );
        running.post(&path, "40").await;
        let url = format!(
            "ws://{}/socket.io/?EIO=4&transport=websocket&sid={}",
            running.address,
            sid(&handshake)
        );
        let mut client = Client::at(&url).await;
        if probes {
            client.send("2probe").await;
            client.next().await;
        }
        drop(client);
        if !probes {
            running.post(&path, "42[\"echo\",1]\x1e1").await;
        }
        let reason = running
            .announced(|event| match event {
                HostEvent::Log { text, .. } => Some(text),
                _ => None,
            })
            .await;
        assert_eq!(reason, "transport close", "probes: {probes}");
    }
}

/// A polling session that has connected to `/`, and where its WebSocket belongs.
async fn polling(running: &Running) -> String {
    let handshake = running.get("/socket.io/?EIO=4&transport=polling").await;
    let id = sid(&handshake);
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={id}");
    assert!(running.post(&path, "40").await.ends_with("ok"));
    let mut heard = String::new();
    while !heard.contains("hello") {
        heard += &running.get(&path).await;
    }
    format!("/socket.io/?EIO=4&transport=websocket&sid={id}")
}

async fn upgrade(client: &mut Client) {
    client.send("2probe").await;
    assert_eq!(client.next().await.unwrap(), "3probe");
    client.send("5").await;
}

async fn assert_goes_on(client: &mut Client, id: usize) {
    client.send(&format!("42{id}[\"echo\",{id}]")).await;
    let answer = client.until(|packet| packet.starts_with("43")).await;
    assert_eq!(answer, format!("43{id}[{id}]"));
}

#[tokio::test]
async fn a_second_websocket_of_a_session_is_refused_and_the_first_goes_on() {
    let running = Running::of(&[("main.rhai", ECHO)], |b| b).await;
    let path = polling(&running).await;
    let mut client = Client::at(&format!("ws://{}{path}", running.address)).await;
    upgrade(&mut client).await;
    assert_goes_on(&mut client, 1).await;
    let second = format!(
        "GET {path} HTTP/1.1\r\nHost: {{host}}\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    let answer = running.http(&second).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(
        answer.ends_with("{\"code\":3,\"message\":\"Bad request\"}"),
        "{answer}"
    );
    assert_goes_on(&mut client, 2).await;
}

#[tokio::test]
async fn of_two_websockets_of_a_session_the_first_that_probes_goes_on() {
    let running = Running::of(&[("main.rhai", ECHO)], |b| b).await;
    let url = format!("ws://{}{}", running.address, polling(&running).await);
    let mut slow = Client::at(&url).await;
    let mut client = Client::at(&url).await;
    upgrade(&mut client).await;
    assert_goes_on(&mut client, 1).await;
    slow.send("2probe").await;
    assert_eq!(slow.next().await, None);
    assert_goes_on(&mut client, 2).await;
}

#[tokio::test]
async fn an_upgrade_that_does_not_begin_with_a_probe_ends_the_session() {
    let mut running = Running::of(&[("main.rhai", ECHO)], |b| b).await;
    let url = format!("ws://{}{}", running.address, polling(&running).await);
    let mut client = Client::at(&url).await;
    client.send("5").await;
    let reason = running
        .announced(|event| match event {
            HostEvent::Log { text, .. } => Some(text),
            _ => None,
        })
        .await;
    assert_eq!(reason, "transport close");
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn upgrades_that_make_no_sense_are_refused_as_in_node() {
    let running = Running::of(&[("main.rhai", ECHO)], |b| b).await;
    for (query, expected) in [
        (
            "EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAAA",
            "{\"code\":1,\"message\":\"Session ID unknown\"}",
        ),
        (
            "EIO=3&transport=websocket",
            "{\"code\":5,\"message\":\"Unsupported protocol version\"}",
        ),
        (
            "EIO=4&transport=carrier-pigeon",
            "{\"code\":0,\"message\":\"Transport unknown\"}",
        ),
    ] {
        let head = format!(
            "GET /socket.io/?{query} HTTP/1.1\r\nHost: {{host}}\r\nConnection: Upgrade, close\r\n"
        );
        let key = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let answer = running.http(&format!("{head}{key}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{query}: {answer}");
        assert!(answer.ends_with(expected), "{query}: {answer}");
    }
}
