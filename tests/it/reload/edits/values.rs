//! Values of variables and of `socket.data` through edits of the initial ones.

use patchcord::testing::TestHost;

use super::{NONE, all, ask, connect, save, saved, serve};

/// Returns a script with a variable that has this initial value, and an event that runs `change`.
fn script(initial: &str, change: &str) -> String {
    format!(
        r#"fn on_connection(socket) {{
            let x = {initial};
            socket.on("change", |to| {{ {change} }});
            socket.on("x", || x);
            socket.on("type", || type_of(x));
        }}"#
    )
}

/// Returns the answers of a client that has changed the variable, and of one that has not, after an edit of the initial
/// value.
fn edited(from: &str, change: &str, to: &str) -> [String; 2] {
    let mut host = serve(&script(from, change));
    let (changed, untouched) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    changed.emit("change", [7]);
    save(&mut host, &script(to, change));
    assert_eq!(host.problems(), NONE);
    [ask(&changed, "x"), ask(&untouched, "x")]
}

#[test]
fn what_was_nothing_at_first_stays_when_its_initial_value_gets_a_type() {
    let user = r#"x = #{ name: "Ada" };"#;
    assert_eq!(edited("()", user, "#{}"), ["[{\"name\":\"Ada\"}]", "[{}]"]);
    assert_eq!(
        edited("()", user, "#{ age: 1 }"),
        ["[{\"age\":1,\"name\":\"Ada\"}]", "[{\"age\":1}]"]
    );
    assert_eq!(edited("()", "x = [to];", "[]"), ["[[7]]", "[[]]"]);
    assert_eq!(edited("()", "x = to;", "0"), ["[7]", "[0]"]);
    assert_eq!(
        edited("()", "x = \"Ada\";", "\"\""),
        ["[\"Ada\"]", "[\"\"]"]
    );
    // The reverse edit: a client that has a value keeps it.
    assert_eq!(edited("#{}", user, "()"), ["[{\"name\":\"Ada\"}]", "[]"]);
    assert_eq!(edited("0", "x = to;", "()"), ["[7]", "[]"]);
    // A value that a client has removed stays removed.
    assert_eq!(edited("1", "x = ();", "2"), ["[]", "[2]"]);
}

#[test]
fn a_whole_number_becomes_a_float_with_the_initial_value() {
    let mut host = serve(&script("1", "x = to;"));
    let (changed, untouched) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    changed.emit("change", [7]);
    save(&mut host, &script("1.5", "x = to;"));
    for (client, value) in [(&changed, 7.0), (&untouched, 1.5)] {
        let answer: Vec<f64> = serde_json::from_str(&ask(client, "x")).unwrap();
        assert_eq!(answer, [value]);
        assert_eq!(ask(client, "type"), "[\"f64\"]");
    }
}

#[test]
fn an_edited_type_resets_only_a_value_of_another_type() {
    assert_eq!(
        edited("0", "x = to;", "\"none\""),
        ["[\"none\"]", "[\"none\"]"]
    );
    assert_eq!(
        edited("0", "x = \"mine\";", "\"none\""),
        ["[\"mine\"]", "[\"none\"]"]
    );
    assert_eq!(edited("0", "x = [to];", "[]"), ["[[7]]", "[[]]"]);
    assert_eq!(
        edited("0", "x = #{ n: to };", "#{}"),
        ["[{\"n\":7}]", "[{}]"]
    );
    assert_eq!(edited("#{}", "x = #{ n: to };", "[]"), ["[[]]", "[[]]"]);
}

#[test]
fn a_new_key_of_an_initial_map_reaches_those_who_have_changed_another() {
    let hurt = "x.hp = 3;";
    assert_eq!(
        edited("#{ hp: 10 }", hurt, "#{ hp: 10, mana: 5 }"),
        ["[{\"hp\":3,\"mana\":5}]", "[{\"hp\":10,\"mana\":5}]"]
    );
    assert_eq!(
        edited("#{ hp: 10 }", hurt, "#{ hp: 20, mana: 5 }"),
        ["[{\"hp\":3,\"mana\":5}]", "[{\"hp\":20,\"mana\":5}]"]
    );
    assert_eq!(
        edited("#{ hp: 10, luck: 1 }", hurt, "#{ hp: 10, luck: 2 }"),
        ["[{\"hp\":3,\"luck\":2}]", "[{\"hp\":10,\"luck\":2}]"]
    );
    // A value that the client has set under the name of the new key stays.
    assert_eq!(
        edited("#{ hp: 10 }", "x.mana = to;", "#{ hp: 10, mana: 5 }")[0],
        "[{\"hp\":10,\"mana\":7}]"
    );
    // A key that the client has removed stays removed.
    assert_eq!(
        edited(
            "#{ hp: 10, luck: 1 }",
            "x.remove(\"luck\");",
            "#{ hp: 12, luck: 2 }"
        )[0],
        "[{\"hp\":12}]"
    );
}

