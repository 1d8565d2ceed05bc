//! Named functions as values.

use patchcord::testing::TestHost;

use super::{ask, save, serve};

#[test]
fn a_named_function_as_a_listener_follows_when_its_number_of_parameters_changes() {
    let script = |say: &str| {
        format!(
            r#"{say}
            fn on_connection(socket) {{
                socket.on("say", say);
                socket.on("login", || {{ socket.on("late", say); }});
            }}"#
        )
    };
    let mut host = serve(&script("fn say(a) { [1, a] }"));
    let client = host.connect("/").unwrap();
    client.emit("login", ());
    for (say, answer) in [
        ("fn say(a, b) { [2, a, b] }", "[[2,7,8]]"),
        ("fn say() { [3] }", "[[3]]"),
        // The one parameter that has no argument is the ack.
        ("fn say(a, b, ack) { ack.call([4, a, b]); }", "[[4,7,8]]"),
        ("fn say(a) { [5, a] }", "[[5,7]]"),
    ] {
        save(&mut host, &script(say));
        for event in ["say", "late"] {
            assert_eq!(
                client.ask(event, (7, 8)).as_deref(),
                Some(answer),
                "{event} {say}"
            );
        }
    }
    assert_eq!(host.problems(), [] as [&str; 0]);
}

#[test]
fn a_named_function_in_a_variable_a_map_and_an_array_follows() {
    let script = |v: i64| {
        format!(
            r#"fn say(a) {{ [{v}, a] }}
            fn on_connection(socket) {{
                let f = (); let table = #{{ say: say, n: 1 }}; let list = [];
                socket.on("learn", || {{ f = say; list.push(say); table.n += 1; }});
                socket.on("f", || f.call(1));
                socket.on("table", || table.say.call(table.n));
                socket.on("list", || {{ let g = list[0]; g.call(3) }});
            }}"#
        )
    };
    let mut host = serve(&script(1));
    let client = host.connect("/").unwrap();
    client.emit("learn", ());
    for v in 2..4 {
        save(&mut host, &script(v));
        assert_eq!(ask(&client, "f"), format!("[[{v},1]]"));
        assert_eq!(ask(&client, "table"), format!("[[{v},2]]"));
        assert_eq!(ask(&client, "list"), format!("[[{v},3]]"));
    }
}

#[test]
fn a_named_function_that_took_the_place_of_another_in_a_variable_stays_there() {
    let script = |v: i64| {
        format!(
            r#"fn calm() {{ ["calm", {v}] }}
            fn wild() {{ ["wild", {v}] }}
            fn on_connection(socket) {{
                let mood = calm;
                socket.on("rage", || {{ mood = wild; }});
                socket.on("mood", || mood.call());
            }}"#
        )
    };
    let mut host = serve(&script(1));
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    ada.emit("rage", ());
    save(&mut host, &script(2));
    assert_eq!(ask(&ada, "mood"), "[[\"wild\",2]]");
    assert_eq!(ask(&bob, "mood"), "[[\"calm\",2]]");
}

#[test]
fn a_named_function_of_an_imported_file_as_a_listener_follows() {
    let lib = |say: &str| {
        format!(
            "{say}\nfn listen(socket) {{ socket.on(\"login\", || {{ socket.on(\"say\", say); }}); }}"
        )
    };
    let main = "import \"lib/talk\" as talk;\nfn on_connection(socket) { talk::listen(socket); }";
    let mut host = TestHost::with([
        ("main.rhai", main),
        ("lib/talk.rhai", &lib("fn say(a) { [1, a] }")),
    ]);
    let client = host.connect("/").unwrap();
    client.emit("login", ());
    host.edit("lib/talk.rhai", &lib("fn say(a, b) { [2, a, b] }"));
    assert_eq!(client.ask("say", (7, 8)).as_deref(), Some("[[2,7,8]]"));
}

#[test]
fn a_named_function_whose_code_is_gone_stays_callable_through_further_edits() {
    let script = |functions: &str, v: i64| {
        format!(
            r#"{functions}
            fn on_connection(socket) {{
                let f = ();
                socket.on("learn", || {{ f = {}; }});
                socket.on("f", || f.call(1));
                socket.on("v", || {v});
            }}"#,
            if v == 1 { "say" } else { "()" }
        )
    };
    let mut host = serve(&script("fn say(a) { [word(), a] } fn word() { 1 }", 1));
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    ada.emit("learn", ());
    for v in 2..6 {
        save(&mut host, &script("", v));
        assert_eq!(ask(&ada, "f"), "[[1,1]]", "version {v}");
        assert_eq!(ask(&bob, "v"), format!("[{v}]"));
    }
}
