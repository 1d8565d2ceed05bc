//! Rooms, and the operators that choose the recipients.

use patchcord::testing::{TestClient, TestHost};

/// Returns three clients in rooms, of which the first runs `code` when it sends `go`.
fn three(code: &str) -> (TestHost, [TestClient; 3]) {
    let host = TestHost::new(&format!(
        "fn on_connection(socket) {{
            socket.on(\"join\", |rooms| {{ socket.join(rooms); }});
            socket.on(\"go\", |other| {{ {code} }});
        }}"
    ));
    assert_eq!(host.problems(), [] as [&str; 0]);
    let clients = [(); 3].map(|()| host.connect("/").unwrap());
    clients[0].emit("join", ["red"]);
    clients[1].emit("join", [["red", "blue"]]);
    clients[2].emit("join", ["blue"]);
    clients[0].emit("go", [clients[2].id()]);
    (host, clients)
}

/// Returns which of the three clients receive what the first one emits.
fn heard(code: &str) -> Vec<usize> {
    let (host, clients) = three(code);
    assert_eq!(host.problems(), [] as [&str; 0], "{code}");
    (0..3)
        .filter(|n| clients[*n].heard() == ["x [1]"])
        .collect()
}

#[test]
fn operators_choose_who_hears() {
    for (code, who) in [
        ("socket.emit(\"x\", 1)", vec![0]),
        ("socket.to(\"red\").emit(\"x\", 1)", vec![1]),
        ("socket.within(\"red\").emit(\"x\", 1)", vec![1]),
        ("io.to(\"red\").emit(\"x\", 1)", vec![0, 1]),
        ("io.within(\"red\").emit(\"x\", 1)", vec![0, 1]),
        ("io.to([\"red\", \"blue\"]).emit(\"x\", 1)", vec![0, 1, 2]),
        ("io.to(\"red\").to(\"blue\").emit(\"x\", 1)", vec![0, 1, 2]),
        ("io.except(\"red\").emit(\"x\", 1)", vec![2]),
        ("io.to(\"blue\").except(\"red\").emit(\"x\", 1)", vec![2]),
        ("io.except([\"red\", \"blue\"]).emit(\"x\", 1)", vec![]),
        ("socket.except(\"blue\").emit(\"x\", 1)", vec![]),
        ("socket.broadcast.to(\"blue\").emit(\"x\", 1)", vec![1, 2]),
        ("socket.broadcast.emit(\"x\", 1)", vec![1, 2]),
        ("socket.local.emit(\"x\", 1)", vec![1, 2]),
        ("io.local.emit(\"x\", 1)", vec![0, 1, 2]),
        ("io.to(other).emit(\"x\", 1)", vec![2]),
        ("socket.to(other).emit(\"x\", 1)", vec![2]),
        ("socket.volatile.emit(\"x\", 1)", vec![0]),
        ("io.volatile.emit(\"x\", 1)", vec![0, 1, 2]),
        ("socket.volatile.to(\"blue\").emit(\"x\", 1)", vec![1, 2]),
        ("io.of(\"/\").to(\"red\").emit(\"x\", 1)", vec![0, 1]),
        (
            "for s in io.sockets { if s.id == other { s.emit(\"x\", 1); } }",
            vec![2],
        ),
        ("io.socket(other).emit(\"x\", 1)", vec![2]),
        (
            "socket.leave(\"red\"); io.to(\"red\").emit(\"x\", 1)",
            vec![1],
        ),
        (
            "socket.leave_all(); io.to(socket.id).emit(\"x\", 1)",
            vec![],
        ),
        (
            "socket.leave(socket.id); io.to(socket.id).emit(\"x\", 1)",
            vec![],
        ),
        (
            "socket.leave(socket.id); socket.broadcast.emit(\"x\", 1)",
            vec![0, 1, 2],
        ),
        (
            "socket.leave(socket.id); socket.join(socket.id); io.to(socket.id).emit(\"x\", 1)",
            vec![0],
        ),
        (
            "socket.join(other); io.to(other).emit(\"x\", 1)",
            vec![0, 2],
        ),
        (
            "socket.join(other); io.to([other, \"blue\", socket.id]).emit(\"x\", 1)",
            vec![0, 1, 2],
        ),
        ("io.except(other).emit(\"x\", 1)", vec![0, 1]),
        ("io.to(other).except(\"blue\").emit(\"x\", 1)", vec![]),
        ("io.to(\"blue\").except(other).emit(\"x\", 1)", vec![1]),
        (
            "io.to(\"blue\").except(socket.id).emit(\"x\", 1)",
            vec![1, 2],
        ),
        (
            "io.socket(other).join(\"green\"); io.to(\"green\").emit(\"x\", 1)",
            vec![2],
        ),
        (
            "io.to(\"blue\").sockets_join(\"green\"); io.to(\"green\").emit(\"x\", 1)",
            vec![1, 2],
        ),
        (
            "io.sockets_leave([\"red\"]); io.to(\"red\").emit(\"x\", 1)",
            vec![],
        ),
        (
            "io.to(\"red\").fetch_sockets(|all| { for s in all { s.emit(\"x\", 1); } })",
            vec![0, 1],
        ),
    ] {
        assert_eq!(heard(code), who, "{code}");
    }
}

