//! `password`: hashes of passwords, and their verification.

use patchcord::{
    Host,
    script::Memory,
    testing::{TestHost, options},
};

use crate::support::server::{Running, sid};

const SCRIPT: &str = r#"fn on_connection(socket) {
    socket.on("hash", |text| password::hash(text, |err, hash| socket.emit("hash", err, hash)));
    socket.on("verify", |text, hash| password::verify(text, hash, |err, ok| socket.emit("ok", err, ok)));
}"#;

/// Hash of `password` from the reference implementation, with little memory.
const KNOWN: &str =
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";

/// Returns the result of a verification.
fn verified(host: &TestHost, text: &str, hash: &str) -> String {
    let ada = host.connect("/").unwrap();
    ada.emit("verify", [text, hash]);
    ada.heard().join(" ")
}

#[test]
fn a_hash_verifies_its_password_and_no_other_one() {
    let host = TestHost::new(SCRIPT);
    let ada = host.connect("/").unwrap();
    let hashes = [0; 2].map(|_| {
        ada.emit("hash", ["open sesame"]);
        let heard = ada.heard().join(" ");
        let hash = heard.strip_prefix("hash [null,\"");
        let hash = hash
            .and_then(|hash| hash.strip_suffix("\"]"))
            .expect(&heard);
        assert!(
            hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{hash}"
        );
        hash.to_owned()
    });
    assert_ne!(hashes[0], hashes[1], "each has its own salt");
    assert_eq!(verified(&host, "open sesame", &hashes[0]), "ok [null,true]");
    assert_eq!(
        verified(&host, "open Sesame", &hashes[0]),
        "ok [null,false]"
    );
    assert_eq!(verified(&host, "password", KNOWN), "ok [null,true]");
    assert_eq!(host.problems(), [""; 0]);
    assert_eq!(host.counters().service_calls.get(), 5);
    assert_eq!(host.counters().service_failures.get(), 0);
}

#[test]
fn a_hash_that_is_malformed_or_asks_for_too_much_is_an_error() {
    let host = TestHost::new(SCRIPT);
    for (from, to, expected) in [
        (KNOWN, "secret", "a hash is a string such as"),
        ("argon2id", "bcrypt", "a hash is a string such as"),
        (
            "$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
            "",
            "a hash is a string such as",
        ),
        ("v=19", "v=7", "the hash cannot be verified"),
        (
            "m=256",
            "m=4194304",
            "asks for 4194304 KiB of memory (`m`), and at most 65536",
        ),
        (
            "t=2",
            "t=4000000000",
            "asks for 4000000000 passes (`t`), and at most 10",
        ),
        ("p=1", "p=17", "asks for 17 lanes (`p`), and at most 16"),
    ] {
        let heard = verified(&host, "password", &KNOWN.replace(from, to));
        assert!(heard.contains(expected), "{from} {to}: {heard}");
    }
    let long = "x".repeat(1_025);
    let heard = verified(&host, &long, KNOWN);
    assert!(
        heard.contains("at most 1024 bytes, and this one has 1025"),
        "{heard}"
    );
    let heard = verified(&host, "password", &long);
    assert!(heard.contains("a hash is a string such as"), "{heard}");
    assert_eq!(verified(&host, &long[1..], KNOWN), "ok [null,false]");
}

#[test]
fn calls_wait_in_a_queue_that_has_a_limit() {
    let mut options = options();
    options.limits.pending_calls = 300;
    let script = format!(
        "fn on_connection(socket) {{
            let (done, errors) = (0, []);
            socket.on(\"go\", || {{
                for n in 0..260 {{
                    password::verify(\"password\", \"{KNOWN}\", |err, ok| {{
                        if ok == true {{ done += 1; }} else {{ errors.push(err); }}
                    }});
                }}
            }});
            socket.on(\"state\", || [done, errors.len(), errors[0]]);
        }}"
    )
    .replace(
        "let (done, errors) = (0, []);",
        "let done = 0; let errors = [];",
    );
    let host = TestHost::build([("main.rhai", script.as_str())], |b| b.options(options));
    let ada = host.connect("/").unwrap();
    ada.emit("go", ());
    let state = ada.ask("state", ()).unwrap();
    let expected = "[[256,4,\"256 passwords wait already, which is the limit: try again later\"]]";
    assert_eq!(state, expected);
    ada.emit("go", ());
    let state = ada.ask("state", ()).unwrap();
    assert!(
        state.starts_with("[[512,8,"),
        "the queue is free again: {state}"
    );
}

#[test]
fn a_call_whose_client_has_left_is_dropped_and_a_draft_makes_none() {
    let script = r#"fn on_connection(socket) {
        password::hash("a", |err, hash| { socket.data.hash = hash; });
        socket.on("leave", || {
            for n in 0..20 { password::hash("b", |err, hash| print("too late")); }
            socket.disconnect();
        });
    }"#;
    let mut host = TestHost::new(script);
    let ada = host.connect("/").unwrap();
    assert_eq!(host.counters().service_calls.get(), 1);
    host.edit(
        "main.rhai",
        &script.replace("socket.on", "socket.join(\"all\"); socket.on"),
    );
    assert_eq!(
        host.counters().service_calls.get(),
        1,
        "a draft calls nothing"
    );
    ada.emit("leave", ());
    assert_eq!(host.counters().service_calls.get(), 1);
    assert_eq!(host.log(), [""; 0]);
}

#[test]
fn the_checks_know_its_functions() {
    for (code, expected) in [
        (
            "password::hash(\"a\")",
            "function `password::hash` takes 2 arguments, found 1",
        ),
        (
            "password::hash(7, |err, hash| hash)",
            "there is no `password::hash(int, closure)`",
        ),
        (
            "password::hash(\"a\", |err, hash, more| hash)",
            "the closure of `password::hash`",
        ),
    ] {
        let script = format!("fn on_connection(socket) {{ {code}; }}");
        let scripts = Memory::from([("main.rhai", script)]);
        let problems = Host::builder().loader(scripts).build().check().unwrap();
        assert!(
            problems[0].to_string().contains(expected),
            "{code}: {problems:?}"
        );
    }
}

#[test]
fn the_examples_of_its_functions_and_of_metrics_load() {
    let reference = Host::builder().build().reference();
    let of = |word: &&str| word.starts_with("`password::") || word.starts_with("`metrics::");
    let words: Vec<_> = reference.split("\n### ").filter(of).collect();
    assert!(words.len() >= 5, "{}", words.len());
    for word in words {
        let example = word.split("```rhai\n").nth(1).unwrap();
        let example = example.split("```").next().unwrap();
        let host = TestHost::new(&format!("fn on_connection(socket) {{\n{example}\n}}"));
        let _client = host.connect("/").unwrap();
        assert_eq!(host.problems(), [""; 0], "{example}");
    }
}

#[tokio::test]
async fn a_client_of_a_server_gets_the_answer() {
    let running = Running::new(&[("main.rhai", SCRIPT)], |b| b).await;
    let opened = running.get("/socket.io/?EIO=4&transport=polling").await;
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", sid(&opened));
    let event = format!("42[\"verify\",\"password\",\"{KNOWN}\"]");
    running.post(&path, &["40", &event].join("\u{1e}")).await;
    let mut heard = String::new();
    while !heard.contains("42[") {
        heard += &running.get(&path).await;
    }
    assert!(heard.contains("42[\"ok\",null,true]"), "{heard}");
}
