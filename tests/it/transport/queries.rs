//! Query of a request: its names and values are decoded, and of two values with one name the last counts, as in Node.
//!
//! The tests expect what a server of socket.io 4.8.4 answers.

use patchcord::host::Transport;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::support::{
    server::{Client, ECHO, Running, sid},
    wire::{frame, read_until},
};

const UNKNOWN_TRANSPORT: &str = "{\"code\":0,\"message\":\"Transport unknown\"}";
const UNSUPPORTED: &str = "{\"code\":5,\"message\":\"Unsupported protocol version\"}";

/// Returns the beginning of a request for a WebSocket.
fn upgrade(path: &str, connection: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {{host}}\r\nConnection: {connection}\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Opens a WebSocket with this query; returns `None` if the response is not `101`.
async fn websocket(running: &Running, query: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let request = upgrade(&format!("/socket.io/?{query}"), "Upgrade");
    let request = request.replace("{host}", &running.address.to_string());
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = read_until(&mut stream, "\r\n\r\n").await;
    answer.starts_with("HTTP/1.1 101").then_some(stream)
}

/// Encodes every byte as `%` and two digits.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[tokio::test]
async fn a_polling_session_is_opened_and_used_with_an_encoded_query() {
    let running = Running::new(&[("main.rhai", ECHO)], |b| b).await;
    for query in [
        "EIO=4&transport=%70olling",
        "EIO=%34&transport=polling",
        "E%49O=4&tr%61nsport=%70%6F%6c%6Cing",
        "&&EIO=4&&transport=polling&&",
    ] {
        let opened = running.get(&format!("/socket.io/?{query}")).await;
        assert!(opened.starts_with("HTTP/1.1 200"), "{query}: {opened}");
        let id = encoded(sid(&opened));
        let path = format!("/socket.io/?{query}&s%69d={id}");
        let posted = running.post(&path, "40").await;
        assert!(posted.ends_with("ok"), "{query}: {posted}");
        let mut heard = String::new();
        while !heard.contains("hello") {
            heard = running.get(&path).await;
            assert!(heard.starts_with("HTTP/1.1 200"), "{query}: {heard}");
        }
    }
}

#[tokio::test]
async fn a_websocket_is_opened_with_an_encoded_query() {
    let running = Running::new(&[("main.rhai", ECHO)], |b| b).await;
    for query in [
        "EIO=4&transport=%77ebsocket",
        "EIO=%34&transport=websocket",
        "E%49O=4&tr%61nsport=%77ebsocket",
    ] {
        let stream = websocket(&running, query).await;
        let mut stream = stream.unwrap_or_else(|| panic!("`{query}` is refused"));
        stream.write_all(&frame("40")).await.unwrap();
        read_until(&mut stream, "42[\"hello\",").await;
    }
}

#[tokio::test]
async fn a_polling_session_is_upgraded_with_an_encoded_query() {
    let running = Running::new(&[("main.rhai", ECHO)], |b| b).await;
    let opened = running.get("/socket.io/?EIO=4&transport=polling").await;
    let id = encoded(sid(&opened));
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", sid(&opened));
    assert!(running.post(&path, "40").await.ends_with("ok"));
    let mut heard = String::new();
    while !heard.contains("hello") {
        heard += &running.get(&path).await;
    }
    let query = format!("EIO=4&transport=%77ebsocket&sid={id}");
    let stream = websocket(&running, &query).await;
    let mut stream = stream.unwrap_or_else(|| panic!("`{query}` is refused"));
    stream.write_all(&frame("2probe")).await.unwrap();
    read_until(&mut stream, "3probe").await;
    stream.write_all(&frame("5")).await.unwrap();
    stream.write_all(&frame("421[\"echo\",1]")).await.unwrap();
    read_until(&mut stream, "431[1]").await;
}

#[tokio::test]
async fn of_two_values_of_one_name_in_a_query_the_last_counts() {
    let running = Running::new(&[("main.rhai", ECHO)], |b| b).await;
    for (query, expected) in [
        ("EIO=3&EIO=4&transport=polling", "0{\"sid\":"),
        ("EIO=4&transport=websocket&transport=polling", "0{\"sid\":"),
        ("EIO=4&transport=nothing&tr%61nsport=polling", "0{\"sid\":"),
        ("EIO=4&EIO=3&transport=polling", UNSUPPORTED),
        // The request asks for no WebSocket.
        (
            "EIO=4&transport=polling&transport=websocket",
            "HTTP/1.1 400",
        ),
    ] {
        let answer = running.get(&format!("/socket.io/?{query}")).await;
        assert!(answer.contains(expected), "{query}: {answer}");
    }
    let opened = running.get("/socket.io/?EIO=4&transport=polling").await;
    let path = format!(
        "/socket.io/?EIO=4&transport=polling&sid=nobody&sid={}",
        sid(&opened)
    );
    let posted = running.post(&path, "40").await;
    assert!(posted.ends_with("ok"), "{posted}");

    for query in [
        "EIO=3&EIO=4&transport=websocket",
        "EIO=4&transport=polling&transport=websocket",
    ] {
        let stream = websocket(&running, query).await;
        assert!(stream.is_some(), "`{query}` is refused");
    }
    let path = "/socket.io/?EIO=4&EIO=3&transport=websocket";
    let answer = running.http(&upgrade(path, "Upgrade, close")).await;
    assert!(answer.ends_with(UNSUPPORTED), "{answer}");
}

#[tokio::test]
async fn a_plus_in_a_query_is_a_space_and_what_is_no_code_stays() {
    let running = Running::new(&[("main.rhai", ECHO)], |b| b).await;
    for (query, expected) in [
        ("EIO=4&transport=+polling", UNKNOWN_TRANSPORT),
        ("EIO=4&transport=%20polling", UNKNOWN_TRANSPORT),
        ("EIO=4&transport=poll%ZZing", UNKNOWN_TRANSPORT),
        ("EIO=4&Transport=polling", UNKNOWN_TRANSPORT),
        ("EIO=4&transport", UNKNOWN_TRANSPORT),
        ("EIO=+4&transport=polling", UNSUPPORTED),
        ("EIO=&transport=polling", UNSUPPORTED),
        ("transport=polling", UNSUPPORTED),
    ] {
        let answer = running.get(&format!("/socket.io/?{query}")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{query}: {answer}");
        assert!(answer.ends_with(expected), "{query}: {answer}");
    }
}

#[tokio::test]
async fn an_empty_sid_opens_a_session() {
    let running = Running::new(&[("main.rhai", ECHO)], |b| b).await;
    for end in ["&sid", "&sid="] {
        let query = format!("EIO=4&transport=polling{end}");
        let answer = running.get(&format!("/socket.io/?{query}")).await;
        assert!(answer.contains("0{\"sid\":"), "{query}: {answer}");
        let query = format!("EIO=4&transport=websocket{end}");
        let stream = websocket(&running, &query).await;
        assert!(stream.is_some(), "`{query}` is refused");
    }
}

#[tokio::test]
async fn a_transport_that_is_off_stays_off_however_it_is_written() {
    let mut options = patchcord::testing::options();
    options.transport.transports = vec![Transport::Websocket];
    let running = Running::new(&[("main.rhai", ECHO)], |b| b.options(options)).await;
    for query in [
        "EIO=4&transport=%70olling",
        "EIO=4&transport=websocket&transport=polling",
    ] {
        let answer = running.get(&format!("/socket.io/?{query}")).await;
        assert!(answer.ends_with(UNKNOWN_TRANSPORT), "{query}: {answer}");
    }
}

#[tokio::test]
async fn scripts_see_the_url_as_the_client_wrote_it_and_the_query_decoded() {
    let script = "fn on_connection(socket) {
        socket.emit(\"seen\", socket.handshake.url, socket.handshake.query.transport, socket.handshake.query.name);
    }";
    let running = Running::new(&[("main.rhai", script)], |b| b).await;
    let query = "EIO=4&transport=%77ebsocket&name=a&name=%C3%BC+b";
    let path = format!("/socket.io/?{query}");
    let address = running.address;
    let mut client = Client::at(&format!("ws://{address}{path}")).await;
    client.connect("").await;
    let seen = client.until(|packet| packet.starts_with("42")).await;
    assert_eq!(
        seen,
        format!("42[\"seen\",\"{path}\",\"websocket\",\"ü b\"]")
    );
}
