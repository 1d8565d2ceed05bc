//! Host in an application: functions of its own, explicit loads, several hosts at once.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::Request};
use futures_util::{StreamExt, stream};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use patchcord::{
    AttachError, Functions, Host, HostBuilder, HostEvent, Level, Options, Signature,
    host::{OnRebindFailure, Outcome, Transport},
    script::{Changes, LoadError, Loader, Memory},
    testing::TestHost,
};
use tokio::{
    io::BufStream,
    net::TcpListener,
    sync::{broadcast::error::RecvError, watch},
};
use tower::ServiceExt;

use crate::support::server::{Client, ECHO, get};

/// Type of the application.
#[derive(Debug, Clone)]
struct User {
    name: String,
}

fn with_functions(builder: HostBuilder) -> HostBuilder {
    let users = Functions::new()
        .function(
            Signature::new("find(id)").doc("The user of an id.\n\nThere is always one."),
            |id: i64| User {
                name: format!("user {id}"),
            },
        )
        .effect("rename(user, name)", |user: &mut User, name: &str| {
            user.name = name.to_owned();
        })
        .async_function(
            Signature::new("load(id)").doc("Asks the database."),
            |id: i64| async move { Ok::<_, String>(id) },
        );
    builder
        .module("users", users)
        .function("get$name(user)", |user: &mut User| user.name.clone())
        .function(
            Signature::new("twice(n)").doc("Two times `n`."),
            |n: i64| n * 2,
        )
        .function("half", |n: i64| n / 2)
        .function("checked(text)", |text: &str| {
            text.parse::<i64>()
                .map_err(|error| error.to_string().into())
                as Result<i64, Box<patchcord::rhai::EvalAltResult>>
        })
}

fn problems(script: &str) -> Vec<String> {
    let scripts = Memory::from([("main.rhai", script)]);
    let host = with_functions(Host::builder().loader(scripts)).build();
    let found = host.check().unwrap();
    found.iter().map(ToString::to_string).collect()
}

#[test]
fn functions_of_the_program_are_called_from_scripts() {
    let script = r#"fn on_connection(socket) {
        let user = users::find(7);
        socket.on("name", || user.name);
        socket.on("rename", |name| { user.rename(name); user.name });
        socket.on("twice", |n| twice(n) + half(n) + checked("1"));
        users::load(3, |err, id| socket.emit("loaded", id));
    }"#;
    let mut host = TestHost::build([("main.rhai", script)], with_functions);
    let client = host.connect("/").unwrap();
    host.advance(1);
    assert_eq!(client.heard(), ["loaded [3]"]);
    assert_eq!(client.ask("name", ()).as_deref(), Some("[\"user 7\"]"));
    assert_eq!(client.ask("rename", ["x"]).as_deref(), Some("[\"x\"]"));
    assert_eq!(client.ask("twice", [4]).as_deref(), Some("[11]"));
    host.edit("main.rhai", &script.replace("+ half(n)", ""));
    assert_eq!(client.ask("twice", [4]).as_deref(), Some("[9]"));
    host.advance(1);
    assert_eq!(client.heard(), [] as [&str; 0], "a draft loads nothing");
    assert_eq!(host.problems(), [] as [&str; 0]);
}

#[test]
fn definitions_have_the_functions_of_the_program_with_their_comments() {
    let host = with_functions(Host::builder()).build();
    let definitions = host.definitions();
    for expected in [
        "\n/// Two times `n`.\nfn twice(n: int) -> int;\n",
        "\nfn half(arg1: int) -> int;\n",
        "\nfn checked(text: string) -> int;\n",
        "\nfn get name(user: User) -> string;\n",
        "\nmodule users {",
        "\n    /// The user of an id.\n    ///\n    /// There is always one.\n    fn find(id: int) -> User;\n",
        "\n    /// Asks the database.\n    fn load(id: int, then: Fn) -> ();\n",
        "fn rename(user: User, name: string) -> ();\n",
    ] {
        assert!(
            definitions.contains(expected),
            "{expected} is not in {}",
            definitions
                .split("fn ")
                .filter(|d| d.contains("User") || d.contains("twice") || d.contains("half"))
                .collect::<String>()
        );
    }
    let reference = host.reference();
    assert!(
        reference.contains("### `twice(n)`\n\n`n`: int. Returns int.\n\nTwo times `n`."),
        "{reference}"
    );
    assert!(
        reference
            .contains("### `users::find(id)`\n\n`id`: int. Returns User.\n\nThe user of an id."),
        "{reference}"
    );
}

