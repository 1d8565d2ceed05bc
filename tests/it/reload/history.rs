//! Versions on disk: what a host knows after a restart.

use std::{fs, path::Path};

use patchcord::{
    HostEvent,
    event::KeptReason,
    host::{Outcome, RollbackError},
    testing::{TestClient, TestHost},
};

fn script(version: i64) -> String {
    format!("fn on_connection(socket) {{\n    socket.on(\"v\", || {version});\n}}\n")
}

fn start(folder: &Path, files: &[(&str, &str)]) -> TestHost {
    TestHost::build(files.iter().copied(), |builder| builder.history(folder))
}

fn version(client: &TestClient) -> String {
    client.ask("v", ()).unwrap_or_default()
}

/// Returns the errors of the history folder that the host has announced.
fn problems(host: &TestHost) -> Vec<String> {
    let events = host.events().into_iter();
    let events = events.filter_map(|event| match event {
        HostEvent::HistoryFailed { error: problem } => Some(problem),
        _ => None,
    });
    events.collect()
}

fn records(host: &TestHost, path: &str) -> Vec<(u64, Option<u64>, Outcome)> {
    let history = host.history(path);
    history
        .iter()
        .map(|r| (r.number, r.batch, r.outcome))
        .collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn versions_from_before_a_restart_are_listed_compared_and_restored() {
    let place = tempfile::tempdir().unwrap();
    let with_lib =
        "import \"lib/n\" as n; fn on_connection(socket) { socket.on(\"v\", || n::n()); }";
    let files = |n: &'static str| {
        [
            ("a.rhai", with_lib),
            ("b.rhai", with_lib),
            ("lib/n.rhai", n),
        ]
    };
    let mut host = start(place.path(), &files("fn n() { 1 }"));
    host.edit("lib/n.rhai", "fn n() { 2 }");
    host.edit("lib/n.rhai", "fn n() { 3 }");
    let (hash, time) = (
        host.history("/a")[2].hash.clone(),
        host.history("/a")[2].time,
    );
    drop(host);

    let mut host = start(place.path(), &files("fn n() { 3 }"));
    let (a, b) = (host.connect("/a").unwrap(), host.connect("/b").unwrap());
    assert_eq!(problems(&host), [""; 0]);
    let expected = [
        (1, Some(1), Outcome::Loaded),
        (2, Some(2), Outcome::Replaced),
        (3, Some(3), Outcome::Replaced),
    ];
    assert_eq!(records(&host, "/a"), expected, "the restart is no batch");
    assert_eq!(host.history("/a")[2].hash, hash);
    assert!(host.history("/a")[2].time <= time);
    let serving = host.versions().into_iter().filter(|info| info.serves);
    let serving: Vec<_> = serving
        .map(|one| (one.record.number, one.connections))
        .collect();
    assert_eq!(serving, [(3, 1), (3, 1)]);
    let diff = host.diff("/a", 1, 3).unwrap();
    assert!(
        diff.contains("-fn n() { 1 }") && diff.contains("+fn n() { 3 }"),
        "{diff}"
    );
    assert_eq!(host.rollback("/a").unwrap(), 2);
    assert_eq!([version(&a), version(&b)], ["[2]", "[2]"]);
    host.roll_back_to(1).unwrap();
    assert_eq!([version(&a), version(&b)], ["[1]", "[1]"]);
    host.edit("lib/n.rhai", "fn n() { 4 }");
    assert_eq!(
        records(&host, "/b").last(),
        Some(&(4, Some(6), Outcome::Replaced))
    );
}

#[test]
fn what_was_rolled_back_stays_so_after_a_restart_until_its_file_changes() {
    let place = tempfile::tempdir().unwrap();
    let mut host = start(place.path(), &[("main.rhai", &script(1))]);
    host.edit("main.rhai", &script(2));
    host.rollback("/").unwrap();
    drop(host);
    for _ in 0..2 {
        let host = start(place.path(), &[("main.rhai", &script(2))]);
        let client = host.connect("/").unwrap();
        assert_eq!(version(&client), "[1]");
        let reported = host.events().into_iter().any(|event| {
            matches!(
                event,
                HostEvent::KeptByRollback {
                    version: 1,
                    reason: KeptReason::BeforeRestart,
                    ..
                }
            )
        });
        assert!(reported);
        assert_eq!(records(&host, "/").len(), 3);
    }
    let mut host = start(place.path(), &[("main.rhai", &script(2))]);
    let client = host.connect("/").unwrap();
    host.edit("other.rhai", &script(1));
    assert_eq!(version(&client), "[1]");
    host.edit("main.rhai", &script(3));
    assert_eq!(version(&client), "[3]");
    assert_eq!(host.history("/").last().unwrap().number, 3);
    assert_eq!(host.rollback("/").unwrap(), 1);
    // Rolls forward again, to the version that was rolled back before the restart.
    host.roll_back_to(2).unwrap();
    assert_eq!(version(&client), "[2]");
}

