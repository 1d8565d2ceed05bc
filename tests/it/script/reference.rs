//! Definitions and the reference manual, which are generated from the comments of the functions of scripts.

use std::{collections::BTreeSet, env, fs, path::Path};

use patchcord::{
    Host, Signature,
    script::{Memory, Page},
    testing::{Suite, TestHost},
};

use crate::support::server::{Running, sid};

const HEAD: &str = "# Reference

Every function that a script can call, by subject. The pages are generated from the comments of the functions
(`UPDATE_EXPECT=1 cargo test --test it reference`), and a test runs every example. The language is
[Rhai](https://rhai.rs/book); [Rhai for JavaScript developers](rhai-for-javascript.md) compares it with JavaScript.

| | |
|---|---|
";

/// Returns the pages, with their names, titles and texts.
fn pages() -> Vec<(&'static str, &'static str, String)> {
    let host = Host::builder().build();
    let of_scripts = Page::ALL.map(|page| (page.name(), page.title(), host.reference_page(page)));
    let of_tests = ("tests", "Tests", patchcord::testing::reference());
    of_scripts.into_iter().chain([of_tests]).collect()
}

#[test]
fn the_reference_is_what_the_code_says() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut index = HEAD.to_owned();
    let mut files = Vec::new();
    for (name, title, text) in pages() {
        let heads = text.split("\n### ").skip(1);
        let heads: Vec<_> = heads.filter_map(|word| word.lines().next()).collect();
        index += &format!(
            "| [{title}](reference/{name}.md) | {} |\n",
            heads.join(", ")
        );
        let text = format!("# {title}\n\n[All pages](../reference.md)\n{text}");
        files.push((format!("reference/{name}.md"), text));
    }
    files.push(("reference.md".to_owned(), index));
    for (name, text) in files {
        let file = docs.join(&name);
        if env::var_os("UPDATE_EXPECT").is_some() {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, &text).unwrap();
        }
        let written = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(
            written, text,
            "{name}: `UPDATE_EXPECT=1 cargo test --test it reference` writes it anew"
        );
    }
}

#[test]
fn comments_have_short_lines_however_they_are_written() {
    let long =
        "Finds a user by its `name or id`, - with a dash, and many further words. ".repeat(4);
    let list = format!(
        "{long}\n\n* `a`: {long}\n* b\n\n```rhai\nfind(7); {}\n```",
        "// ".repeat(50)
    );
    let host = Host::builder()
        .function(Signature::new("find(id)").doc(&list), |id: i64| id)
        .build();
    let own = host.definitions();
    let own: Vec<_> = own
        .lines()
        .skip_while(|line| !line.contains("Finds a user"))
        .collect();
    assert!(
        own.iter().any(|line| line.starts_with("///   ")),
        "{own:#?}"
    );
    let texts = pages().into_iter().map(|(name, _, text)| (name, text));
    for (name, text) in texts.chain([("definitions", host.definitions())]) {
        let mut is_code = false;
        for line in text.lines() {
            let bare = line.trim_start().trim_start_matches("///").trim_start();
            is_code ^= bare.starts_with("```");
            let is_text = bare.starts_with(|c: char| c.is_alphabetic() || c == '*');
            let is_code_of_rhai = line.starts_with("fn ") || line.starts_with("    fn ");
            if !is_code && is_text && !is_code_of_rhai {
                assert!(line.chars().count() <= 120, "{name}: {line}");
            }
        }
    }
}

/// Returns the rows of Rhai's own functions: the forms, the example, and its value.
fn rows() -> Vec<[String; 3]> {
    let pages = pages();
    let lines = pages.iter().flat_map(|(.., text)| text.lines());
    let rows = lines.filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let row = row.replace("\\|", "\u{1}");
        let cells: Vec<_> = row
            .split(" | ")
            .map(|cell| cell.replace('\u{1}', "|"))
            .collect();
        let code = |cell: &str| cell.trim_matches([' ', '|']).trim_matches('`').to_owned();
        let [forms, _, example, value] = &cells[..] else {
            panic!("{row}")
        };
        [
            forms.clone(),
            code(example),
            value.trim_end_matches(" |").trim_matches('`').to_owned(),
        ]
    })
    .collect()
}

#[test]
fn the_examples_of_rhais_own_functions_are_true() {
    let checks: String = rows()
        .iter()
        .map(|[_, example, value]| {
            format!(
                "{{ let found = {{ {example} }}; if found != {value} {{ wrong.push(`{example}: ${{found}}`); }} }}\n"
            )
        })
        .collect();
    let script = format!(
        "fn on_connection(socket) {{ socket.on(\"check\", || {{ let wrong = [];\n{checks} wrong }}); }}"
    );
    let host = TestHost::new(&script);
    assert_eq!(host.problems(), [""; 0]);
    let client = host.connect("/").unwrap();
    assert_eq!(
        client.ask("check", ()).as_deref(),
        Some("[[]]"),
        "{:?}",
        host.problems()
    );
}

/// Script for the examples of tests.
const TESTED: &str = r#"fn on_connection(socket) {
    let score = 0;
    socket.emit("welcome", socket.id);
    socket.on("say", |text| {
        metrics::incr("messages");
        metrics::incr("messages_of_room", 1, #{ room: "lobby" });
        io.emit("said", text);
        "sent"
    });
    socket.on("hit", || { score += 1; score });
    socket.on("later", |ack| {
        set_timeout(|| { socket.emit("late", 1); if type_of(ack) == "Fn" { ack.call("done"); } }, 1000);
    });
    socket.on("quiz", || { socket.emit("question", |answer| { socket.emit("answered", answer); }); });
    socket.on("count", || { io.data.incr("count", 1); });
    socket.on("fail", || throw "on purpose");
}
fn on_api(request) { request.args[0] + request.args[1] }"#;

