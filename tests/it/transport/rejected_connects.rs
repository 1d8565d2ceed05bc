//! Clients that cannot enter a namespace, or cannot stay in it: what is announced, how often, and what is counted.

use patchcord::{
    ConnectRefusal, HostEvent,
    testing::{TestHost, options},
};
use serde_json::json;

use crate::support::server::Running;

const ROOM: &str = "fn on_connection(socket) { socket.on(\"who\", || socket.nsp); }";
const GUARDED: &str =
    "fn on_handshake(socket) { if socket.handshake.auth.token != 1 { throw \"no token\"; } }
    fn on_connection(socket) { }";

/// Returns the namespace, the kind and the reason of a refusal.
fn refusal(event: HostEvent) -> Option<(String, ConnectRefusal, String)> {
    match event {
        HostEvent::ConnectRefused {
            namespace,
            kind,
            reason,
            ..
        } => Some((namespace, kind, reason)),
        _ => None,
    }
}

fn refusals(host: &TestHost) -> Vec<(String, ConnectRefusal, String)> {
    host.events().into_iter().filter_map(refusal).collect()
}

/// Returns the labels whose counts are not 0.
fn counted(counters: &patchcord::Counters) -> Vec<(&'static str, u64)> {
    let all = counters.connects_refused.all().into_iter();
    all.filter(|(_, count)| *count > 0).collect()
}

#[test]
fn a_handshake_that_the_script_rejects_is_announced_and_counted() {
    let host = TestHost::new(GUARDED);
    assert_eq!(host.connect("/").unwrap_err().0, "no token");
    host.connect_as("/", json!({ "token": 1 })).unwrap();
    let expected = (
        "/".to_owned(),
        ConnectRefusal::Handshake,
        "no token".to_owned(),
    );
    assert_eq!(refusals(&host), [expected]);
    assert_eq!(counted(host.counters()), [("handshake", 1)]);
}

#[test]
fn a_namespace_that_nothing_serves_is_announced_and_counted() {
    let host = TestHost::with([("main.rhai", "fn on_connection("), ("room/{id}.rhai", ROOM)]);
    host.events();
    for (namespace, kind, label) in [
        (
            "/nowhere",
            ConnectRefusal::InvalidNamespace,
            "invalid_namespace",
        ),
        (
            "/room/{id}",
            ConnectRefusal::InvalidNamespace,
            "invalid_namespace",
        ),
        ("/", ConnectRefusal::NotLoaded, "not_loaded"),
    ] {
        host.connect(namespace).unwrap_err();
        let expected = (namespace.to_owned(), kind, kind.reason().to_owned());
        assert_eq!(refusals(&host), [expected]);
        assert!(counted(host.counters()).iter().any(|one| one.0 == label));
    }
}

#[test]
fn a_full_set_of_instances_is_announced_and_counted_and_those_that_exist_stay_open() {
    let mut options = options();
    options.clients.max_namespaces = 2;
    let host = TestHost::build([("room/{id}.rhai", ROOM)], |b| b.options(options));
    let _clients = ["/room/1", "/room/2", "/room/1"].map(|path| host.connect(path).unwrap());
    assert_eq!(host.connect("/room/3").unwrap_err().0, "Invalid namespace");
    let kind = ConnectRefusal::NamespaceLimit;
    let expected = ("/room/3".to_owned(), kind, kind.reason().to_owned());
    assert_eq!(refusals(&host), [expected]);
    assert_eq!(counted(host.counters()), [("namespace_limit", 1)]);
}

#[test]
fn an_instance_that_every_client_has_left_makes_room_for_another_one() {
    let mut options = options();
    options.clients.max_namespaces = 2;
    let room = format!("fn on_load() {{ io.data.set(\"loaded\", true); }} {ROOM}");
    let host = TestHost::build([("room/{id}.rhai", &*room)], |b| b.options(options));
    let stays = host.connect("/room/1").unwrap();
    for n in 2..10 {
        let client = host.connect(&format!("/room/{n}")).unwrap();
        let refused = host.connect("/room/other").unwrap_err();
        assert_eq!(refused.0, "Invalid namespace");
        client.disconnect();
    }
    assert_eq!(stays.ask("who", ()), Some(json!(["/room/1"]).to_string()));
}