#[test]
fn send_is_an_event_named_message() {
    let (_host, clients) = three("socket.send(1, \"a\"); io.send(); socket.to(\"blue\").send(2);");
    assert_eq!(clients[0].heard(), ["message [1,\"a\"]", "message []"]);
    assert_eq!(clients[2].heard(), ["message []", "message [2]"]);
}

#[test]
fn lists_of_rooms_and_sockets() {
    let (_host, clients) = three(
        "socket.emit(\"mine\", socket.rooms.to_array(), \"red\" in socket.rooms, socket.rooms.len());
         socket.emit(\"all\", io.rooms.to_array(), io.sockets.len(), io.sockets.to_array().len);
         socket.emit(\"nobody\", io.socket(\"nobody\"));",
    );
    assert_eq!(
        clients[0].heard(),
        [
            "mine [[\"client1\",\"red\"],true,2]",
            "all [[\"client1\",\"client2\",\"client3\",\"red\",\"blue\"],3,3]",
            "nobody [null]"
        ]
    );
}

#[test]
fn disconnect_sockets_takes_many_out() {
    let host = TestHost::new(
        "fn on_connection(socket) {
            socket.on(\"join\", |room| { socket.join(room); });
            socket.on(\"end\", || { io.to(\"red\").disconnect_sockets(); });
            socket.on(\"disconnect\", |reason| { print(`${socket.id} ${reason}`); }); }",
    );
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    bob.emit("join", ["red"]);
    ada.emit("end", ());
    assert_eq!(host.log(), ["client2 server namespace disconnect"]);
}

#[test]
fn a_wrong_room_is_an_error_that_says_what_it_got() {
    for (code, message) in [
        (
            "socket.join(1)",
            "`join` takes the name of a room, a string, or an array of them, and got int",
        ),
        ("io.to(())", "`to` takes the name of a room"),
        ("io.to([1])", "`to` takes the name of a room"),
        ("io.of(\"/none\")", "no namespace `/none` is served"),
        ("io.emit(\"x\", |a| a)", "`timeout(ms)` before `emit`"),
    ] {
        let host = TestHost::new(&format!("fn on_connection(socket) {{\n    {code};\n}}"));
        let _client = host.connect("/").unwrap();
        let problems = host.problems();
        assert!(problems[0].contains(message), "{code}: {problems:?}");
    }
}

#[test]
fn rooms_are_there_while_disconnecting_and_gone_at_the_disconnect() {
    let host = TestHost::new(
        "fn on_connection(socket) { socket.join(\"red\");
            socket.on(\"disconnecting\", |reason| { print(`${reason} ${socket.rooms.to_array()}`); });
            socket.on(\"disconnect\", |reason| { print(`${reason} ${socket.rooms.len()}`); }); }
         fn on_disconnect(socket, reason) { print(`hook ${reason}`); }",
    );
    host.connect("/").unwrap().disconnect();
    assert_eq!(
        host.log(),
        [
            "client namespace disconnect [\"client1\", \"red\"]",
            "client namespace disconnect 0",
            "hook client namespace disconnect"
        ]
    );
}
