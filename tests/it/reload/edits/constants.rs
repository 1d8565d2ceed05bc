//! Constants whose values are drawn, or read from outside: they are made once, and again when their code changes.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use patchcord::testing::TestHost;

use super::{all, ask, save, save_nothing};

const LIB: &str =
    "export const K = random_id();\nconst INNER = rand(0, 1000000);\nfn inner() { global::INNER }";

const MAIN: &str = r#"import "lib/u" as u;
const ID = random_id();
const START = now_ms();
const NAME = "server " + global::ID;
const FLAGS = #{ lucky: rand_bool(), table: [next(), 1], f: || 1 };
const TABLE = #{ turn: next() };
fn made() { next() }
const MADE = made();
const LIMIT = 5;
fn on_connection(socket) {
    socket.on("all", || [global::ID, global::START, global::NAME, global::TABLE, global::MADE, global::LIMIT, u::K, u::inner()]);
    socket.on("f", || global::FLAGS.f.call());
    if global::TABLE.turn == 2 { socket.on("second", || 1); }
}"#;

fn serve(files: [(&str, &str); 2]) -> TestHost {
    let turns = Arc::new(AtomicI64::new(1));
    TestHost::build(files, move |builder| {
        builder.function("next", move || turns.fetch_add(1, Ordering::Relaxed))
    })
}

#[test]
fn a_save_that_does_not_change_the_code_of_a_constant_does_not_change_its_value() {
    let mut host = serve([("main.rhai", MAIN), ("lib/u.rhai", LIB)]);
    let clients = [host.connect("/").unwrap()];
    let client = &clients[0];
    let before = ask(client, "all");
    let second = all(&clients, "second");
    save_nothing(&mut host, MAIN, |host, text| {
        assert_eq!(ask(client, "all"), before, "{text}");
        let newcomer = host.connect("/").unwrap();
        assert_eq!(ask(&newcomer, "all"), before, "{text}");
        newcomer.disconnect();
    });
    save(
        &mut host,
        &MAIN
            .replace("let", "let  ")
            .replace("socket.on(\"f\"", "let x = 1; socket.on(\"f\""),
    );
    assert_eq!(ask(client, "all"), before);
    assert_eq!(all(&clients, "second"), second);
    host.edit("lib/u.rhai", &format!("{LIB}\nfn other() {{ 1 }}"));
    assert_eq!(ask(client, "all"), before);
    save(
        &mut host,
        &MAIN
            .replace("f: || 1", "f: || 2")
            .replace("LIMIT = 5", "LIMIT = 6"),
    );
    assert_eq!(ask(client, "f"), "[2]");
    assert_eq!(ask(client, "all"), before.replace(",5,", ",6,"));
}

#[test]
fn a_constant_whose_code_changes_is_made_again() {
    let mut host = serve([("main.rhai", MAIN), ("lib/u.rhai", LIB)]);
    let client = host.connect("/").unwrap();
    let values = |text: String| -> Vec<serde_json::Value> {
        let [values]: [Vec<serde_json::Value>; 1] = serde_json::from_str(&text).unwrap();
        values
    };
    let before = values(ask(&client, "all"));
    for (from, to, changed) in [
        (
            "fn made() { next() }",
            "fn made() { 0 + next() }",
            [4].as_slice(),
        ),
        ("turn: next()", "turn: next(), more: 1", &[3]),
        ("// nothing", "// @reset", &[0, 2, 3, 4, 6, 7]),
    ] {
        let text = format!("{MAIN}\n// nothing").replace(from, to);
        save(&mut host, &text);
        let after = values(ask(&client, "all"));
        for place in (0..before.len()).filter(|place| *place != 1) {
            let differs = before[place] != after[place];
            assert_eq!(differs, changed.contains(&place), "{to}: {place}");
        }
        // The undo restores the values from before, unless `@reset` made all of them again.
        save(&mut host, MAIN);
        let undone = values(ask(&client, "all"));
        if !to.contains("@reset") {
            assert_eq!(undone, before, "{to}");
        }
    }
}

#[test]
fn a_constant_that_a_listener_of_connections_has_captured_stays() {
    let script = "const ID = random_id();\nio.on(\"connection\", |socket| { socket.on(\"id\", || [ID, global::ID]); });";
    let mut host = TestHost::new(script);
    let client = host.connect("/").unwrap();
    let before = ask(&client, "id");
    let [[one, other]]: [[String; 2]; 1] = serde_json::from_str(&before).unwrap();
    assert_eq!(one, other);
    save_nothing(&mut host, script, |host, text| {
        assert_eq!(ask(&client, "id"), before, "{text}");
        let newcomer = host.connect("/").unwrap();
        assert_eq!(ask(&newcomer, "id"), before, "{text}");
        newcomer.disconnect();
    });
}
