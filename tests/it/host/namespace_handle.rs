//! Namespaces as the application uses them: `Host::namespace`, and `on_api`.

use patchcord::{
    Host, HostEvent,
    host::NamespaceError,
    script::Memory,
    testing::{TestHost, options},
};
use serde_json::json;

const SCRIPT: &str = r#"
fn on_connection(socket) {
    socket.data.name = socket.handshake.auth;
    socket.join("lobby");
    socket.on_any_outgoing(|event, args| { print(`${socket.data.name} hears ${event} ${args}`); });
}
fn on_api(request) {
    switch request.name {
        "echo" => request,
        "throw" => throw "no such order",
        "throw map" => throw #{ message: "no such order", order: 7 },
        "fail" => request.args[5],
        "closure" => || 1,
        "endless" => loop {},
        "key" => request.key,
        "tell" => { io.to("lobby").emit("told", request.args[0]); io.sockets.len() },
        "count" => io.data.incr("count", 1),
    }
}
"#;

#[test]
fn an_application_sends_events_as_io_does() {
    let host = TestHost::new(SCRIPT);
    let (ada, bob) = (
        host.connect_as("/", "ada").unwrap(),
        host.connect_as("/", "bob").unwrap(),
    );
    let main = host.namespace("/").unwrap();
    let emit = |to: &[&str], except: &[&str]| {
        let selected = to.iter().fold(main.clone(), |one, room| one.to(*room));
        let selected = except.iter().fold(selected, |one, room| one.except(*room));
        let sent = host.on_runtime(|| selected.emit("news", ("hi", json!({ "n": 1 }))));
        (sent.unwrap(), ada.heard().len(), bob.heard().len())
    };
    assert_eq!(emit(&[], &[]), (2, 1, 1));
    assert_eq!(emit(&["lobby"], &[ada.id()]), (1, 0, 1));
    assert_eq!(emit(&[ada.id(), "nowhere"], &[]), (1, 1, 0));
    assert_eq!(emit(&["nowhere"], &[]), (0, 0, 0));
    let heard = host.log();
    assert_eq!(
        heard
            .iter()
            .filter(|line| line.starts_with("bob hears news"))
            .count(),
        2
    );
    host.on_runtime(|| main.emit("none", ())).unwrap();
    host.on_runtime(|| main.volatile().emit("array", [1, 2]))
        .unwrap();
    assert_eq!(ada.heard(), ["none []", "array [1,2]"]);
}

#[test]
fn events_and_arguments_that_cannot_be_sent_are_refused() {
    let host = TestHost::new(SCRIPT);
    let main = host.namespace("/").unwrap();
    let emit =
        |event: &str, args: serde_json::Value| main.emit(event, args).unwrap_err().to_string();
    assert_eq!(
        emit("disconnect", json!([])),
        "`disconnect` is a reserved event name and cannot be sent"
    );
    assert!(emit("\0own", json!([])).contains("NUL"));
    assert_eq!(
        emit("news", json!("hi")),
        "the arguments cannot be sent: the payload is not an array"
    );
    let deep = (0..70).fold(json!(1), |value, _| json!([value]));
    assert_eq!(
        emit("news", deep),
        "the arguments cannot be sent: nested more than 64 levels deep"
    );
}

#[test]
fn sockets_are_moved_listed_and_disconnected() {
    let host = TestHost::build([("main.rhai", SCRIPT)], |builder| {
        let mut options = options();
        options.limits.rooms = 4;
        builder.options(options)
    });
    let (ada, bob) = (
        host.connect_as("/", "ada").unwrap(),
        host.connect_as("/", "bob").unwrap(),
    );
    let main = host.namespace("/").unwrap();
    assert_eq!(main.to(ada.id()).join(["a", "b"]), Ok(1));
    assert_eq!(main.rooms().unwrap(), ["a", "b", "lobby"]);
    assert_eq!(main.to(bob.id()).rooms().unwrap(), ["lobby"]);
    let refused = NamespaceError::TooManyRooms { sockets: 1, max: 4 };
    assert_eq!(main.join(["c", "d"]), Err(refused));
    assert_eq!(main.to("c").count(), Ok(1), "bob has joined");
    assert_eq!(main.to("lobby").leave(["lobby", "a"]), Ok(2));
    let long = "x".repeat(1025);
    assert_eq!(main.join([long]), Err(NamespaceError::RoomName));
    let sockets = main.sockets().unwrap();
    let ada_seen = sockets.iter().find(|one| *one.id == *ada.id()).unwrap();
    assert_eq!(ada_seen.rooms, [ada.id(), "b"]);
    assert_eq!(ada_seen.data, json!({ "name": "ada" }));
    assert_eq!(ada_seen.address.as_deref(), Some("127.0.0.1"));
    assert_eq!(ada_seen.transport, "websocket");
    assert_eq!(host.on_runtime(|| main.to("b").disconnect(false)), Ok(1));
    assert_eq!(main.count(), Ok(1));
    assert_eq!(host.connected()[0].socket, bob.id());
}

#[test]
fn a_dynamic_namespace_is_empty_where_nobody_is() {
    let host = TestHost::with([
        ("main.rhai", "fn on_connection(socket) { }"),
        (
            "room/{id}.rhai",
            "fn on_connection(socket) { } fn on_api(request) { io.data.incr(\"n\", 1) }",
        ),
    ]);
    assert!(host.namespace("/chat").is_none());
    assert!(host.namespace("/room").is_none());
    assert!(
        host.namespace("/room/{id}").is_none(),
        "that is no namespace"
    );
    let room = host.namespace("/room/7").unwrap();
    assert_eq!(room.emit("news", ()), Ok(0));
    assert_eq!(room.sockets(), Ok(vec![]));
    let nobody = NamespaceError::NoSockets("/room/7".into());
    assert_eq!(host.call("/room/7", "x", ()), Err(nobody));
    let ada = host.connect("/room/7").unwrap();
    assert_eq!(host.on_runtime(|| room.emit("news", ())), Ok(1));
    assert_eq!(ada.heard(), ["news []"]);
    assert_eq!(host.call("/room/7", "x", ()).unwrap(), 1);
    let _bob = host.connect("/room/8").unwrap();
    assert_eq!(
        host.call("/room/8", "x", ()).unwrap(),
        1,
        "each has its own data"
    );
    assert_eq!(host.call("/room/7", "x", ()).unwrap(), 2);
}