#[test]
fn a_deployment_by_a_restart_can_be_rolled_back() {
    let place = tempfile::tempdir().unwrap();
    drop(start(
        place.path(),
        &[("a.rhai", &script(1)), ("b.rhai", &script(1))],
    ));
    let mut host = start(
        place.path(),
        &[("a.rhai", &script(2)), ("b.rhai", &script(1))],
    );
    let (a, b) = (host.connect("/a").unwrap(), host.connect("/b").unwrap());
    assert_eq!(records(&host, "/a")[1..], [(2, Some(2), Outcome::Loaded)]);
    assert_eq!(host.roll_back_last().unwrap().restored.len(), 1);
    assert_eq!([version(&a), version(&b)], ["[1]", "[1]"]);
    assert!(matches!(
        host.rollback("/b"),
        Err(RollbackError::NoPrevious(_))
    ));
}

#[test]
fn the_folder_can_be_read_by_people() {
    let place = tempfile::tempdir().unwrap();
    let mut host = start(
        place.path(),
        &[("a.rhai", &script(1)), ("b.rhai", &script(1))],
    );
    host.edit("a.rhai", &script(2));
    host.rollback("/a").unwrap();
    assert_eq!(
        names(&place.path().join("batches")),
        ["00000001.json", "00000002.json", "00000003.json"]
    );
    let read = |name: &str| fs::read_to_string(place.path().join(name)).unwrap();
    let batch: serde_json::Value = serde_json::from_str(&read("batches/00000002.json")).unwrap();
    let version = &batch["versions"][0];
    assert_eq!(
        (
            &batch["batch"],
            &batch["versions"].as_array().unwrap().len()
        ),
        (&2.into(), &1)
    );
    assert_eq!(
        (
            &version["namespace"],
            &version["version"],
            &version["before"]
        ),
        (&"/a".into(), &2.into(), &1.into())
    );
    assert_eq!(version["files"][0]["name"], "a.rhai");
    let hash = version["files"][0]["sha1"].as_str().unwrap();
    assert_eq!(read(&format!("texts/{hash}.txt")), script(2));
    // Each text is stored once.
    assert_eq!(names(&place.path().join("texts")).len(), 2);
    let undone: serde_json::Value = serde_json::from_str(&read("batches/00000003.json")).unwrap();
    assert_eq!(undone["rolled_back"], serde_json::json!([2]));
    assert_eq!(undone["versions"][0]["outcome"], "rolled_back");
}

#[test]
fn the_folder_is_bounded_and_keeps_what_serves() {
    let place = tempfile::tempdir().unwrap();
    let mut host = start(
        place.path(),
        &[("a.rhai", &script(0)), ("b.rhai", &script(-1))],
    );
    for version in 1..=130 {
        host.edit("a.rhai", &script(version));
    }
    assert_eq!(problems(&host), [""; 0]);
    drop(host);
    let batches = names(&place.path().join("batches"));
    assert_eq!(batches.len(), 101);
    assert_eq!(batches[..2], ["00000001.json", "00000032.json"]);
    assert_eq!(names(&place.path().join("texts")).len(), 102);
    let mut host = start(
        place.path(),
        &[("a.rhai", &script(130)), ("b.rhai", &script(-1))],
    );
    let (a, b) = (host.connect("/a").unwrap(), host.connect("/b").unwrap());
    assert_eq!(records(&host, "/b"), [(1, Some(1), Outcome::Loaded)]);
    let back = std::iter::from_fn(|| host.rollback("/a").ok()).count();
    assert!(back >= 98, "{back}");
    assert_eq!(
        [version(&a), version(&b)],
        [format!("[{}]", 130 - back), "[-1]".to_owned()]
    );
}

