//! Edits of the conditions in `on_connection`.

use patchcord::HostEvent;

use super::{all, connect, save, saved, serve};

fn limit(most: i64, more: &str) -> String {
    format!(
        "fn on_connection(socket) {{
            if io.data.incr(\"players\", 1) > {most} {{ socket.emit(\"full\"); socket.disconnect(); return; }}
            let score = 0;
            socket.on(\"hit\", || {{ score += 1; score }}); {more}
        }}"
    )
}

#[test]
fn a_lowered_limit_takes_nothing_from_those_who_play_and_says_for_how_many() {
    let mut host = serve(&limit(3, ""));
    let clients = connect(&host, 3);
    assert_eq!(all(&clients, "hit"), ["[1]"; 3]);
    let reload = saved(&mut host, &limit(1, "socket.on(\"new\", || 1);"));
    assert_eq!(reload.spared, 2);
    assert_eq!(all(&clients, "hit"), ["[2]"; 3]);
    assert_eq!(all(&clients, "new"), ["[1]", "-", "-"]);
    // A raised limit gives the clients what they lack.
    save(&mut host, &limit(5, "socket.on(\"new\", || 1);"));
    assert_eq!(all(&clients, "hit"), ["[3]"; 3]);
    assert_eq!(all(&clients, "new"), ["[1]"; 3]);
}

#[test]
fn calls_that_count_are_not_made_again_where_the_tape_was_too_large() {
    let script = |more: &str| {
        format!(
            "fn on_connection(socket) {{
                let history = io.data.get(\"history\", \"\");
                let n = io.data.incr(\"n\", 1);
                socket.on(\"n\", || [n, io.data.n, history.len]); {more}
            }}
            fn on_load() {{ let text = \"\"; for i in 0..600 {{ text += \"0123456789\"; }} io.data.history = text; }}"
        )
    };
    let mut host = serve(&script(""));
    let clients = connect(&host, 2);
    let reload = saved(&mut host, &script("socket.on(\"more\", || 1);"));
    assert_eq!(reload.untaped, 2);
    assert_eq!(all(&clients, "n"), ["[[1,2,6000]]", "[[2,2,6000]]"]);
    assert_eq!(all(&clients, "more"), ["[1]"; 2]);
    let newcomer = host.connect("/").unwrap();
    assert_eq!(newcomer.ask("n", ()).as_deref(), Some("[[3,3,6000]]"));
    let failed = |event: &HostEvent| matches!(event, HostEvent::HandlerFailed { .. });
    assert!(!host.events().iter().any(failed));
}