#[test]
fn on_api_answers_calls() {
    let host = TestHost::new(SCRIPT);
    let ada = host.connect_as("/", "ada").unwrap();
    let echoed = host.call("/", "echo", (1, "two", json!({ "three": [3.5, null] })));
    let args = json!([1, "two", { "three": [3.5, null] }]);
    assert_eq!(
        echoed.unwrap(),
        json!({ "name": "echo", "args": args, "key": null })
    );
    assert_eq!(host.call("/", "key", ()).unwrap(), json!(null));
    assert_eq!(host.call("/", "tell", ["hi"]).unwrap(), 1);
    assert_eq!(ada.heard(), ["told [\"hi\"]"]);
    assert_eq!(host.problems(), [] as [&str; 0]);
}

#[test]
fn what_on_api_throws_is_for_the_caller_and_other_failures_are_announced() {
    let host = TestHost::new(SCRIPT);
    let thrown = |data| NamespaceError::Thrown {
        message: "no such order".to_owned(),
        data,
    };
    assert_eq!(host.call("/", "throw", ()), Err(thrown(None)));
    let map = json!({ "message": "no such order", "order": 7 });
    assert_eq!(host.call("/", "throw map", ()), Err(thrown(Some(map))));
    assert_eq!(host.problems(), [] as [&str; 0]);
    for name in ["fail", "closure"] {
        let failed = host.call("/", name, ());
        assert_eq!(failed, Err(NamespaceError::Failed("/".into())), "{name}");
        let events = host.events();
        let [HostEvent::HandlerFailed { diagnostic }] = &events[..] else {
            panic!("{name}: {events:?}");
        };
        assert!(diagnostic.to_string().contains("`on_api`"), "{diagnostic}");
    }
    assert_eq!(host.call("/", "count", ()).unwrap(), 1, "it goes on");
}

#[test]
fn an_edit_changes_the_next_call_and_adds_or_removes_on_api() {
    let mut host = TestHost::new("fn on_connection(socket) { }");
    let ada = host.connect("/").unwrap();
    let none = NamespaceError::NoHook("/".into());
    assert_eq!(host.call("/", "x", ()), Err(none.clone()));
    for answer in [1, 2] {
        let text = format!("fn on_connection(socket) {{ }} fn on_api(request) {{ {answer} }}");
        host.edit("main.rhai", &text);
        assert_eq!(host.call("/", "x", ()).unwrap(), answer);
    }
    host.edit("main.rhai", "fn on_connection(socket) { }  ");
    assert_eq!(host.call("/", "x", ()), Err(none));
    assert_eq!(host.connected()[0].socket, ada.id());
    // A unit that exists only because of calls runs a later `on_load`.
    host.edit("main.rhai", "fn on_load() { io.data.set(\"n\", 5); } fn on_connection(socket) { } fn on_api(request) { io.data.n }");
    assert_eq!(host.call("/", "x", ()).unwrap(), 5);
    assert_eq!(host.problems(), [] as [&str; 0]);
}

#[test]
fn a_call_that_does_not_end_fails_at_its_limit() {
    let host = TestHost::build([("main.rhai", SCRIPT)], |builder| {
        let mut options = options();
        options.limits.operations = 10_000;
        builder.options(options)
    });
    let failed = host.call("/", "endless", ());
    assert_eq!(failed, Err(NamespaceError::Failed("/".into())));
    let problems = host.problems();
    assert!(problems[0].contains("operations"), "{problems:?}");
}

#[test]
fn a_handle_outlives_what_it_is_for() {
    let host = TestHost::new(SCRIPT);
    let main = host.namespace("/").unwrap();
    assert_eq!(main.path(), "/");
    host.close();
    let gone = NamespaceError::NotServed("/".into());
    assert_eq!(main.emit("news", ()), Err(gone.clone()));
    assert_eq!(host.call("/", "echo", ()), Err(gone));
}

#[tokio::test]
async fn on_api_with_a_second_parameter_answers_later() {
    let script = r#"
        fn on_api(request, reply) {
            switch request.name {
                "later" => set_timeout(|| reply.call((), request.args), 1),
                "error" => set_timeout(|| reply.call("not now"), 1),
                "never" => {}
                "twice" => { reply.call((), 1); reply.call((), 2); }
                "closure" => reply.call((), || 1),
                _ => throw "no such call",
            }
        }
        fn on_connection(socket) { }"#;
    let host = Host::builder()
        .loader(Memory::from([("main.rhai", script)]))
        .build();
    host.load().await.unwrap();
    let namespace = host.namespace("/").unwrap();
    assert_eq!(
        namespace.call("later", (1, "a")).await.unwrap(),
        serde_json::json!([1, "a"])
    );
    assert_eq!(namespace.call("twice", ()).await.unwrap(), 1);
    for (name, expected) in [
        ("error", "not now"),
        (
            "never",
            "`on_api` of `/` has ended without a call of `reply`",
        ),
        (
            "closure",
            "`on_api` of `/` has failed; the log of the server has the reason",
        ),
        ("other", "no such call"),
    ] {
        let error = namespace.call(name, ()).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}