#[test]
fn a_check_knows_the_functions_of_the_program() {
    let fine = "fn on_connection(socket) { let user = users::find(1); user.rename(\"x\"); socket.emit(user.name, twice(1)); }";
    assert_eq!(problems(fine), [] as [&str; 0]);
    for (call, expected) in [
        (
            "users::find()",
            "function `users::find` takes 1 argument, found none",
        ),
        ("users::fnd(1)", "unknown function `users::fnd`"),
        ("twise(1)", "unknown function `twise`"),
        ("twice(1, 2)", "function `twice` takes 1 argument, found 2"),
    ] {
        let found = problems(&format!(
            "fn on_connection(socket) {{ socket.emit(\"x\", {call}); }}"
        ));
        assert!(
            found.iter().any(|problem| problem.contains(expected)),
            "{call}: {found:?}"
        );
    }
}

#[test]
fn hosts_in_one_process_have_functions_limits_and_data_of_their_own() {
    let script = "fn on_connection(socket) {
        socket.on(\"who\", || who());
        socket.on(\"count\", || { io.data.incr(\"n\", 1); io.data.n });
        socket.on(\"long\", || { let n = 0; while n < 5000 { n += 1; } n });
    }";
    let host = |name: &'static str, operations: u64| {
        TestHost::build([("main.rhai", script)], |builder| {
            let mut options = patchcord::testing::options();
            options.limits.operations = operations;
            builder.options(options).function("who", move || name)
        })
    };
    let (small, large) = (host("small", 1_000), host("large", 1_000_000));
    let (ada, bob) = (small.connect("/").unwrap(), large.connect("/").unwrap());
    for n in 1..=3 {
        assert_eq!(ada.ask("who", ()).as_deref(), Some("[\"small\"]"));
        assert_eq!(bob.ask("who", ()).as_deref(), Some("[\"large\"]"));
        assert_eq!(ada.ask("count", ()), Some(format!("[{n}]")));
        assert_eq!(ada.ask("long", ()), None);
        assert_eq!(bob.ask("long", ()).as_deref(), Some("[5000]"));
    }
    assert_eq!(bob.ask("count", ()).as_deref(), Some("[1]"));
    assert_eq!(small.problems().len(), 3);
    assert_eq!(large.problems(), [] as [&str; 0]);
}

/// Loader with scripts in memory, which a test changes.
#[derive(Debug, Clone, Default)]
struct Table(Arc<Mutex<BTreeMap<String, String>>>);

impl Table {
    fn save(&self, name: &str, text: &str) {
        self.0
            .lock()
            .unwrap()
            .insert(name.to_owned(), text.to_owned());
    }
}

impl Loader for Table {
    fn list(&self) -> Result<Vec<String>, LoadError> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }

    fn read(&self, name: &str) -> Result<String, LoadError> {
        let files = self.0.lock().unwrap();
        files
            .get(name)
            .cloned()
            .ok_or_else(|| LoadError::NotFound(name.to_owned()))
    }
}

#[tokio::test]
async fn a_host_is_loaded_reloaded_and_rolled_back_by_call() {
    let table = Table::default();
    let host = Host::builder().loader(table.clone()).build();
    table.save("main.rhai", "fn on_connection(socket) { }");
    table.save("broken.rhai", "fn on_connection(socket) {");
    let problems = host.load().await.unwrap_err().diagnostics;
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].to_string().contains("broken.rhai:1"),
        "{}",
        problems[0]
    );
    assert_eq!(host.namespaces(), ["/".into()]);

    table.save("broken.rhai", "fn on_connection(socket) { }");
    assert!(host.reload().await.is_ok());
    assert_eq!(host.namespaces(), ["/".into(), "/broken".into()]);
    assert!(host.reload().await.is_ok(), "nothing has changed");

    table.save("main.rhai", "fn on_connection(socket) { socket.emti(1); }");
    let problems = host.reload().await.unwrap_err().diagnostics;
    assert_eq!(problems[0].message, "unknown function `emti` on `socket`");
    let outcomes = |host: &Host| {
        let host = host.clone();
        async move {
            let records = host.history("/").await;
            records
                .iter()
                .map(|record| (record.number, record.outcome))
                .collect::<Vec<_>>()
        }
    };
    assert_eq!(
        outcomes(&host).await,
        [(1, Outcome::Loaded), (2, Outcome::Rejected)]
    );

    table.save(
        "main.rhai",
        "fn on_connection(socket) { socket.emit(\"x\"); }",
    );
    let report = host.reload().await.unwrap();
    let kinds: Vec<_> = report.events.iter().map(HostEvent::kind).collect();
    assert_eq!(kinds, ["replaced"]);
    assert_eq!(report.reload("/").unwrap().rebound, 0);
    assert_eq!(
        (report.reload("/broken"), report.batch.is_some()),
        (None, true)
    );
    assert_eq!(host.rollback("/").await.unwrap(), 1);
    assert!(
        host.reload().await.is_ok(),
        "what was rolled back is not tried again"
    );
    assert_eq!(
        outcomes(&host).await[2..],
        [(2, Outcome::Replaced), (1, Outcome::RolledBack)]
    );
    assert!(host.rollback("/nobody").await.is_err());
}