#[test]
fn keys_of_maps_in_maps_and_the_types_of_keys_follow_the_same_rules() {
    assert_eq!(
        edited(
            "#{ stats: #{ hp: 10 } }",
            "x.stats.hp = 3;",
            "#{ stats: #{ hp: 10, mana: #{ now: 1 } } }"
        ),
        [
            "[{\"stats\":{\"hp\":3,\"mana\":{\"now\":1}}}]",
            "[{\"stats\":{\"hp\":10,\"mana\":{\"now\":1}}}]"
        ]
    );
    assert_eq!(
        edited(
            "#{ hp: 10, bag: [] }",
            "x.bag.push(to);",
            "#{ hp: 20, bag: [1] }"
        ),
        ["[{\"bag\":[7],\"hp\":20}]", "[{\"bag\":[1],\"hp\":20}]"]
    );
    assert_eq!(
        edited(
            "#{ user: (), hp: 1 }",
            "x.user = #{ name: \"Ada\" };",
            "#{ user: #{}, hp: 1 }"
        ),
        [
            "[{\"hp\":1,\"user\":{\"name\":\"Ada\"}}]",
            "[{\"hp\":1,\"user\":{}}]"
        ]
    );
    assert_eq!(
        edited("#{ a: 1, b: 1 }", "x.a = to;", "#{ a: \"one\", b: 2 }"),
        ["[{\"a\":\"one\",\"b\":2}]", "[{\"a\":\"one\",\"b\":2}]"],
        "only the key whose type does not fit is reset"
    );
}

#[test]
fn a_key_that_the_initial_map_drops_goes_unless_it_was_changed() {
    let from = "#{ hp: 10, old: 1 }";
    assert_eq!(
        edited(from, "x.hp = 3;", "#{ hp: 10 }"),
        ["[{\"hp\":3}]", "[{\"hp\":10}]"]
    );
    assert_eq!(
        edited(from, "x.old = to;", "#{ hp: 10 }"),
        ["[{\"hp\":10,\"old\":7}]", "[{\"hp\":10}]"]
    );
}

#[test]
fn a_closure_in_a_map_follows_and_the_data_beside_it_stays() {
    let script = |by: i64, more: &str| {
        format!(
            r#"fn on_connection(socket) {{
                let hero = #{{ hp: 10, hit: |hp| hp - {by}{more} }};
                socket.on("hit", || {{ hero.hp = hero.hit.call(hero.hp); hero.hp }});
                socket.on("mana", || hero.mana);
            }}"#
        )
    };
    let mut host = serve(&script(1, ""));
    let client = host.connect("/").unwrap();
    assert_eq!(ask(&client, "hit"), "[9]");
    save(&mut host, &script(3, ""));
    assert_eq!(ask(&client, "hit"), "[6]");
    save(&mut host, &script(3, ", mana: 5, heal: |hp| hp + 1"));
    assert_eq!(ask(&client, "mana"), "[5]");
    assert_eq!(ask(&client, "hit"), "[3]");
    save(&mut host, &script(2, ", mana: 5"));
    assert_eq!(ask(&client, "hit"), "[1]");
}

#[test]
fn a_new_closure_in_an_initial_map_reaches_those_who_have_changed_its_data() {
    let script = |more: &str| {
        format!(
            r#"fn on_connection(socket) {{
                let n = 0;
                let table = #{{ data: #{{ hits: 0 }}, add: || {{ n += 1; n }}{more} }};
                socket.on("call", |name| {{ table.data.hits += 1; let f = table[name]; [f.call(), table.data.hits] }});
            }}"#
        )
    };
    let mut host = serve(&script(""));
    let client = host.connect("/").unwrap();
    assert_eq!(client.ask("call", ["add"]).as_deref(), Some("[[1,1]]"));
    save(&mut host, &script(", zero: || { n = 0; n }"));
    assert_eq!(client.ask("call", ["add"]).as_deref(), Some("[[2,2]]"));
    assert_eq!(client.ask("call", ["zero"]).as_deref(), Some("[[0,3]]"));
    assert_eq!(client.ask("call", ["add"]).as_deref(), Some("[[1,4]]"));
}

#[test]
fn an_array_with_maps_that_was_changed_stays_and_one_that_was_not_follows() {
    let from = "[#{ hp: 1 }, #{ hp: 2 }]";
    let to = "[#{ hp: 1, mana: 5 }, #{ hp: 2, mana: 5 }]";
    let [changed, untouched] = edited(from, "x[0].hp = to;", to);
    assert!(changed.contains("\"hp\":7"), "{changed}");
    assert_eq!(untouched, "[[{\"hp\":1,\"mana\":5},{\"hp\":2,\"mana\":5}]]");
}

#[test]
fn keys_of_maps_in_the_data_of_the_socket_are_merged_too() {
    let script = |profile: &str| {
        format!(
            r#"fn on_connection(socket) {{
                socket.data.profile = {profile};
                socket.on("hurt", || {{ let p = socket.data.profile; p.hp = 3; socket.data.profile = p; }});
                socket.on("profile", || socket.data.profile);
            }}"#
        )
    };
    let mut host = serve(&script("#{ hp: 10 }"));
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    ada.emit("hurt", ());
    save(&mut host, &script("#{ hp: 20, mana: 5 }"));
    assert_eq!(ask(&ada, "profile"), "[{\"hp\":3,\"mana\":5}]");
    assert_eq!(ask(&bob, "profile"), "[{\"hp\":20,\"mana\":5}]");
}

