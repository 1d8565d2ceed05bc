//! Sends requests to the Socket.IO path. The input is as in `seeds/request`: a method and a path, headers, an empty
//! line, a body; then `---` and the next request. `{sid}` is the session that an earlier request opened.
#![no_main]

use std::{sync::LazyLock, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::Request,
};
use libfuzzer_sys::fuzz_target;
use patchcord::{Host, Options, host::Origin, script::Memory};
use tokio::{
    runtime::{Builder, Runtime},
    time::timeout,
};
use tower::ServiceExt;

const ECHO: &str = "fn on_connection(socket) { socket.on_any(|event, args| { socket.emit(event, spread(args)); }); }";
/// Time limit for a response, because a poll waits for packets.
const POLL: Duration = Duration::from_millis(5);

static SERVER: LazyLock<(Runtime, Router)> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut options = Options::default();
    options.clients.trust_proxy = 1;
    options.clients.origins = vec!["https://example.com".parse().expect("an origin")];
    // No limits, because the fuzzer opens more sessions per second than clients at any server.
    options.clients.max_connections = None;
    options.clients.max_connections_per_address = None;
    options.clients.max_connects_per_second = None;
    options.clients.max_connects_per_second_per_address = None;
    options.transport.connect_timeout = Duration::from_millis(50);
    options.transport.ping_interval = Duration::from_millis(100);
    options.transport.ping_timeout = Duration::from_millis(100);
    let app = runtime.block_on(async {
        let host = Host::builder()
            .options(options)
            .loader(Memory::from([("main.rhai", ECHO)]))
            .build();
        let _ = host.load().await;
        host.service(Router::new()).expect("it serves nothing yet")
    });
    (runtime, app)
});

fn request(text: &str) -> Option<Request<Body>> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let (method, uri) = lines.next()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if let Ok(origin) = value.parse::<Origin>() {
            let again = origin.to_string().parse::<Origin>();
            assert_eq!(again.expect("an origin that is shown can be read"), origin);
        }
        request = request.header(name, value);
    }
    request.body(Body::from(body.to_owned())).ok()
}

async fn answer(request: Request<Body>) -> Option<String> {
    let answer = timeout(POLL, SERVER.1.clone().oneshot(request)).await;
    let body = to_bytes(
        answer.ok()?.expect("it is infallible").into_body(),
        usize::MAX,
    );
    let body = timeout(POLL, body).await.ok()?.ok()?;
    String::from_utf8(body.to_vec()).ok()
}

fuzz_target!(|text: &str| {
    let mut sid = String::new();
    SERVER.0.block_on(async {
        for text in text.split("\n---\n").take(8) {
            let Some(request) = request(&text.replace("{sid}", &sid)) else {
                continue;
            };
            let answer = answer(request).await.unwrap_or_default();
            if let Some((_, rest)) = answer.split_once("\"sid\":\"") {
                sid = rest.split('"').next().unwrap_or_default().to_owned();
            }
        }
    });
});