#[tokio::test]
async fn two_hosts_serve_one_app_under_two_paths() {
    let host = |path: &'static str| async move {
        let mut options = patchcord::testing::options();
        options.transport.path = path.to_owned();
        let script =
            "fn on_connection(socket) { socket.emit(\"path\", path(), io.sockets.len()); }";
        let host = Host::builder()
            .options(options)
            .loader(Memory::from([("main.rhai", script)]))
            .function("path", move || path)
            .build();
        assert!(host.load().await.is_ok());
        host
    };
    let (game, chat) = (host("/game").await, host("/chat").await);
    let app = chat.service(game.service(Router::new()).unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut clients = Vec::new();
    for path in ["/game", "/chat"] {
        let url = format!("ws://{address}{path}/?EIO=4&transport=websocket");
        let mut client = Client::at(&url).await;
        client.connect("").await;
        let path = format!("42[\"path\",\"{path}\",1]");
        assert_eq!(client.next().await.unwrap(), path);
        clients.push(client);
    }
    game.close().await;
    assert_eq!(
        clients[0].next().await.as_deref(),
        Some("1"),
        "it is closed"
    );
    assert_eq!(chat.sockets().into_values().collect::<Vec<_>>(), [1]);
}

#[test]
fn what_a_program_holds_can_be_sent_to_other_threads() {
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Host>();
    is_shared::<patchcord::HostEvent>();
    is_shared::<patchcord::host::Watching>();
    is_shared::<Functions>();
    is_shared::<HostBuilder>();
    is_shared::<TestHost>();
    is_shared::<patchcord::AttachError>();
    is_shared::<patchcord::WatchError>();
    is_shared::<patchcord::host::RollbackError>();
    is_shared::<patchcord::script::LoadError>();
    is_shared::<patchcord::server::ServerError>();
}

#[tokio::test]
async fn everything_leaves_through_a_stream_with_a_buffer_of_its_own() {
    let host = Host::builder()
        .loader(Memory::from([("main.rhai", ECHO)]))
        .build();
    let _ = host.load().await;
    let app = host.service(Router::new()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(move |request: Request<_>| app.clone().oneshot(request));
        // Like TLS, this stream may keep written bytes until it is flushed.
        let stream = TokioIo::new(BufStream::new(stream));
        let serving = http1::Builder::new().serve_connection(stream, service);
        serving.with_upgrades().await
    });
    let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
    let mut client = Client::at(&url).await;
    client.connect("").await;
    client.send("421[\"echo\",1]").await;
    let answer = client.until(|packet| packet.starts_with("43")).await;
    assert_eq!(answer, "431[1]");
}

/// Serves an app on a free port.
async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn echo_host() -> Host {
    let scripts = Memory::from([("main.rhai", ECHO)]);
    let host = Host::builder().loader(scripts).build();
    host.load().await.unwrap();
    host
}

#[tokio::test]
async fn a_host_is_a_layer_around_an_app_or_a_router_in_it() {
    let page = || Router::new().route("/page", axum::routing::get(|| async { "a page" }));
    let (around, inside) = (echo_host().await, echo_host().await);
    let apps = [
        page().layer(around.layer().unwrap()),
        page().merge(inside.router().unwrap()),
    ];
    for app in apps {
        let address = serve(app).await;
        assert!(get(address, "/page").await.ends_with("a page"));
        assert!(get(address, "/other").await.starts_with("HTTP/1.1 404"));
        assert!(
            get(address, "/socket.io/?EIO=4&transport=polling")
                .await
                .contains("\"sid\"")
        );
        let mut client = Client::at(&format!(
            "ws://{address}/socket.io/?EIO=4&transport=websocket"
        ))
        .await;
        client.connect("").await;
        client.send("420[\"echo\",1]").await;
        client.until(|packet| packet == "42[\"echo\",1]").await;
    }
    // A host serves once.
    for again in [around.layer().map(drop), around.router().map(drop)] {
        assert!(matches!(again, Err(AttachError::ServesAlready)));
    }
}

