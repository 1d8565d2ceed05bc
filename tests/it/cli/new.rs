//! `patchcord new`, `patchcord preset`, `patchcord types`, and `serve --preset`.

use std::{fs, path::Path};

use patchcord::{script::Folder, testing::Suite};

use crate::support::program::Place;

#[test]
fn every_shipped_script_but_the_entry_is_a_preset_that_says_what_it_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = files
        .map(|name| name.into_string().unwrap())
        .filter(|name| !name.ends_with("_test.rhai") && name != "main.rhai")
        .filter_map(|name| name.strip_suffix(".rhai").map(str::to_owned))
        .collect();
    names.sort();
    let presets = presets(&Place::new(&[]));
    let mut listed: Vec<_> = presets.iter().map(|(name, _)| name.clone()).collect();
    listed.sort();
    assert_eq!(names, listed);
    for (name, about) in presets {
        assert!(about.len() > 10, "{name}: {about}");
    }
}

/// Returns the list of `patchcord preset`: names and descriptions.
fn presets(place: &Place) -> Vec<(String, String)> {
    let listed = String::from_utf8(place.run(&["preset"], &[]).stdout).unwrap();
    let lines = listed.lines().take_while(|line| !line.is_empty());
    let presets = lines.map(|line| {
        let (name, about) = line.split_at(12);
        (name.trim_end().to_owned(), about.to_owned())
    });
    presets.collect()
}

#[test]
fn a_new_folder_of_each_preset_passes_its_own_tests_and_checks() {
    let place = Place::new(&[]);
    for (name, about) in presets(&place) {
        let output = place.run(&["new", &name, "--preset", &name], &[]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let folder = place.path().join(&name);
        let scripts = Folder::new(folder.join("scripts"));
        let checked = place.run_in(&folder, &["check", "--strict"]);
        assert_eq!(checked.status.code(), Some(0), "{checked:?}");
        let outcomes = Suite::load(&scripts, |_, _| true).unwrap().run(|_| ());
        assert!(outcomes.len() > 1, "{name}");
        for outcome in outcomes {
            assert!(outcome.passed(), "{outcome:#?}");
        }
        let readme = fs::read_to_string(folder.join("README.md")).unwrap();
        assert!(
            readme.contains(&*about) && !readme.contains("{name}"),
            "{readme}"
        );
        let definitions = fs::read_to_string(folder.join("types/patchcord.d.rhai")).unwrap();
        assert!(definitions.contains("fn emit(socket: Socket, event: string) -> ();"));
    }
}

#[test]
fn all_presets_run_in_the_folder_of_this_repository() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checked = Place::new(&[]).run_in(root, &["check", "--strict"]);
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
}

#[test]
fn a_new_folder_serves_its_page_and_nothing_is_overwritten() {
    let place = Place::new(&[]);
    assert_eq!(place.run(&["new", "mine"], &[]).status.code(), Some(0));
    let serving = place.serve(
        &[
            "mine/scripts",
            "--port",
            "0",
            "--public",
            "mine/public",
            "--config",
            "mine/patchcord.toml",
        ],
        &[],
    );
    assert!(serving.get("/", "").contains("./client.js"));
    assert!(
        serving
            .get("/client.js", "")
            .contains("export function connect")
    );
    assert_eq!(serving.handshake()["upgrades"][0], "websocket");

    // Inside the folder, the program finds its options and its page without flags.
    let folder = place.path().join("mine");
    let serving = place.serve_in(&folder, &["serve", "--port", "0"]);
    assert!(serving.get("/", "").contains("./client.js"));
    let without = place.serve_in(&folder, &["serve", "--port", "0", "--config", "none"]);
    assert!(!without.get("/", "").contains("./client.js"));
    drop((serving, without));

    let again = place.run(&["new", "mine"], &[]);
    assert_eq!(again.status.code(), Some(2));
    let printed = String::from_utf8(again.stderr).unwrap();
    assert_eq!(
        printed,
        "error: `mine` exists, and nothing is overwritten\n"
    );
    assert_eq!(
        place
            .run(&["new", "x", "--preset", "none"], &[])
            .status
            .code(),
        Some(2)
    );
    assert!(!place.path().join("x").exists());
}

#[test]
fn a_preset_is_served_from_the_program() {
    let place = Place::new(&[("scripts/main.rhai", "fn broken(")]);
    let serving = place.serve(&["serve", "--preset", "echo", "--port", "0"], &[]);
    assert_eq!(serving.line(), "main.rhai: version 1 serves /");
    assert_eq!(serving.line(), "echo.rhai: version 1 serves /echo");
    let wrong = place.run(&["serve", "--preset", "none"], &[]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn definitions_are_written_for_editors() {
    let place = Place::new(&[]);
    assert_eq!(place.run(&["types"], &[]).status.code(), Some(0));
    let written = fs::read_to_string(place.path().join("types/patchcord.d.rhai")).unwrap();
    let shown = place.run(&["types", "-"], &[]).stdout;
    assert_eq!(String::from_utf8(shown).unwrap(), written);
    assert!(written.contains("/// socket.on(\"add\", |a, b| a + b);"));
}