#[test]
fn an_instance_whose_name_cannot_be_read_is_refused() {
    let host = TestHost::with([("room/{id}.rhai", ROOM), ("files/{*path}.rhai", ROOM)]);
    for path in [
        "/room/x\ny\u{1b}[2J",
        "/room/\0",
        "/room/\u{202e}",
        "/room/\u{85}",
        "/files/a/\u{7f}",
    ] {
        assert_eq!(
            host.connect(path).unwrap_err().0,
            "Invalid namespace",
            "{path:?}"
        );
    }
    let kinds: Vec<_> = refusals(&host).into_iter().map(|one| one.1).collect();
    assert_eq!(kinds, [ConnectRefusal::UnreadableName; 5]);
    for path in ["/room/Zoë", "/room/日本 語", "/room/👩\u{200d}💻"] {
        let client = host.connect(path).unwrap();
        assert_eq!(client.ask("who", ()), Some(json!([path]).to_string()));
    }
}

#[test]
fn clients_that_come_again_and_again_are_told_of_a_few_times_and_then_in_one() {
    let host = TestHost::new(GUARDED);
    for n in 0..50 {
        host.connect("/").unwrap_err();
        host.connect(&format!("/nowhere/{n}")).unwrap_err();
    }
    assert_eq!(refusals(&host).len(), 10);
    host.advance(10_001);
    let mut reported: Vec<_> = host
        .events()
        .into_iter()
        .filter_map(|event| match event {
            HostEvent::Suppressed {
                event,
                count: times,
            } => Some((refusal(*event).unwrap().1, times)),
            _ => None,
        })
        .collect();
    reported.sort_by_key(|(kind, _)| *kind == ConnectRefusal::InvalidNamespace);
    let kinds = [ConnectRefusal::Handshake, ConnectRefusal::InvalidNamespace];
    assert_eq!(reported, kinds.map(|kind| (kind, 45)));
    assert_eq!(host.counters().connects_refused.get(), 100);
}

#[tokio::test]
async fn a_client_enters_no_more_namespaces_than_it_may_and_others_enter_theirs() {
    let mut options = options();
    options.clients.max_namespaces_per_client = 2;
    let scripts = [("main.rhai", ROOM), ("room/{id}.rhai", ROOM)];
    let mut running = Running::new(&scripts, |builder| builder.options(options)).await;
    let mut client = running.websocket().await;
    for id in [1, 2] {
        client.send(&format!("40/room/{id},")).await;
        let entered = format!("40/room/{id},");
        client.until(|packet| packet.starts_with(&entered)).await;
    }
    client.send("40/room/3,").await;
    client
        .until(|packet| packet.starts_with("44/room/3,"))
        .await;
    let (namespace, kind, _) = running.announced(refusal).await;
    assert_eq!(namespace, "/room/3");
    // The client may reach either limit first: that of its namespaces, or that of its CONNECTs per second.
    let limits = [ConnectRefusal::TooManyNamespaces, ConnectRefusal::TooOften];
    assert!(limits.contains(&kind), "{kind:?}");
    client.send("42/room/2,7[\"who\"]").await;
    let stays = |packet: &str| packet == "43/room/2,7[\"/room/2\"]";
    client.until(stays).await;
    let mut other = running.websocket().await;
    other.send("40/room/3,").await;
    other.until(|packet| packet.starts_with("40/room/3,")).await;
}

#[tokio::test]
async fn a_client_on_the_wire_that_asks_for_a_namespace_that_nothing_serves_is_announced() {
    let mut running = Running::new(&[("main.rhai", ROOM), ("guarded.rhai", GUARDED)], |b| b).await;
    let mut client = running.websocket().await;
    for (namespace, kind) in [
        ("/nowhere", ConnectRefusal::InvalidNamespace),
        ("/guarded", ConnectRefusal::Handshake),
    ] {
        client.send(&format!("40{namespace},")).await;
        client
            .until(|packet| packet.starts_with(&format!("44{namespace},")))
            .await;
        let (reported, because, _) = running.announced(refusal).await;
        assert_eq!((&*reported, because), (namespace, kind));
    }
}

/// Script whose `on_connection` fails for clients that ask for it.
const FAILS: &str = r#"fn on_connection(socket) {
    socket.on("n", |n| { print(`event ${n}`); n });
    print("connection");
    if socket.handshake.auth.fail == true { throw "no"; }
    socket.on("late", || 1);
}
fn on_disconnect(socket, reason) { print(`gone: ${reason}`); }"#;