#[tokio::test]
async fn a_subscriber_hears_every_event_and_how_many_it_has_missed() {
    let host = echo_host().await;
    let (mut fast, mut slow) = (host.subscribe(), host.subscribe());
    for _ in 0..1_100 {
        host.pause().await;
        let paused = fast.recv().await.unwrap();
        assert_eq!((paused.kind(), paused.level()), ("paused", Level::Info));
        let _ = host.resume().await;
        assert_eq!(
            fast.recv().await.unwrap().to_string(),
            "resumed: saves take effect again"
        );
    }
    assert!(
        matches!(slow.recv().await, Err(RecvError::Lagged(missed)) if missed == 2 * 1_100 - 1_024)
    );
    assert_eq!(slow.recv().await.unwrap().kind(), "paused");
}

#[test]
fn a_signature_that_cannot_be_read_is_an_error() {
    for text in ["f", "f()", " f ( a, b ) ", "get$name(user)", "f(_, b)"] {
        assert!(text.parse::<Signature>().is_ok(), "{text}");
    }
    for text in [
        "", "f(", "f(a", "f(a)b", "f(a,)", "f(a b)", "1f", "f g(a)", "let(a)", "f(if)",
    ] {
        let error = text.parse::<Signature>().unwrap_err();
        assert_eq!(error.text, text);
        assert!(
            std::panic::catch_unwind(|| Signature::new(text)).is_err(),
            "{text}"
        );
    }
    let surplus = || drop(Host::builder().function("f(a, b)", |a: i64| a));
    assert!(std::panic::catch_unwind(surplus).is_err());
}

/// Changes an option.
type Change = fn(&mut Options);

#[test]
fn an_option_with_which_no_host_can_work_is_named() {
    let wrong: [(Change, &str); 14] = [
        (
            |o| o.transport.path = "ws".to_owned(),
            "option `transport.path`: expected a path such as `/socket.io`",
        ),
        (
            |o| o.transport.path = "/ws/".to_owned(),
            "option `transport.path`: expected a path such as `/socket.io`",
        ),
        (
            |o| o.transport.path = "/".to_owned(),
            "option `transport.path`: expected a path such as `/socket.io`",
        ),
        (
            |o| o.transport.path = "/{id}".to_owned(),
            "option `transport.path`: expected a path such as `/socket.io`",
        ),
        (
            |o| o.transport.transports.clear(),
            "option `transport.transports`: expected `polling`, `websocket` or both",
        ),
        (
            |o| o.transport.ping_interval = Duration::ZERO,
            "option `transport.ping_interval`: it must be greater than zero",
        ),
        (
            |o| o.transport.ping_timeout = Duration::MAX,
            "option `transport.ping_timeout`: at most 365 days is possible",
        ),
        (
            |o| o.transport.drain_timeout = Duration::MAX,
            "option `transport.drain_timeout`: at most 365 days is possible",
        ),
        (
            |o| o.transport.max_backlog = 0,
            "option `transport.max_backlog`: it must be greater than zero",
        ),
        (
            |o| o.clients.max_connections = Some(0),
            "option `clients.max_connections`: it must be greater than zero",
        ),
        (
            |o| o.reload.poll = Some(Duration::ZERO),
            "option `reload.poll`: it must be greater than zero",
        ),
        (
            |o| o.limits.operations = 0,
            "option `limits.operations`: it must be greater than zero",
        ),
        (
            |o| o.limits.call_levels = 65,
            "option `limits.call_levels`: at most 64 is possible",
        ),
        (
            |o| o.limits.nesting = 121,
            "option `limits.nesting`: at most 120 is possible",
        ),
    ];
    assert_eq!(Options::default().validate(), Ok(()));
    for (change, message) in wrong {
        let mut options = Options::default();
        change(&mut options);
        assert_eq!(options.validate().unwrap_err().to_string(), message);
        let build = || drop(Host::builder().options(options).build());
        assert!(std::panic::catch_unwind(build).is_err(), "{message}");
    }
}

