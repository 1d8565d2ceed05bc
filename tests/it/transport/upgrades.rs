//! Sessions that upgrade from polling to a WebSocket, with raw clients.

use crate::support::server::{Client, ECHO, Running, sid};

#[tokio::test]
async fn polling_and_the_upgrade_to_a_websocket() {
    let running = Running::new(&[("main.rhai", ECHO)], |b| b).await;
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
async fn a_packet_is_the_same_by_either_transport_with_and_without_attachments() {
    const SEND: &str = r#"fn on_connection(socket) {
        let value = #{ "key \"1\"": [1.5, 2.0, (), 'x', "\u0001é/"], "nested": #{ "_placeholder": 1, "num": 0 } };
        socket.emit("plain \"name\"", value, "{", #{});
        socket.emit("binary", #{ "b": [blob(2, 65), value], "a": blob(0, 0) }, blob(1, 66), "[");
        io.emit("all", value);
        io.emit("all", value, [blob(3, 67)]);
        socket.emit("none");
        socket.emit("question", value, |answer| {});
        socket.emit("question", [blob(1, 68)], |answer| {});
        socket.on("ask", |ack| { ack.call(value, #{ "b": blob(1, 69) }); });
        socket.emit("end");
    }"#;
    let running = Running::new(&[("main.rhai", SEND)], |b| b).await;
    let handshake = running.get("/socket.io/?EIO=4&transport=polling").await;
    let path = format!(
        "/socket.io/?EIO=4&transport=polling&sid={}",
        sid(&handshake)
    );
    assert!(
        running
            .post(&path, "40\x1e429[\"ask\"]")
            .await
            .ends_with("ok")
    );
    let mut polled = Vec::new();
    while !polled.iter().any(|packet| packet == "bRQ==") {
        let response = running.get(&path).await;
        let (_, body) = response.rsplit_once("\r\n\r\n").unwrap();
        polled.extend(body.split('\x1e').map(str::to_owned));
    }
    polled.retain(|packet| packet != "2" && !packet.starts_with("40"));

    let mut client = running.websocket().await;
    client.connect("").await;
    client.send("429[\"ask\"]").await;
    let mut heard = Vec::new();
    while heard.len() < polled.len() {
        let packet = client.next().await.unwrap();
        if !packet.starts_with("40") {
            heard.push(packet);
        }
    }
    let value = r#"{"key \"1\"":[1.5,2,null,"x","\u0001é/"],"nested":{"_placeholder":1,"num":0}}"#;
    let place = |num| format!(r#"{{"_placeholder":true,"num":{num}}}"#);
    let [first, second, third] = [0, 1, 2].map(place);
    let expected = [
        format!(r#"42["plain \"name\"",{value},"{{",{{}}]"#),
        format!(r#"453-["binary",{{"a":{first},"b":[{second},{value}]}},{third},"["]"#),
        "b".to_owned(),
        "bQUE=".to_owned(),
        "bQg==".to_owned(),
        format!(r#"42["all",{value}]"#),
        format!(r#"451-["all",{value},[{first}]]"#),
        "bQ0ND".to_owned(),
        r#"42["none"]"#.to_owned(),
        format!(r#"421["question",{value}]"#),
        format!(r#"451-2["question",[{first}]]"#),
        "bRA==".to_owned(),
        r#"42["end"]"#.to_owned(),
        format!(r#"461-9[{value},{{"b":{first}}}]"#),
        "bRQ==".to_owned(),
    ];
    assert_eq!(polled, expected);
    let binary = |packet: &str| match packet {
        "b" => "binary b\"\"".to_owned(),
        "bQUE=" => "binary b\"AA\"".to_owned(),
        "bQg==" => "binary b\"B\"".to_owned(),
        "bQ0ND" => "binary b\"CCC\"".to_owned(),
        "bRA==" => "binary b\"D\"".to_owned(),
        "bRQ==" => "binary b\"E\"".to_owned(),
        text => text.to_owned(),
    };
    assert_eq!(heard, expected.map(|packet| binary(&packet)));
}

#[tokio::test]
async fn a_session_whose_upgrade_fails_goes_on_with_polling() {
    let running = Running::new(&[("main.rhai", ECHO)], |b| b).await;
    let path = polling(&running).await;
    let poll = path.replace("websocket", "polling");
    for packets in [
        &[][..],
        &["2probe"],
        &["5"],
        &["2probe", "2"],
        &["42[\"echo\",1]"],
    ] {
        let mut client = Client::at(&format!("ws://{}{path}", running.address)).await;
        for packet in packets {
            client.send(packet).await;
        }
        if packets.first() == Some(&"2probe") {
            assert_eq!(client.next().await.unwrap(), "3probe");
        }
        if packets.len() != 1 || packets[0] != "2probe" {
            drop(client);
        }
        assert!(running.post(&poll, "427[\"echo\",1]").await.ends_with("ok"));
        let mut heard = String::new();
        while !heard.contains("437[1]") {
            heard = running.get(&poll).await;
            assert!(heard.starts_with("HTTP/1.1 200"), "{packets:?}: {heard}");
        }
    }
}

/// Opens a polling session that has connected to `/`; returns the path for its WebSocket.
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
async fn a_second_websocket_of_a_session_is_closed_and_the_first_goes_on() {
    let running = Running::new(&[("main.rhai", ECHO)], |b| b).await;
    let path = polling(&running).await;
    let mut client = Client::at(&format!("ws://{}{path}", running.address)).await;
    upgrade(&mut client).await;
    assert_goes_on(&mut client, 1).await;
    let mut second = Client::at(&format!("ws://{}{path}", running.address)).await;
    assert_eq!(second.next().await, None);
    assert_goes_on(&mut client, 2).await;
}

#[tokio::test]
async fn of_two_websockets_of_a_session_the_first_goes_on() {
    let running = Running::new(&[("main.rhai", ECHO)], |b| b).await;
    let url = format!("ws://{}{}", running.address, polling(&running).await);
    let mut client = Client::at(&url).await;
    client.send("2probe").await;
    assert_eq!(client.next().await.unwrap(), "3probe");
    assert_eq!(Client::at(&url).await.next().await, None);
    client.send("5").await;
    assert_goes_on(&mut client, 2).await;
}

#[tokio::test]
async fn upgrades_that_make_no_sense_are_refused_as_in_node() {
    let running = Running::new(&[("main.rhai", ECHO)], |b| b).await;
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

#[tokio::test]
async fn a_poll_waits_until_a_packet_has_come_through_the_websocket() {
    let running = Running::new(&[("main.rhai", ECHO)], |b| b).await;
    let path = polling(&running).await;
    let poll = path.replace("websocket", "polling");
    let mut client = Client::at(&format!("ws://{}{path}", running.address)).await;
    for n in 0..10 {
        let echo = format!("42[\"echo\",{n}]");
        let (polled, posted) = tokio::join!(running.get(&poll), running.post(&poll, &echo));
        assert!(posted.ends_with("ok"), "{posted}");
        assert!(polled.ends_with(&echo), "{polled}");
    }
    let (polled, ()) = tokio::join!(running.get(&poll), upgrade(&mut client));
    assert!(polled.ends_with("\r\n\r\n6"), "{polled}");
    assert_goes_on(&mut client, 1).await;
}
