//! Output of a save at the terminal.

use crate::support::{
    program::{Place, Serving, timed},
    server::Client,
};

/// Returns a line with the parts replaced that differ from run to run: milliseconds and the hash.
fn steady(line: &str) -> String {
    let mut words = Vec::new();
    for part in line.split("; ") {
        let part = match part.split_once(" of ") {
            Some((hash, files)) if hash.len() == 12 => format!("HASH of {files}"),
            _ => part.to_owned(),
        };
        words.push(match part.rsplit_once(", ") {
            Some((before, time)) if time.ends_with(" ms") => format!("{before}, TIME"),
            _ => part,
        });
    }
    words.join("; ")
}

/// Returns unchanged lines of the log, up to one that contains a text.
fn until(serving: &Serving, text: &str) -> Vec<String> {
    let mut lines = vec![serving.line_with_time()];
    while !lines.last().unwrap().contains(text) {
        lines.push(serving.line_with_time());
    }
    lines
}

/// Returns a client of a server.
async fn client(serving: &Serving, namespace: &str) -> Client {
    let address = &serving.address;
    let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
    let mut client = Client::at(&url).await;
    client.connect(namespace).await;
    client
}

/// Saves a script, and another one without clients, whose line ends the report of the first.
fn save(place: &Place, serving: &Serving, text: &str, nth: usize) -> Vec<String> {
    place.write("scripts/chat.rhai", text);
    let first = serving.line_with_time();
    place.write(
        "scripts/main.rhai",
        &format!("fn on_connection(socket) {{ }} // {nth}"),
    );
    let mut lines = vec![first];
    lines.extend(until(serving, "main.rhai: version"));
    lines.pop();
    // Only the first line has a time.
    let timed_lines = lines.iter().filter(|line| timed(line).is_some()).count();
    assert!(timed_lines == 1 && timed(&lines[0]).is_some(), "{lines:#?}");
    lines[0] = steady(timed(&lines[0]).unwrap().1);
    lines
}

