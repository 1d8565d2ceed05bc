//! Parts of a save: files that belong together, files that hold back no other file, and things that are no scripts.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
    process::Command,
    time::Duration,
};

use patchcord::{HostEvent, testing::TestHost};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::support::{
    server::Running,
    watched::{Watched, one, script},
};

/// Function that makes something at a path.
type Make = fn(&Path);

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Things that are no scripts, with the reason that is announced.
const NO_SCRIPTS: [(&str, Make); 8] = [
    ("a named pipe is no script", pipe),
    ("a named pipe is no script", |path| {
        let pipe_beside = path.with_extension("pipe");
        if !pipe_beside.exists() {
            pipe(&pipe_beside);
        }
        symlink(pipe_beside, path).unwrap();
    }),
    ("a socket is no script", |path| {
        drop(UnixListener::bind(path).unwrap());
    }),
    ("a device is no script", |path| {
        symlink("/dev/zero", path).unwrap();
    }),
    ("a folder is no script", |path| {
        fs::create_dir(path).unwrap();
    }),
    ("the link leads to nothing", |path| {
        symlink("not/there", path).unwrap();
    }),
    ("Too many levels of symbolic links (os error 40)", |path| {
        symlink(path.file_name().unwrap(), path).unwrap();
    }),
    ("a folder is no script", |path| symlink(".", path).unwrap()),
];

