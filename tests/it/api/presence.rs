//! `socket.present`, `io.present`: who is online.

use std::time::Duration;

use patchcord::{
    HostEvent,
    testing::{TestClient, TestHost, options},
};

use crate::support::server::Running;

const NONE: [&str; 0] = [];

/// Default grace time, in milliseconds.
const GRACE: u64 = 5_000;

/// Script whose clients are present as they ask for, and that logs the calls of its hooks.
const SCRIPT: &str = "
    fn on_connection(socket) {
        socket.on(\"present\", |key, meta| { socket.present(key, meta); });
        socket.on(\"absent\", |key| { socket.absent(key); });
        socket.on(\"who\", || io.present());
        socket.on(\"metas\", |key| io.present(key));
        socket.on(\"is\", |key| io.is_present(key));
        socket.on(\"run\", |code| {
            switch code {
                \"flip\" => { socket.absent(\"ada\"); socket.present(\"ada\", 2); }
                \"leave\" => { socket.disconnect(); socket.present(\"late\"); }
                \"others\" => { for other in io.sockets { other.present(\"everybody\", other.id == socket.id); } }
                \"again\" => { socket.absent(\"nobody\"); socket.absent(\"nobody\"); }
            }
        });
    }
    fn on_present(key, meta) { print(`+ ${key} ${meta}`); }
    fn on_absent(key, meta) { print(`- ${key} ${meta}`); }";

fn serve(script: &str) -> TestHost {
    serve_with(script, GRACE)
}

/// Returns a host with a grace time, in milliseconds.
fn serve_with(script: &str, grace: u64) -> TestHost {
    let mut options = options();
    options.clients.presence_grace = Duration::from_millis(grace);
    let host = TestHost::build([("main.rhai", script)], |builder| builder.options(options));
    assert_eq!(host.problems(), NONE, "{script}");
    host
}

fn connect(host: &TestHost) -> TestClient {
    host.connect("/").unwrap()
}

/// Connects a client that is present under a key.
fn present(host: &TestHost, key: &str, meta: i64) -> TestClient {
    let client = connect(host);
    client.emit("present", (key, meta));
    client
}

fn ask(client: &TestClient, event: &str, args: impl serde::Serialize) -> String {
    client.ask(event, args).unwrap_or_else(|| "-".to_owned())
}

#[test]
fn a_key_is_present_while_one_of_its_sockets_is() {
    let host = serve(SCRIPT);
    let watcher = connect(&host);
    assert_eq!(ask(&watcher, "who", ()), "[[]]");
    let [one, two] = [1, 2].map(|tab| present(&host, "ada", tab));
    assert_eq!(host.log(), ["+ ada 1"]);
    let _bob = present(&host, "bob", 3);
    assert_eq!(host.log(), ["+ bob 3"]);
    assert_eq!(ask(&watcher, "who", ()), "[[\"ada\",\"bob\"]]");
    assert_eq!(ask(&watcher, "metas", ["ada"]), "[[1,2]]");
    one.disconnect();
    host.advance(60_000);
    assert_eq!(host.log(), NONE, "another tab is still there");
    assert_eq!(ask(&watcher, "metas", ["ada"]), "[[2]]");
    two.disconnect();
    host.advance(GRACE - 1);
    assert_eq!(host.log(), NONE, "it may come back");
    assert_eq!(ask(&watcher, "metas", ["ada"]), "[[2]]");
    assert_eq!(ask(&watcher, "is", ["ada"]), "[true]");
    host.advance(1);
    assert_eq!(host.log(), ["- ada 2"]);
    assert_eq!(ask(&watcher, "who", ()), "[[\"bob\"]]");
    assert_eq!(ask(&watcher, "metas", ["ada"]), "[[]]");
    assert_eq!(ask(&watcher, "is", ["ada"]), "[false]");
}

#[test]
fn a_client_that_comes_back_in_time_was_never_away() {
    let host = serve(SCRIPT);
    let first = present(&host, "ada", 1);
    assert_eq!(host.log(), ["+ ada 1"]);
    first.disconnect();
    host.advance(GRACE - 1);
    let second = present(&host, "ada", 2);
    host.advance(60_000);
    assert_eq!(host.log(), NONE);
    assert_eq!(ask(&second, "metas", ["ada"]), "[[2]]");
    second.disconnect();
    host.advance(GRACE);
    assert_eq!(host.log(), ["- ada 2"]);
    let _third = present(&host, "ada", 3);
    assert_eq!(host.log(), ["+ ada 3"]);
}

#[test]
fn grace_times_of_many_keys_end_one_after_the_other() {
    let host = serve(SCRIPT);
    let clients: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|key| present(&host, key, 1))
        .collect();
    host.log();
    for client in clients {
        client.disconnect();
        host.advance(1_000);
    }
    host.advance(1_999);
    assert_eq!(host.log(), NONE);
    for key in ["a", "b", "c"] {
        host.advance(1);
        assert_eq!(host.log(), [format!("- {key} 1")]);
        host.advance(999);
    }
}

#[test]
fn without_a_grace_time_a_key_is_absent_at_once() {
    let host = serve_with(SCRIPT, 0);
    let ada = present(&host, "ada", 1);
    ada.disconnect();
    assert_eq!(host.log(), ["+ ada 1", "- ada 1"]);
    assert_eq!(ask(&connect(&host), "who", ()), "[[]]");
}

#[test]
fn a_key_that_is_removed_on_purpose_has_no_grace_time() {
    let host = serve(SCRIPT);
    let (one, two) = (present(&host, "ada", 1), present(&host, "ada", 2));
    host.log();
    one.emit("absent", ["ada"]);
    assert_eq!(host.log(), NONE);
    two.emit("absent", ["ada"]);
    assert_eq!(host.log(), ["- ada 2"]);
    two.emit("absent", ["ada"]);
    two.emit("run", ["again"]);
    one.disconnect();
    host.advance(60_000);
    assert_eq!(host.log(), NONE, "nothing is left to remove");
}

#[test]
fn a_listener_of_the_disconnect_can_end_the_grace_time() {
    let host = serve(
        "fn on_connection(socket) {
            socket.present(\"ada\");
            socket.on(\"disconnect\", |reason| {
                print(`${io.is_present(\"ada\")}`);
                if reason == \"client namespace disconnect\" { socket.absent(\"ada\"); }
                socket.present(\"bob\");
                print(`${io.present()}`);
            });
        }
        fn on_absent(key) { print(`- ${key}`); }",
    );
    connect(&host).disconnect();
    assert_eq!(host.log(), ["true", "[]", "- ada"]);
}

#[test]
fn new_data_of_a_socket_calls_no_hook() {
    let host = serve(SCRIPT);
    let ada = present(&host, "ada", 1);
    ada.emit("present", ("ada", 2));
    assert_eq!(host.log(), ["+ ada 1"]);
    assert_eq!(ask(&ada, "metas", ["ada"]), "[[2]]");
    ada.emit("run", ["flip"]);
    assert_eq!(host.log(), NONE, "the hooks never learned that it was away");
}

#[test]
fn a_socket_can_have_several_keys_and_leaves_them_all() {
    let host = serve(SCRIPT);
    let ada = present(&host, "ada", 1);
    ada.emit("present", ("admins", 1));
    host.log();
    ada.disconnect();
    host.advance(GRACE);
    assert_eq!(host.log(), ["- ada 1", "- admins 1"]);
}

#[test]
fn a_socket_that_has_disconnected_becomes_present_no_more() {
    let host = serve(SCRIPT);
    connect(&host).emit("run", ["leave"]);
    host.advance(60_000);
    assert_eq!(host.log(), NONE);
    assert_eq!(ask(&connect(&host), "who", ()), "[[]]");
}

#[test]
fn other_sockets_can_be_made_present() {
    let host = serve(SCRIPT);
    let [ada, bob] = [(); 2].map(|()| connect(&host));
    bob.emit("run", ["others"]);
    assert_eq!(host.log(), ["+ everybody false"]);
    assert_eq!(ask(&ada, "metas", ["everybody"]), "[[false,true]]");
}

#[test]
fn presence_has_no_place_in_the_handshake() {
    for call in ["present(\"ada\")", "absent(\"ada\")"] {
        let host = TestHost::new(&format!(
            "fn on_handshake(socket) {{ socket.{call}; }} fn on_connection(socket) {{ }}"
        ));
        assert_eq!(host.connect("/").unwrap_err().0, "handshake failed");
        let problems = host.problems().join("");
        let place = "has no place before the client is connected: call it in `on_connection`";
        assert!(problems.contains(place), "{problems}");
    }
}

#[test]
fn hooks_run_after_the_call_that_caused_them() {
    let host = serve(
        "fn on_connection(socket) {
            print(\"begin\");
            socket.present(\"ada\");
            print(`end ${io.is_present(\"ada\")}`);
        }
        fn on_present(key) { print(`hook ${io.present()}`); io.emit(\"online\", key); }",
    );
    let ada = connect(&host);
    assert_eq!(host.log(), ["begin", "end true", "hook [\"ada\"]"]);
    assert_eq!(ada.heard(), ["online [\"ada\"]"]);
}

#[test]
fn a_hook_that_fails_is_reported_and_the_next_one_runs() {
    let host = serve(
        "fn on_connection(socket) { socket.present(socket.id); }
        fn on_present(key) { throw \"no\"; }
        fn on_absent(key) { print(\"absent\"); }",
    );
    connect(&host).disconnect();
    let problems = host.problems().join("");
    assert!(problems.contains("`on_present`"), "{problems}");
    host.advance(GRACE);
    assert_eq!(host.log(), ["absent"]);
}

#[test]
fn a_script_needs_neither_hook() {
    let host = serve(
        "fn on_connection(socket) { socket.present(\"ada\"); socket.on(\"who\", || io.present()); }",
    );
    let [one, two] = [(); 2].map(|()| connect(&host));
    assert_eq!(ask(&one, "who", ()), "[[\"ada\"]]");
    one.disconnect();
    two.disconnect();
    host.advance(GRACE);
    assert_eq!(host.problems(), NONE);
}

#[test]
fn namespaces_have_keys_of_their_own_and_see_each_other() {
    let host = TestHost::with([
        ("a.rhai", "fn on_connection(socket) { socket.present(\"ada\", 1); }"),
        (
            "b.rhai",
            "fn on_connection(socket) {
                let a = io.of(\"a\");
                socket.on(\"who\", || [io.present(), a.present(), a.present(\"ada\"), a.is_present(\"bob\")]);
            }",
        ),
    ]);
    let _ada = host.connect("/a").unwrap();
    let bob = host.connect("/b").unwrap();
    assert_eq!(ask(&bob, "who", ()), "[[[],[\"ada\"],[1],false]]");
}

const ROOM: &str = "fn on_connection(socket) {
        let n = io.data.incr(\"visitors\", 1);
        socket.present(\"ada\");
        socket.on(\"visitors\", || n);
    }
    fn on_absent(key) { print(`${io.name} ${key}`); }";

#[test]
fn an_instance_stays_until_its_grace_times_are_over() {
    let mut options = options();
    options.clients.presence_grace = Duration::from_secs(100);
    options.clients.max_namespaces = 1;
    let host = TestHost::build([("room/{id}.rhai", ROOM)], |b| b.options(options));
    host.connect("/room/1").unwrap().disconnect();
    host.advance(99_000);
    assert_eq!(host.log(), NONE);
    assert!(host.connect("/room/2").is_err(), "the other room is in use");
    host.advance(1_000);
    assert_eq!(host.log(), ["/room/1 ada"]);
    host.advance(29_000);
    let before = host.connect("/room/1").unwrap();
    assert_eq!(ask(&before, "visitors", ()), "[2]");
    before.disconnect();
    // The grace time, and the time for which an instance without clients is kept.
    host.advance(100_000 + 31_000);
    assert_eq!(host.log(), ["/room/1 ada"]);
    let after = host.connect("/room/1").unwrap();
    assert_eq!(ask(&after, "visitors", ()), "[1]", "the instance was freed");
    after.disconnect();
    host.advance(100_000);
    assert!(host.connect("/room/2").is_ok(), "there is room for it now");
}

#[test]
fn an_instance_whose_path_a_file_takes_over_calls_no_hook() {
    let mut host = TestHost::with([("room/{id}.rhai", ROOM)]);
    let _ada = host.connect("/room/1").unwrap();
    host.edit("room/1.rhai", "fn on_connection(socket) { }");
    host.advance(60_000);
    assert_eq!(host.log(), NONE);
}

#[test]
fn nobody_becomes_absent_because_the_server_ends() {
    for grace in [0, GRACE] {
        let host = serve_with(SCRIPT, grace);
        let _clients = ["ada", "bob"].map(|key| present(&host, key, 1));
        present(&host, "eve", 1).disconnect();
        host.log();
        host.close();
        host.advance(60_000);
        assert_eq!(host.log(), NONE, "{grace}");
    }
}

#[test]
fn an_inspection_shows_the_keys_of_a_socket() {
    let host = serve(
        "fn on_connection(socket) {
            socket.present(\"ada\", #{ name: \"Ada\" });
            socket.on(\"more\", || { socket.present(\"admins\"); socket.present(\"ada\", 7); });
        }",
    );
    let ada = connect(&host);
    ada.emit("more", ());
    let present = host.inspect(ada.id()).unwrap().present;
    let [first, second] = &present[..] else {
        panic!("{present:?}")
    };
    assert_eq!((&*first.name, &first.value), ("ada", &7.into()));
    assert_eq!(first.initial.as_ref().unwrap()["name"], "Ada");
    assert_eq!((&*second.name, &second.initial), ("admins", &None));
}

/// Waits for the next line that the script logs.
async fn logged(running: &mut Running) -> String {
    let line = |event| match event {
        HostEvent::Log { text, .. } => Some(text),
        _ => None,
    };
    running.announced(line).await
}

fn grace(time: Duration) -> impl FnOnce(patchcord::HostBuilder) -> patchcord::HostBuilder {
    let mut options = options();
    options.clients.presence_grace = time;
    move |builder| builder.options(options)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_vanishes_becomes_absent_after_the_grace_time() {
    let time = Duration::from_millis(50);
    let mut running = Running::new(&[("main.rhai", SCRIPT)], grace(time)).await;
    let mut ada = running.websocket().await;
    ada.connect("").await;
    ada.send("42[\"present\",\"ada\",1]").await;
    assert_eq!(logged(&mut running).await, "+ ada 1");
    drop(ada);
    assert_eq!(logged(&mut running).await, "- ada 1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reconnects_was_never_away() {
    let time = Duration::from_secs(3600);
    let (mut running, host) = Running::reloadable(|builder| {
        let scripts = patchcord::script::Memory::from([("main.rhai", SCRIPT)]);
        grace(time)(builder.loader(scripts))
    })
    .await;
    for tab in ["1", "2", "3"] {
        let mut ada = running.websocket().await;
        ada.connect("").await;
        ada.send(&format!("42[\"present\",\"ada\",{tab}]")).await;
        ada.send("421[\"metas\",\"ada\"]").await;
        let metas = ada.until(|packet| packet.starts_with("431")).await;
        assert!(metas.contains(tab), "{metas}");
        drop(ada);
    }
    assert_eq!(host.present_keys().into_values().sum::<usize>(), 1);
    assert_eq!(logged(&mut running).await, "+ ada 1");
    host.close().await;
    let rest = running.announced_so_far();
    let is_log = |event: &&HostEvent| matches!(event, HostEvent::Log { .. });
    assert_eq!(rest.iter().find(is_log), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_whose_file_comes_back_has_presence_again() {
    let folder = tempfile::tempdir().unwrap();
    let write = || std::fs::write(folder.path().join("chat.rhai"), SCRIPT).unwrap();
    std::fs::write(
        folder.path().join("main.rhai"),
        "fn on_connection(socket) { }",
    )
    .unwrap();
    write();
    let mut options = options();
    options.clients.presence_grace = Duration::from_millis(50);
    options.reload.missing_grace = Duration::from_millis(10);
    let (mut running, host) =
        Running::reloadable(|builder| builder.options(options).scripts(folder.path())).await;
    let present = async |running: &Running, meta: u8| {
        let mut ada = running.websocket().await;
        ada.connect("/chat,").await;
        let packet = format!("42/chat,[\"present\",\"ada\",{meta}]");
        ada.send(&packet).await;
        ada
    };
    let mut first = present(&running, 1).await;
    assert_eq!(logged(&mut running).await, "+ ada 1");
    std::fs::remove_file(folder.path().join("chat.rhai")).unwrap();
    while host.namespaces().contains(&"/chat".into()) {
        let _ = host.reload().await;
        tokio::task::yield_now().await;
    }
    first.until(|packet| packet == "41/chat,").await;
    write();
    host.reload().await.unwrap();
    let second = present(&running, 2).await;
    assert_eq!(logged(&mut running).await, "+ ada 2");
    drop(second);
    assert_eq!(logged(&mut running).await, "- ada 2");
}