fn script(version: i64, more: &str) -> String {
    format!(
        "import \"lib/words\" as words;
        fn on_connection(socket) {{
            let name = words::nobody();
            let count = 0;
            socket.on(\"say\", |text| {{ name = text; count += 1; socket.on(\"late\", || {version}); {version} }});
            {more}
        }}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_is_a_block_with_what_changed_and_a_rejected_one_says_what_keeps_serving() {
    let place = Place::new(&[("scripts/main.rhai", "fn on_connection(socket) { }")]);
    std::fs::create_dir(place.path().join("scripts/lib")).unwrap();
    place.write("scripts/lib/words.rhai", "fn nobody() { \"nobody\" }");
    place.write("scripts/main.rhai", &script(1, ""));
    let long = ["--max-call-time", "20s", "--port", "0", "-v"];
    let serving = place.serve(&long, &[]);
    let line = serving.line();
    assert!(
        line.contains("use at most ") || line.contains("uses at most "),
        "{line}"
    );
    let files = "HASH of main.rhai, lib/words.rhai";
    assert_eq!(
        steady(&serving.line()),
        format!("main.rhai: version 1 serves /; {files}")
    );
    let line = serving.line();
    assert!(line.starts_with("control at /"), "{line}");
    let mut client = client(&serving, "").await;
    client.send("420[\"say\",\"Ada\"]").await;
    assert_eq!(client.next().await.as_deref(), Some("430[1]"));
    place.write(
        "scripts/main.rhai",
        &script(2, "socket.data.color = \"blue\"; socket.join(\"hall\");"),
    );
    assert_eq!(
        steady(&serving.line()),
        format!("main.rhai: version 2 of / on 1 connection, TIME; {files}")
    );
    assert_eq!(
        [serving.line(), serving.line(), serving.line()],
        [
            "  ~ fn on_connection main.rhai:2    ~ \"late\" :5    ~ \"say\" :5",
            "  socket.data.color = \"blue\" on 1",
            "  room `hall` joined on 1",
        ]
    );
    place.write("scripts/main.rhai", &script(3, "throw \"not today\";"));
    let mut printed = Vec::new();
    while !printed
        .last()
        .is_some_and(|line: &String| line.contains("keeps serving"))
    {
        printed.push(serving.line());
    }
    assert_eq!(printed[0], "error: not today");
    assert!(printed[1].contains("main.rhai:6:"), "{printed:?}");
    assert!(
        printed.iter().any(|line| line.contains("socket `")),
        "{printed:?}"
    );
    assert_eq!(
        printed.last().unwrap(),
        "main.rhai: version 2 keeps serving, nothing has changed"
    );
}

fn chat(limit: i64, name: &str, say: &str, more: &str) -> String {
    format!(
        "fn login(socket, room) {{
    socket.on(\"say\", |text| {{ {say} }});
}}
fn on_connection(socket) {{
    let limit = {limit};
    let {name} = \"\";
    socket.on(\"login\", |room| {{ login(socket, room); {name} = room; }});
    socket.on(\"limit\", |l| {{ limit = l; l }});
    {more}
}}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_has_the_time_the_code_the_variables_and_the_closures_that_stay_old() {
    let old = chat(10, "nick", "1", "socket.on(\"line\", || 2);");
    let place = Place::new(&[("scripts/chat.rhai", &old)]);
    let serving = place.serve(&["--max-call-time", "20s", "--port", "0"], &[]);
    until(&serving, "chat.rhai: version 1");
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(client(&serving, "/chat").await);
    }
    for event in ["[\"login\",\"hall\"]", "[\"limit\",7]", "[\"line\"]"] {
        clients[0].send(&format!("42/chat,7{event}")).await;
        clients[0].until(|packet| packet.starts_with("43")).await;
    }
    let new = chat(20, "name", "room", "socket.on(\"typing\", || 2 + 2);");
    assert_eq!(
        save(&place, &serving, &new, 1),
        [
            "chat.rhai: version 2 of /chat on 3 connections, TIME",
            "  ~ \"say\" chat.rhai:2    + let name :6    ~ \"login\" :7",
            "  ~ \"line\" -> \"typing\" :9 (1 client sent it in the last minute)",
            "  limit 10 -> 20 on 2, kept on 1    nick: 1 value lost; renamed to `name`?",
            "  ! \"say\" :2 stays version 1 on 1: captures `room`, which it does not have",
        ]
    );
    assert_eq!(
        save(&place, &serving, &format!("// a comment\n{new}"), 2),
        ["chat.rhai: version 3, nothing changed for its 3 connections, TIME"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_report_is_its_first_line() {
    let place = Place::new(&[("scripts/chat.rhai", &chat(1, "name", "1", ""))]);
    let quiet = ["--quiet-reloads", "--max-call-time", "20s", "--port", "0"];
    let serving = place.serve(&quiet, &[]);
    until(&serving, "chat.rhai: version 1");
    let _client = client(&serving, "/chat").await;
    assert_eq!(
        save(&place, &serving, &chat(2, "name", "2", ""), 1),
        ["chat.rhai: version 2 of /chat on 1 connection, TIME"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_of_day_is_that_of_the_time_zone() {
    let place = Place::new(&[]);
    let hour = |zone: &str| {
        let serving = place.serve(&["--port", "0"], &[("TZ", zone)]);
        let line = serving.line_with_time();
        let (time, _) = timed(&line).unwrap_or_else(|| panic!("{line}"));
        assert_eq!(time.len(), 8, "{line}");
        time[..2].parse::<i64>().unwrap()
    };
    // A full hour may pass between the two calls.
    let ahead = (hour("XYZ-5") - hour("UTC0")).rem_euclid(24);
    assert!((4..=6).contains(&ahead), "{ahead}");
}
