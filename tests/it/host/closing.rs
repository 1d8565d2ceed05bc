//! End of a host: it closes whatever happens meanwhile, serves nothing afterwards, and leaves nothing behind, even if
//! it is never closed.

use std::{
    fs,
    future::poll_fn,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};

use axum::Router;
use futures_util::{future::maybe_done, poll};
use patchcord::{
    Host, HostEvent, Options,
    script::{LoadError, Loader, Memory},
    testing::TestHost,
    watch::{WatchOptions, Watcher},
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use tower::Layer;

use crate::support::{
    gate::Gate,
    server::{Client, Running},
};

/// Longer than a host takes to end here; only a failing test waits for it.
const SOON: Duration = Duration::from_secs(20);

/// Returns options with which a host that waits for `drain_timeout` would never end.
fn options() -> Options {
    let mut options = patchcord::testing::options();
    options.transport.drain_timeout = Duration::from_secs(3600);
    options
}

/// Waits for something that must happen soon.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(SOON, future).await;
    ended.unwrap_or_else(|_| panic!("{what} does not end"))
}

/// Returns a script whose clients wait at the gate when they leave.
fn gated(version: u32) -> String {
    format!(
        "fn on_connection(socket) {{ }} fn on_disconnect(socket, reason) {{ pass(); }} // {version}"
    )
}

/// Host that is closing: the `on_disconnect` of a client waits at a gate.
struct Closing {
    scripts: TempDir,
    host: Host,
    gate: Gate,
    closed: JoinHandle<()>,
    _running: Running,
    _client: Client,
}

impl Closing {
    /// Begins to close a host in which the second version of a script serves. Returns the result of `prepare`, which
    /// runs before.
    async fn begin<T>(prepare: impl FnOnce(&Host) -> T) -> (Self, T) {
        let scripts = tempfile::tempdir().unwrap();
        save(scripts.path(), 1);
        let gate = Gate::default();
        let pass = gate.clone();
        let (running, host) = Running::reloadable(|builder| {
            builder
                .scripts(scripts.path())
                .options(options())
                .function("pass", move || pass.pass())
        })
        .await;
        let mut client = running.websocket().await;
        client.connect("").await;
        save(scripts.path(), 2);
        assert!(host.reload().await.is_ok());
        let prepared = prepare(&host);

        gate.shut_after(0);
        let closing = host.clone();
        let closed = tokio::spawn(async move { closing.close().await });
        let reached = gate.clone();
        tokio::task::spawn_blocking(move || reached.reached())
            .await
            .unwrap();
        let this = Self {
            scripts,
            host,
            gate,
            closed,
            _running: running,
            _client: client,
        };
        (this, prepared)
    }

    /// Opens the gate, and waits for `close` and for what was begun meanwhile.
    async fn ends(self, meanwhile: impl Future) {
        self.gate.open();
        let both = async { tokio::join!(self.closed, meanwhile).0 };
        soon("`close`, or what was begun meanwhile,", both)
            .await
            .unwrap();
        assert_eq!(self.host.namespaces(), [] as [Arc<str>; 0]);
    }
}