#[test]
fn options_are_read_from_a_configuration_and_written_to_it() {
    let mut options = Options::default();
    options.transport.ping_interval = Duration::from_millis(1_500);
    options.transport.transports = vec![Transport::Websocket];
    options.clients.origins = vec!["https://example.com".parse().unwrap()];
    options.clients.allowed_hosts = Some(vec!["*.example.com".parse().unwrap()]);
    options.clients.max_connections = None;
    options.clients.max_events_per_second = Some(100);
    options.reload.poll = Some(Duration::from_secs(60));
    options.reload.on_rebind_failure = OnRebindFailure::Disconnect;
    options.limits.operations = 7;
    let json = serde_json::to_value(&options).unwrap();
    assert_eq!(json["transport"]["ping-interval"], "1s 500ms");
    assert_eq!(json["clients"]["max-connections"], "none");
    assert_eq!(json["reload"]["on-rebind-failure"], "disconnect");
    assert_eq!(serde_json::from_value::<Options>(json).unwrap(), options);
    assert_eq!(
        serde_json::from_str::<Options>("{}").unwrap(),
        Options::default()
    );
    for (json, message) in [
        (
            r#"{"transport":{"ping-intervall":"1s"}}"#,
            "unknown field `ping-intervall`, expected one of `path`",
        ),
        (
            r#"{"transport":{"ping-interval":"25"}}"#,
            "invalid value: string \"25\", expected a number and a unit, such as `300ms` or `25s`",
        ),
        (
            r#"{"clients":{"max-connections":"many"}}"#,
            "expected a whole number or \"none\"",
        ),
        (
            r#"{"clients":{"origins":["example.com"]}}"#,
            "expected a scheme, a host and perhaps a port",
        ),
        (
            r#"{"clients":{"allowed-hosts":["https://a"]}}"#,
            "expected a name without a scheme",
        ),
    ] {
        let error = serde_json::from_str::<Options>(json).unwrap_err();
        assert!(error.to_string().starts_with(message), "{error}");
    }
}

/// One script, which the application sends whenever it changes.
#[derive(Debug)]
struct Sent(watch::Receiver<String>);

impl Loader for Sent {
    fn list(&self) -> Result<Vec<String>, LoadError> {
        Ok(vec!["main.rhai".to_owned()])
    }

    fn read(&self, _name: &str) -> Result<String, LoadError> {
        Ok(self.0.borrow().clone())
    }

    fn changes(&self) -> Option<Changes> {
        let changed = |mut sent: watch::Receiver<_>| async {
            sent.changed().await.ok()?;
            Some(((), sent))
        };
        Some(stream::unfold(self.0.clone(), changed).boxed())
    }
}

#[tokio::test]
async fn a_source_that_announces_its_changes_is_watched() {
    let greeting = |text| format!("fn on_connection(socket) {{ socket.emit(\"{text}\"); }}");
    let (script, sent) = watch::channel(greeting("one"));
    let host = Host::builder().loader(Sent(sent)).build();
    let mut events = host.subscribe();
    host.load().await.unwrap();
    assert_eq!(events.recv().await.unwrap().kind(), "loaded");
    let watching = host.watch().unwrap();
    script.send(greeting("two")).unwrap();
    assert_eq!(events.recv().await.unwrap().kind(), "replaced");
    script
        .send("fn on_connection(socket) {".to_owned())
        .unwrap();
    assert_eq!(events.recv().await.unwrap().kind(), "rejected");
    script.send(greeting("three")).unwrap();
    assert_eq!(events.recv().await.unwrap().kind(), "replaced");

    drop(watching);
    script.send(greeting("four")).unwrap();
    host.reload().await.unwrap();
    let replaced = events.recv().await.unwrap().to_string();
    assert!(replaced.contains("version 4"), "only by a call: {replaced}");

    let _watching = host.watch().unwrap();
    drop(script);
    host.pause().await;
    assert_eq!(events.recv().await.unwrap().kind(), "paused");
}

/// Source that announces many changes at once, and then those of [`Sent`]. Counts how often it is read.
#[derive(Debug)]
struct Bursts {
    sent: Sent,
    reads: Arc<AtomicUsize>,
}

impl Loader for Bursts {
    fn list(&self) -> Result<Vec<String>, LoadError> {
        self.sent.list()
    }

    fn read(&self, name: &str) -> Result<String, LoadError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.sent.read(name)
    }

    fn changes(&self) -> Option<Changes> {
        let burst = stream::iter([(); 1_000]);
        Some(burst.chain(self.sent.changes()?).boxed())
    }
}

#[tokio::test]
async fn changes_that_are_announced_together_are_read_once() {
    let greeting = |text| format!("fn on_connection(socket) {{ socket.emit(\"{text}\"); }}");
    let (script, sent) = watch::channel(greeting("one"));
    let reads = Arc::new(AtomicUsize::new(0));
    let bursts = Bursts {
        sent: Sent(sent),
        reads: reads.clone(),
    };
    let host = Host::builder().loader(bursts).build();
    host.load().await.unwrap();
    let mut events = host.subscribe();
    let _watching = host.watch().unwrap();
    script.send(greeting("two")).unwrap();
    assert_eq!(events.recv().await.unwrap().kind(), "replaced");
    let reads = reads.load(Ordering::Relaxed);
    assert!(reads < 10, "read {reads} times");
}