/// Files that cannot be loaded, with a part of the diagnostic.
const BROKEN: [(&str, Make); 7] = [
    ("has no function `on_connection`", |path| {
        fs::write(path, "").unwrap();
    }),
    ("fn on_connection(", |path| {
        fs::write(path, "fn on_connection(").unwrap();
    }),
    ("byte 4 of line 1 (0xfc) is not UTF-8", |path| {
        fs::write(path, b"// \xfc").unwrap();
    }),
    ("the text is UTF-16; save it as UTF-8", |path| {
        fs::write(path, b"f\0n\0 \0").unwrap();
    }),
    (
        "line 1, column 4 has the control character U+0000",
        |path| {
            fs::write(path, b"// \0").unwrap();
        },
    ),
    ("a script has at most 4 MiB", |path| {
        fs::File::create(path).unwrap().set_len(1 << 40).unwrap();
    }),
    // A file that nobody can read, not even root.
    ("cannot be read: Input/output error", |path| {
        symlink("/proc/self/mem", path).unwrap();
    }),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_file_that_cannot_be_loaded_is_reported_and_holds_back_no_save() {
    for (problem, make) in BROKEN {
        let mut watched = Watched::new(one).await;
        watched.until("loaded main.rhai").await;
        make(&watched.file("new.rhai"));
        fs::write(watched.file("main.rhai"), script("two")).unwrap();
        let mut seen = watched.until("replaced main.rhai 2").await;
        while !seen.iter().any(|one| one.contains(problem)) {
            seen.push(watched.next().await);
        }
        // The problem is not reported again with each save.
        fs::write(watched.file("main.rhai"), script("three")).unwrap();
        let seen = watched.until("replaced main.rhai 3").await;
        assert_eq!(seen, ["three", "replaced main.rhai 3"], "{problem}");
        fs::remove_file(watched.file("new.rhai")).unwrap();
        fs::write(watched.file("new.rhai"), script("new")).unwrap();
        watched.until("loaded new.rhai").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn non_regular_entries_are_announced_once() {
    for poll in [None, Some(Duration::from_millis(10))] {
        for (reason, make) in NO_SCRIPTS {
            let mut watched = Watched::with(poll, one).await;
            watched.until("loaded main.rhai").await;
            make(&watched.file("x.rhai"));
            fs::write(watched.file("main.rhai"), script("two")).unwrap();
            let seen = watched.until("replaced main.rhai 2").await;
            let ignored = format!("ignored x.rhai: {reason}");
            assert!(seen.contains(&ignored), "{seen:?}");
            fs::write(watched.file("main.rhai"), script("three")).unwrap();
            let seen = watched.until("replaced main.rhai 3").await;
            assert_eq!(seen, ["three", "replaced main.rhai 3"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_that_serves_keeps_serving_when_something_else_is_in_its_place() {
    for (reason, make) in NO_SCRIPTS {
        let mut watched = Watched::new(|scripts| {
            one(scripts);
            fs::write(scripts.join("x.rhai"), script("x")).unwrap();
        })
        .await;
        watched.until("loaded x.rhai").await;
        fs::remove_file(watched.file("x.rhai")).unwrap();
        make(&watched.file("x.rhai"));
        watched.until(&format!("ignored x.rhai: {reason}")).await;
        fs::write(watched.file("main.rhai"), script("two")).unwrap();
        watched.until("replaced main.rhai 2").await;
        assert_eq!(watched.host.namespaces().len(), 2, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_that_lead_to_folders_above_end() {
    let mut watched = Watched::new(|scripts| {
        one(scripts);
        for name in ["a", "b", "c", "d"] {
            symlink(".", scripts.join(name)).unwrap();
        }
    })
    .await;
    watched.until("loaded main.rhai").await;
    fs::write(watched.file("main.rhai"), script("two")).unwrap();
    watched.until("replaced main.rhai 2").await;
    assert_eq!(watched.host.namespaces().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_of_any_kind_that_come_and_go_hold_back_no_edit() {
    let mut random = StdRng::seed_from_u64(7);
    let mut watched = Watched::new(one).await;
    watched.until("loaded main.rhai").await;
    for version in 2..60 {
        for _ in 0..random.random_range(0..5) {
            let names = [
                "a.rhai",
                "b copy.rhai",
                "room/{id}.rhai",
                "lib/c.rhai",
                "fine.rhai",
            ];
            let name = names[random.random_range(0..names.len())];
            let path = watched.file(name);
            let is_there = fs::symlink_metadata(&path).is_ok();
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            if is_there && fs::remove_file(&path).is_err() {
                fs::remove_dir_all(&path).unwrap();
            }
            let kinds = [&NO_SCRIPTS[..], &BROKEN[..]].concat();
            match random.random_range(0..=kinds.len()) {
                // `fine.rhai` serves, so an edit that breaks it would hold back the other files of the save.
                _ if name == "fine.rhai" => fs::write(&path, script("fine")).unwrap(),
                kind if kind < kinds.len() => kinds[kind].1(&path),
                _ => {}
            }
        }
        let word = format!("version {version}");
        fs::write(watched.file("main.rhai"), script(&word)).unwrap();
        watched
            .until(&format!("replaced main.rhai {version}"))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_that_serves_and_cannot_be_read_holds_back_no_save() {
    let mut watched = Watched::new(|scripts| {
        one(scripts);
        fs::write(scripts.join("x.rhai"), script("x")).unwrap();
    })
    .await;
    watched.until("loaded x.rhai").await;
    fs::remove_file(watched.file("x.rhai")).unwrap();
    symlink("/proc/self/mem", watched.file("x.rhai")).unwrap();
    fs::write(watched.file("main.rhai"), script("two")).unwrap();
    watched.until("replaced main.rhai 2").await;
    assert_eq!(watched.host.namespaces().len(), 2);
}

fn answers(word: &str) -> String {
    format!("fn on_connection(socket) {{ socket.on(\"v\", || \"{word}\"); }}")
}

const BROKEN_TEXT: &str = "fn on_connection(";

#[test]
fn what_was_saved_together_takes_effect_together_whatever_is_saved_meanwhile() {
    let one = answers("one");
    let mut host = TestHost::with([("a.rhai", one.as_str()), ("b.rhai", &one), ("c.rhai", &one)]);
    let [a, b, c] = ["/a", "/b", "/c"].map(|path| host.connect(path).unwrap());
    let now = || [&a, &b, &c].map(|client| client.ask("v", ()).unwrap());
    let words = |words: [&str; 3]| words.map(|word| format!("[\"{word}\"]"));
    host.edit_all([("a.rhai", answers("two").as_str()), ("b.rhai", BROKEN_TEXT)]);
    assert_eq!(now(), words(["one", "one", "one"]));
    assert_eq!(host.problems().len(), 1);
    host.edit("c.rhai", &answers("two"));
    assert_eq!(now(), words(["one", "one", "two"]), "another save");
    assert_eq!(host.problems(), [] as [String; 0], "it was reported once");
    // An edit of one of the two files belongs to the pending save of both.
    host.edit("a.rhai", &answers("three"));
    assert_eq!(now(), words(["one", "one", "two"]));
    assert_eq!(host.problems().len(), 1, "and says why it has no effect");
    host.edit("b.rhai", &answers("three"));
    assert_eq!(now(), words(["three", "three", "two"]));
    // An undone edit holds back nothing.
    host.edit_all([
        ("a.rhai", answers("four").as_str()),
        ("b.rhai", BROKEN_TEXT),
    ]);
    host.edit("b.rhai", &answers("three"));
    assert_eq!(now(), words(["four", "three", "two"]));
}

#[test]
fn a_script_and_what_it_imports_take_effect_when_both_are_repaired() {
    let main = |word: &str| {
        format!(
            "import \"lib/word\" as word; fn on_connection(socket) {{ socket.on(\"v\", || word::word() + \"{word}\"); }}"
        )
    };
    let lib = |word: &str| format!("fn word() {{ \"{word}\" }}");
    for first in ["main.rhai", "lib/word.rhai"] {
        let mut host = TestHost::with([
            ("main.rhai", main("1").as_str()),
            ("lib/word.rhai", &lib("one")),
        ]);
        let client = host.connect("/").unwrap();
        host.edit_all([("main.rhai", BROKEN_TEXT), ("lib/word.rhai", "fn word( {")]);
        let repairs = [("main.rhai", main("2")), ("lib/word.rhai", lib("two"))];
        let (now, later): (Vec<_>, Vec<_>) = repairs.iter().partition(|(name, _)| *name == first);
        host.edit(now[0].0, &now[0].1);
        assert_eq!(client.ask("v", ()).as_deref(), Some("[\"one1\"]"));
        host.edit(later[0].0, &later[0].1);
        assert_eq!(client.ask("v", ()).as_deref(), Some("[\"two2\"]"));
    }
}

#[test]
fn a_save_that_a_client_rejects_takes_effect_when_that_client_has_left() {
    let mut host = TestHost::with([
        ("a.rhai", answers("one").as_str()),
        ("b.rhai", &answers("one")),
    ]);
    let (a, b) = (host.connect("/a").unwrap(), host.connect("/a").unwrap());
    let fails = format!("if socket.id == \"{}\" {{ throw 1; }}", a.id());
    host.edit(
        "a.rhai",
        &answers("two").replace("{ ", &format!("{{ {fails} ")),
    );
    assert_eq!(b.ask("v", ()).as_deref(), Some("[\"one\"]"));
    a.disconnect();
    host.edit("b.rhai", &answers("two"));
    assert_eq!(b.ask("v", ()).as_deref(), Some("[\"two\"]"));
}

#[test]
fn new_script_takes_effect_independently() {
    let lib = |word: &str| format!("fn word() {{ \"{word}\" }}");
    let main = "import \"lib/word\" as word; fn on_connection(socket) { socket.on(\"v\", || word::word()); }";
    let mut host = TestHost::with([("main.rhai", main), ("lib/word.rhai", &lib("one"))]);
    let client = host.connect("/").unwrap();
    host.events();
    // A broken new file, which imports the file that is edited.
    host.edit_all([
        ("new.rhai", "import \"lib/word\" as word; fn on_connection("),
        ("lib/word.rhai", &lib("two")),
    ]);
    assert_eq!(client.ask("v", ()).as_deref(), Some("[\"two\"]"));
    assert_eq!(host.problems().len(), 1);
    assert!(host.connect("/new").is_err());
    // A valid new file, beside a broken edit.
    host.edit_all([
        ("fine.rhai", answers("fine").as_str()),
        ("main.rhai", BROKEN_TEXT),
    ]);
    let fine = host.connect("/fine").unwrap();
    assert_eq!(fine.ask("v", ()).as_deref(), Some("[\"fine\"]"));
    assert_eq!(client.ask("v", ()).as_deref(), Some("[\"two\"]"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_order_mark_is_skipped_and_positions_stay_right() {
    let mut watched = Watched::new(one).await;
    watched.until("loaded main.rhai").await;
    fs::write(
        watched.file("main.rhai"),
        format!("\u{feff}{}", script("two")),
    )
    .unwrap();
    watched.until("replaced main.rhai 2").await;
    fs::write(
        watched.file("main.rhai"),
        "\u{feff}= fn on_connection(socket) {}",
    )
    .unwrap();
    let seen = watched.next().await;
    assert!(
        seen.contains("file: \"main.rhai\", line: 1, column: 1,"),
        "{seen}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_are_not_served_and_are_named_once() {
    let mut watched = Watched::new(one).await;
    watched.until("loaded main.rhai").await;
    for name in [
        "main copy.rhai",
        "main.orig.rhai",
        "x_BACKUP_1.rhai",
        "main~.rhai",
    ] {
        fs::write(watched.file(name), script("copy")).unwrap();
        let reason = "its name says that it is a copy; rename it to serve it";
        let ignored = format!("ignored {name}: {reason}");
        assert_eq!(watched.until(&ignored).await, [ignored]);
    }
    fs::write(watched.file("main (1).rhai"), script("copy")).unwrap();
    let reason = "the name of a namespace has no space; rename it to serve it";
    let ignored = format!("ignored main (1).rhai: {reason}");
    assert_eq!(watched.until(&ignored).await, [ignored]);
    assert_eq!(watched.host.namespaces().len(), 1);
    fs::rename(watched.file("main copy.rhai"), watched.file("second.rhai")).unwrap();
    watched.until("loaded second.rhai").await;
    let found = watched.host.check().unwrap();
    let found: Vec<_> = found.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(
        found,
        [
            "`main (1).rhai` is not served: the name of a namespace has no space; rename it to serve it",
            "`main.orig.rhai` is not served: its name says that it is a copy; rename it to serve it",
            "`main~.rhai` is not served: its name says that it is a copy; rename it to serve it",
            "`x_BACKUP_1.rhai` is not served: its name says that it is a copy; rename it to serve it",
        ]
    );
}

/// Returns a folder of these scripts, a server, and the guard of its watch.
async fn serve(files: &[(&str, &str)]) -> (tempfile::TempDir, Running, patchcord::host::Watching) {
    let folder = tempfile::tempdir().unwrap();
    for (name, word) in files {
        put(folder.path(), name, &answers(word));
    }
    let (running, host) = Running::reloadable(|builder| {
        let mut options = patchcord::testing::options();
        options.reload.missing_grace = Duration::from_secs(1);
        builder.scripts(folder.path()).options(options)
    })
    .await;
    let watching = host.watch().unwrap();
    (folder, running, watching)
}

fn put(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Returns a client of a namespace, after the script that answers with `word` has served it.
async fn client_of(
    running: &Running,
    namespace: &str,
    word: &str,
) -> crate::support::server::Client {
    let mut client = running.websocket().await;
    client.connect(&format!("{namespace},")).await;
    client.send(&format!("42{namespace},1[\"v\"]")).await;
    let answer = format!("43{namespace},1[\"{word}\"]");
    client.until(|packet| packet == answer).await;
    client
}

async fn moved(running: &mut Running) -> String {
    let moved = |event| match event {
        HostEvent::Moved {
            namespace,
            from,
            to,
            clients,
        } => Some(format!("{namespace} {from} {to} {clients}")),
        _ => None,
    };
    running.announced(moved).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_goes_from_a_dynamic_namespace_to_a_file_and_back() {
    let (folder, mut running, _watching) = serve(&[("room/{id}.rhai", "dynamic")]).await;
    let path = folder.path().join("room/5.rhai");
    for _ in 0..3 {
        let mut client = client_of(&running, "/room/5", "dynamic").await;
        // A file that does not load does not take over the path, for new clients either.
        put(folder.path(), "room/5.rhai", BROKEN_TEXT);
        let rejected = |event| matches!(event, HostEvent::Rejected { .. }).then_some(());
        running.announced(rejected).await;
        drop(client_of(&running, "/room/5", "dynamic").await);
        fs::write(&path, answers("named")).unwrap();
        let event = moved(&mut running).await;
        assert!(
            event.starts_with("/room/5 room/{id}.rhai room/5.rhai "),
            "{event}"
        );
        client.until(|packet| packet == "41/room/5,").await;
        let mut client = client_of(&running, "/room/5", "named").await;
        drop(client_of(&running, "/room/6", "dynamic").await);
        fs::remove_file(&path).unwrap();
        assert_eq!(
            moved(&mut running).await,
            "/room/5 room/5.rhai room/{id}.rhai 1"
        );
        client.until(|packet| packet == "41/room/5,").await;
    }
    drop(client_of(&running, "/room/5", "dynamic").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dynamic_namespace_serves_the_paths_of_files_that_were_gone_before_it() {
    let (folder, mut running, _watching) = serve(&[("room/5.rhai", "named")]).await;
    drop(client_of(&running, "/room/5", "named").await);
    fs::remove_file(folder.path().join("room/5.rhai")).unwrap();
    let removed = |event| matches!(event, HostEvent::Removed { .. }).then_some(());
    running.announced(removed).await;
    put(folder.path(), "room/{id}.rhai", &answers("dynamic"));
    let loaded = |event| matches!(event, HostEvent::Loaded { .. }).then_some(());
    running.announced(loaded).await;
    drop(client_of(&running, "/room/5", "dynamic").await);
    put(folder.path(), "room/5.rhai", &answers("named"));
    running.announced(loaded).await;
    drop(client_of(&running, "/room/5", "named").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_renamed_is_said_before_its_clients_are_disconnected() {
    let (folder, mut running, _watching) = serve(&[("chat.rhai", "chat")]).await;
    let at = |name: &str| folder.path().join(name);
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(client_of(&running, "/chat", "chat").await);
    }
    fs::rename(at("chat.rhai"), at("talk.rhai")).unwrap();
    let missing = |event| matches!(event, HostEvent::Missing { .. }).then_some(event);
    let expected = |same_text: Option<&str>| {
        serde_json::json!({
            "type": "missing",
            "namespace": "/chat",
            "script": "chat.rhai",
            "clients": 3,
            "milliseconds": 1000,
            "same_text": same_text,
        })
    };
    let event = running.announced(missing).await;
    assert_eq!(
        serde_json::to_value(event).unwrap(),
        expected(Some("talk.rhai"))
    );
    // The file returns within the grace period.
    fs::rename(at("talk.rhai"), at("chat.rhai")).unwrap();
    let returned = |event| match event {
        HostEvent::Returned {
            namespace,
            script,
            version,
        } => Some(format!("{namespace} {script} {version}")),
        HostEvent::Removed { script, .. } if &*script == "chat.rhai" => panic!("it is back"),
        _ => None,
    };
    assert_eq!(running.announced(returned).await, "/chat chat.rhai 1");
    clients[0].send("42/chat,1[\"v\"]").await;
    clients[0]
        .until(|packet| packet == "43/chat,1[\"chat\"]")
        .await;
    // The file does not return.
    fs::remove_file(at("chat.rhai")).unwrap();
    let event = running.announced(missing).await;
    assert_eq!(serde_json::to_value(event).unwrap(), expected(None));
    for client in &mut clients {
        client.until(|packet| packet == "41/chat,").await;
    }
}
