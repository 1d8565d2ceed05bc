//! Edits that take effect together and are rolled back together, and clients that connect meanwhile.

use std::{sync::Arc, time::Duration};

use patchcord::{
    HostEvent,
    event::RollbackReason,
    script::{LoadError, Loader},
    testing::{TestClient, TestHost},
};

use super::{all, ask, connect};
use crate::support::server::{Running, TEST_TIMEOUT};

/// Returns two namespaces that share a file.
fn shared(version: &str) -> [(&'static str, String); 3] {
    let main = "import \"lib/n\" as n; fn on_connection(socket) { let count = 0; socket.on(\"n\", || { count += 1; [n::n(), count] }); }";
    [
        ("a.rhai", main.to_owned()),
        ("b.rhai", main.to_owned()),
        ("lib/n.rhai", format!("fn n() {{ {version} }}")),
    ]
}

fn host_of(rollback_on_errors: bool) -> TestHost {
    let files = shared("1");
    let mut options = patchcord::testing::options();
    options.reload.rollback_on_errors = rollback_on_errors;
    TestHost::build(
        files.iter().map(|(name, text)| (*name, text.as_str())),
        |builder| builder.options(options),
    )
}

fn rolled_back(host: &TestHost) -> Vec<(String, u64, RollbackReason)> {
    let events = host.events().into_iter();
    let mut found: Vec<_> = events
        .filter_map(|event| match event {
            HostEvent::RolledBack {
                namespace,
                version,
                reason,
                ..
            } => Some((namespace.to_string(), version, reason)),
            _ => None,
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

#[test]
fn a_version_that_fails_in_one_namespace_goes_back_in_all_that_were_saved_with_it() {
    let mut host = host_of(true);
    let failing: Vec<TestClient> = (0..6).map(|_| host.connect("/a").unwrap()).collect();
    let beside = host.connect("/b").unwrap();
    host.edit("lib/n.rhai", "fn n() { let zero = 0; 1 / zero }");
    for client in &failing[..5] {
        client.emit("n", ());
    }
    let back: Vec<_> = rolled_back(&host)
        .into_iter()
        .map(|(namespace, version, _)| (namespace, version))
        .collect();
    assert_eq!(back, [("/a".to_owned(), 1), ("/b".to_owned(), 1)]);
    assert_eq!(ask(&failing[5], "n"), "[[1,1]]");
    assert_eq!(ask(&beside, "n"), "[[1,1]]");
}

#[test]
fn a_rollback_that_is_asked_for_puts_back_everything_that_was_saved_together() {
    let mut host = host_of(false);
    let (one, two) = (host.connect("/a").unwrap(), host.connect("/b").unwrap());
    let files = shared("2");
    host.edit_all(files.iter().map(|(name, text)| (*name, text.as_str())));
    assert_eq!(
        (ask(&one, "n"), ask(&two, "n")),
        ("[[2,1]]".to_owned(), "[[2,1]]".to_owned())
    );
    host.rollback("/a").unwrap();
    assert_eq!(rolled_back(&host).len(), 2);
    assert_eq!(
        (ask(&one, "n"), ask(&two, "n")),
        ("[[1,2]]".to_owned(), "[[1,2]]".to_owned())
    );
}

#[test]
fn a_save_that_touched_one_namespace_goes_back_in_that_one_only() {
    let mut host = host_of(false);
    let (one, two) = (host.connect("/a").unwrap(), host.connect("/b").unwrap());
    host.edit("lib/n.rhai", "fn n() { 2 }");
    host.edit(
        "a.rhai",
        &shared("2")[0].1.replace("count += 1", "count += 100"),
    );
    assert_eq!(ask(&one, "n"), "[[2,100]]");
    host.rollback("/a").unwrap();
    assert_eq!(
        (ask(&one, "n"), ask(&two, "n")),
        ("[[2,101]]".to_owned(), "[[2,1]]".to_owned())
    );
}

#[test]
fn what_a_script_throws_on_purpose_is_no_failure_of_its_version() {
    let script = |v: i64| {
        format!(
            "fn on_connection(socket) {{ socket.on(\"x\", || {{ throw \"too long\"; }}); socket.on(\"map\", || {{ throw #{{ code: 7 }}; }}); socket.on(\"v\", || {v}); }}"
        )
    };
    let mut options = patchcord::testing::options();
    options.reload.rollback_on_errors = true;
    let without = "fn on_connection(socket) { socket.on(\"v\", || 1); }";
    let mut host = TestHost::build([("main.rhai", without)], |builder| builder.options(options));
    let clients = connect(&host, 10);
    host.edit("main.rhai", &script(2));
    for client in &clients {
        client.emit("x", ());
        client.emit("map", ());
    }
    assert_eq!(rolled_back(&host), []);
    assert_eq!(all(&clients, "v"), vec!["[2]"; 10]);
}

/// Loader with a text that a test changes.
#[derive(Debug, Clone)]
struct Text(Arc<parking_lot::Mutex<String>>);

impl Loader for Text {
    fn list(&self) -> Result<Vec<String>, LoadError> {
        Ok(vec!["main.rhai".to_owned()])
    }

    fn read(&self, _: &str) -> Result<String, LoadError> {
        Ok(self.0.lock().clone())
    }
}

/// Saves while a client connects with a handshake that waits.
async fn saved_during_a_handshake(before: &str, after: &str) -> Vec<String> {
    // A timeout is necessary, because pings continue while the client waits for an answer that does not come.
    let answers = tokio::time::timeout(TEST_TIMEOUT, answers_after_a_save(before, after)).await;
    answers.expect("the client is not served")
}

async fn answers_after_a_save(before: &str, after: &str) -> Vec<String> {
    let text = Text(Arc::new(parking_lot::Mutex::new(before.to_owned())));
    let loader = text.clone();
    let (mut running, host) = Running::reloadable(|builder| builder.loader(loader)).await;
    let mut client = running.websocket().await;
    client.send("40").await;
    running
        .announced(|event| match event {
            HostEvent::Log { text, .. } if text == "waits" => Some(()),
            _ => None,
        })
        .await;
    *text.0.lock() = after.to_owned();
    let _ = host.reload().await;
    client.until(|packet| packet.starts_with("40")).await;
    let mut answers = Vec::new();
    for (nth, event) in ["say", "who", "new"].into_iter().enumerate() {
        client.send(&format!("42{nth}[\"{event}\"]")).await;
        // An event without a listener has no answer, so the answer to `end` shows that it was handled.
        client.send(&format!("429{nth}[\"end\"]")).await;
        loop {
            let packet = client.until(|packet| packet.starts_with("43")).await;
            if packet.starts_with(&format!("439{nth}")) {
                break;
            }
            answers.push(packet);
        }
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_handshake_is_under_way_connects_as_its_version_and_then_adopts() {
    let script = |user: &str, v: i64, more: &str| {
        format!(
            r#"fn on_handshake(socket, next) {{
                socket.data.{user} = "ada";
                set_timeout(|| {{ next.call(); }}, {});
                print("waits");
            }}
            fn on_connection(socket) {{
                if socket.data.{user} == () {{ throw "no user"; }}
                let user = socket.data.{user};
                socket.on("say", || {v});
                socket.on("who", || user);
                socket.on("end", || 0);
                {more}
            }}"#,
            Duration::from_millis(700).as_millis()
        )
    };
    let before = script("user", 1, "");
    let after = script("account", 2, "socket.on(\"new\", || 3);");
    let answers = saved_during_a_handshake(&before, &after).await;
    // The new `on_connection` does not find what its own handshake would have left; the old one has run and serves.
    assert!(["430[1]", "430[2]"].contains(&&*answers[0]), "{answers:?}");
    assert!(
        answers.contains(&"431[\"ada\"]".to_owned()),
        "it keeps its user: {answers:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_handshake_is_under_way_gets_what_an_edit_adds() {
    let script = |v: i64, more: &str| {
        format!(
            r#"fn on_handshake(socket, next) {{ socket.data.user = "ada"; set_timeout(|| {{ next.call(); }}, 700); print("waits"); }}
            fn on_connection(socket) {{
                let user = socket.data.user;
                socket.on("say", || {v}); socket.on("who", || user); socket.on("end", || 0); {more}
            }}"#
        )
    };
    let answers =
        saved_during_a_handshake(&script(1, ""), &script(2, "socket.on(\"new\", || 3);")).await;
    assert_eq!(answers, ["430[2]", "431[\"ada\"]", "432[3]"]);
}
