//! Messages for scripts when they load and run: each script of `tests/fixtures/message` has its complete text beside
//! it, and every message has a script.
//!
//! A script may begin with comment lines: `// limit: <name>=<number>`, `// also: <name>, <name>` for further files with
//! the same text, `// clients: 2`, and `// edit: <text>` for the text that it gets while a client is connected. Every
//! event that it names is sent, a question is answered with 5, and time advances. `UPDATE_EXPECT=1` rewrites the texts.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use patchcord::testing::{TestHost, options};

use crate::support::options::lower;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the files of a folder and the folders below it, with their texts.
fn texts(folder: &Path, ending: &str) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(texts(&path, ending));
        } else if path.extension().is_some_and(|e| e == ending) {
            found.insert(path.clone(), fs::read_to_string(&path).unwrap());
        }
    }
    found
}

/// Returns the messages for a script.
fn printed(script: &str, modules: &[(String, String)]) -> String {
    let mut options = options();
    options.limits.time = Duration::from_secs(30);
    let setting = |key: &str| {
        let start = format!("// {key}: ");
        let lines = script
            .lines()
            .filter_map(move |line| line.strip_prefix(&start));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    for limit in setting("limit") {
        let (name, number) = limit.split_once('=').unwrap();
        lower(&mut options.limits, name, number);
    }
    let modules = modules
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()));
    let also = setting("also").join(", ");
    let also = also.split(", ").filter(|name| !name.is_empty());
    let files = modules.chain(also.chain(["main.rhai"]).map(|name| (name, script)));
    let mut host = TestHost::build(files, |builder| {
        builder
            .options(options)
            .function("boom", || -> i64 { panic!("boom") })
            .async_function("load", |id: i64| async move { Ok::<_, String>(id) })
    });
    if let Ok(client) = host.connect("/") {
        let more = setting("clients").len();
        let _others: Vec<_> = (0..more).map(|_| host.connect("/")).collect();
        let events = script.split("socket.on(\"").skip(1);
        let events = events.filter_map(|rest| Some(rest.split_once('"')?.0));
        for event in events.filter(|event| *event != "disconnect") {
            client.emit(event, ("hello",));
        }
        for event in ["stop", "any"] {
            client.emit(event, ());
        }
        if script.contains("fn on_api") {
            let _ = host.call("/", "call", ("hello",));
        }
        client.answer((5,));
        host.advance(100);
        for text in setting("edit") {
            host.edit("main.rhai", &text);
        }
        client.disconnect();
        let refused = host.connect_as("/", BTreeMap::from([("name", 10)]));
        drop(refused);
    }
    // Sorted, because events of the same moment have no order.
    let mut problems = host.problems();
    problems.sort();
    problems
        .iter()
        .map(|problem| format!("{problem}\n\n"))
        .collect()
}

#[test]
fn every_script_is_told_what_went_wrong_and_where() {
    let folder = root().join("tests/fixtures/message");
    let (lib, scripts): (BTreeMap<_, _>, _) = texts(&folder, "rhai")
        .into_iter()
        .partition(|(path, _)| path.parent() != Some(&folder));
    let modules: Vec<_> = lib
        .into_iter()
        .map(|(path, text)| {
            let name = path.strip_prefix(&folder).unwrap();
            (name.to_str().unwrap().to_owned(), text)
        })
        .collect();
    let update = env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    for (path, script) in &scripts {
        let (actual, expected) = (printed(script, &modules), path.with_extension("txt"));
        if update {
            fs::write(&expected, &actual).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != actual {
            wrong.push(format!("{}:\n{actual}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "not as expected:\n\n{}", wrong.join("\n"));
}

/// Returns the fixed parts of a message in the code: `{name} takes {count}` has only the part ` takes `.
fn pieces(literal: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut inside = false;
    for c in literal
        .replace("{{", "\u{1}")
        .replace("}}", "\u{2}")
        .chars()
    {
        let last = pieces.len() - 1;
        match c {
            '{' => (inside, _) = (true, pieces.push(String::new())),
            '}' => inside = false,
            '\u{1}' => pieces[last].push('{'),
            '\u{2}' => pieces[last].push('}'),
            _ if inside => {}
            c => pieces[last].push(c),
        }
    }
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

/// Returns the string literal that an argument begins with, or the one of its `format!`.
fn literal(argument: &str) -> Option<String> {
    let text = argument.trim_start();
    let text = text.strip_prefix("format!(").map_or(text, str::trim_start);
    let mut chars = text.strip_prefix('"')?.chars();
    let mut literal = String::new();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Some(literal),
            '\\' => match chars.next()? {
                'n' => literal.push('\n'),
                c => literal.push(c),
            },
            c => literal.push(c),
        }
    }
    None
}

/// Messages that have no fixture, with the reason.
const ELSEWHERE: [&str; 11] = [
    // Only in the REPL, which loads no script: `tests/it/cli/repl.rs`.
    "a console imports no files",
    // Needs two calls at the same moment: `tests/it/api/data.rs`.
    "`{key}` was changed by another call since this one read it: use `update`",
    // Sent to the client, because `on_handshake` throws it: `tests/it/api/handshake.rs`.
    "`{word}` has no place before the client is connected: call it in `on_connection`",
    // Needs versions for some clients: `tests/it/reload/staging.rs`.
    "nothing is loaded while versions are staged",
    "`promote` makes them serve all clients, `abandon` takes them back",
    // Needs a store that fails: `tests/it/state/failures.rs`.
    "`io.data` cannot be changed while it cannot be saved (`--data-required`)",
    // No script can cause these.
    "it ended early: {panic}",
    "`{word}` works in script calls only",
    "`{name}` is not a function of this value",
    "`{name}` takes a closure as its last argument",
    "`{symbol}` is not a method",
];

#[test]
fn every_message_has_a_text_among_the_fixtures() {
    let fixtures = root().join("tests/fixtures");
    let limits = texts(&fixtures.join("limit"), "rhai");
    let known: Vec<String> = ["diagnostic", "check", "message"]
        .iter()
        .flat_map(|folder| texts(&fixtures.join(folder), "txt").into_values())
        .chain(limits.into_values())
        .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let is_known = |pieces: &[String]| {
        known.iter().any(|line| {
            let mut rest = line.as_str();
            pieces
                .iter()
                .all(|piece| match rest.split_once(piece.as_str()) {
                    Some((_, after)) => {
                        rest = after;
                        true
                    }
                    None => false,
                })
        })
    };
    let mut missing = Vec::new();
    for folder in ["api", "diagnostic", "host", "script"] {
        for (path, code) in texts(&root().join("crates/patchcord/src").join(folder), "rs") {
            let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let lines = code
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            let code = lines.collect::<Vec<_>>().join("\n");
            if path.ends_with("tests.rs") || path.to_str().unwrap().contains("/tests/") {
                continue;
            }
            for word in [
                "refuse(",
                "Diagnostic::error(",
                "Diagnostic::warning(",
                ".hint(",
            ] {
                let calls = code.split(word).skip(1).filter_map(literal);
                let unknown = calls
                    .filter(|text| !ELSEWHERE.contains(&text.as_str()) && !is_known(&pieces(text)));
                missing.extend(unknown.map(|text| format!("{}: {text}", path.display())));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "without a fixture:\n{}",
        missing.join("\n")
    );
}
