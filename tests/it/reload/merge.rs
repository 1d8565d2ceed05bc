//! Values of `socket.data` and rooms that `on_connection` sets follow an edit, unless the connection has changed them.

use patchcord::{
    HostEvent,
    event::Reload,
    testing::{TestClient, TestHost},
};

const NONE: [&str; 0] = [];

/// Returns a script whose clients can change their data and rooms, and ask for them.
fn script(on_connection: &str) -> String {
    format!(
        "fn on_connection(socket) {{
            socket.on(\"set\", |key, value| {{ socket.data[key] = value; }});
            socket.on(\"join\", |room| {{ socket.join(room); }});
            socket.on(\"leave\", |room| {{ socket.leave(room); }});
            socket.on(\"data\", || socket.data);
            socket.on(\"rooms\", || {{ let rooms = []; for room in socket.rooms {{ rooms.push(room); }} rooms }});
            {on_connection}
        }}"
    )
}

fn data(client: &TestClient) -> String {
    client.ask("data", ()).unwrap()
}

fn rooms(client: &TestClient) -> String {
    client.ask("rooms", ()).unwrap()
}

fn reload(host: &TestHost) -> Reload {
    let events = host.events();
    let found = events.iter().find_map(|event| match event {
        HostEvent::Replaced { reload, .. } => Some(reload.clone()),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("nothing was replaced: {events:?}"))
}

#[test]
fn a_new_key_of_socket_data_arrives_on_live_connections() {
    let mut host = TestHost::new(&script(""));
    let client = host.connect("/").unwrap();
    host.edit(
        "main.rhai",
        &script(
            "socket.data.profile = #{ n: 1 }; let n = socket.data.profile.n; socket.on(\"n\", || n + socket.data.profile.n);",
        ),
    );
    assert_eq!(client.ask("n", ()).as_deref(), Some("[2]"));
    assert_eq!(host.problems(), NONE);
}

#[test]
fn a_key_of_socket_data_follows_the_code_where_the_connection_has_not_changed_it() {
    let mut host = TestHost::new(&script("socket.data.name = \"anonymous\";"));
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    ada.emit("set", ["name", "Ada"]);
    host.edit("main.rhai", &script("socket.data.name = \"guest\";"));
    assert_eq!(data(&ada), "[{\"name\":\"Ada\"}]");
    assert_eq!(data(&bob), "[{\"name\":\"guest\"}]");
    let reload = reload(&host);
    assert_eq!(reload.kept(), ["socket.data.name"]);
    assert_eq!(data(&host.connect("/").unwrap()), "[{\"name\":\"guest\"}]");
}

#[test]
fn a_key_of_socket_data_that_is_no_longer_written_goes_unless_it_was_changed() {
    let mut host = TestHost::new(&script("socket.data.name = \"anonymous\";"));
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    ada.emit("set", ["name", "Ada"]);
    host.edit("main.rhai", &script(""));
    assert_eq!(data(&ada), "[{\"name\":\"Ada\"}]");
    assert_eq!(data(&bob), "[{}]");
}

#[test]
fn a_key_of_socket_data_whose_type_the_edit_changed_takes_the_new_value() {
    let mut host = TestHost::new(&script("socket.data.score = 0;"));
    let client = host.connect("/").unwrap();
    client.emit("set", ("score", 7));
    host.edit("main.rhai", &script("socket.data.score = [];"));
    assert_eq!(data(&client), "[{\"score\":[]}]");
    assert_eq!(reload(&host).retyped(), ["socket.data.score"]);
}

#[test]
fn a_key_that_a_handler_wrote_first_stays() {
    let mut host = TestHost::new(&script(""));
    let client = host.connect("/").unwrap();
    client.emit("set", ["name", "Ada"]);
    host.edit(
        "main.rhai",
        &script("socket.data.name = \"guest\"; socket.data.init(\"team\", \"red\");"),
    );
    assert_eq!(data(&client), "[{\"name\":\"Ada\",\"team\":\"red\"}]");
}

#[test]
fn a_key_that_init_found_is_no_work_of_the_code() {
    let mut host = TestHost::new(&script("socket.data.init(\"name\", \"anonymous\");"));
    let client = host.connect("/").unwrap();
    client.emit("set", ["name", "Ada"]);
    host.edit("main.rhai", &script(""));
    assert_eq!(data(&client), "[{\"name\":\"Ada\"}]");
}

#[test]
fn a_number_in_socket_data_that_on_connection_counts_follows_and_is_not_counted_again() {
    let count = |by: i64| script(&format!("socket.data.incr(\"visits\", {by});"));
    let mut host = TestHost::new(&count(1));
    let client = host.connect("/").unwrap();
    for by in 2..5 {
        host.edit("main.rhai", &count(by));
        assert_eq!(data(&client), format!("[{{\"visits\":{by}}}]"));
    }
}

#[test]
fn what_a_draft_writes_to_the_data_of_others_is_thrown_away() {
    let mut host = TestHost::new(&script("io.data.n = 1;"));
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    host.edit(
        "main.rhai",
        &script(
            "io.data.n = 2; for other in io.sockets { other.data.seen = true; } socket.on(\"n\", || io.data.n);",
        ),
    );
    assert_eq!(ada.ask("n", ()).as_deref(), Some("[1]"));
    assert_eq!(
        data(&bob),
        "[{\"seen\":true}]",
        "its own draft has written it"
    );
}

#[test]
fn rooms_follow_the_code_where_the_connection_has_not_left_or_joined_them() {
    let mut host = TestHost::new(&script("socket.join([\"old\", \"both\", \"left\"]);"));
    let client = host.connect("/").unwrap();
    client.emit("leave", ["left"]);
    client.emit("join", ["mine"]);
    host.edit(
        "main.rhai",
        &script("socket.join([\"both\", \"left\", \"new\"]);"),
    );
    assert_eq!(rooms(&client), "[[\"client1\",\"both\",\"mine\",\"new\"]]");
    assert_eq!(reload(&host).rooms.len(), 2);
    host.edit("main.rhai", &script("socket.leave(socket.id);"));
    assert_eq!(rooms(&client), "[[\"mine\"]]");
    host.edit("main.rhai", &script(""));
    assert_eq!(rooms(&client), "[[\"mine\",\"client1\"]]");
}

#[test]
fn a_draft_reads_the_rooms_that_it_joined() {
    let mut host = TestHost::new(&script(""));
    let client = host.connect("/").unwrap();
    host.edit(
        "main.rhai",
        &script(
            "socket.join(\"vip\"); if !socket.rooms.contains(\"vip\") { throw \"not in it\"; }
            socket.leave(\"vip\"); if socket.rooms.contains(\"vip\") { throw \"still in it\"; }
            socket.join(\"vip\");",
        ),
    );
    assert_eq!(host.problems(), NONE);
    assert_eq!(rooms(&client), "[[\"client1\",\"vip\"]]");
}

#[test]
fn a_rejected_edit_changes_neither_data_nor_rooms() {
    let mut host = TestHost::new(&script("socket.data.n = 1; socket.join(\"a\");"));
    let client = host.connect("/").unwrap();
    host.edit(
        "main.rhai",
        &script("socket.data.n = 2; socket.data.m = 1; socket.leave(\"a\"); socket.join(\"b\"); throw \"no\";"),
    );
    assert_eq!(data(&client), "[{\"n\":1}]");
    assert_eq!(rooms(&client), "[[\"client1\",\"a\"]]");
}
