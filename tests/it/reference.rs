//! Definitions and the reference manual, made of the comments of the words themselves.

use std::{env, fs, path::Path};

use patchcord::Host;

use crate::sockets::{Running, sid};

const HEAD: &str = "# Reference

Everything that a script can say, beside [Rhai's own language](https://rhai.rs/book). This page is made of the comments
of the functions themselves (`UPDATE_EXPECT=1 cargo test --test it reference` writes it anew), and every example on it is
run by a test.

";

#[test]
fn the_reference_is_what_the_code_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md");
    let text = format!("{HEAD}{}", Host::builder().build().reference());
    if env::var_os("UPDATE_EXPECT").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &text).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(
        written, text,
        "`UPDATE_EXPECT=1 cargo test --test it reference` writes it anew"
    );
}

#[test]
fn every_word_has_an_example() {
    let text = Host::builder().build().reference();
    let words: Vec<_> = text.split("\n### ").skip(1).collect();
    assert!(words.len() > 60, "{}", words.len());
    let without: Vec<_> = words
        .iter()
        .filter(|word| !word.contains("```rhai\n"))
        .filter_map(|word| word.lines().next())
        .collect();
    assert_eq!(without, [] as [&str; 0]);
}

/// The heads of definitions in the syntax that Rhai itself has, which knows no types.
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
    let running = Running::of(&[("main.rhai", script)], |b| b).await;
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
