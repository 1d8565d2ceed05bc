//! What the person at the terminal reads of a save.

use crate::{program::Place, sockets::Client};

/// A line with its numbers that differ from run to run replaced: milliseconds and the hash.
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
async fn a_save_is_one_line_with_what_was_carried_and_a_rejected_one_says_what_keeps_serving() {
    let place = Place::new(&[("scripts/main.rhai", "fn on_connection(socket) { }")]);
    std::fs::create_dir(place.path().join("scripts/lib")).unwrap();
    place.write("scripts/lib/words.rhai", "fn nobody() { \"nobody\" }");
    place.write("scripts/main.rhai", &script(1, ""));
    let long = ["--max-call-time", "20s", "--port", "0", "-v"];
    let serving = place.serve(&long, &[]);
    let line = serving.line();
    assert!(line.contains(" MB of memory at most"), "{line}");
    let files = "HASH of main.rhai, lib/words.rhai";
    assert_eq!(
        steady(&serving.line()),
        format!("main.rhai: version 1 serves /; {files}")
    );
    let url = format!(
        "ws://{}/socket.io/?EIO=4&transport=websocket",
        serving.address
    );
    let mut client = Client::at(&url).await;
    client.connect("").await;
    client.send("420[\"say\",\"Ada\"]").await;
    assert_eq!(client.next().await.as_deref(), Some("430[1]"));
    place.write(
        "scripts/main.rhai",
        &script(2, "socket.data.color = \"blue\"; socket.join(\"hall\");"),
    );
    assert_eq!(
        steady(&serving.line()),
        format!(
            "main.rhai: version 2, 1 connection re-bound, TIME; 1 handler made by another handler keeps its version; \
             kept: `count`, `name`; rooms joined or left: 1; {files}"
        )
    );
    place.write("scripts/main.rhai", &script(3, "throw \"not today\";"));
    let mut told = Vec::new();
    while !told
        .last()
        .is_some_and(|line: &String| line.contains("keeps serving"))
    {
        told.push(serving.line());
    }
    assert_eq!(told[0], "error: not today");
    assert!(told[1].contains("main.rhai:6:"), "{told:?}");
    assert!(
        told.iter().any(|line| line.contains("socket `")),
        "{told:?}"
    );
    assert_eq!(
        told.last().unwrap(),
        "main.rhai: version 2 keeps serving, nothing has changed"
    );
}
