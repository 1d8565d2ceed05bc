//! Checks that the documents are true.

use std::{fs, path::Path};

use patchcord::{
    script::Memory,
    testing::{Suite, TestHost},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Returns the code blocks of a document in one language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let start = format!("```{language}\n");
    text.split(&start)
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next())
        .collect()
}

/// Returns a script for a block that is a whole script, or else the body of `on_connection`.
fn script(block: &str) -> String {
    let serves = block.contains("fn on_connection") || block.contains("io.on(\"connection\"");
    match serves {
        true => block.to_owned(),
        false if block.contains("fn on_load") => {
            format!("{block}\nfn on_connection(socket) {{ }}")
        }
        false => format!("fn on_connection(socket) {{\n{block}\n}}"),
    }
}

#[test]
fn every_script_in_a_document_loads_and_takes_a_client() {
    let mut count = 0;
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "COMPATIBILITY.md",
        "docs/editing-live.md",
        "docs/http-api.md",
        "docs/rhai-for-javascript.md",
        "docs/security.md",
    ] {
        for block in blocks(&read(document), "rhai") {
            let host = TestHost::new(&script(block));
            let _client = host
                .connect("/")
                .map_err(|_| panic!("{document}: {block}\n{:?}", host.problems()));
            assert_eq!(host.problems(), [] as [&str; 0], "{document}: {block}");
            count += 1;
        }
    }
    assert!(count > 0);
}

#[test]
fn the_example_of_editing_live_does_what_its_table_says() {
    let guide = read("docs/editing-live.md");
    let [before, after, ..] = blocks(&guide, "rhai")[..] else {
        panic!("the guide has no example");
    };
    let mut host = TestHost::new(before);
    let (ada, bob) = (host.connect("/").unwrap(), host.connect("/").unwrap());
    let third = host.connect("/").unwrap();
    assert_eq!(third.heard(), ["full []"]);
    ada.emit("name", ["Ada"]);
    ada.emit("play", ());
    for score in ["[1]", "[2]"] {
        assert_eq!(ada.ask("hit", ()).as_deref(), Some(score));
    }
    for _ in 0..3 {
        ada.emit("say", ["hi"]);
        bob.emit("say", ["hi"]);
    }
    ada.heard();
    bob.heard();
    host.edit("main.rhai", after);
    let news = "news [\"there are colors now\"]";
    assert_eq!([ada.heard(), bob.heard()], [[news], [news]]);
    ada.emit("say", ["hi"]);
    bob.emit("say", ["hi"]);
    assert_eq!(
        ada.heard(),
        [
            "say [\"Ada: hi\",4,\"blue\"]",
            "say [\"guest: hi\",4,\"blue\"]"
        ]
    );
    assert_eq!(ada.ask("hit", ()).as_deref(), Some("[12]"));
    assert_eq!(bob.ask("hit", ()), None, "he has not asked to play");
    ada.emit("mute", ());
    ada.emit("say", ["hi"]);
    assert_eq!(bob.heard().len(), 2);
    let third = host.connect("/").unwrap();
    assert_eq!(
        third.heard(),
        ["welcome [\"good day\"]"],
        "the drafts have counted nobody"
    );
    assert_eq!(host.problems(), [] as [&str; 0]);
}

#[test]
fn every_example_of_a_script_function_runs() {
    let mut count = 0;
    let folders = [
        "crates/patchcord/src/api",
        "crates/patchcord/src/script/library",
    ];
    let entries = folders.map(|folder| fs::read_dir(Path::new(ROOT).join(folder)).unwrap());
    for entry in entries.into_iter().flatten() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for example in examples(&text) {
            let host = TestHost::new(&script(&example));
            for variable in example.split("env(\"").skip(1) {
                let name = variable.split('"').next().unwrap();
                host.set_env(name, "https://api.example.com");
            }
            let client = host
                .connect("/")
                .unwrap_or_else(|_| panic!("{path:?}: {example}\n{:?}", host.problems()));
            client.emit("add", [1, 2]);
            for event in ["chat message", "save", "ready", "quit", "who am i"] {
                client.ask(event, ["x"]);
            }
            assert_eq!(host.problems(), [] as [&str; 0], "{path:?}: {example}");
            count += 1;
        }
    }
    assert!(count > 20, "only {count} examples were found");
}

