//! Hostile text of clients in the log of the program.

use crate::support::{
    program::{Place, Serving},
    server::Client,
};

/// Text that clears the screen, sets the title of the terminal, reverses the direction of writing, and forges lines.
const HOSTILE: &str =
    "x\u{1b}[2J\u{1b}]0;own\u{7}\nmain.rhai: version 7 serves\r\u{85}\u{2028}\u{202e}\u{9b}2J\0y";

const SCRIPT: &str = r#"
fn on_handshake(socket) {
    if socket.handshake.auth.reason != () { throw socket.handshake.auth.reason; }
}
fn on_connection(socket) {
    socket.on("say", |text| { print(text); log::warn(`said: ${text}`); });
    socket.on("list", |list| { print(list); });
    socket.on_any(|event, args| { if event.contains("own") { throw event; } });
    socket.on("end", || { print("end"); });
}
"#;

/// Makes a client do everything that reaches the log, and returns the log.
async fn log(arguments: &[&str]) -> Vec<String> {
    let place = Place::new(&[("scripts/main.rhai", SCRIPT)]);
    std::fs::create_dir(place.path().join("scripts/room")).unwrap();
    place.write("scripts/room/{id}.rhai", SCRIPT);
    let arguments: Vec<_> = ["--port", "0", "-v"]
        .iter()
        .chain(arguments)
        .copied()
        .collect();
    let serving = place.serve(&arguments, &[]);
    let hostile = serde_json::Value::from(HOSTILE).to_string();
    let origin = "Origin: https://\u{1b}[2J.example\r\n";
    serving.get("/socket.io/?EIO=4&transport=polling", origin);
    let address = &serving.address;
    let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
    let mut client = Client::at(&url).await;
    for namespace in [format!("/room/{HOSTILE}"), format!("/{HOSTILE}")] {
        client.send(&format!("40{namespace},")).await;
        client.until(|packet| packet.starts_with("44")).await;
    }
    client.send(&format!("40{{\"reason\":{hostile}}}")).await;
    client.until(|packet| packet.starts_with("44")).await;
    client.connect("").await;
    // An event name with escapes ends the connection, so the name has these characters unescaped, where JSON allows
    // that.
    let raw = "own \u{9b}2J\u{202e}\u{2028}\u{7f}";
    client.send(&format!("42[\"{raw}\"]")).await;
    for event in ["say", "list"] {
        client.send(&format!("42[\"{event}\",{hostile}]")).await;
        client.send(&format!("42[\"{event}\",[{hostile}]]")).await;
    }
    client.send("42[\"end\"]").await;
    until_end(&serving)
}

fn until_end(serving: &Serving) -> Vec<String> {
    let mut lines = Vec::new();
    while !lines
        .last()
        .is_some_and(|line: &String| line.contains("end") && line.contains("main.rhai"))
    {
        lines.push(serving.line());
    }
    lines
}

fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_cannot_control_the_terminal_or_forge_a_line() {
    let lines = log(&[]).await;
    for line in &lines {
        assert!(!line.contains(is_hidden), "{line:?} in {lines:#?}");
        assert!(!line.starts_with("main.rhai: version 7"), "{lines:#?}");
    }
    let all = lines.join("\n");
    for shown in [
        "not let into /room/x\\u{1b}[2J",
        "not let into /x\\u{1b}[2J",
        "rejects it: x\\u{1b}[2J",
        "main.rhai:6 x\\u{1b}[2J\\u{1b}]0;own\\u{7}\n    main.rhai: version 7 serves\\r",
        "error: own \\u{9b}2J\\u{202e}\\u{2028}\\u{7f}",
    ] {
        assert!(all.contains(shown), "{shown} in {all}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_in_json_has_one_object_in_each_line_and_the_texts_as_they_were() {
    let lines = log(&["--log-format", "json"]).await;
    let objects: Vec<serde_json::Value> = lines
        .iter()
        .map(|line| {
            assert!(!line.contains(is_hidden), "{line:?}");
            serde_json::from_str(line).unwrap()
        })
        .collect();
    let printed = objects
        .iter()
        .any(|one| one["type"] == "log" && one["text"] == HOSTILE);
    let refused = objects
        .iter()
        .any(|one| one["namespace"] == format!("/room/{HOSTILE}"));
    assert!(printed && refused, "{lines:#?}");
}