fn save(scripts: &Path, version: u32) {
    fs::write(scripts.join("main.rhai"), gated(version)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_closes_while_a_reload_begins() {
    let (closing, ()) = Closing::begin(|_| ()).await;
    let host = closing.host.clone();
    save(closing.scripts.path(), 3);
    // The reload makes as much progress as it can while the host closes.
    let mut reload = pin!(maybe_done(host.reload()));
    let _ = poll!(&mut reload);
    closing.ends(reload).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_closes_while_a_roll_back_begins() {
    let (closing, ()) = Closing::begin(|_| ()).await;
    let host = closing.host.clone();
    let mut rollback = pin!(maybe_done(host.rollback("/")));
    let _ = poll!(&mut rollback);
    closing.ends(rollback).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_closes_while_files_are_saved() {
    let (closing, _watching) = Closing::begin(|host| host.watch().unwrap()).await;
    let options = WatchOptions::default();
    let (_watcher, mut batches) = Watcher::start(closing.scripts.path(), options).unwrap();
    // When the second save is reported, the host has received the first one.
    for version in 3..5 {
        save(closing.scripts.path(), version);
        soon("the wait for a save", batches.next()).await.unwrap();
    }
    closing.ends(async {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_closes_waits_for_handlers_without_using_a_processor() {
    let gate = Gate::default();
    let pass = gate.clone();
    let script = gated(1);
    let scripts = Memory::from([("main.rhai", &*script)]);
    let (running, host) = Running::reloadable(|builder| {
        builder
            .loader(scripts)
            .options(options())
            .function("pass", move || pass.pass())
    })
    .await;
    let mut client = running.websocket().await;
    client.connect("").await;
    gate.shut_after(0);
    let opened = tokio::spawn(async move {
        let reached = gate.clone();
        tokio::task::spawn_blocking(move || reached.reached())
            .await
            .unwrap();
        // A thread that has nothing to wait for gets much time.
        for _ in 0..100_000 {
            tokio::task::yield_now().await;
        }
        gate.open();
    });
    // `close` runs on the thread of the test, because a worker waits at the gate, and with it the next tasks of that
    // worker.
    let mut polls = 0;
    let mut close = pin!(host.close());
    let closed = poll_fn(|context| {
        polls += 1;
        close.as_mut().poll(context)
    });
    soon("`close`", closed).await;
    opened.await.unwrap();
    assert!(polls < 1_000, "it was polled {polls} times and had to wait");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_was_closed_serves_nothing_again() {
    let scripts = [("main.rhai", "fn on_connection(socket) { }")];
    let scripts = Memory::from(scripts);
    let (running, host) =
        Running::reloadable(|builder| builder.loader(scripts).options(options())).await;
    let mut client = running.websocket().await;
    client.connect("").await;
    soon("`close`", host.close()).await;
    drop(soon("`reload`", host.reload()).await);
    assert_eq!(host.namespaces(), [] as [Arc<str>; 0]);
    drop(soon("`rollback`", host.rollback("/")).await);
    drop(soon("`load`", host.load()).await);
    assert_eq!(host.namespaces(), [] as [Arc<str>; 0]);
    soon("a second `close`", host.close()).await;
}

/// Closes a host that rolls back automatically, with six clients whose `on_disconnect` fails.
async fn close_with_failures(versions: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("main.rhai");
    fs::write(&main, versions[0]).unwrap();
    let mut options = options();
    options.reload.rollback_on_errors = true;
    let (mut running, host) =
        Running::reloadable(|builder| builder.scripts(folder.path()).options(options)).await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        let mut client = running.websocket().await;
        client.connect("").await;
        clients.push(client);
    }
    for version in &versions[1..] {
        fs::write(&main, version).unwrap();
        assert!(host.reload().await.is_ok());
    }
    soon("`close`", host.close()).await;
    let (mut left, mut rolled_back) = (0, 0);
    while let Ok(event) = running.events.try_recv() {
        match event {
            HostEvent::Log { .. } => left += 1,
            HostEvent::RolledBack { .. } => rolled_back += 1,
            _ => {}
        }
    }
    assert_eq!((left, rolled_back), (6, 0));
    assert_eq!(host.namespaces(), [] as [Arc<str>; 0]);
}

const FINE: &str = "fn on_connection(socket) { }";
const FAILS: &str = "fn on_connection(socket) { }
    fn on_disconnect(socket, reason) { print(reason); throw \"no\"; }";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_closes_although_the_first_version_fails_on_every_client_that_leaves() {
    close_with_failures(&[FAILS]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_closes_although_a_later_version_fails_on_every_client_that_leaves() {
    close_with_failures(&[FINE, FAILS]).await;
}

/// Loader of the application, which is freed with the host that reads from it.
#[derive(Debug)]
struct Own {
    files: Memory,
    watched: Option<PathBuf>,
    _alive: Arc<()>,
}

impl Own {
    /// Returns a loader of one script, and a handle that shows whether the loader is freed.
    fn new(script: &str, watched: Option<PathBuf>) -> (Self, Weak<()>) {
        let alive = Arc::new(());
        let freed = Arc::downgrade(&alive);
        let own = Self {
            files: Memory::from([("main.rhai", script)]),
            watched,
            _alive: alive,
        };
        (own, freed)
    }
}

impl Loader for Own {
    fn list(&self) -> Result<Vec<String>, LoadError> {
        self.files.list()
    }

    fn read(&self, name: &str) -> Result<String, LoadError> {
        self.files.read(name)
    }

    fn watched(&self) -> Option<&Path> {
        self.watched.as_deref()
    }
}

/// Waits until nothing of a host is left; tasks that have ended release it a moment later.
async fn until_freed(host: &Weak<()>) {
    let freed = async {
        while host.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon("the life of a host that nobody holds", freed).await;
}

/// Connects a client to an app and disconnects it, and then ends the app. Its connections end with the client.
async fn visit(app: Router, host: &Host) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
    let mut client = Client::at(&url).await;
    client.connect("").await;
    client.send("421[\"ask\"]").await;
    let answer = client.until(|packet| packet.starts_with("43")).await;
    assert_eq!(answer, "431[1]");
    drop(client);
    let left = async {
        while host.sockets().values().sum::<usize>() > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon("the connection of a client that has left", left).await;
    serving.abort();
    // The task was cancelled, so its result is an error.
    drop(serving.await);
}

const ASK: &str = "fn on_connection(socket) {
    socket.join(\"room\");
    socket.on(\"ask\", || { io.to(\"room\").emit(\"asked\"); io.data.asked = 1; io.data.asked });
}";

/// Script that always returns the same answer, and works in its namespace while no client is in it.
const WORKS: &str =
    "fn on_load() { let n = 0; set_interval(|| { n += 1; io.data.n = n; }, 3600000); }
    io.on(\"connection\", |socket| {
        socket.on(\"ask\", || 1);
        set_interval(|| socket.emit(\"tick\"), 3600000);
    });";

async fn serve_and_drop(script: &str) {
    let (scripts, freed) = Own::new(script, None);
    let host = Host::builder().options(options()).loader(scripts).build();
    host.load().await.unwrap();
    let app = host.service(Router::new()).unwrap();
    visit(app, &host).await;
    drop(host);
    until_freed(&freed).await;
}

async fn attach_and_drop(script: &str) {
    let (scripts, freed) = Own::new(script, None);
    let host = Host::builder().options(options()).loader(scripts).build();
    host.load().await.unwrap();
    let (layer, io) = options().socket_io().build_layer();
    host.attach(&io).unwrap();
    let app = Router::new().fallback_service(layer.layer(Router::new()));
    drop(layer);
    visit(app, &host).await;
    drop((host, io));
    until_freed(&freed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_was_never_served_is_freed_when_it_is_dropped() {
    let (scripts, freed) = Own::new(ASK, None);
    let host = Host::builder().loader(scripts).build();
    host.load().await.unwrap();
    host.reload().await.unwrap();
    drop(host);
    until_freed(&freed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_served_an_app_is_freed_when_it_is_dropped() {
    serve_and_drop(ASK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_was_attached_is_freed_when_it_is_dropped() {
    attach_and_drop(ASK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_whose_namespace_works_by_itself_is_freed_when_it_is_dropped() {
    serve_and_drop(WORKS).await;
    attach_and_drop(WORKS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_watched_its_scripts_is_freed_when_both_are_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let (scripts, freed) = Own::new(ASK, Some(folder.path().to_owned()));
    let host = Host::builder().loader(scripts).build();
    host.load().await.unwrap();
    let watching = host.watch().unwrap();
    drop(host);
    drop(watching);
    until_freed(&freed).await;
}

/// Value of the application that scripts receive.
#[derive(Clone)]
struct Held(#[allow(dead_code, reason = "its clones are counted")] Arc<()>);

#[test]
fn a_host_in_memory_is_freed_when_it_is_dropped() {
    for script in [ASK, WORKS] {
        let token = Arc::new(());
        let given = Held(token.clone());
        let host = TestHost::build([("main.rhai", script)], |builder| {
            builder.function("token", move || given.clone())
        });
        let clients = [host.connect("/").unwrap(), host.connect("/").unwrap()];
        assert_eq!(clients[0].ask("ask", ()).as_deref(), Some("[1]"));
        clients[0].disconnect();
        // The host is dropped while `clients[1]` is still connected.
        drop((host, clients));
        assert_eq!(Arc::strong_count(&token), 1, "{script}");
    }
}

/// Waits until nothing holds a value any more.
async fn is_freed(value: &Weak<()>) {
    let freed = async {
        while value.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    soon("the life of what a host that nobody holds has begun", freed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_an_instance_with_braces_in_its_path_hears_of_the_end() {
    let script = "fn on_connection(socket) { }
        fn on_disconnect(socket, reason) { print(`${socket.nsp} ${reason}`); }";
    let scripts = Memory::from([("room/{id}.rhai", script)]);
    let build = |builder: patchcord::HostBuilder| builder.loader(scripts).options(options());
    let (mut running, host) = Running::reloadable(build).await;
    let mut client = running.websocket().await;
    client.connect("/room/{x},").await;
    soon("`close`", host.close()).await;
    let heard = running
        .announced(|event| match event {
            HostEvent::Log { text, .. } => Some(text),
            _ => None,
        })
        .await;
    assert_eq!(heard, "/room/{x} server shutting down");
}

#[test]
fn a_host_is_dropped_outside_of_a_runtime() {
    let script = "fn on_load() { io.data.n = 1; } fn on_connection(socket) { }";
    let scripts = Memory::from([("room/{id}.rhai", script)]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let host = runtime.block_on(async {
        let (running, host) = Running::reloadable(|builder| builder.loader(scripts)).await;
        let mut client = running.websocket().await;
        client.connect("/room/1,").await;
        host
    });
    drop(runtime);
    // A panic fails the test.
    drop(host);
}

/// Loader of one script, which waits at a gate.
#[derive(Debug)]
struct Slow {
    text: Arc<std::sync::Mutex<String>>,
    gate: Gate,
}

impl Loader for Slow {
    fn list(&self) -> Result<Vec<String>, LoadError> {
        Ok(vec!["main.rhai".to_owned()])
    }

    fn read(&self, _: &str) -> Result<String, LoadError> {
        self.gate.pass();
        Ok(self.text.lock().unwrap().clone())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_that_runs_when_the_host_is_dropped_leaves_nothing_behind() {
    let (gate, text) = (Gate::default(), Arc::new(std::sync::Mutex::default()));
    "fn on_connection(socket) { }".clone_into(&mut *text.lock().unwrap());
    let loader = Slow {
        text: text.clone(),
        gate: gate.clone(),
    };
    let token = Arc::new(());
    let life = Arc::downgrade(&token);
    let host = Host::builder()
        .loader(loader)
        .function("token", move || drop(token.clone()))
        .build();
    let _ = host.load().await;
    "fn on_load() { set_interval(|| token(), 50); } fn on_connection(socket) { }"
        .clone_into(&mut *text.lock().unwrap());
    gate.shut_after(0);
    let reloading = host.clone();
    let reloading = tokio::spawn(async move { drop(reloading.reload().await) });
    let reached = gate.clone();
    tokio::task::spawn_blocking(move || reached.reached())
        .await
        .unwrap();
    reloading.abort();
    drop(reloading.await);
    drop(host);
    gate.open();
    is_freed(&life).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_is_asked_for_while_the_host_closes_is_not_made() {
    let (gate, token) = (Gate::default(), Arc::new(()));
    let (pass, life) = (gate.clone(), Arc::downgrade(&token));
    let script = "fn on_load() { set_interval(|| { }, 50); } fn on_connection(socket) { }
        fn on_disconnect(socket, reason) { pass(); }";
    let scripts = Memory::from([("room/{id}.rhai", script)]);
    let build = |builder: patchcord::HostBuilder| {
        let pass = move || {
            let _held = &token;
            pass.pass();
        };
        builder
            .loader(scripts)
            .options(options())
            .function("pass", pass)
    };
    let (running, host) = Running::reloadable(build).await;
    let mut first = running.websocket().await;
    first.connect("/room/1,").await;
    let mut second = running.websocket().await;
    second.next().await;
    gate.shut_after(0);
    let closing = host.clone();
    let closing = tokio::spawn(async move { closing.close().await });
    let reached = gate.clone();
    tokio::task::spawn_blocking(move || reached.reached())
        .await
        .unwrap();
    second.send("40/room/2,").await;
    // Its transport closes. A client connects again by itself then, and does not after a refusal.
    while let Some(packet) = second.next().await {
        assert!(!packet.contains("/room/2,"), "{packet}");
    }
    gate.open();
    soon("`close`", closing).await.unwrap();
    drop((first, second, running, host));
    is_freed(&life).await;
}
