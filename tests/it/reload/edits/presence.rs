//! Presence: an edit changes who is present as it changes rooms and `socket.data`.

use super::*;

/// Hooks that log their calls.
const HOOKS: &str = "
    fn on_present(key, meta) { print(`+ ${key}`); }
    fn on_absent(key, meta) { print(`- ${key}`); }";

/// Returns a script whose `on_connection` has this code.
fn script(code: &str) -> String {
    format!(
        "fn on_connection(socket) {{
            {code}
            socket.on(\"who\", || io.present().map(|key| [key, io.present(key)]));
            socket.on(\"away\", || {{ socket.absent(\"ada\"); }});
            socket.on(\"busy\", || {{ socket.present(\"ada\", #{{ name: \"Ada\", state: \"busy\" }}); }});
        }}{HOOKS}"
    )
}

#[test]
fn a_save_that_changes_nothing_changes_nobody() {
    let first = script("socket.present(\"ada\", 1);");
    let mut host = serve(&first);
    let clients = connect(&host, 2);
    clients[0].emit("away", ());
    host.events();
    save_nothing(&mut host, &first, |host, text| {
        assert_eq!(host.log(), NONE, "{text}");
        assert_eq!(ask(&clients[0], "who"), "[[[\"ada\",[1]]]]", "{text}");
    });
}

#[test]
fn a_new_key_is_present_on_connected_clients() {
    let mut host = serve(&script(""));
    let clients = connect(&host, 2);
    let reload = saved(&mut host, &script("socket.present(\"ada\", 1);"));
    let [key] = &reload.present[..] else {
        panic!("{reload:?}")
    };
    assert_eq!((&*key.key, key.added, key.removed), ("ada", 2, 0));
    let details = reload.details("main.rhai").join("\n");
    assert!(details.contains("key `ada` present on 2"), "{details}");
    assert_eq!(ask(&clients[0], "who"), "[[[\"ada\",[1,1]]]]");
}

#[test]
fn an_edit_calls_the_hooks_of_the_keys_that_come_and_go() {
    let mut host = serve(&script("socket.present(\"ada\");"));
    let clients = connect(&host, 2);
    assert_eq!(host.log(), ["+ ada"]);
    host.edit("main.rhai", &script("socket.present(\"bob\");"));
    assert_eq!(
        host.log(),
        ["+ bob", "- ada"],
        "the second client still had it"
    );
    assert_eq!(ask(&clients[0], "who"), "[[[\"bob\",[null,null]]]]");
    host.edit("main.rhai", &script(""));
    assert_eq!(host.log(), ["- bob"]);
    assert_eq!(ask(&clients[0], "who"), "[[]]");
}

#[test]
fn new_data_is_merged_with_what_a_socket_has_changed() {
    let mut host = serve(&script("socket.present(\"ada\", #{ name: \"Ada\" });"));
    let clients = connect(&host, 2);
    clients[1].emit("busy", ());
    host.events();
    let edited = script("socket.present(\"ada\", #{ name: \"Ada\", role: \"admin\" });");
    host.edit("main.rhai", &edited);
    let mut replaced = 0;
    for event in host.events() {
        match event {
            HostEvent::Replaced { reload, .. } => replaced = reload.present[0].replaced,
            HostEvent::Log { text, .. } => panic!("{text}"),
            _ => {}
        }
    }
    assert_eq!(replaced, 2);
    assert_eq!(
        ask(&clients[0], "who"),
        "[[[\"ada\",[{\"name\":\"Ada\",\"role\":\"admin\"},{\"name\":\"Ada\",\"role\":\"admin\",\"state\":\"busy\"}]]]]"
    );
}

#[test]
fn a_key_that_a_handler_has_removed_stays_removed() {
    let mut host = serve(&script("socket.present(\"ada\", 1);"));
    let clients = connect(&host, 2);
    clients[0].emit("away", ());
    host.events();
    for code in [
        "let x = 1; socket.present(\"ada\", 1);",
        "socket.present(\"ada\", 2);",
        "",
        "socket.present(\"ada\", 2);",
    ] {
        host.edit("main.rhai", &script(code));
        let here = match code {
            "" => "[[]]".to_owned(),
            code => format!("[[[\"ada\",[{}]]]]", code.matches('2').count() + 1),
        };
        assert_eq!(ask(&clients[0], "who"), here, "{code}");
    }
    assert_eq!(host.log(), ["- ada", "+ ada"]);
}

#[test]
fn a_key_that_a_handler_has_added_survives_an_edit_and_its_undo() {
    let (without, with) = (script(""), script("socket.present(\"ada\");"));
    let mut host = serve(&without);
    let client = host.connect("/").unwrap();
    client.emit("busy", ());
    host.events();
    for text in [&with, &without] {
        host.edit("main.rhai", text);
        assert_eq!(
            ask(&client, "who"),
            "[[[\"ada\",[{\"name\":\"Ada\",\"state\":\"busy\"}]]]]"
        );
    }
    assert_eq!(host.log(), NONE);
}

#[test]
fn a_draft_makes_nobody_present() {
    let mut host = serve(&script("socket.present(\"ada\");"));
    let _clients = connect(&host, 3);
    host.events();
    // The draft runs, and fails.
    host.edit(
        "main.rhai",
        &script("socket.present(\"bob\"); socket.absent(\"ada\"); let x = 1 / 0;"),
    );
    assert_eq!(host.log(), NONE);
    let preview = host.preview_texts([("main.rhai", &*script("socket.present(\"eve\");"))]);
    let reload = preview.events.iter().find_map(|event| match event {
        HostEvent::Replaced { reload, .. } => Some(reload.clone()),
        _ => None,
    });
    let keys = reload.unwrap().present;
    let effects: Vec<_> = keys
        .iter()
        .map(|key| (&*key.key, key.added, key.removed))
        .collect();
    assert_eq!(effects, [("ada", 0, 3), ("eve", 3, 0)]);
    assert_eq!(host.log(), NONE);
}

#[test]
fn what_a_client_read_about_presence_is_what_its_drafts_read() {
    let code = |word: &str| {
        script(&format!(
            "if io.is_present(\"host\") || io.present(\"host\") != [] || \"host\" in io.present() {{
                socket.on(\"role\", || \"{word} guest\");
            }} else {{
                socket.present(\"host\");
                socket.on(\"role\", || \"{word} host\");
            }}"
        ))
    };
    let mut host = serve(&code("a"));
    let clients = connect(&host, 3);
    let roles = |word: &str| {
        ["host", "guest", "guest"]
            .map(|role| format!("[\"{word} {role}\"]"))
            .to_vec()
    };
    assert_eq!(all(&clients, "role"), roles("a"));
    host.events();
    let edited = code("b").replace(
        "fn on_connection(socket) {",
        "fn on_connection(socket) { let x = 2;",
    );
    host.edit("main.rhai", &edited);
    assert_eq!(all(&clients, "role"), roles("b"));
    assert_eq!(host.log(), NONE);
}

#[test]
fn the_newest_hooks_are_called() {
    let text =
        |hooks: &str| format!("fn on_connection(socket) {{ socket.present(socket.id); }} {hooks}");
    let mut host = serve(&text(""));
    let first = host.connect("/").unwrap();
    host.edit("main.rhai", &text("fn on_present(key) { print(\"one\"); }"));
    assert_eq!(host.log(), NONE, "not for those who are present");
    let second = host.connect("/").unwrap();
    assert_eq!(host.log(), ["one"]);
    host.edit(
        "main.rhai",
        &text("fn on_present(key) { print(\"two\"); } fn on_absent(key) { print(\"gone\"); }"),
    );
    let third = host.connect("/").unwrap();
    assert_eq!(host.log(), ["two"]);
    first.disconnect();
    second.disconnect();
    host.advance(5_000);
    assert_eq!(host.log(), ["gone", "gone"]);
    third.disconnect();
    host.edit("main.rhai", &text(""));
    host.advance(5_000);
    assert_eq!(host.log(), NONE);
}

#[test]
fn a_client_that_starts_over_was_never_away() {
    let mut host = serve(&script("socket.present(\"ada\"); socket.present(\"bob\");"));
    let client = host.connect("/").unwrap();
    host.events();
    let text = format!("// @reset\n{}", script("socket.present(\"ada\", 2);"));
    host.edit("main.rhai", &text);
    host.advance(4_999);
    assert_eq!(host.log(), NONE);
    host.advance(1);
    assert_eq!(host.log(), ["- bob"]);
    assert_eq!(ask(&client, "who"), "[[[\"ada\",[2]]]]");
}