#[test]
fn a_new_number_is_drawn_for_each_client_and_no_two_get_the_same() {
    drawn(r#"io.data.incr("seat", 1)"#);
    drawn(r#"io.data.update("seat", 0, |n| n + 1)"#);
}

#[test]
fn a_new_number_that_is_read_and_written_back_is_drawn_for_each_client_too() {
    drawn(r#"{ let n = io.data.get("seat", 0) + 1; io.data.seat = n; n }"#);
    drawn(r#"{ io.data.push("seats", 1, 99); io.data.seat = io.data.seats.len; io.data.seat }"#);
}

/// Checks a new variable with a number that is different for each client: `draw` takes the next number.
fn drawn(draw: &str) {
    let before = "fn on_connection(socket) { socket.on(\"v\", || 1); }";
    let after = format!(
        "fn on_connection(socket) {{ let seat = {draw}; socket.on(\"seat\", || [seat, io.data.seat]); }}"
    );
    let mut host = serve(before);
    let clients = connect(&host, 5);
    save(&mut host, &after);
    let mut seats = all(&clients, "seat");
    seats.sort();
    assert_eq!(
        seats,
        ["[[1,5]]", "[[2,5]]", "[[3,5]]", "[[4,5]]", "[[5,5]]"],
        "{draw}"
    );
    assert_eq!(
        ask(&host.connect("/").unwrap(), "seat"),
        "[[6,6]]",
        "{draw}"
    );
    // The number is drawn only once.
    save(&mut host, &format!("// saved\n{after}"));
    save(&mut host, &after.replace("[seat,", "[0 + seat,"));
    let mut seats = all(&clients, "seat");
    seats.sort();
    assert_eq!(
        seats,
        ["[[1,6]]", "[[2,6]]", "[[3,6]]", "[[4,6]]", "[[5,6]]"],
        "{draw}"
    );
}

#[test]
fn a_new_random_name_is_drawn_for_each_client() {
    let mut host = serve("fn on_connection(socket) { }");
    let clients = connect(&host, 5);
    let script = "fn on_connection(socket) { let token = random_id(); socket.data.token = token; socket.on(\"token\", || [token, token == socket.data.token]); }";
    save(&mut host, script);
    let tokens = all(&clients, "token");
    let different: std::collections::BTreeSet<_> = tokens.iter().collect();
    assert_eq!(different.len(), 5, "{tokens:?}");
    assert!(
        tokens.iter().all(|token| token.ends_with(",true]]")),
        "{tokens:?}"
    );
    save(&mut host, &format!("{script}\n// saved"));
    assert_eq!(all(&clients, "token"), tokens);
}

#[test]
fn a_key_that_is_changed_and_looked_at_is_what_it_was_before_the_change() {
    let listen = "socket.on(\"n\", || io.data.n);";
    for look in [
        "io.data.l.len()",
        "io.data.l",
        "io.data.l.contains(socket.id)",
    ] {
        let mut host = serve(&format!("fn on_connection(socket) {{ {listen} }}"));
        let clients = connect(&host, 3);
        let new = format!(
            "fn on_connection(socket) {{ io.data.push(\"l\", socket.id, 2); let x = {look};
            if io.data.l[0] == socket.id {{ io.data.incr(\"n\", 1); }} {listen} }}"
        );
        save(&mut host, &new);
        assert_eq!(ask(&clients[0], "n"), "[1]", "{look}");
        save(&mut host, &new.replace("let x", "print(1); let x"));
        assert_eq!(ask(&clients[0], "n"), "[1]", "{look}");
    }
}

#[test]
fn the_report_names_what_was_reset_and_what_was_kept() {
    let mut host = serve(&script("0", "x = to;"));
    let client = host.connect("/").unwrap();
    client.emit("change", [7]);
    let reload = saved(&mut host, &script("1", "x = to;"));
    assert_eq!(reload.kept(), ["x"]);
    let reload = saved(&mut host, &script("[]", "x = to;"));
    assert_eq!(reload.retyped(), ["x"]);
    let mut host = serve(&script("()", "x = to;"));
    let client = host.connect("/").unwrap();
    client.emit("change", [7]);
    let reload = saved(&mut host, &script("0", "x = to;"));
    assert!(reload.retyped().is_empty(), "{reload:?}");
    assert_eq!(ask(&client, "x"), "[7]");
}

#[test]
fn a_comment_gives_no_value_back_that_events_have_made_equal_to_the_initial_one() {
    let from = script("1", "x = to;");
    let mut host = TestHost::new(&from);
    let client = host.connect("/").unwrap();
    client.emit("change", [5]);
    client.emit("change", [1]);
    save(&mut host, &format!("// saved\n{from}"));
    assert_eq!(ask(&client, "x"), "[1]");
}