#[test]
fn what_cannot_be_read_is_announced_and_harms_nothing() {
    type Spoil = fn(&Path);
    let cases: [(&str, Spoil); 6] = [
        ("cannot be read: ", |place| {
            fs::write(place.join("batches/00000002.json"), "{\"batch\": 2, ").unwrap();
        }),
        ("is another batch", |place| {
            fs::copy(
                place.join("batches/00000001.json"),
                place.join("batches/00000002.json"),
            )
            .unwrap();
        }),
        ("is not UTF-8 text", |place| {
            fs::write(place.join("batches/00000002.json"), [0xff, 0xfe, 0]).unwrap();
        }),
        ("has another text", |place| {
            for name in names(&place.join("texts")) {
                fs::write(place.join("texts").join(name), "spoilt").unwrap();
            }
        }),
        ("No such file", |place| {
            fs::remove_dir_all(place.join("texts")).unwrap();
        }),
        ("is no hash", |place| {
            let path = place.join("batches/00000002.json");
            let text = fs::read_to_string(&path).unwrap();
            let (before, after) = text.split_once("\"sha1\": \"").unwrap();
            fs::write(&path, format!("{before}\"sha1\": \"../{after}")).unwrap();
        }),
    ];
    for (expected, spoil) in cases {
        let place = tempfile::tempdir().unwrap();
        let mut host = start(place.path(), &[("main.rhai", &script(1))]);
        host.edit("main.rhai", &script(2));
        drop(host);
        spoil(place.path());
        let mut host = start(place.path(), &[("main.rhai", &script(2))]);
        let problems = problems(&host);
        assert!(
            problems.iter().any(|one| one.contains(expected)),
            "{expected}: {problems:?}"
        );
        let client = host.connect("/").unwrap();
        assert_eq!(version(&client), "[2]");
        host.edit("main.rhai", &script(3));
        assert_eq!(
            host.history("/").last().unwrap().batch.unwrap(),
            4,
            "no number is given twice"
        );
        host.rollback("/").unwrap();
        assert_eq!(version(&client), "[2]");
        // The client is dropped too, because it keeps its host alive.
        drop((client, host));
        let host = start(place.path(), &[("main.rhai", &script(3))]);
        let client = host.connect("/").unwrap();
        assert_eq!(version(&client), "[2]", "{expected}: {:?}", host.events());
    }
}

#[test]
fn cyclic_version_links_are_harmless() {
    let place = tempfile::tempdir().unwrap();
    let mut host = start(place.path(), &[("main.rhai", &script(1))]);
    host.edit("main.rhai", &script(2));
    drop(host);
    let path = place.path().join("batches/00000002.json");
    let text = fs::read_to_string(&path).unwrap();
    let circle = text
        .replace("\"before\": 1", "\"before\": 2")
        .replace("\"rolled_back\": []", "\"rolled_back\": [1, 2]");
    assert_ne!(circle, text);
    fs::write(&path, circle).unwrap();
    let mut host = start(place.path(), &[("main.rhai", &script(2))]);
    assert!(matches!(
        host.rollback("/"),
        Err(RollbackError::NoPrevious(_))
    ));
}

#[test]
fn a_folder_that_cannot_be_used_or_is_in_use_is_announced_and_harms_nothing() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    let taken = place.path().join("taken");
    let first = start(&taken, &[("main.rhai", &script(9))]);
    for (folder, expected) in [
        (&file, "cannot be used: "),
        (&taken, "another server keeps its versions in `"),
    ] {
        let mut host = start(folder, &[("main.rhai", &script(1))]);
        let problems = problems(&host);
        assert!(
            problems.len() == 1 && problems[0].contains(expected),
            "{problems:?}"
        );
        host.edit("main.rhai", &script(2));
        assert_eq!(host.rollback("/").unwrap(), 1);
    }
    drop(first);
    assert_eq!(names(&taken.join("batches")), ["00000001.json"]);
}

#[test]
fn what_could_not_be_written_is_written_with_the_next_save() {
    let place = tempfile::tempdir().unwrap();
    let mut host = start(place.path(), &[("main.rhai", &script(1))]);
    let batches = place.path().join("batches");
    fs::rename(&batches, place.path().join("away")).unwrap();
    host.edit("main.rhai", &script(2));
    assert_eq!(problems(&host).len(), 1);
    fs::rename(place.path().join("away"), &batches).unwrap();
    host.edit("main.rhai", &script(3));
    assert_eq!(problems(&host), [""; 0]);
    assert_eq!(
        names(&batches),
        ["00000001.json", "00000002.json", "00000003.json"]
    );
}
