//! `this` is the socket, as in Node.

use super::{NONE, ask, save, serve};

#[test]
fn this_is_the_socket_in_whatever_a_client_calls() {
    let host = serve(
        r#"fn say(text) { this.data.name = text; this.emit("said", text, this.id); }
        fn on_connection(socket) {
            socket.on("say", say);
            socket.on("closure", || this.id);
            socket.once("once", || this.id);
            socket.on("login", || { this.on("late", || this.id); });
            socket.on("name", || socket.data.name);
            socket.on_any(|event, args| { if event == "any" { this.emit("any", this.id); } });
            socket.middleware(|event, args| { if event == "checked" { this.emit("checked", this.id); } });
            socket.emit("who", |answer| { this.emit("answered", answer, this.id); });
            set_timeout(|| { this.emit("timer", this.id); }, 50);
        }"#,
    );
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    for (client, id) in [(&ada, "client1"), (&bob, "client2")] {
        client.heard();
        client.emit("say", ["hi"]);
        assert_eq!(client.heard(), [format!("said [\"hi\",\"{id}\"]")]);
        assert_eq!(ask(client, "name"), "[\"hi\"]");
        assert_eq!(ask(client, "closure"), format!("[\"{id}\"]"));
        assert_eq!(ask(client, "once"), format!("[\"{id}\"]"));
        client.emit("login", ());
        assert_eq!(ask(client, "late"), format!("[\"{id}\"]"));
        client.emit("any", ());
        client.emit("checked", ());
        assert_eq!(
            client.heard(),
            [format!("any [\"{id}\"]"), format!("checked [\"{id}\"]")]
        );
        client.answer(["x"]);
        assert_eq!(client.heard(), [format!("answered [\"x\",\"{id}\"]")]);
    }
    host.advance(50);
    assert_eq!(ada.heard(), ["timer [\"client1\"]"]);
    assert_eq!(bob.heard(), ["timer [\"client2\"]"]);
    assert_eq!(host.problems(), NONE);
}

#[test]
fn this_is_the_socket_in_disconnect_listeners_and_named_functions_everywhere() {
    let host = serve(
        r#"fn gone(reason) { io.emit("gone", this.id); }
        fn tick() { this.data.ticks = this.data.get("ticks", 0) + 1; }
        fn answered(answer) { this.data.answer = answer; }
        fn any(event, args) { this.data.last = event; }
        fn on_connection(socket) {
            socket.on("disconnect", gone);
            set_interval(tick, 50);
            socket.emit("who", answered);
            socket.on_any(any);
            socket.on("data", || [this.data.ticks, this.data.answer, this.data.last]);
        }"#,
    );
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    ada.answer(["Ada"]);
    host.advance(120);
    assert_eq!(ask(&ada, "data"), "[[2,\"Ada\",\"data\"]]");
    assert_eq!(ask(&bob, "data"), "[[2,null,\"data\"]]");
    bob.heard();
    ada.heard();
    ada.disconnect();
    assert_eq!(bob.heard(), ["gone [\"client1\"]"]);
    assert_eq!(host.problems(), NONE);
}

#[test]
fn a_handler_with_this_follows_and_can_begin_or_cease_to_use_it() {
    let script = |say: &str, late: &str| {
        format!(
            "fn say(text) {{ {say} }}
            fn on_connection(socket) {{ socket.on(\"say\", say);
                socket.on(\"login\", || {{ socket.on(\"late\", || {{ {late} }}); }}); }}"
        )
    };
    let mut host = serve(&script("text", "1"));
    let client = host.connect("/").unwrap();
    client.emit("login", ());
    for (say, late, answers) in [
        (
            "[text, this.id]",
            "this.id",
            ("[[\"hi\",\"client1\"]]", "[\"client1\"]"),
        ),
        ("text + 1", "2", ("[\"hi1\"]", "[2]")),
        (
            "let me = this; me.id",
            "this.data.n = 5; this.data.n",
            ("[\"client1\"]", "[5]"),
        ),
    ] {
        save(&mut host, &script(say, late));
        assert_eq!(
            client.ask("say", ["hi"]).as_deref(),
            Some(answers.0),
            "{say}"
        );
        assert_eq!(ask(&client, "late"), answers.1, "{late}");
    }
}

#[test]
fn an_ack_as_a_listener_gets_only_its_arguments() {
    let host = serve(
        r#"fn on_connection(socket) {
            socket.on("wait", |ack| { socket.once("go", ack); });
        }"#,
    );
    let client = host.connect("/").unwrap();
    assert_eq!(client.ask("wait", ()), None);
    client.emit("go", [7]);
    assert_eq!(client.answers(), ["[7]"]);
}