/// Returns the `rhai` examples of doc comments, written as comments or as strings.
fn examples(text: &str) -> Vec<String> {
    let comments = text.lines().filter_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix('"').map_or(line.to_owned(), |l| {
            l.trim_end_matches("\",").replace("\\\"", "\"")
        });
        line.strip_prefix("///").map(|l| l.trim_start().to_owned())
    });
    let text = comments.collect::<Vec<_>>().join("\n");
    blocks(&text, "rhai")
        .into_iter()
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_path_that_the_architecture_names_exists() {
    let text = read("ARCHITECTURE.md");
    let named = text.split('`').filter(|word| {
        let known = [
            "crates/",
            "src/",
            "tests/",
            "scripts/",
            "examples/",
            "benches/",
            ".ci/",
        ]
        .iter()
        .any(|f| word.starts_with(f));
        known && !word.contains([' ', '*', '{'])
    });
    let mut count = 0;
    for path in named {
        let mut packages = ["crates/patchcord", ""].iter();
        assert!(
            packages.any(|package| Path::new(ROOT).join(package).join(path).exists()),
            "ARCHITECTURE.md names {path}"
        );
        count += 1;
    }
    assert!(count > 10, "only {count} paths were found");
}

#[test]
fn the_changelog_has_this_version() {
    assert!(read("CHANGELOG.md").contains(concat!("## [", env!("CARGO_PKG_VERSION"), "]")));
}

#[test]
fn every_shipped_script_loads_and_takes_a_client() {
    let folder = Path::new(ROOT).join("scripts");
    let files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "rhai"))
        .map(|path| {
            (
                path.file_name().unwrap().to_str().unwrap().to_owned(),
                fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    let host = TestHost::with(
        files
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str())),
    );
    assert_eq!(host.problems(), [] as [&str; 0]);
    for path in ["/", "/chat", "/echo"] {
        host.connect(path).unwrap();
    }
}

/// Returns the flags of a help text, with their defaults.
fn flags(help: &str) -> Vec<(&str, &str)> {
    let mut flags = Vec::new();
    for line in help.lines().map(str::trim) {
        if let Some(flag) = line.strip_prefix("--") {
            flags.push((flag.split([' ', '[', '=']).next().unwrap(), "none"));
        } else if let (Some(default), Some(last)) =
            (line.strip_prefix("[default: "), flags.last_mut())
        {
            last.1 = default.trim_end_matches(']');
        }
    }
    flags
}

#[test]
fn every_limit_is_in_the_table_with_its_default() {
    let (help, table) = (
        read("tests/fixtures/help/patchcord-serve.txt"),
        read("docs/security.md"),
    );
    let flags = flags(&help);
    let limits = flags
        .iter()
        .filter(|(flag, _)| flag.starts_with("max-") || flag.ends_with("-timeout"));
    let rows: Vec<_> = limits
        .map(|(flag, default)| format!("| `--{flag}` | {default} |"))
        .collect();
    assert!(rows.len() > 25, "{rows:?}");
    for row in &rows {
        assert!(table.contains(row), "docs/security.md has no row {row}");
    }
    let listed = table
        .lines()
        .filter(|line| line.starts_with("| `--max-") || line.contains("-timeout` |"));
    for row in listed {
        assert!(
            rows.iter().any(|known| known == row),
            "there is no such limit: {row}"
        );
    }
}

/// Returns the files in the code blocks of a recipe, which begin with their names.
fn files(recipe: &str) -> Vec<(&str, &str)> {
    let named = |block| {
        let (first, _): (&str, _) = str::split_once(block, '\n').unwrap();
        let name = first
            .strip_prefix("// ")
            .filter(|name| name.ends_with(".rhai"));
        (name.unwrap_or_else(|| panic!("no name: {first}")), block)
    };
    blocks(recipe, "rhai").into_iter().map(named).collect()
}

#[test]
fn every_recipe_of_the_cookbook_passes_its_test() {
    let cookbook = read("docs/cookbook.md");
    let recipes: Vec<_> = cookbook.split("\n## ").skip(1).collect();
    assert_eq!(recipes.len(), 10);
    for recipe in recipes {
        let title = recipe.lines().next().unwrap();
        assert!(
            cookbook.contains(&format!("| [{title}](#")),
            "{title} is not in the table"
        );
        let scripts: Memory = files(recipe).into_iter().collect();
        let suite = Suite::load(&scripts, |_, _| true).unwrap();
        assert_eq!(suite.problems(), [], "{title}");
        let outcomes = suite.run(|_| ());
        assert!(!outcomes.is_empty(), "{title} has no test");
        for outcome in outcomes {
            assert!(outcome.passed(), "{title}: {outcome:#?}");
        }
    }
}
