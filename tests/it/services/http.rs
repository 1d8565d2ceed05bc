//! `http`: requests to other services.

use std::sync::atomic::Ordering;

use patchcord::{
    Host, HostEvent, Options,
    script::Memory,
    testing::{Suite, TestHost},
};

use super::other_side::OtherSide;
use crate::support::server::{Client, ECHO, Running};

/// Script that makes the requests that a client asks for, and passes the answers on.
const SCRIPT: &str = r#"fn on_connection(socket) {
    socket.on("get", |url, options, ack| {
        http::get(url, options, |err, res| ack.call(err, res?.status, if res == () { () } else { res.text() }));
    });
    socket.on("request", |method, url, options, ack| {
        http::request(method, url, options, |err, res| ack.call(err, res?.status, if res == () { () } else { res.text() }));
    });
    socket.on("headers", |url, ack| http::get(url, |err, res| ack.call(res.headers, res.ok)));
    socket.on("json", |url, ack| http::get(url, |err, res| ack.call(res.json().name)));
    socket.on("bytes", |url, ack| http::get(url, |err, res| ack.call(res.body.len())));
    socket.on("text", |url, ack| http::get(url, |err, res| {
        try { res.text(); } catch (problem) { ack.call(problem); }
    }));
    socket.on("later", |url| http::post(url, #{ json: #{ id: socket.id } }));
    socket.on("echo", |x| x);
    socket.on("disconnect", |reason| {
        if socket.data.report != () { http::post(socket.data.report, #{ body: reason }); }
    });
    socket.on("report", |url| { socket.data.report = url; });
}"#;

async fn server(allow: &[&str]) -> (Running, Host) {
    let allow: Vec<_> = allow.iter().map(|rule| rule.parse().unwrap()).collect();
    let scripts = Memory::from([("main.rhai", SCRIPT), ("other.rhai", ECHO)]);
    let mut options = patchcord::testing::options();
    options.permissions.allow_net = allow;
    Running::reloadable(|builder| builder.loader(scripts).options(options)).await
}

/// Client that asks, and returns what the ack received.
struct Asking {
    client: Client,
    number: usize,
}

impl Asking {
    async fn new(running: &Running) -> Self {
        let mut client = running.websocket().await;
        client.connect("").await;
        Self { client, number: 0 }
    }

    async fn send(&mut self, event: &str, args: serde_json::Value) {
        self.number += 1;
        let mut packet = vec![event.into()];
        packet.extend(args.as_array().unwrap().clone());
        let packet = serde_json::Value::from(packet);
        self.client
            .send(&format!("42{}{packet}", self.number))
            .await;
    }

    async fn ask(&mut self, event: &str, args: serde_json::Value) -> String {
        self.send(event, args).await;
        let prefix = format!("43{}", self.number);
        let packet = self
            .client
            .until(|packet| packet.starts_with(&prefix))
            .await;
        packet[prefix.len()..].to_owned()
    }
}

macro_rules! args {
    ($($json:tt)*) => { serde_json::json!([$($json)*]) };
}

#[tokio::test]
async fn a_request_has_a_method_headers_a_query_and_a_body() {
    let other = OtherSide::new().await;
    let (running, host) = server(&["127.0.0.1"]).await;
    let mut ada = Asking::new(&running).await;
    assert_eq!(
        ada.ask("json", args![other.url("/json")]).await,
        r#"["Ada"]"#
    );
    let answer = ada
        .ask(
            "get",
            args![other.url("/query?a=1"), { "query": { "b": "c d&e", "f": 7 } }],
        )
        .await;
    assert_eq!(answer, r#"[null,200,"a=1&b=c+d%26e&f=7"]"#);
    let options = serde_json::json!({ "json": { "text": "ä" }, "headers": { "X-Key": "abc" }, "sign": "key" });
    let answer = ada
        .ask("request", args!["put", other.url("/echo"), options])
        .await;
    for part in [
        "PUT /echo HTTP/1.1",
        "content-type: application/json",
        "x-key: abc",
        "user-agent: patchcord/",
        // echo -n '{"text":"ä"}' | openssl dgst -sha256 -hmac key
        "x-signature: sha256=",
        r#"{\"text\":\"ä\"}"#,
    ] {
        assert!(answer.contains(part), "{part} is not in {answer}");
    }
    let form = ada
        .ask(
            "request",
            args!["POST", other.url("/echo"), { "form": { "a": "b c" } }],
        )
        .await;
    assert!(
        form.contains("a=b+c") && form.contains("x-www-form-urlencoded"),
        "{form}"
    );
    let text = ada
        .ask(
            "request",
            args!["PATCH", other.url("/echo"), { "body": "plain" }],
        )
        .await;
    assert!(
        text.contains("plain") && text.contains("text/plain; charset=utf-8"),
        "{text}"
    );
    assert_eq!(
        ada.ask("headers", args![other.url("/headers")]).await,
        r#"[{"content-length":"0","x-a":"1, 2"},true]"#
    );
    assert_eq!(ada.ask("bytes", args![other.url("/binary")]).await, "[3]");
    assert_eq!(
        ada.ask("text", args![other.url("/binary")]).await,
        r#"["the body of the answer is not UTF-8: `res.body` is its bytes"]"#
    );
    // A redirect is not followed, and every status is an answer.
    assert_eq!(
        ada.ask("get", args![other.url("/redirect"), {}]).await,
        r#"[null,302,""]"#
    );
    assert_eq!(
        ada.ask("get", args![other.url("/404"), {}]).await,
        r#"[null,404,""]"#
    );
    assert_eq!(host.counters().service_failures.get(), 0);
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_bad_answer_is_an_error_for_the_closure_and_announced() {
    let other = OtherSide::new().await;
    let (mut running, host) = server(&["127.0.0.1"]).await;
    let mut ada = Asking::new(&running).await;
    let unused = {
        std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    };
    for (url, options, expected) in [
        (
            other.url("/hang"),
            serde_json::json!({ "timeout": 50 }),
            "timed out after 50ms",
        ),
        (
            other.url("/hang-after-head"),
            serde_json::json!({ "timeout": 50 }),
            "timed out after 50ms",
        ),
        (
            other.url("/claims-to-be-huge"),
            serde_json::json!({}),
            "the answer is larger than 1048576 bytes",
        ),
        (
            other.url("/endless"),
            serde_json::json!({ "max_size": 10_000 }),
            "the answer is larger than 10000 bytes",
        ),
        (
            other.url("/endless-head"),
            serde_json::json!({}),
            "message head is too large",
        ),
        (
            other.url("/malformed"),
            serde_json::json!({}),
            "invalid HTTP version parsed",
        ),
        (
            other.url("/cut"),
            serde_json::json!({}),
            "connection closed before message completed",
        ),
        (
            other.url("/cut-in-body"),
            serde_json::json!({}),
            "end of file before message length reached",
        ),
        (
            format!("http://{unused}/"),
            serde_json::json!({}),
            "Connection refused (os error 111)",
        ),
        (
            format!("https://{}/json", other.address),
            serde_json::json!({}),
            "the server does not speak TLS",
        ),
    ] {
        let answer = ada.ask("get", args![url, options]).await;
        assert_eq!(answer, format!("[\"{expected}\",null,null]"), "{url}");
    }
    let first = running
        .announced(|event| match event {
            HostEvent::ServiceFailed { .. } => Some(event.to_string()),
            _ => None,
        })
        .await;
    let expected = format!(
        "warning: /: `http::get` of `{}` failed: timed out after 50ms",
        other.address
    );
    assert_eq!(first, expected);
    let counters = host.counters();
    assert_eq!(
        (
            counters.service_calls.get(),
            counters.service_failures.get()
        ),
        (10, 10)
    );
    running.server.shutdown().await;
}

#[tokio::test]
async fn interim_answers_are_bounded() {
    let other = OtherSide::new().await;
    let (running, _host) = server(&["127.0.0.1"]).await;
    let mut ada = Asking::new(&running).await;
    let few = ada.ask("get", args![other.url("/interim"), {}]).await;
    assert_eq!(few, r#"[null,200,"done"]"#);
    let many = args![other.url("/endless-interim"), { "timeout": 60_000 }];
    let many = ada.ask("get", many).await;
    assert_eq!(
        many,
        r#"["more than 16 interim answers (status 1xx) came first",null,null]"#
    );
    // The connection of the first request may be kept for further ones; the other one is closed.
    while other.open.load(Ordering::SeqCst) > 1 {
        tokio::task::yield_now().await;
    }
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_failure_that_passes_is_tried_again() {
    let mut other = OtherSide::new().await;
    let (running, _host) = server(&["127.0.0.1"]).await;
    let mut ada = Asking::new(&running).await;
    let answer = ada
        .ask("get", args![other.url("/503"), { "retry": 1 }])
        .await;
    assert_eq!(answer, r#"[null,503,""]"#);
    assert!(other.request().await.starts_with("GET /503"));
    assert!(other.request().await.starts_with("GET /503"));
    ada.ask("get", args![other.url("/400"), { "retry": 1 }])
        .await;
    assert!(other.request().await.starts_with("GET /400"));
    assert!(other.requests.try_recv().is_err(), "a 400 does not pass");
    running.server.shutdown().await;
}

#[tokio::test]
async fn hanging_requests_delay_nobody_and_are_bounded() {
    let other = OtherSide::new().await;
    let (mut running, _host) = server(&["127.0.0.1"]).await;
    let mut hanging = Vec::new();
    for _ in 0..4 {
        let mut client = Asking::new(&running).await;
        for _ in 0..25 {
            client
                .send("get", args![other.url("/hang"), { "timeout": 60_000 }])
                .await;
        }
        assert_eq!(client.ask("echo", args!["x"]).await, r#"["x"]"#);
        hanging.push(client);
    }
    let mut echo = running.websocket().await;
    echo.connect("/other,").await;
    for n in 0..100 {
        echo.send(&format!("42/other,{n}[\"echo\",{n}]")).await;
        let expected = format!("43/other,{n}[{n}]");
        echo.until(|packet| packet == expected).await;
    }
    // One client cannot wait for more than 32 answers.
    for _ in 0..8 {
        hanging[0].send("get", args![other.url("/hang"), {}]).await;
    }
    let problem = running
        .announced(|event| match event {
            HostEvent::HandlerFailed { diagnostic } => Some(diagnostic.message),
            _ => None,
        })
        .await;
    assert_eq!(
        problem,
        "`http::get`: 32 calls of this socket wait for their results already (`--max-pending-calls`)"
    );
    // A read ends with the client that wants it.
    drop(hanging);
    while other.open.load(Ordering::SeqCst) > 0 {
        tokio::task::yield_now().await;
    }
    running.server.shutdown().await;
}

#[tokio::test]
async fn a_disconnect_handler_reports_to_another_service() {
    let mut other = OtherSide::new().await;
    let (running, _host) = server(&["127.0.0.1"]).await;
    let mut ada = Asking::new(&running).await;
    ada.send("later", args![other.url("/echo")]).await;
    assert!(other.request().await.contains("{\"id\":\""));
    ada.ask("report", args![other.url("/echo")]).await;
    drop(ada);
    let request = other.request().await;
    assert!(
        request.starts_with("POST /echo") && request.ends_with("transport close"),
        "{request}"
    );
    running.server.shutdown().await;
}

#[tokio::test]
async fn only_allowed_hosts_and_public_addresses_are_reached() {
    let other = OtherSide::new().await;
    let port = other.address.port();
    let refused = |allow: Vec<String>, url: String| async move {
        let allow: Vec<_> = allow.iter().map(String::as_str).collect();
        let (mut running, _host) = server(&allow).await;
        let mut ada = Asking::new(&running).await;
        ada.send("get", args![url, {}]).await;
        let number = ada.number;
        let answered = ada
            .client
            .until(|packet| packet.starts_with(&format!("43{number}")));
        let failed = running.announced(|event| match event {
            HostEvent::HandlerFailed { diagnostic } => Some(diagnostic.message),
            _ => None,
        });
        tokio::select! {
            answer = answered => answer[3..].to_owned(),
            problem = failed => problem,
        }
    };
    let here = format!("http://127.0.0.1:{port}/json");
    let by_name = format!("http://localhost:{port}/json");
    let not_allowed =
        |host: &str| format!("scripts may not reach `{host}`: allow it with `--allow-net {host}`");
    assert_eq!(
        refused(vec![], here.clone()).await,
        not_allowed(&format!("127.0.0.1:{port}"))
    );
    assert_eq!(
        refused(vec!["*".into()], here.clone()).await,
        not_allowed(&format!("127.0.0.1:{port}"))
    );
    assert_eq!(
        refused(vec!["127.0.0.1:1".into()], here.clone()).await,
        not_allowed(&format!("127.0.0.1:{port}"))
    );
    let ok = r#"[null,200,"{\"name\":\"Ada\",\"age\":36}"]"#;
    assert_eq!(
        refused(vec![format!("127.0.0.1:{port}")], here.clone()).await,
        ok
    );
    assert_eq!(refused(vec!["localhost".into()], by_name.clone()).await, ok);
    // A name that resolves to an address that is not public, as with DNS rebinding.
    let private = refused(vec!["*".into()], by_name.clone()).await;
    assert!(
        private.contains("is not public: allow it with `--allow-net "),
        "{private}"
    );
    assert_eq!(
        refused(vec!["*".into(), "127.0.0.0/8".into()], by_name).await,
        ok
    );
    // The port of a rule for an address is also the port for names.
    let other_port = refused(
        vec!["*".into(), "127.0.0.1:1".into()],
        format!("http://localhost:{port}/json"),
    );
    let other_port = other_port.await;
    assert!(other_port.contains("is not public"), "{other_port}");
    // Other notations of the same address.
    for host in [
        "2130706433",
        "0x7f000001",
        "127.1",
        "0177.0.0.1",
        "[::ffff:127.0.0.1]",
    ] {
        let answer = refused(vec!["*".into()], format!("http://{host}:{port}/json")).await;
        assert!(!answer.contains("Ada"), "{host}: {answer}");
    }
}

#[test]
fn a_request_that_cannot_be_is_an_error_at_its_call() {
    let script =
        "fn on_connection(socket) {
            socket.on(\"get\", |url, options| http::get(url, options, |err, res| ()));
            socket.on(\"request\", |method, url, options| http::request(method, url, options, |err, res| ()));
        }";
    let url = "https://example.com/";
    for (event, args, expected) in [
        (
            "get",
            args!["example.com", {}],
            "`http::get`: expected a URL such as `https://example.com/path`",
        ),
        (
            "get",
            args!["ftp://example.com/", {}],
            "`http::get`: expected a URL such as `https://example.com/path`",
        ),
        (
            "get",
            args!["https://u:p@example.com/", {}],
            "`http::get`: a URL has no user name and password; a header `authorization` has them",
        ),
        (
            "get",
            args!["https://example.com/ä", {}],
            "`http::get`: a URL has neither spaces nor letters such as `ä`: `url::encode` escapes them",
        ),
        (
            "get",
            args!["https://example.com:99999/", {}],
            "`http::get`: expected a URL such as `https://example.com/path`",
        ),
        (
            "get",
            args![url, { "timout": 7 }],
            "`http::get` has no option `timout`; there is `timeout`",
        ),
        (
            "get",
            args![url, { "timeout": 0 }],
            "option `timeout` of `http::get` takes an integer from 1 to 60000, and got 0",
        ),
        (
            "get",
            args![url, { "json": 7 }],
            "a request with the method GET has no body",
        ),
        (
            "get",
            args![url, { "headers": { "a b": "c" } }],
            "header `a b` of `http::get` has a name that is not possible",
        ),
        (
            "get",
            args![url, { "headers": { "a": "b\r\nc: d" } }],
            "header `a` of `http::get` has a line break or a letter that is not possible",
        ),
        (
            "get",
            args![url, { "headers": { "Host": "other" } }],
            "header `Host` of `http::get` is determined by the connection",
        ),
        (
            "get",
            args![url, { "headers": { "a": "Bearer [secret]" } }],
            "header `a` of `http::get` has a secret in an interpolated string: write `\"Bearer \" + secret`",
        ),
        (
            "request",
            args!["TRACE", url, {}],
            "`http::request` knows no method `TRACE`",
        ),
        (
            "request",
            args!["POST", url, { "json": 1, "body": "a" }],
            "`http::request` takes one of `body`, `json` and `form`",
        ),
        (
            "request",
            args!["POST", url, { "body": "x".repeat(300_000) }],
            "the body of `http::request` is larger than 262144 bytes",
        ),
        (
            "request",
            args!["POST", url, { "body": 7 }],
            "option `body` of `http::request` takes a string or binary data, and got int",
        ),
    ] {
        let host = TestHost::new(script);
        host.connect("/").unwrap().emit(event, args);
        let problems = host.problems().join("\n");
        assert!(problems.contains(expected), "{expected}: {problems}");
    }
}

#[test]
fn a_test_answers_the_requests_of_its_scripts() {
    let scripts = Memory::from([
        (
            "main.rhai",
            r#"fn on_connection(socket) {
                socket.on("name", |id, ack| {
                    http::get(`https://api.example.com/users/${id}`, #{ headers: #{ authorization: "Bearer " + env("KEY") } },
                        |err, res| ack.call(if err == () { res.json().name } else { err }));
                });
                socket.on("save", |text| http::post("https://api.example.com/messages", #{ json: #{ text: text } }));
            }"#,
        ),
        (
            "main_test.rhai",
            r#"fn test_answers() {
                env_is("KEY", "abc");
                http_answer("https://api.example.com/users/*", #{ status: 404, body: "{\"name\":\"nobody\"}" });
                http_answer("GET https://api.example.com/users/7", #{ json: #{ name: "Ada" } });
                http_answer("https://api.example.com/users/8", #{ error: "timed out" });
                let ada = connect();
                assert_eq(ada.ask("name", 7), "Ada");
                assert_eq(ada.ask("name", 8), "timed out");
                assert_eq(ada.ask("name", 9), "nobody");
                assert_eq(http_requests()[0].headers.authorization, "Bearer abc");
                assert_eq(http_requests(), []);
            }
            fn test_records() {
                let ada = connect();
                ada.emit("save", "hi");
                let requests = http_requests();
                assert_eq(requests.len(), 1);
                assert_eq(requests[0].method, "POST");
                assert_eq(requests[0].body, "{\"text\":\"hi\"}");
            }
            fn test_without_an_answer() {
                env_is("KEY", "abc");
                assert(connect().ask("name", 7).starts_with("this test has no answer to GET https://api.example.com/users/7"));
            }"#,
        ),
    ]);
    let outcomes = Suite::load(&scripts, |_, _| true).unwrap().run(|_| ());
    assert!(
        outcomes.iter().all(|outcome| outcome.passed()),
        "{outcomes:#?}"
    );
    assert_eq!(outcomes.len(), 3);
}

#[test]
fn check_warns_of_a_host_that_is_not_allowed() {
    let script = "fn on_connection(socket) {
        http::get(`https://api.example.com/users/${socket.id}`, |err, res| ());
        http::post(\"https://other.example.com/x\", #{});
        http::get(socket.data.url, |err, res| ());
    }";
    let mut options = Options::default();
    options.permissions.allow_net = vec!["api.example.com".parse().unwrap()];
    let host = Host::builder()
        .options(options)
        .loader(Memory::from([("main.rhai", script)]))
        .build();
    let found: Vec<_> = host
        .check()
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("scripts may not reach `other.example.com`"));
    assert!(found[0].contains("`--allow-net other.example.com` allows it"));
}

#[tokio::test]
async fn a_close_waits_for_what_disconnect_handlers_send() {
    let mut other = OtherSide::new().await;
    let (running, host) = server(&["127.0.0.1"]).await;
    let mut ada = Asking::new(&running).await;
    ada.ask("report", args![other.url("/slow")]).await;
    running.server.shutdown().await;
    assert!(other.request().await.starts_with("POST /slow"));
    assert_eq!(host.counters().service_calls.get(), 1);
    assert_eq!(host.counters().service_failures.get(), 0);
}

#[tokio::test]
async fn a_host_that_hangs_delays_no_requests_to_others() {
    let (hanging, other) = (OtherSide::new().await, OtherSide::new().await);
    let (running, _host) = server(&["127.0.0.1"]).await;
    for _ in 0..20 {
        let mut client = Asking::new(&running).await;
        for _ in 0..32 {
            client
                .send(
                    "request",
                    args!["POST", hanging.url("/hang"), { "timeout": 60_000 }],
                )
                .await;
        }
        client.ask("echo", args![1]).await;
    }
    let mut ada = Asking::new(&running).await;
    assert_eq!(
        ada.ask("json", args![other.url("/json")]).await,
        r#"["Ada"]"#
    );
    let answer = ada.ask("get", args![hanging.url("/json"), {}]).await;
    assert_eq!(
        answer,
        r#"["512 requests to this host are under way, which is the limit",null,null]"#
    );
}
