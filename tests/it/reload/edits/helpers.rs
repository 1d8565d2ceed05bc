//! Functions that `on_connection` calls several times: each call keeps what it got when the client connected.

use super::{all, connect, save, serve};

/// Returns a script whose `body` sets `a`, `b` and `c`, and perhaps further variables that the listener does not send.
fn script(helpers: &str, body: &str) -> String {
    format!(
        "{helpers}\nfn on_connection(socket) {{ let a = 0; let b = 0; let c = 0;\n{body}\nsocket.on(\"values\", || [a, b, c]); }}"
    )
}

const ID: &str = "fn id() { random_id() }";

/// Edits `from` to each of `edits` and back: the clients keep their values.
fn keep(helpers: &str, from: &str, edits: &[&str]) {
    for edit in edits {
        let mut host = serve(&script(helpers, from));
        let clients = connect(&host, 3);
        let before = all(&clients, "values");
        save(&mut host, &script(helpers, edit));
        assert_eq!(all(&clients, "values"), before, "`{from}` to `{edit}`");
        save(&mut host, &script(helpers, from));
        assert_eq!(all(&clients, "values"), before, "`{edit}` to `{from}`");
    }
}

#[test]
fn a_call_of_a_helper_before_another_one_takes_nothing_from_it() {
    keep(
        ID,
        "a = id();",
        &[
            "socket.emit(\"new\", id()); a = id();",
            "let x = id(); a = id(); let y = id();",
            "let x = [id(), id()]; a = id();",
            "let x = id().len() + id().len(); a = id();",
        ],
    );
}

#[test]
fn calls_of_a_helper_that_change_places_keep_their_values() {
    keep(
        ID,
        "a = id(); b = id(); c = id();",
        &[
            "c = id(); a = id(); b = id();",
            "let x = id(); b = id(); a = id(); c = id();",
        ],
    );
}

#[test]
fn statements_that_change_places_keep_what_they_drew() {
    let from = "a = rand(1, 1000000); if true { } socket.data.b = rand(1, 1000000); b = socket.data.b; c = #{}; c[\"x\"] = rand(1, 1000000);";
    keep(
        "",
        from,
        &[
            "socket.data.b = rand(1, 1000000); b = socket.data.b; a = rand(1, 1000000); c = #{}; c[\"x\"] = rand(1, 1000000);",
            "c = #{}; c[\"x\"] = rand(1, 1000000); rand(1, 1000000); socket.data.b = rand(1, 1000000); a = rand(1, 1000000); b = socket.data.b;",
        ],
    );
}

#[test]
fn a_call_of_a_helper_that_is_removed_takes_nothing_from_the_others() {
    let mut host = serve(&script(ID, "a = id(); b = id(); c = id();"));
    let clients = connect(&host, 3);
    let before = all(&clients, "values");
    save(&mut host, &script(ID, "b = id(); c = id();"));
    let values = |texts: Vec<String>| -> Vec<[[serde_json::Value; 3]; 1]> {
        let texts = texts.iter();
        texts
            .map(|text| serde_json::from_str(text).unwrap())
            .collect()
    };
    let after = values(all(&clients, "values"));
    for (before, after) in values(before).iter().zip(after) {
        assert_eq!(after[0][1..], before[0][1..]);
    }
}

#[test]
fn a_helper_of_a_helper_keeps_the_values_of_each_call() {
    let helpers =
        "fn id() { random_id() } fn pair() { [id(), id()] } fn named(x) { `${x} ${id()}` }";
    keep(
        helpers,
        "a = pair(); b = id(); c = named(id());",
        &[
            "let x = id(); a = pair(); b = id(); c = named(id());",
            "let x = pair(); a = pair(); let y = id(); b = id(); c = named(id());",
            "c = named(id()); a = pair(); b = id();",
        ],
    );
}

#[test]
fn calls_under_conditions_and_in_loops_keep_their_order() {
    keep(
        ID,
        "if socket.handshake.auth == () { b = id(); } a = id(); c = []; for i in 0..3 { c.push(id()); }",
        &[
            "if socket.handshake.auth == () { b = id(); }\n print(1); a = id(); c = []; for i in 0..3 { c.push(id()); } let x = id();",
        ],
    );
}

#[test]
fn a_new_look_at_the_others_sees_what_there_was_when_the_client_connected() {
    let helper = "fn online() { io.sockets.len() }";
    let start = "if online() == 1 { socket.on(\"start\", || 1); }";
    for look in [
        "print(online());",
        "print(io.sockets.len());",
        "let n = online();",
    ] {
        let mut host = serve(&script(helper, start));
        let mut clients = connect(&host, 2);
        clients.remove(0).disconnect();
        for body in [
            format!("{look}\n{start}"),
            format!("{start}\n{look}"),
            start.to_owned(),
        ] {
            save(&mut host, &script(helper, &body));
            assert_eq!(all(&clients, "start"), ["-"], "{body}");
        }
    }
}

#[test]
fn what_is_drawn_in_a_loop_stays_beside_other_loops() {
    keep(
        "",
        "a = []; for i in 0..3 { a.push(rand(0, 1000000)); }",
        &[
            "let q = []; for i in 0..2 { q.push(rand(0, 1000000)); }\na = []; for i in 0..3 { a.push(rand(0, 1000000)); }",
            "let q = []; for i in 0..2 { q.push(rand(0, 1000000)); }\na = []; for i in 0..3 { a.push(rand(0, 1000000)); }\nlet q2 = []; for i in 0..2 { q2.push(rand(0, 1000000)); }",
        ],
    );
}

#[test]
fn what_a_helper_draws_in_a_loop_stays_beside_other_calls() {
    let helpers = "fn h() { rand(0, 1000000) } fn k() { rand(0, 1000000) } fn down(n) { if n == 0 { [] } else { let list = down(n - 1); list.push(rand(0, 1000000)); list } }";
    keep(
        helpers,
        "a = []; for i in 0..3 { a.push(h()); }",
        &[
            "let q = h();\na = []; for i in 0..3 { a.push(h()); }",
            "let q = [h(), h()]; a = []; for i in 0..3 { a.push(h()); } let r = h();",
            "a = []; for i in 0..3 { let lucky = h(); a.push(h()); }",
            "a = []; for i in 0..3 { a.push(h()); let lucky = h(); }",
        ],
    );
    keep(
        helpers,
        "a = []; for i in 0..3 { a.push(h()); a.push(k()); }",
        &["a = []; for i in 0..3 { a.push(h()); a.push(k()); let z = h(); }"],
    );
    keep(
        helpers,
        "a = [1, 2].map(|x| h());",
        &[
            "let q = h(); a = [1, 2].map(|x| h());",
            "print([1].map(|x| 5)); a = [1, 2].map(|x| h()); h();",
        ],
    );
    keep(
        helpers,
        "a = []; for i in 0..3 { if h() > 500000 { a.push(h()); } } b = h();",
        &["let q = h(); a = []; for i in 0..3 { if h() > 500000 { a.push(h()); } } b = h();"],
    );
    keep(
        helpers,
        "a = down(3);",
        &["let q = h(); a = down(3);", "print(1); a = down(3);"],
    );
}