#[test]
fn a_client_whose_on_connection_fails_is_disconnected_and_both_hooks_have_run() {
    let host = TestHost::new(FAILS);
    let stays = host.connect("/").unwrap();
    let goes = host.connect_as("/", json!({ "fail": true })).unwrap();
    assert_eq!(goes.ask("n", [1]), None);
    let reported: Vec<_> = host
        .events()
        .into_iter()
        .filter_map(|event| match event {
            HostEvent::Log { text, .. } => Some(text),
            HostEvent::HandlerFailed { .. } => Some("failed".to_owned()),
            HostEvent::ClientDisconnected { socket, reason, .. } => {
                assert_eq!(socket.as_deref(), Some(goes.id()));
                Some(reason)
            }
            _ => None,
        })
        .collect();
    let gone = "gone: server namespace disconnect";
    let mut expected = vec![
        "connection",
        "connection",
        "failed",
        gone,
        "its `on_connection` failed",
    ];
    expected.sort_unstable();
    let mut sorted = reported.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected, "{reported:?}");
    let counters = host.counters();
    assert_eq!(
        [
            counters.sockets_connected.get(),
            counters.sockets_disconnected.get(),
            counters.clients_disconnected.get()
        ],
        [2, 1, 1]
    );
    assert_eq!(stays.ask("n", [2]).as_deref(), Some("[2]"));
    assert_eq!(stays.ask("late", ()).as_deref(), Some("[1]"));
}

#[tokio::test]
async fn a_client_whose_on_connection_fails_is_told_and_may_come_back() {
    let running = Running::new(&[("main.rhai", FAILS), ("other.rhai", ROOM)], |b| b).await;
    let mut client = running.websocket().await;
    client.connect("/other,").await;
    client.send("40{\"fail\":true}").await;
    client.until(|packet| packet.starts_with("40{")).await;
    client.until(|packet| packet == "41").await;
    client.connect("").await;
    client.send("421[\"late\"]").await;
    client.until(|packet| packet == "431[1]").await;
    // The client is still connected to its other namespaces.
    client.send("42/other,2[\"who\"]").await;
    client
        .until(|packet| packet == "43/other,2[\"/other\"]")
        .await;
}

#[test]
fn clients_that_are_disconnected_again_and_again_fill_no_log() {
    let host = TestHost::new(FAILS);
    for _ in 0..50 {
        host.connect_as("/", json!({ "fail": true })).unwrap();
    }
    let cut_off = |event: &HostEvent| matches!(event, HostEvent::ClientDisconnected { .. });
    assert_eq!(
        host.events()
            .into_iter()
            .filter(|event| cut_off(event))
            .count(),
        5
    );
    host.advance(10_001);
    let suppressed = host.events().into_iter().find_map(|event| match event {
        HostEvent::Suppressed {
            event,
            count: times,
        } if cut_off(&event) => Some(times),
        _ => None,
    });
    assert_eq!(suppressed, Some(45));
    assert_eq!(host.counters().clients_disconnected.get(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_connect_is_answered_although_the_one_before_was_rejected() {
    let script = "fn on_handshake(socket) { throw \"no\"; } fn on_connection(socket) { }";
    let running = Running::new(&[("main.rhai", script)], |b| b).await;
    for _ in 0..30 {
        let mut client = running.websocket().await;
        for _ in 0..5 {
            client.send("40").await;
        }
        for _ in 0..5 {
            let answer = client.until(|packet| packet.starts_with("44")).await;
            assert_eq!(answer, r#"44{"message":"no"}"#);
        }
    }
}

#[tokio::test]
async fn a_client_whose_handshake_takes_too_long_is_told_so() {
    let script = "fn on_handshake(socket, next) { hang(|err, value| next.call()); } fn on_connection(socket) { }";
    let running = Running::new(&[("main.rhai", script)], |builder| {
        let mut options = patchcord::testing::options();
        options.transport.connect_timeout = std::time::Duration::from_millis(400);
        let hang = || std::future::pending::<Result<i64, String>>();
        builder.options(options).async_function("hang", hang)
    })
    .await;
    let mut client = running.websocket().await;
    client.send("40").await;
    let answer = client.until(|packet| packet.starts_with("44")).await;
    assert_eq!(answer, r#"44{"message":"handshake timed out"}"#);
}
