//! Acks of clients: what a script asks, and what clients answer.

use patchcord::testing::TestHost;

#[test]
fn the_closure_gets_the_arguments_of_the_answer() {
    let host = TestHost::new(
        "fn on_connection(socket) {
            let name = \"nobody\";
            socket.emit(\"name?\", 1, |first, last| { name = `${first} ${last}`; });
            socket.emit(\"age?\", || { name += \"!\"; });
            socket.on(\"who\", || name); }",
    );
    let client = host.connect("/").unwrap();
    assert_eq!(client.heard(), ["name? [1]", "age? []"]);
    client.answer(["Ada", "Lovelace"]);
    client.answer([36]);
    assert_eq!(
        client.ask("who", ()).as_deref(),
        Some("[\"Ada Lovelace!\"]")
    );
}

#[test]
fn after_timeout_the_error_comes_first() {
    let host = TestHost::new(
        "fn on_connection(socket) {
            socket.timeout(5000).emit(\"name?\", |err, name| { print(`${err == ()} ${name}`); }); }",
    );
    let client = host.connect("/").unwrap();
    client.answer(["Ada"]);
    assert_eq!(host.log(), ["true Ada"]);
}

#[test]
fn a_client_that_leaves_answers_with_an_error_before_its_disconnect() {
    let host = TestHost::new(
        "fn on_connection(socket) {
            socket.timeout(5000).emit(\"a?\", |err, a| { print(err); });
            socket.emit(\"b?\", |b| { print(\"never\"); });
            socket.on(\"disconnect\", |reason| { print(reason); }); }",
    );
    host.connect("/").unwrap().disconnect();
    assert_eq!(
        host.log(),
        [
            "socket has been disconnected",
            "client namespace disconnect"
        ]
    );
}

#[test]
fn all_answers_to_a_broadcast_come_together() {
    let host = TestHost::new(
        "fn on_connection(socket) {
            socket.on(\"vote\", || { io.timeout(5000).emit(\"yes?\", |err, answers| { socket.emit(\"result\", err, answers); }); }); }",
    );
    let clients = [(); 3].map(|()| host.connect("/").unwrap());
    clients[0].emit("vote", ());
    for (n, client) in clients.iter().enumerate() {
        assert_eq!(client.heard(), ["yes? []"]);
        client.answer([n]);
    }
    assert_eq!(clients[0].heard(), ["result [null,[0,1,2]]"]);
}

#[test]
fn a_closure_given_to_another_socket_runs_in_the_turn_of_its_giver() {
    let host = TestHost::new(
        "fn on_connection(socket) {
            let told = [];
            socket.on(\"ask\", |id| { io.socket(id).emit(\"q\", |a| { told.push(a); }); });
            socket.on(\"told\", || told); }",
    );
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    ada.emit("ask", [bob.id()]);
    bob.answer(["from bob"]);
    assert_eq!(ada.ask("told", ()).as_deref(), Some("[[\"from bob\"]]"));
}

#[test]
fn an_answer_after_an_edit_reaches_the_variable_the_new_code_uses() {
    let script = |mark: &str| {
        format!(
            "fn on_connection(socket) {{ let name = \"\";
                socket.emit(\"name?\", |n| {{ name = n; }});
                socket.on(\"who\", || name + \"{mark}\"); }}"
        )
    };
    let mut host = TestHost::new(&script("."));
    let client = host.connect("/").unwrap();
    host.edit("main.rhai", &script("!"));
    client.answer(["Ada"]);
    assert_eq!(client.ask("who", ()).as_deref(), Some("[\"Ada!\"]"));
    assert_eq!(
        client.heard(),
        ["name? []"],
        "a live client is not asked again"
    );
}

#[test]
fn a_broadcast_to_nobody_is_answered_at_once() {
    let host = TestHost::new(
        "fn on_connection(socket) {
            socket.broadcast.timeout(5000).emit(\"yes?\", |err, answers| { print(`${err == ()} ${answers}`); }); }",
    );
    host.connect("/").unwrap();
    assert_eq!(host.log(), ["true []"]);
}

#[test]
fn who_does_not_answer_in_time_is_missing_among_the_answers() {
    let host = TestHost::new(
        "fn on_connection(socket) {
            socket.on(\"vote\", || { io.timeout(5000).emit(\"yes?\", |err, answers| { print(`${err} ${answers}`); }); }); }",
    );
    let clients = [(); 2].map(|()| host.connect("/").unwrap());
    clients[0].emit("vote", ());
    clients[1].answer(["aye"]);
    assert_eq!(host.log(), [] as [&str; 0]);
    host.advance(5000);
    assert_eq!(host.log(), ["operation has timed out [\"aye\"]"]);
}