#[test]
fn the_examples_of_tests_pass() {
    let text = patchcord::testing::reference();
    let examples = text.split("```rhai\n").skip(1);
    let examples = examples.map(|rest| rest.split("```").next().unwrap());
    let tests = examples
        .enumerate()
        .map(|(n, example)| format!("fn test_{n}() {{\n{example}}}\n"));
    let tests: String = tests.collect();
    let scripts = Memory::from([("main.rhai", TESTED), ("main_test.rhai", &tests)]);
    let suite = Suite::load(&scripts, |_, _| true).unwrap();
    assert_eq!(suite.problems(), []);
    let outcomes = suite.run(|_| ());
    assert!(outcomes.len() > 20);
    let failed: Vec<_> = outcomes.iter().filter(|one| !one.passed()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
}

/// Functions that scripts cannot use: internals of packages, and functions that are turned off.
const NOT_LISTED: [&str; 3] = ["sleep", "print", "debug"];

#[test]
fn every_function_of_rhai_is_in_the_reference() {
    let all: String = pages().into_iter().map(|(.., text)| text).collect();
    let list = include_str!("../../fixtures/functions.txt");
    let names: BTreeSet<_> = list
        .lines()
        .filter_map(|line| Some(line.split_once('(')?.0))
        .map(|name| name.trim_start_matches("get$").trim_start_matches("set$"))
        .filter(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
        .collect();
    let is_word = |name: &str| {
        let mut words = all.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        words.any(|word| word == name)
    };
    let missing: Vec<_> = names
        .into_iter()
        .filter(|name| !is_word(name) && !NOT_LISTED.contains(name))
        .collect();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn every_word_has_an_example() {
    let pages = pages();
    let words = pages
        .iter()
        .flat_map(|(.., text)| text.split("\n### ").skip(1));
    let words: Vec<_> = words.collect();
    assert!(words.len() > 150, "{}", words.len());
    let without: Vec<_> = words
        .iter()
        .filter(|word| !word.contains("```rhai\n"))
        .filter_map(|word| word.lines().next())
        .collect();
    assert_eq!(without, [] as [&str; 0]);
}

/// Returns the heads of definitions in Rhai's own syntax, which has no types.
fn as_script(definitions: &str) -> String {
    let mut functions = std::collections::BTreeSet::new();
    for line in definitions
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("fn "))
    {
        let (head, result) = line.split_once(") -> ").expect(line);
        assert!(result.ends_with(';') && result.len() > 1, "{line}");
        let (name, parameters) = head.split_once('(').expect(line);
        let names = parameters
            .split(", ")
            .filter(|parameter| !parameter.is_empty());
        let names: Vec<_> = names
            .map(|parameter| {
                let (name, type_of) = parameter.split_once(": ").expect(line);
                let plain = type_of
                    .chars()
                    .all(|c| c.is_alphanumeric() || "?()".contains(c));
                assert!(plain && !type_of.is_empty(), "{line}");
                name
            })
            .collect();
        let name = name.trim_start_matches("fn ").replace(' ', "_");
        functions.insert((name, names.len(), names.join(", ")));
    }
    let mut seen = std::collections::BTreeSet::new();
    functions.retain(|(name, count, _)| seen.insert((name.clone(), *count)));
    let heads = functions
        .iter()
        .map(|(name, _, names)| format!("fn own_{name}({names}) {{}}\n"));
    heads.collect()
}

#[test]
fn rhai_reads_the_names_of_the_definitions_and_an_embedders_functions_are_there() {
    let host = Host::builder()
        .function("find_user", |id: &str| id.len() as i64)
        .effect("save_visit", |_id: i64| ())
        .build();
    let definitions = host.definitions();
    assert!(definitions.starts_with("module static;\n\nlet io: Io;\n"));
    for expected in [
        "fn get id(socket: Socket) -> string;",
        "fn to(io: Io, rooms: ?) -> Operator;",
        "fn emit(socket: Socket, event: string, arg1: ?) -> ();",
        "    fn info(value: ?) -> ();",
        "fn find_user(",
        "fn save_visit(",
    ] {
        assert!(definitions.contains(expected), "{expected}");
    }
    for leaked in ["Result<", "&mut", "::", "Dynamic", "-> ;", "sleep"] {
        let code = definitions
            .lines()
            .filter(|line| !line.trim().starts_with("///"));
        assert!(
            !code.into_iter().any(|line| line.contains(leaked)),
            "{leaked}"
        );
    }
    let script = as_script(&definitions);
    assert!(script.lines().count() > 80);
    let problems = Host::builder()
        .loader(patchcord::script::Memory::from([(
            "main.rhai",
            format!("{script}fn on_connection(socket) {{ }}"),
        )]))
        .build()
        .check()
        .unwrap();
    assert_eq!(problems, []);
}

#[tokio::test]
async fn the_types_of_binary_values_are_those_that_the_reference_names() {
    let script =
        "fn on_connection(socket) { socket.on(\"b\", |b| [type_of(b), type_of(b.to_blob())]); }";
    let running = Running::new(&[("main.rhai", script)], |b| b).await;
    let opened = running.get("/socket.io/?EIO=4&transport=polling").await;
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", sid(&opened));
    let packets = ["40", r#"451-1["b",{"_placeholder":true,"num":0}]"#, "bAQID"];
    running.post(&path, &packets.join("\u{1e}")).await;
    let mut heard = String::new();
    while !heard.contains("431[") {
        heard += &running.get(&path).await;
    }
    assert!(heard.contains(r#"431[["Binary","blob"]]"#), "{heard}");
    let reference = Host::builder().build().reference();
    assert!(reference.contains("`type_of` of such a value is `\"Binary\"`"));
}
