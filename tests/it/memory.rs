//! What `serve -v` says of the memory of a call holds, for a script that takes all it can.

#![cfg(target_os = "linux")]

use std::fmt::Write;

use crate::{program::Place, sockets::Client};

/// As many strings of the largest size as there may be variables, at each level of calls.
fn hostile() -> String {
    let mut script = "fn fill(text, level) {\n".to_owned();
    for n in 0..12 {
        writeln!(script, "let kept_{n} = text + level + {n};").unwrap();
    }
    script
        + "if level > 1 { fill(text, level - 1); }
        }
        fn on_connection(socket) {
            socket.on(\"fill\", || {
                let text = \"\"; text.pad(260000, \"x\");
                fill(text, 6);
                \"filled\"
            });
        }"
}

#[tokio::test]
async fn a_call_takes_no_more_memory_than_was_said() {
    let place = Place::new(&[("scripts/main.rhai", &hostile())]);
    let limits = [
        ["--max-variables", "16"],
        ["--max-call-levels", "8"],
        ["--max-string-size", "256KiB"],
        ["--max-array-size", "1000"],
        ["--max-map-size", "1000"],
        ["--max-produced", "1MiB"],
        ["--max-call-time", "60s"],
    ];
    let arguments = ["serve", "-v", "--port", "0"].into_iter();
    let arguments: Vec<_> = arguments.chain(limits.into_iter().flatten()).collect();
    let serving = place.serve(&arguments, &[]);
    let line = serving.line();
    let said = line.strip_prefix("the variables of one call take ");
    let said = said.and_then(|line| line.split_once(" MB")).expect(&line);
    let said = said.0.parse::<usize>().unwrap() * 1_000_000;
    let url = format!(
        "ws://{}/socket.io/?EIO=4&transport=websocket",
        serving.address
    );
    let mut client = Client::at(&url).await;
    client.connect("").await;
    let before = serving.memory("VmRSS");
    client.send("420[\"fill\"]").await;
    let answer = client.until(|packet| packet.starts_with("43")).await;
    assert_eq!(answer, "430[\"filled\"]");
    let taken = serving.memory("VmHWM") - before;
    assert!(taken < said, "{taken} bytes, and {said} were said");
    // The script is as bad as it is meant to be.
    assert!(taken > 12 * 6 * 260_000, "{taken} bytes");
}
