//! The handshake: which clients are accepted, and what is known of a client before.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use patchcord::{HostEvent, testing::TestHost};
use serde_json::json;

use crate::support::server::{Client, Running, sid};

#[test]
fn a_client_is_refused_with_what_the_script_throws() {
    let host = TestHost::new(
        "fn on_handshake(socket) {
            let token = socket.handshake.auth.token;
            if token == () { throw \"no token\"; }
            if token != \"secret\" { throw #{ message: `wrong token ${token}` }; }
            socket.data.user = \"Ada\";
            socket.join(\"members\");
            socket.emit(\"early\", 1);
        }
        fn on_connection(socket) { socket.emit(\"hello\", socket.data.user, \"members\" in socket.rooms); }",
    );
    assert_eq!(host.connect("/").unwrap_err().0, "no token");
    assert_eq!(
        host.connect_as("/", json!({ "token": "x" })).unwrap_err().0,
        "wrong token x"
    );
    let client = host.connect_as("/", json!({ "token": "secret" })).unwrap();
    assert_eq!(client.heard(), ["early [1]", "hello [\"Ada\",true]"]);
    assert_eq!(host.problems(), [] as [&str; 0]);
}

#[test]
fn next_answers_later() {
    let host = TestHost::new(
        "fn on_handshake(socket, next) {
            set_timeout(|| { if socket.handshake.auth.ok { next.call(); } else { next.call(\"not you\"); } }, 1);
        }
        fn on_connection(socket) { socket.emit(\"hello\"); }",
    );
    assert_eq!(
        host.connect_as("/", json!({ "ok": false })).unwrap_err().0,
        "not you"
    );
    assert_eq!(
        host.connect_as("/", json!({ "ok": true })).unwrap().heard(),
        ["hello []"]
    );
}

#[test]
fn handshake_without_answer_is_rejected_after_connect_timeout() {
    let mut options = patchcord::testing::options();
    options.transport.connect_timeout = std::time::Duration::from_millis(50);
    let script = "fn on_handshake(socket, next) { set_timeout(|| next.call(), 3600000); }
        fn on_connection(socket) { }";
    let host = TestHost::build([("main.rhai", script)], |b| b.options(options));
    assert_eq!(host.connect("/").unwrap_err().0, "handshake timed out");
}

#[test]
fn a_fault_of_the_script_is_announced_and_not_shown_to_the_client() {
    let host = TestHost::new("fn on_handshake(socket) { 1 / 0; }\nfn on_connection(socket) { }");
    assert_eq!(host.connect("/").unwrap_err().0, "handshake failed");
    let problems = host.problems();
    assert!(problems[0].contains("main.rhai:1:29"), "{problems:?}");
    assert!(
        problems[0].contains("called from `on_handshake`"),
        "{problems:?}"
    );
}

#[test]
fn listeners_have_no_place_in_the_handshake() {
    let host = TestHost::new(
        "fn on_handshake(socket) { socket.on(\"x\", || 1); }\nfn on_connection(socket) { }",
    );
    assert_eq!(host.connect("/").unwrap_err().0, "handshake failed");
    let problems = host.problems().join("");
    assert!(
        problems.contains(
            "`on` has no place before the client is connected: call it in `on_connection`"
        ),
        "{problems}"
    );
}

#[test]
fn an_edit_does_not_wait_for_a_handshake_and_new_clients_meet_the_new_hook() {
    let script = |word: &str| {
        format!("fn on_handshake(socket) {{ throw \"{word}\"; }}\nfn on_connection(socket) {{ }}")
    };
    let mut host = TestHost::new(&script("one"));
    assert_eq!(host.connect("/").unwrap_err().0, "one");
    host.edit("main.rhai", &script("two"));
    assert_eq!(host.connect("/").unwrap_err().0, "two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_disconnected_in_its_handshake_is_told_and_leaves() {
    let script = "fn on_handshake(socket) { socket.disconnect(); }
        fn on_connection(socket) { }
        fn on_disconnect(socket, reason) { print(reason); }";
    let mut running = Running::new(&[("main.rhai", script)], |b| b).await;
    let mut client = running.websocket().await;
    client.connect("").await;
    client.until(|packet| packet == "41").await;
    let reason = running
        .announced(|event| match event {
            HostEvent::Log { text, .. } => Some(text),
            _ => None,
        })
        .await;
    assert_eq!(reason, "server namespace disconnect");
}

/// Script that sends the time of the handshake, as `on_handshake` saw it and as it is now, and `issued`.
pub(crate) const TIMES: &str = "
    fn on_handshake(socket) { socket.data.time = socket.handshake.time; }
    fn on_connection(socket) {
        socket.on(\"times\", || [socket.data.time, socket.handshake.time, socket.handshake.issued]);
    }";

/// Checks that a client of [`TIMES`] receives the same time in another second, and that it is the time of `issued`.
pub(crate) async fn assert_time_stands(mut client: Client) {
    client.connect("").await;
    for n in 0..2 {
        client.send(&format!("42{n}[\"times\"]")).await;
        let answer = client.until(|packet| packet.starts_with("43")).await;
        let times = answer.strip_prefix(&format!("43{n}")).unwrap();
        let [(first, now, issued)]: [(String, String, u64); 1] =
            serde_json::from_str(times).unwrap();
        let issued = UNIX_EPOCH + Duration::from_millis(issued);
        assert_eq!(now, first, "answer {n}");
        assert_eq!(now, httpdate::fmt_http_date(issued), "answer {n}");
        // The time has a resolution of one second.
        let second = seconds();
        while seconds() == second {
            tokio::task::yield_now().await;
        }
    }
}

fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_secs()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_of_a_handshake_is_when_the_client_connected() {
    let running = Running::new(&[("main.rhai", TIMES)], |b| b).await;
    assert_time_stands(running.websocket().await).await;
}

#[tokio::test]
async fn cookies_are_decoded_and_of_two_with_one_name_the_first_counts() {
    let script = "fn on_connection(socket) { socket.emit(\"cookies\", socket.handshake.cookies); }";
    let running = Running::new(&[("main.rhai", script)], |b| b).await;
    let open = |cookies: &str| {
        format!(
            "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: {}\r\n{cookies}Connection: close\r\n\r\n",
            running.address
        )
    };
    for (cookies, expected) in [
        ("", "{}"),
        (
            "Cookie: session=a%20b; theme=\"dark\"; session=other; odd=%ff; =x; bare\r\n",
            "{\"\":\"x\",\"odd\":\"%ff\",\"session\":\"a b\",\"theme\":\"dark\"}",
        ),
        (
            "Cookie: a=1\r\nCookie: b=2=3\r\n",
            "{\"a\":\"1\",\"b\":\"2=3\"}",
        ),
    ] {
        let session = running.http(&open(cookies)).await;
        let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", sid(&session));
        running.post(&path, "40").await;
        let mut heard = String::new();
        while !heard.contains("cookies") {
            heard = running.get(&path).await;
        }
        assert!(
            heard.contains(&format!("42[\"cookies\",{expected}]")),
            "{heard}"
        );
    }
}
