//! The rules of the code that a compiler does not hold.

use std::{fs, path::Path};

/// A module imports only from modules before it in this row.
const ROW: [&str; 11] = [
    "diagnostic",
    "value",
    "watch",
    "script",
    "connection",
    "api",
    "host",
    "server",
    "testing",
    "preset",
    "cli",
];

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let name = path
                .strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
                .unwrap()
                .to_owned();
            found.push((
                name.to_str().unwrap().to_owned(),
                fs::read_to_string(&path).unwrap(),
            ));
        }
    }
}

fn all() -> Vec<(String, String)> {
    let mut found = Vec::new();
    sources(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")),
        &mut found,
    );
    found
}

/// The modules of ours that a file names after `crate::`.
fn imports(text: &str) -> Vec<&str> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>();
    let mut modules = Vec::new();
    for (at, line) in code.iter().enumerate() {
        for part in line.split("crate::").skip(1) {
            match part.strip_prefix('{') {
                None => modules.push(
                    part.split(|c: char| !c.is_alphanumeric() && c != '_')
                        .next()
                        .unwrap_or(""),
                ),
                Some(_) => {
                    let block = code[at + 1..]
                        .iter()
                        .take_while(|line| !line.starts_with("};"));
                    let names =
                        block.filter(|line| line.starts_with("    ") && !line.starts_with("     "));
                    modules.extend(
                        names.filter_map(|l| l.trim().split(|c: char| !c.is_alphanumeric()).next()),
                    );
                }
            }
        }
    }
    ROW.into_iter()
        .filter(|module| modules.contains(module))
        .collect()
}

#[test]
fn modules_import_only_from_those_before_them() {
    let mut seen = 0;
    for (name, text) in all() {
        let module = name.split(['/', '.']).next().unwrap().to_owned();
        let Some(place) = ROW.iter().position(|m| *m == module) else {
            continue;
        };
        for import in imports(&text) {
            let other = ROW.iter().position(|m| *m == import).unwrap();
            assert!(
                other <= place,
                "src/{name} imports `{import}`, which comes later in the row"
            );
            assert!(
                place >= 3 || other == place,
                "src/{name} imports `{import}`, but the first three stand alone"
            );
            seen += 1;
        }
    }
    assert!(seen > 30, "the imports are no longer found: {seen}");
}

#[test]
fn only_the_host_knows_the_socketio_crate_and_the_server_knows_no_rhai() {
    for (name, text) in all() {
        assert!(
            name.starts_with("host/") || !text.contains("use socketioxide"),
            "src/{name} knows socketioxide"
        );
        let knows_rhai = text.contains("use rhai") || text.contains("rhai::");
        assert!(
            !(name.starts_with("server/") || name.starts_with("cli/")) || !knows_rhai,
            "src/{name} knows Rhai"
        );
    }
}

#[test]
fn no_file_is_a_drawer_for_everything() {
    for (name, text) in all() {
        let code = text
            .split("#[cfg(test)]\nmod")
            .next()
            .unwrap()
            .lines()
            .count();
        assert!(
            name.contains("tests") || code <= 460,
            "src/{name} has {code} lines: split it by noun"
        );
    }
}
