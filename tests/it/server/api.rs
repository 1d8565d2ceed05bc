//! The HTTP API for backends.

use std::{
    fs,
    net::SocketAddr,
    sync::{Mutex, mpsc::channel},
    time::Duration,
};

use patchcord::{
    Host, HostEvent,
    script::Memory,
    server::{ApiKey, ApiKeys, Config, Operation, Server, ServerError},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::server::{Client, Running, get, http, says};

const KEY: &str = "a-key-that-nobody-guesses";
const LIMITED: &str = "a-key-with-few-scopes-only";
const SLOW: &str = "a-key-with-a-low-rate-only";

const SCRIPT: &str = r#"
fn on_connection(socket) { socket.join("lobby"); socket.emit("id", socket.id); socket.on("echo", |x| x); }
fn on_api(request) {
    switch request.name {
        "echo" => request,
        "throw" => throw #{ message: "no such order", order: 7 },
        "fail" => request.args[5],
        "count" => io.data.incr("count", 1),
        "endless" => loop {},
    }
}
"#;

/// Server with the API, and the address of the API.
struct Served {
    running: Running,
    host: Host,
    keys: ApiKeys,
    admin: SocketAddr,
}

/// Response: its status, its text with the head, and its body.
struct Response {
    status: u16,
    text: String,
    body: Value,
}

impl Response {
    fn new(text: String) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        Self {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            body: serde_json::from_str(body).unwrap_or_else(|_| panic!("{text}")),
            text,
        }
    }

    fn code(&self) -> (u16, &str) {
        let code = self.body["error"]["code"].as_str();
        (self.status, code.unwrap_or_else(|| panic!("{}", self.text)))
    }

    fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap()
    }
}

fn keys() -> Vec<ApiKey> {
    let all = ApiKey::new("all", KEY).unwrap();
    let mut limited = ApiKey::new("limited", LIMITED).unwrap();
    limited.namespaces = Some(vec!["/".to_owned(), "/room/*".to_owned()]);
    limited.operations = Some(vec![Operation::Emit, Operation::Call]);
    let mut slow = ApiKey::new("slow", SLOW).unwrap();
    slow.max_requests_per_second = 1;
    vec![all, limited, slow]
}

impl Served {
    async fn new() -> Self {
        let scripts = Memory::from([
            ("main.rhai", SCRIPT),
            ("chat.rhai", "fn on_connection(socket) { }"),
            (
                "room/{id}.rhai",
                "fn on_connection(socket) { } fn on_api(request) { request.key }",
            ),
        ]);
        Self::with(scripts, |builder| builder).await
    }

    async fn with(
        scripts: Memory,
        build: impl FnOnce(patchcord::HostBuilder) -> patchcord::HostBuilder,
    ) -> Self {
        let keys = ApiKeys::new(keys()).unwrap();
        let (running, host) = Running::configured(
            |builder| build(builder.loader(scripts)),
            |config| {
                config.admin_listen = Some("127.0.0.1:0".to_owned());
                config.api_keys = Some(keys.clone());
            },
        )
        .await;
        Self {
            admin: running.server.admin_address().unwrap(),
            running,
            host,
            keys,
        }
    }

    async fn post(&self, operation: &str, body: &Value) -> Response {
        self.send(
            operation,
            &[("Authorization", &format!("Bearer {KEY}"))],
            &body.to_string(),
        )
        .await
    }

    async fn post_as(&self, key: &str, operation: &str, body: &Value) -> Response {
        self.send(
            operation,
            &[("Authorization", &format!("Bearer {key}"))],
            &body.to_string(),
        )
        .await
    }

    async fn send(&self, operation: &str, headers: &[(&str, &str)], body: &str) -> Response {
        Response::new(http(self.admin, &request(operation, headers, body)).await)
    }

    /// Posts with an idempotency key.
    async fn once(&self, id: &str, operation: &str, body: &Value) -> Response {
        let key = format!("Bearer {KEY}");
        let headers = [("Authorization", key.as_str()), ("Idempotency-Key", id)];
        self.send(operation, &headers, &body.to_string()).await
    }

