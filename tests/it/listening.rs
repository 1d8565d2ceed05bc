//! Listeners of any event, and checks before them.

use patchcord::testing::TestHost;

#[test]
fn a_middleware_drops_an_event_and_the_error_listeners_hear_why() {
    let host = TestHost::new(
        "fn on_connection(socket) {
            socket.middleware(|event, args| { if event == \"bad\" { throw \"no\"; } });
            socket.on_any(|event, args| { print(`any ${event}`); });
            socket.on(\"bad\", || { print(\"bad\"); });
            socket.on(\"good\", || { print(\"good\"); });
            socket.on(\"error\", |err| { print(`error ${err}`); }); }",
    );
    let client = host.connect("/").unwrap();
    client.emit("bad", ());
    client.emit("good", ());
    assert_eq!(host.log(), ["error no", "any good", "good"]);
}

#[test]
fn a_middleware_that_throws_with_nobody_to_hear_is_announced() {
    let host = TestHost::new(
        "fn on_connection(socket) { socket.middleware(|event, args| { throw \"no\"; }); }",
    );
    host.connect("/").unwrap().emit("x", ());
    let problems = host.problems();
    assert!(
        problems[0].contains("called from middleware for `x` of namespace `/`"),
        "{problems:?}"
    );
}

#[test]
fn a_middleware_that_returns_an_array_replaces_the_arguments() {
    let host = TestHost::new(
        "fn on_connection(socket) {
            socket.middleware(|event, args| { args.push(2); args });
            socket.middleware(|event, args| { });
            socket.on(\"x\", |a, b| { print(`${a} ${b}`); }); }",
    );
    host.connect("/").unwrap().emit("x", [1]);
    assert_eq!(host.log(), ["1 2"]);
}

#[test]
fn what_is_sent_is_heard_soon_after() {
    let host = TestHost::new(
        "fn on_connection(socket) {
            if io.sockets.len() == 1 { socket.on_any_outgoing(|event, args| { print(`${event} ${args}`); }); }
            socket.on(\"go\", || { socket.emit(\"one\", 1); io.emit(\"all\", 2); socket.broadcast(\"others\"); print(\"end\"); }); }",
    );
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    ada.emit("go", ());
    assert_eq!(host.log(), ["end", "one [1]", "all [2]"]);
    bob.emit("go", ());
    let log = host.log();
    assert_eq!(log[0], "end");
    assert_eq!(log[1..], ["all [2]", "others []"]);
}

#[test]
fn a_client_that_emits_a_reserved_name_is_disconnected() {
    let host = TestHost::new(
        "fn on_connection(socket) { socket.on(\"disconnect\", |reason| { print(reason); }); }",
    );
    let client = host.connect("/").unwrap();
    client.emit("disconnect", ["forged"]);
    assert_eq!(host.log(), ["server namespace disconnect"]);
}
