//! Changes of files by editors and deployments, with a real watch.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use patchcord::{
    Host, HostEvent,
    script::{Folder, LoadError, Loader},
};
use tokio::sync::mpsc::unbounded_channel;

use crate::support::{
    server::TEST_TIMEOUT,
    watched::{Watched, one, script, shown},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_in_place_takes_effect() {
    let mut watched = Watched::new(one).await;
    watched.until("loaded main.rhai").await;
    fs::write(watched.file("main.rhai"), script("two")).unwrap();
    watched.until("two").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_burst_of_writes_the_last_one_takes_effect_and_none_is_half_read() {
    let mut watched = Watched::new(one).await;
    watched.until("loaded main.rhai").await;
    for n in 0..200 {
        fs::write(watched.file("main.rhai"), script(&format!("burst {n}"))).unwrap();
    }
    fs::write(watched.file("main.rhai"), script("end")).unwrap();
    let seen = watched.until("end").await;
    assert!(
        seen.iter().filter(|s| s.starts_with("replaced")).count() < 100,
        "they are collected: {seen:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_file_in_its_place_takes_effect() {
    let mut watched = Watched::new(one).await;
    watched.until("loaded main.rhai").await;
    let new = watched.around.path().join("new");
    fs::write(&new, script("two")).unwrap();
    fs::rename(&new, watched.file("main.rhai")).unwrap();
    assert_eq!(watched.until("two").await, ["two"]);
    assert_eq!(
        watched.until("replaced main.rhai 2").await.len(),
        1,
        "and no more than that has happened"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_deleted_and_written_again_is_never_gone() {
    let mut watched = Watched::new(one).await;
    watched.until("loaded main.rhai").await;
    for n in 0..10 {
        fs::remove_file(watched.file("main.rhai")).unwrap();
        fs::write(watched.file("main.rhai"), script(&format!("again {n}"))).unwrap();
        let seen = watched.until(&format!("again {n}")).await;
        assert!(!seen.iter().any(|s| s.starts_with("removed")), "{seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_and_swap_files_of_editors_mean_nothing() {
    let mut watched = Watched::new(one).await;
    watched.until("loaded main.rhai").await;
    for name in [
        "main.rhai~",
        ".main.rhai.swp",
        "4913",
        "#main.rhai#",
        ".#main.rhai",
        "main.rhai.tmp",
    ] {
        fs::write(watched.file(name), "no { script").unwrap();
    }
    fs::rename(watched.file("main.rhai"), watched.file("main.rhai.bak")).unwrap();
    fs::write(watched.file("main.rhai"), script("two")).unwrap();
    assert_eq!(watched.until("two").await, ["two"]);
    assert_eq!(watched.host.namespaces().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkout_of_many_files_takes_effect_as_a_whole() {
    let names: Vec<_> = (0..30).map(|n| format!("n{n}.rhai")).collect();
    let write = |scripts: &Path, version: i64| {
        // Each script fails to load with the other version of the library.
        fs::write(
            scripts.join("lib/common.rhai"),
            format!("fn version_{version}() {{ {version} }}"),
        )
        .unwrap();
        for name in &names {
            fs::write(
                scripts.join(name),
                format!(
                    "import \"lib/common\" as common;
                    fn on_load() {{ print(`{name} ${{common::version_{version}()}}`); }}
                    fn on_connection(socket) {{}}"
                ),
            )
            .unwrap();
        }
    };
    let mut watched = Watched::new(|scripts| {
        fs::create_dir_all(scripts.join("lib")).unwrap();
        write(scripts, 1);
    })
    .await;
    write(&watched.scripts, 2);
    let mut left: std::collections::BTreeSet<_> =
        names.iter().map(|name| format!("{name} 2")).collect();
    while let Some(word) = left.pop_first() {
        for seen in watched.until(&word).await {
            assert!(!seen.starts_with("rejected"), "{seen}");
            left.remove(&seen);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swapped_folder_of_a_config_map_takes_effect() {
    let mut watched = Watched::new(|scripts| {
        fs::create_dir_all(scripts.join("..v1")).unwrap();
        fs::write(scripts.join("..v1/main.rhai"), script("one")).unwrap();
        symlink("..v1", scripts.join("..data")).unwrap();
        symlink("..data/main.rhai", scripts.join("main.rhai")).unwrap();
    })
    .await;
    watched.until("loaded main.rhai").await;
    for version in 2..5 {
        let folder = watched.file(&format!("..v{version}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("main.rhai"), script(&format!("map {version}"))).unwrap();
        symlink(format!("..v{version}"), watched.file("..data_tmp")).unwrap();
        fs::rename(watched.file("..data_tmp"), watched.file("..data")).unwrap();
        fs::remove_dir_all(watched.file(&format!("..v{}", version - 1))).unwrap();
        let seen = watched.until(&format!("map {version}")).await;
        assert!(
            !seen
                .iter()
                .any(|s| s.starts_with("removed") || s.starts_with("rejected")),
            "{seen:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_not_there_yet_is_waited_for() {
    let mut watched = Watched::new(|_| {}).await;
    watched.until("unreadable").await;
    one(&watched.scripts);
    watched.until("loaded main.rhai").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_and_their_namespaces_appear_and_disappear() {
    let mut watched = Watched::new(one).await;
    watched.until("loaded main.rhai").await;
    fs::create_dir(watched.file("game")).unwrap();
    fs::write(watched.file("game/lobby.rhai"), script("lobby")).unwrap();
    watched.until("loaded game/lobby.rhai").await;
    assert_eq!(watched.host.namespaces().len(), 2);
    fs::remove_dir_all(watched.file("game")).unwrap();
    assert_eq!(
        watched.until("removed game/lobby.rhai").await,
        ["missing game/lobby.rhai", "removed game/lobby.rhai"]
    );
    assert_eq!(watched.host.namespaces().len(), 1);
    fs::create_dir(watched.file("game")).unwrap();
    fs::write(watched.file("game/lobby.rhai"), script("back")).unwrap();
    watched.until("loaded game/lobby.rhai").await;
    assert_eq!(watched.host.namespaces().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_gone_changes_nothing_and_is_reported() {
    let mut watched = Watched::new(one).await;
    watched.until("loaded main.rhai").await;
    let aside = watched.around.path().join("aside");
    fs::rename(&watched.scripts, &aside).unwrap();
    watched.until("unreadable").await;
    assert_eq!(watched.host.namespaces().len(), 1);
    fs::rename(&aside, &watched.scripts).unwrap();
    fs::write(watched.file("main.rhai"), script("two")).unwrap();
    let seen = watched.until("two").await;
    assert!(!seen.iter().any(|s| s.starts_with("removed")), "{seen:?}");
}

/// Replaces a file or link in one step.
fn replace(path: &Path, make: impl FnOnce(&Path)) {
    let new = path.with_file_name("new");
    make(&new);
    fs::rename(&new, path).unwrap();
}

/// The folder cannot be read by anybody, not even root.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_cannot_be_read_changes_nothing_and_is_reported_once() {
    let unreadable: [fn(&Path); 2] = [
        |new| symlink("scripts", new).unwrap(),
        |new| fs::write(new, "no folder").unwrap(),
    ];
    let link = |new: &Path| symlink("real", new).unwrap();
    for poll in [None, Some(Duration::from_millis(10))] {
        for unreadable in unreadable {
            let mut watched = Watched::with(poll, |scripts| {
                one(&scripts.with_file_name("real"));
                link(scripts);
            })
            .await;
            watched.until("loaded main.rhai").await;
            replace(&watched.scripts, unreadable);
            watched.until("unreadable").await;
            assert_eq!(watched.host.namespaces().len(), 1);
            let real = watched.around.path().join("real/main.rhai");
            fs::write(real, script("two")).unwrap();
            replace(&watched.scripts, link);
            let seen = watched.until("replaced main.rhai 2").await;
            // Polling may look at several moments of the change.
            if poll.is_none() {
                assert_eq!(seen, ["two", "replaced main.rhai 2"], "told once");
            }
            fs::write(watched.file("main.rhai"), script("three")).unwrap();
            watched.until("three").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polling_sees_the_same() {
    let poll = Some(Duration::from_millis(10));
    let mut watched = Watched::with(poll, one).await;
    watched.until("loaded main.rhai").await;
    fs::write(watched.file("main.rhai"), script("two")).unwrap();
    watched.until("two").await;
    fs::write(watched.file("other.rhai"), script("other")).unwrap();
    watched.until("loaded other.rhai").await;
    fs::remove_file(watched.file("other.rhai")).unwrap();
    watched.until("removed other.rhai").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_watches_what_it_imports_and_what_it_looked_for_in_vain() {
    let mut watched = Watched::new(|scripts| {
        fs::create_dir_all(scripts.join("lib/deep")).unwrap();
        fs::write(
            scripts.join("main.rhai"),
            "import \"lib/deep/word\" as word; fn on_load() { print(word::word()); } fn on_connection(socket) {}",
        )
        .unwrap();
    })
    .await;
    let seen = watched.next().await;
    assert!(seen.starts_with("rejected"), "{seen}");
    let word = watched.file("lib/deep/word.rhai");
    fs::write(&word, "fn word() { \"found\" }").unwrap();
    watched.until("found").await;
    fs::write(&word, "fn word() { \"changed\" }").unwrap();
    watched.until("changed").await;
}

/// Loader of a folder that counts its reads.
#[derive(Debug, Clone)]
struct Counted {
    folder: Folder,
    reads: Arc<AtomicUsize>,
}

impl Loader for Counted {
    fn list(&self) -> Result<Vec<String>, LoadError> {
        self.folder.list()
    }

    fn read(&self, name: &str) -> Result<String, LoadError> {
        let text = self.folder.read(name);
        self.reads.fetch_add(1, Ordering::AcqRel);
        text
    }

    fn watched(&self) -> Option<&Path> {
        self.folder.watched()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_empty_or_missing_for_a_moment_is_not_reported() {
    let scripts = tempfile::tempdir().unwrap();
    let [main, word] = ["main.rhai", "word.rhai"].map(|name| scripts.path().join(name));
    let say = "import \"word\" as word; fn on_load() { print(word::word()); } fn on_connection(socket) {}";
    fs::write(&main, say).unwrap();
    fs::write(&word, "fn word() { 1 }").unwrap();
    let loader = Counted {
        folder: Folder::new(scripts.path()),
        reads: Arc::default(),
    };
    let (tell, mut events) = unbounded_channel();
    let mut options = patchcord::testing::options();
    options.reload.missing_grace = TEST_TIMEOUT;
    options.limits.time = TEST_TIMEOUT;
    let host = Host::builder()
        .loader(loader.clone())
        .options(options)
        .on_event(move |event| drop(tell.send(shown(event))))
        .build();
    let _ = host.load().await;
    let _watching = host.watch().unwrap();
    for n in 2..6 {
        match n % 2 {
            0 => fs::write(&word, "").unwrap(),
            _ => fs::remove_file(&word).unwrap(),
        }
        let before = loader.reads.load(Ordering::Acquire);
        // The host reads the file again and again meanwhile.
        while loader.reads.load(Ordering::Acquire) < before + 8 {
            tokio::task::yield_now().await;
        }
        fs::write(&word, format!("fn word() {{ {n} }}")).unwrap();
        loop {
            let seen = tokio::time::timeout(TEST_TIMEOUT, events.recv()).await;
            let seen = seen.expect("the edit has no effect").unwrap();
            assert!(!seen.starts_with("rejected"), "{seen}");
            if seen == n.to_string() {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_without_a_change_does_nothing() {
    let mut watched = Watched::new(one).await;
    watched.until("loaded main.rhai").await;
    for _ in 0..3 {
        fs::write(watched.file("main.rhai"), script("one")).unwrap();
    }
    fs::write(watched.file("b.rhai"), script("b")).unwrap();
    assert_eq!(watched.until("loaded b.rhai").await, ["b", "loaded b.rhai"]);
}

/// Loader of a folder that counts the reads of each file.
#[derive(Debug, Clone)]
struct Counting {
    folder: Folder,
    reads: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Counting {
    fn reads_of(&self, name: &str) -> usize {
        self.reads
            .lock()
            .unwrap()
            .get(name)
            .copied()
            .unwrap_or_default()
    }
}

impl Loader for Counting {
    fn list(&self) -> Result<Vec<String>, LoadError> {
        self.folder.list()
    }

    fn read(&self, name: &str) -> Result<String, LoadError> {
        *self
            .reads
            .lock()
            .unwrap()
            .entry(name.to_owned())
            .or_default() += 1;
        self.folder.read(name)
    }

    fn changed(&self, paths: &BTreeSet<PathBuf>) -> Option<BTreeSet<String>> {
        self.folder.changed(paths)
    }

    fn watched(&self) -> Option<&Path> {
        self.folder.watched()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_reads_what_has_changed_and_the_report_names_it() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("lib")).unwrap();
    let write = |name: &str, text: &str| fs::write(place.path().join(name), text).unwrap();
    let words = |word: &str| format!("fn word() {{ \"{word}\" }}");
    let chat = "import \"lib/words\" as words;
        fn on_connection(socket) { socket.emit(\"word\", words::word()); }";
    write("lib/words.rhai", &words("one"));
    write("chat.rhai", chat);
    write("other.rhai", "fn on_connection(socket) { }");
    let loader = Counting {
        folder: Folder::new(place.path()),
        reads: Arc::default(),
    };
    let (tell, mut events) = unbounded_channel();
    let host = Host::builder()
        .loader(loader.clone())
        .on_event(move |event| drop(tell.send(event.clone())))
        .build();
    let _ = host.load().await;
    let _watching = host.watch().unwrap();
    let mut replaced = async || loop {
        let event = tokio::time::timeout(TEST_TIMEOUT, events.recv()).await;
        if let HostEvent::Replaced { script, reload, .. } = event.unwrap().unwrap() {
            let changed: Vec<_> = reload.changed.iter().map(ToString::to_string).collect();
            return (script.to_string(), changed);
        }
    };
    // The first load of a watch reads everything, because nothing was watched before.
    write("chat.rhai", &format!("{chat} // seen"));
    let expected = |changed: &str| ("chat.rhai".to_owned(), vec![changed.to_owned()]);
    assert_eq!(replaced().await, expected("chat.rhai"));
    let others = loader.reads_of("other.rhai");
    write("lib/words.rhai", &words("two"));
    assert_eq!(replaced().await, expected("lib/words.rhai"));
    write("chat.rhai", chat);
    assert_eq!(replaced().await, expected("chat.rhai"));
    assert_eq!(loader.reads_of("other.rhai"), others);
    let chats = loader.reads_of("chat.rhai");
    write("lib/words.rhai", &words("three"));
    assert_eq!(replaced().await, expected("lib/words.rhai"));
    assert_eq!(loader.reads_of("chat.rhai"), chats);
}