    /// Returns a client of a namespace, and the id of its socket.
    async fn client(&self, namespace: &str) -> (Client, String) {
        let mut client = self.running.websocket().await;
        client.next().await;
        let id = client.connect(namespace).await;
        (client, id)
    }
}

fn request(operation: &str, headers: &[(&str, &str)], body: &str) -> String {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!(
        "POST /api/{operation} HTTP/1.1\r\nHost: {{host}}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn a_backend_uses_every_operation() {
    let served = Served::new().await;
    let (mut ada, ada_id) = served.client("/").await;
    let (mut bob, bob_id) = served.client("/").await;
    let sent = served
        .post("emit", &json!({ "namespace": "/", "to": ["lobby"], "except": [bob_id], "event": "news", "args": ["hi", 3] }))
        .await;
    assert_eq!((sent.status, &sent.body), (200, &json!({ "count": 1 })));
    ada.until(|packet| packet == r#"42["news","hi",3]"#).await;
    let all = served
        .post("emit", &json!({ "namespace": "/", "event": "all" }))
        .await;
    assert_eq!(all.body, json!({ "count": 2 }));
    bob.until(|packet| packet == r#"42["all"]"#).await;

    let one = json!({ "namespace": "/", "to": [ada_id], "rooms": ["a", "b"] });
    assert_eq!(served.post("join", &one).await.body, json!({ "count": 1 }));
    let rooms = served.post("rooms", &json!({ "namespace": "/" })).await;
    assert_eq!(
        rooms.body,
        json!({ "count": 3, "next": null, "rooms": ["a", "b", "lobby"] })
    );
    let leave = json!({ "namespace": "/", "rooms": ["lobby", "b"] });
    assert_eq!(
        served.post("leave", &leave).await.body,
        json!({ "count": 2 })
    );
    let count = json!({ "namespace": "/", "to": ["a", "lobby"] });
    assert_eq!(
        served.post("count", &count).await.body,
        json!({ "count": 1 })
    );

    let sockets = served
        .post("sockets", &json!({ "namespace": "/", "to": ["a"] }))
        .await
        .body;
    let seen = &sockets["sockets"][0];
    assert_eq!(
        (&sockets["count"], &sockets["next"]),
        (&json!(1), &json!(null))
    );
    assert_eq!(
        (&seen["id"], &seen["rooms"]),
        (&json!(ada_id), &json!([ada_id, "a"]))
    );
    assert_eq!(
        (&seen["address"], &seen["transport"], &seen["data"]),
        (&json!("127.0.0.1"), &json!("websocket"), &json!({}))
    );
    assert!(seen["issued"].as_i64().unwrap() > 1_600_000_000_000);

    let call = json!({ "namespace": "/", "name": "echo", "args": [1, { "x": null }] });
    let answered = served.post("call", &call).await;
    let request = json!({ "name": "echo", "args": [1, { "x": null }], "key": "all" });
    assert_eq!(
        (answered.status, answered.body),
        (200, json!({ "answer": request }))
    );

    let gone = served
        .post("disconnect", &json!({ "namespace": "/", "to": [ada_id] }))
        .await;
    assert_eq!(gone.body, json!({ "count": 1 }));
    ada.until(|packet| packet == "41").await;
    let closed = served
        .post("disconnect", &json!({ "namespace": "/", "close": true }))
        .await;
    assert_eq!(closed.body, json!({ "count": 1 }));
    while bob.next().await.is_some() {}
    assert_eq!(served.host.counters().api_operations.get(), 10);
}

#[tokio::test]
async fn long_lists_come_in_parts() {
    let served = Served::new().await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(served.client("/").await);
    }
    let mut ids: Vec<_> = clients.iter().map(|(_, id)| id.clone()).collect();
    ids.sort();
    let (mut seen, mut after) = (Vec::new(), json!(""));
    while !after.is_null() {
        let part = served
            .post(
                "sockets",
                &json!({ "namespace": "/", "limit": 2, "after": after }),
            )
            .await
            .body;
        assert_eq!(part["count"], 5);
        let sockets = part["sockets"].as_array().unwrap();
        seen.extend(
            sockets
                .iter()
                .map(|one| one["id"].as_str().unwrap().to_owned()),
        );
        after = part["next"].clone();
    }
    assert_eq!(seen, ids);
    let rooms: Vec<_> = (0..5).map(|n| format!("r{n}")).collect();
    served
        .post("join", &json!({ "namespace": "/", "rooms": rooms }))
        .await;
    let part = served
        .post(
            "rooms",
            &json!({ "namespace": "/", "limit": 3, "after": "r0" }),
        )
        .await
        .body;
    assert_eq!(
        part,
        json!({ "count": 6, "next": "r3", "rooms": ["r1", "r2", "r3"] })
    );
}

#[tokio::test]
async fn requests_need_a_key() {
    let mut served = Served::new().await;
    let body = json!({ "namespace": "/", "event": "news" }).to_string();
    let bearer = |key: &str| format!("Bearer {key}");
    for value in [
        "",
        "Bearer",
        "Bearer ",
        KEY,
        &bearer("wrong"),
        &bearer(&KEY[1..]),
        &bearer(&format!("{KEY}x")),
    ] {
        let refused = served
            .send("emit", &[("Authorization", value)], &body)
            .await;
        assert_eq!(refused.code(), (401, "unauthorized"), "{value}");
        assert_eq!(
            says(&refused.text, "www-authenticate").as_deref(),
            Some("Bearer")
        );
    }
    assert_eq!(
        served.send("emit", &[], &body).await.code(),
        (401, "unauthorized")
    );
    let good = bearer(KEY);
    let twice = [
        ("Authorization", good.as_str()),
        ("Authorization", good.as_str()),
    ];
    assert_eq!(
        served.send("emit", &twice, &body).await.code(),
        (401, "unauthorized")
    );
    assert_eq!(served.host.counters().api_requests_refused.get(), 9);
    let reason = served
        .running
        .announced(|event| match event {
            HostEvent::RequestRejected { reason, .. } => Some(reason),
            _ => None,
        })
        .await;
    assert_eq!(reason, "HTTP API: no key, or an unknown one");
    let lower = good.replace("Bearer", "bearer");
    assert_eq!(
        served
            .send("emit", &[("authorization", &lower)], &body)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_key_has_scopes() {
    let served = Served::new().await;
    let (_ada, _) = served.client("/room/7").await;
    let emit = |path: &str| json!({ "namespace": path, "event": "news" });
    assert_eq!(
        served.post_as(LIMITED, "emit", &emit("/")).await.status,
        200
    );
    assert_eq!(
        served.post_as(LIMITED, "emit", &emit("/room/7")).await.body,
        json!({ "count": 1 })
    );
    for path in ["/chat", "/nowhere", "/room/7/x", "room/7", ""] {
        let refused = served.post_as(LIMITED, "emit", &emit(path)).await;
        assert_eq!(refused.code(), (403, "forbidden"), "{path}");
    }
    let refused = served
        .post_as(LIMITED, "disconnect", &json!({ "namespace": "/" }))
        .await;
    assert_eq!(
        (refused.code(), refused.message()),
        ((403, "forbidden"), "this key may not use `disconnect`")
    );
    let batch = json!([emit("/"), emit("/chat")]);
    let done = served.post_as(LIMITED, "emit", &batch).await.body;
    assert_eq!(
        (&done[0]["status"], &done[1]["status"]),
        (&json!(200), &json!(403))
    );
    let called = served
        .post_as(
            LIMITED,
            "call",
            &json!({ "namespace": "/room/7", "name": "x" }),
        )
        .await;
    assert_eq!(called.body, json!({ "answer": "limited" }));
}

#[tokio::test]
async fn a_key_has_a_rate_and_a_batch_uses_it_up() {
    let served = Served::new().await;
    let emit = json!({ "namespace": "/", "event": "news" });
    let batch = Value::Array(vec![emit.clone(); 100]);
    let done = served.post_as(SLOW, "emit", &batch).await;
    assert_eq!(done.body.as_array().unwrap().len(), 100);
    let refused = served.post_as(SLOW, "emit", &emit).await;
    assert_eq!(refused.code(), (429, "too_many_requests"));
    let seconds: u64 = says(&refused.text, "retry-after").unwrap().parse().unwrap();
    assert!((80..=100).contains(&seconds), "{seconds}");
    assert_eq!(
        served.post("emit", &emit).await.status,
        200,
        "another key has its own"
    );
}

#[tokio::test]
async fn malformed_requests_get_a_clear_error() {
    let served = Served::new().await;
    let key = format!("Bearer {KEY}");
    let emit = async |body: &str| {
        let refused = served.send("emit", &[("Authorization", &key)], body).await;
        let (status, code) = refused.code();
        (status, code.to_owned(), refused.message().to_owned())
    };
    for (body, code, message) in [
        (
            "",
            "bad_json",
            "EOF while parsing a value at line 1 column 0",
        ),
        (
            "{",
            "bad_json",
            "EOF while parsing an object at line 1 column 1",
        ),
        (
            "{\n \"namespace\": 3}",
            "bad_json",
            "the field `namespace` of `emit` takes a string, and got a number",
        ),
        (
            r#"{"event":"x"}"#,
            "bad_json",
            "`emit` needs the field `namespace`, a string",
        ),
        (
            r#"{"namespace":"/","event":"x","rooms":[]}"#,
            "bad_json",
            "`emit` has no field `rooms`; there are `namespace`, `to`, `except`, `event`, `args`, `volatile`",
        ),
        (
            r#"{"namespace":"/","event":"x"} x"#,
            "bad_json",
            "trailing characters at line 1 column 31",
        ),
        (
            r#"{"namespace":"/","event":"disconnect"}"#,
            "bad_request",
            "`disconnect` is a reserved event name and cannot be sent",
        ),
        (
            r#"{"namespace":"/","event":"x","args":{}}"#,
            "bad_json",
            "the field `args` of `emit` takes an array, and got an object",
        ),
        ("[]", "bad_request", "a batch has 1 to 100 elements"),
    ] {
        assert_eq!(
            emit(body).await,
            (400, code.to_owned(), message.to_owned()),
            "{body}"
        );
    }
    let nested = format!(
        r#"{{"namespace":"/","event":"x","args":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert_eq!(emit(&nested).await.0, 400);
    let rooms = json!({ "namespace": "/", "event": "x", "to": vec!["r"; 101] }).to_string();
    assert_eq!(emit(&rooms).await.2, "`to` has more than 100 rooms");
    let many = Value::Array(vec![json!({}); 101]).to_string();
    assert_eq!(emit(&many).await.2, "a batch has 1 to 100 elements");
    let nowhere = json!({ "namespace": "/nowhere", "event": "x" }).to_string();
    assert_eq!(
        emit(&nowhere).await,
        (
            404,
            "no_namespace".to_owned(),
            "no script serves the namespace `/nowhere`".to_owned()
        )
    );
    let large = " ".repeat((256 << 10) + 1);
    assert_eq!(
        emit(&large).await,
        (
            413,
            "too_large".to_owned(),
            "the body has more than 256 KiB".to_owned()
        )
    );
    let list = served
        .post("sockets", &json!({ "namespace": "/", "limit": 0 }))
        .await;
    assert_eq!(
        list.message(),
        "the field `limit` of `sockets` takes an integer from 1 to 1000, and got 0"
    );
    let room = served
        .post(
            "join",
            &json!({ "namespace": "/", "rooms": ["x".repeat(1025)] }),
        )
        .await;
    assert_eq!(room.code(), (400, "bad_request"));
}

#[tokio::test]
async fn a_wrong_field_is_named_with_its_type_and_the_fields_that_there_are() {
    let served = Served::new().await;
    let of_all = "there are `namespace`, `to`, `except`";
    for (operation, body, message) in [
        (
            "emit",
            r#"{"namespace":"/","evnt":"x"}"#,
            "`emit` has no field `evnt`; there is `event`",
        ),
        (
            "emit",
            r#"{"namespace":"/"}"#,
            "`emit` needs the field `event`, a string",
        ),
        (
            "emit",
            r#"{"namespace":"/","event":"x","volatile":1}"#,
            "the field `volatile` of `emit` takes `true` or `false`, and got a number",
        ),
        (
            "emit",
            r#"{"namespace":"/","event":"x","to":"lobby"}"#,
            "the field `to` of `emit` takes an array of strings, and got a string",
        ),
        (
            "emit",
            r#"{"namespace":"/","event":"x","except":["a",{}]}"#,
            "the field `except` of `emit` takes an array of strings, and got an object as element 2",
        ),
        (
            "emit",
            r#"{"namespace":"/","event":"x","event":"y"}"#,
            "the field `event` occurs twice",
        ),
        (
            "join",
            r#"{"namespace":"/","room":["a"]}"#,
            "`join` has no field `room`; there is `rooms`",
        ),
        (
            "join",
            r#"{"namespace":"/"}"#,
            "`join` needs the field `rooms`, an array of strings",
        ),
        (
            "leave",
            r#"{"namespace":null,"rooms":[]}"#,
            "the field `namespace` of `leave` takes a string, and got `null`",
        ),
        (
            "disconnect",
            r#"{"namespace":"/","close":"yes"}"#,
            "the field `close` of `disconnect` takes `true` or `false`, and got a string",
        ),
        (
            "sockets",
            r#"{"namespace":"/","limit":"5"}"#,
            "the field `limit` of `sockets` takes an integer from 1 to 1000, and got a string",
        ),
        (
            "rooms",
            r#"{"namespace":"/","limit":1.5}"#,
            "the field `limit` of `rooms` takes an integer from 1 to 1000, and got 1.5",
        ),
        (
            "rooms",
            r#"{"namespace":"/","after":["a"]}"#,
            "the field `after` of `rooms` takes a string, and got an array",
        ),
        (
            "count",
            r#"{"namespace":"/","event":"x"}"#,
            &format!("`count` has no field `event`; {of_all}"),
        ),
        (
            "call",
            r#"{"namespace":"/"}"#,
            "`call` needs the field `name`, a string",
        ),
        (
            "call",
            r#"{"namespace":"/","name":"x","args":true}"#,
            "the field `args` of `call` takes an array, and got a boolean",
        ),
        (
            "count",
            "3",
            "expected an object, such as `{\"namespace\": \"/\"}`, and got a number",
        ),
    ] {
        let key = format!("Bearer {KEY}");
        let headers = [("Authorization", key.as_str())];
        let refused = served.send(operation, &headers, body).await;
        assert_eq!(
            (refused.status, refused.message()),
            (400, message),
            "{body}"
        );
        let batch = served.send(operation, &headers, &format!("[{body}]")).await;
        assert_eq!(batch.body[0]["body"], refused.body, "{body}");
    }
    let long = json!({ "namespace": "/", "x".repeat(100_000): 1 });
    let refused = served.post("count", &long).await;
    let short = format!("`count` has no field `{}`; {of_all}", "x".repeat(40));
    assert_eq!(refused.message(), short);
}

#[tokio::test]
async fn the_size_of_the_answers_of_a_batch_is_bounded() {
    let script = "fn on_connection(socket) { }
        fn on_api(request) { io.data.incr(\"n\", 1); if request.name == \"n\" { io.data.n } else { \"x\".repeat(400_000) } }";
    let mut options = patchcord::testing::options();
    options.limits.string_size = 1 << 20;
    let scripts = Memory::from([("main.rhai", script)]);
    let served = Served::with(scripts, |builder| builder.options(options)).await;
    let calls = Value::Array(vec![json!({ "namespace": "/", "name": "long" }); 20]);
    let answer = served.post("call", &calls).await;
    let answers = answer.body.as_array().unwrap();
    let statuses: Vec<_> = answers
        .iter()
        .map(|one| one["status"].as_u64().unwrap())
        .collect();
    let done = statuses.iter().take_while(|status| **status == 200).count();
    assert_eq!((answer.status, statuses.len()), (200, 20));
    assert!(
        statuses[done..].iter().all(|status| *status == 413),
        "{statuses:?}"
    );
    assert!(
        answer.text.len() < (4 << 20) + 500_000,
        "{}",
        answer.text.len()
    );
    let refused = &answers[19]["body"]["error"];
    assert_eq!(refused["code"], "too_large");
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .starts_with("not done: ")
    );
    let count = json!({ "namespace": "/", "name": "n" });
    let count = served.post("call", &count).await;
    assert_eq!(
        count.body,
        json!({ "answer": done + 1 }),
        "further ones are not done"
    );
}

#[tokio::test]
async fn other_methods_and_paths_are_refused() {
    let served = Served::new().await;
    let refused = Response::new(get(served.admin, "/api/emit").await);
    assert_eq!(refused.code(), (405, "method"));
    assert_eq!(says(&refused.text, "allow").as_deref(), Some("POST"));
    let refused = served.post("shout", &json!({})).await;
    assert_eq!(refused.code(), (404, "no_operation"));
    for path in ["/api", "/api/", "/api/emit/x", "/api/%ff"] {
        let refused = Response::new(get(served.admin, path).await);
        assert_eq!(refused.code(), (404, "no_operation"), "{path}");
    }
    let refused = served.post("openapi.json", &json!({})).await;
    assert_eq!(refused.code(), (404, "no_operation"));
    let refused = served.post("count", &json!([["/", [], []]])).await;
    assert_eq!(refused.body[0]["body"]["error"]["code"], "bad_json");
    let described = Response::new(get(served.admin, "/api/openapi.json").await);
    assert_eq!(
        (described.status, &described.body["openapi"]),
        (200, &json!("3.1.0"))
    );
    let public = http(
        served.running.address,
        &request("emit", &[("Authorization", &format!("Bearer {KEY}"))], "{}"),
    )
    .await;
    assert!(public.starts_with("HTTP/1.1 404"), "{public}");
    let rebound = request("emit", &[("Authorization", &format!("Bearer {KEY}"))], "{}")
        .replace("{host}", "evil.example");
    assert!(
        http(served.admin, &rebound)
            .await
            .starts_with("HTTP/1.1 403")
    );
}

#[tokio::test]
async fn a_batch_is_done_in_order_and_answered_one_by_one() {
    let served = Served::new().await;
    let (mut ada, _) = served.client("/").await;
    let news = |n: usize| json!({ "namespace": "/", "event": "news", "args": [n] });
    let batch =
        json!([news(1), { "namespace": "/nowhere", "event": "x" }, { "event": 3 }, news(2)]);
    let done = served.post("emit", &batch).await;
    assert_eq!(done.status, 200);
    let statuses: Vec<_> = done
        .body
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["status"].as_u64().unwrap())
        .collect();
    assert_eq!(statuses, [200, 404, 400, 200]);
    assert_eq!(done.body[0]["body"], json!({ "count": 1 }));
    assert_eq!(done.body[1]["body"]["error"]["code"], "no_namespace");
    for n in 1..=2 {
        assert_eq!(
            ada.until(|packet| packet.contains("news")).await,
            format!("42[\"news\",{n}]")
        );
    }
    let calls = Value::Array(vec![json!({ "namespace": "/", "name": "count" }); 3]);
    let done = served.post("call", &calls).await.body;
    let answers: Vec<_> = done
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["body"]["answer"])
        .collect();
    assert_eq!(answers, [1, 2, 3]);
}

#[tokio::test]
async fn a_repeated_request_is_done_once() {
    let served = Served::new().await;
    let count = json!({ "namespace": "/", "name": "count" });
    let first = served.once("id-1", "call", &count).await;
    assert_eq!(first.body, json!({ "answer": 1 }));
    assert_eq!(says(&first.text, "idempotency-replayed"), None);
    let again = served.once("id-1", "call", &count).await;
    assert_eq!((again.status, again.body), (200, json!({ "answer": 1 })));
    assert_eq!(
        says(&again.text, "idempotency-replayed").as_deref(),
        Some("true")
    );
    let other = served
        .once("id-1", "call", &json!({ "namespace": "/", "name": "echo" }))
        .await;
    assert_eq!(other.code(), (422, "idempotency_key"));
    assert_eq!(
        served.once("id-1", "emit", &count).await.code(),
        (422, "idempotency_key")
    );
    assert_eq!(
        served.once("id-2", "call", &count).await.body,
        json!({ "answer": 2 })
    );
    // The script's own error is an answer too, but nothing was done for a malformed request.
    let throw = json!({ "namespace": "/", "name": "throw" });
    for _ in 0..2 {
        assert_eq!(
            served.once("id-3", "call", &throw).await.code(),
            (422, "thrown")
        );
    }
    assert_eq!(
        served.once("id-4", "call", &json!({})).await.code(),
        (400, "bad_json")
    );
    assert_eq!(
        served.once("id-4", "call", &count).await.body,
        json!({ "answer": 3 })
    );
    assert_eq!(
        served.once(&"x".repeat(256), "call", &count).await.code(),
        (400, "bad_request")
    );
    assert_eq!(
        served.once("", "call", &count).await.code(),
        (400, "bad_request")
    );
    let key = format!("Bearer {LIMITED}");
    let headers = [("Authorization", key.as_str()), ("Idempotency-Key", "id-1")];
    let own = served.send("call", &headers, &count.to_string()).await;
    assert_eq!(own.body, json!({ "answer": 4 }), "each API key has its own");
}

#[tokio::test]
async fn keys_are_replaced_while_the_server_runs() {
    let served = Served::new().await;
    let count = json!({ "namespace": "/", "name": "count" });
    assert_eq!(
        served.once("id", "call", &count).await.body,
        json!({ "answer": 1 })
    );
    let new = "another-key-that-nobody-guesses";
    served
        .keys
        .replace([ApiKey::new("new", new).unwrap()])
        .unwrap();
    assert_eq!(
        served.post("call", &count).await.code(),
        (401, "unauthorized")
    );
    assert_eq!(
        served.post_as(new, "call", &count).await.body,
        json!({ "answer": 2 })
    );
    assert!(served.keys.replace([]).is_err());
    assert_eq!(
        served.post_as(new, "call", &count).await.status,
        200,
        "they stay"
    );
    served.keys.replace(keys()).unwrap();
    assert_eq!(served.post("call", &count).await.status, 200);
    let digest = "9af15b336e6a9619928537df30b2e6a2376569fcf9d7e773eccede65606529a0";
    served
        .keys
        .replace([ApiKey::from_sha256("zero", digest).unwrap()])
        .unwrap();
    assert_eq!(served.post_as("0", "call", &count).await.status, 401);
}

#[tokio::test]
async fn on_api_answers_refuses_and_fails() {
    let mut served = Served::new().await;
    let call = |path: &str, name: &str| json!({ "namespace": path, "name": name });
    let thrown = served.post("call", &call("/", "throw")).await;
    assert_eq!(
        (thrown.code(), thrown.message()),
        ((422, "thrown"), "no such order")
    );
    assert_eq!(thrown.body["error"]["data"]["order"], 7);
    assert!(
        served
            .running
            .announced_so_far()
            .iter()
            .all(|event| !matches!(event, HostEvent::HandlerFailed { .. }))
    );
    let failed = served.post("call", &call("/", "fail")).await;
    assert_eq!(
        (failed.code(), failed.message()),
        (
            (500, "failed"),
            "`on_api` of `/` has failed; the log of the server has the reason"
        )
    );
    let diagnostic = served
        .running
        .announced(|event| match event {
            HostEvent::HandlerFailed { diagnostic } => Some(diagnostic.to_string()),
            _ => None,
        })
        .await;
    assert!(diagnostic.contains("`on_api`"), "{diagnostic}");
    assert_eq!(
        served.post("call", &call("/chat", "x")).await.code(),
        (404, "no_on_api")
    );
    assert_eq!(
        served.post("call", &call("/room/9", "x")).await.code(),
        (404, "no_sockets")
    );
}

#[tokio::test]
async fn an_edit_changes_on_api_while_clients_are_connected() {
    let folder = tempfile::tempdir().unwrap();
    let save = |text: &str| fs::write(folder.path().join("main.rhai"), text).unwrap();
    save(SCRIPT);
    let served = Served::with(Memory::default(), |builder| builder.scripts(folder.path())).await;
    let (mut ada, _) = served.client("/").await;
    for answer in ["one", "two"] {
        let script = format!(
            "fn on_connection(socket) {{ socket.on(\"echo\", |x| x); }} fn on_api(request) {{ \"{answer}\" }}"
        );
        save(&script);
        served.host.reload().await.unwrap();
        let answered = served
            .post("call", &json!({ "namespace": "/", "name": "x" }))
            .await;
        assert_eq!(answered.body, json!({ "answer": answer }));
    }
    ada.send(r#"420["echo",1]"#).await;
    ada.until(|packet| packet == "430[1]").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_on_api_delays_nobody_else() {
    // Calls that end only at their limit, more of them than there are threads.
    let mut options = patchcord::testing::options();
    options.limits.time = Duration::from_millis(500);
    options.limits.operations = u64::MAX;
    let scripts = Memory::from([("main.rhai", SCRIPT), ("room/{id}.rhai", SCRIPT)]);
    let served = Served::with(scripts, |builder| builder.options(options)).await;
    let (mut ada, _) = served.client("/").await;
    let mut rooms = Vec::new();
    let mut slow = Vec::new();
    for n in 0..4 {
        rooms.push(served.client(&format!("/room/{n}")).await);
    }
    for n in 0..8 {
        let call = json!({ "namespace": format!("/room/{}", n % 4), "name": "endless" });
        let text = request(
            "call",
            &[("Authorization", &format!("Bearer {KEY}"))],
            &call.to_string(),
        );
        let admin = served.admin;
        slow.push(tokio::spawn(async move {
            Response::new(http(admin, &text).await)
        }));
    }
    for n in 0..20 {
        ada.send(&format!("42{n}[\"echo\",{n}]")).await;
        ada.until(|packet| packet == format!("43{n}[{n}]")).await;
    }
    let quick = served
        .post("call", &json!({ "namespace": "/", "name": "count" }))
        .await;
    assert_eq!(quick.body, json!({ "answer": 1 }));
    for one in slow {
        assert_eq!(one.await.unwrap().code(), (500, "failed"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_request_that_runs_is_not_begun_again() {
    let (begun, has_begun) = channel();
    let (go_on, gate) = channel::<()>();
    let (begun, gate) = (Mutex::new(begun), Mutex::new(gate));
    let scripts = Memory::from([(
        "main.rhai",
        "fn on_connection(socket) { } fn on_api(request) { wait(); io.data.incr(\"n\", 1) }",
    )]);
    let served = Served::with(scripts, |builder| {
        builder.effect("wait()", move || {
            begun.lock().unwrap().send(()).unwrap();
            // The sender is gone if the test has failed.
            let _ = gate.lock().unwrap().recv();
        })
    })
    .await;
    let call = json!({ "namespace": "/", "name": "x" });
    let first = async { served.once("id", "call", &call).await };
    let second = async {
        tokio::task::spawn_blocking(move || has_begun.recv().unwrap())
            .await
            .unwrap();
        let refused = served.once("id", "call", &call).await;
        assert_eq!(refused.code(), (409, "running"));
        assert_eq!(says(&refused.text, "retry-after").as_deref(), Some("1"));
        go_on.send(()).unwrap();
    };
    let (first, ()) = tokio::join!(first, second);
    assert_eq!(first.body, json!({ "answer": 1 }));
    assert_eq!(
        served.once("id", "call", &call).await.body,
        json!({ "answer": 1 })
    );
}

#[tokio::test]
async fn an_api_needs_the_second_listener() {
    let host = Host::builder()
        .loader(Memory::from([("main.rhai", SCRIPT)]))
        .build();
    let mut config = Config::default();
    config.port = 0;
    config.api_keys = Some(ApiKeys::new(keys()).unwrap());
    let refused = Server::bind(host, &config).await.unwrap_err();
    assert!(matches!(refused, ServerError::ApiWithoutAdmin));
}

#[tokio::test]
async fn a_request_without_its_body_ends_and_holds_up_nobody() {
    let served = Served::new().await;
    let mut silent = TcpStream::connect(served.admin).await.unwrap();
    let head = format!(
        "POST /api/emit HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {KEY}\r\nContent-Length: 50\r\n\r\n{{",
        served.admin
    );
    silent.write_all(head.as_bytes()).await.unwrap();
    let other = served
        .post("emit", &json!({ "namespace": "/", "event": "news" }))
        .await;
    assert_eq!(other.status, 200);
    silent.shutdown().await.unwrap();
    let mut answer = String::new();
    silent.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
        "{answer}"
    );
}
