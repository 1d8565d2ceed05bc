//! Watches real folders. A [`Reader`] does what every consumer does: it reads the target after each batch and never
//! otherwise; a change that no batch covers leaves it behind, and the deadline ends the test.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use notify::event::{CreateKind, Flag, ModifyKind, RenameMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, interval, timeout};

use super::folders::Folders;
use super::native::Native;
use super::{Batch, Batches, Note, Outbox, Raw, WatchError, WatchOptions, Watcher};

const DEADLINE: Duration = Duration::from_secs(10);

/// What is below a target: the contents of files, `None` for a folder or what cannot be read.
type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

fn read(path: &Path, depth: usize, tree: &mut Tree) {
    if let Ok(entries) = fs::read_dir(path) {
        tree.insert(path.to_path_buf(), None);
        for entry in entries.flatten().filter(|_| depth < 12) {
            read(&entry.path(), depth + 1, tree);
        }
    } else if fs::symlink_metadata(path).is_ok() {
        tree.insert(path.to_path_buf(), fs::read(path).ok());
    }
}

fn tree(target: &Path) -> Tree {
    let mut tree = Tree::new();
    read(target, 0, &mut tree);
    tree
}

struct Reader {
    target: PathBuf,
    known: Tree,
    batches: Batches,
    watcher: Watcher,
    fences: usize,
}

impl Reader {
    fn start(target: &Path, options: WatchOptions) -> Self {
        let (watcher, batches) = Watcher::start(target, options).expect("a watch");
        Self {
            target: target.to_path_buf(),
            known: tree(target),
            batches,
            watcher,
            fences: 0,
        }
    }

    async fn next(&mut self) -> Batch {
        let batch = timeout(DEADLINE, self.batches.next()).await;
        let batch = batch.expect("a batch before the deadline");
        self.known = tree(&self.target);
        batch.expect("a watcher that lives")
    }

    /// Waits until what was read after a batch is what is there.
    async fn catch_up(&mut self) {
        while self.known != tree(&self.target) {
            self.next().await;
        }
    }

    /// Waits for a batch that names `path`.
    async fn hear_of(&mut self, path: &Path) -> Batch {
        loop {
            let batch = self.next().await;
            if batch.paths.contains(path) {
                return batch;
            }
        }
    }

    /// Changes a file of its own until that is reported by name, so that what was before is over.
    async fn settle(&mut self) {
        let fence = self.target.join("fence");
        for _ in 0..2 {
            loop {
                self.fences += 1;
                write(&fence, &format!("{}", self.fences));
                if self.next().await.paths.contains(&fence) {
                    break;
                }
            }
        }
    }

    /// Changes a file when all is quiet and waits until that was read.
    async fn still_sees(&mut self, path: &Path) {
        self.settle().await;
        write(path, &format!("still seen {}", self.fences));
        self.catch_up().await;
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("a file");
}

fn folder(path: &Path) {
    fs::create_dir_all(path).expect("a folder");
}

fn rename(from: &Path, to: &Path) {
    fs::rename(from, to).expect("a new name");
}

fn link(to: &str, path: &Path) {
    std::os::unix::fs::symlink(to, path).expect("a symbolic link");
}

fn native() -> WatchOptions {
    WatchOptions::default()
}

fn polling() -> WatchOptions {
    WatchOptions {
        poll: Some(Duration::from_millis(10)),
        ..WatchOptions::default()
    }
}

/// Gives every change its own batch, as far as possible.
fn at_once(options: WatchOptions) -> WatchOptions {
    WatchOptions {
        quiet: Duration::ZERO,
        at_most: Duration::ZERO,
        ..options
    }
}

/// A folder `scripts` with one script, and a place around it.
fn scripts() -> (TempDir, PathBuf) {
    let base = tempfile::tempdir().expect("a folder");
    let target = base.path().join("scripts");
    folder(&target);
    write(&target.join("chat.rhai"), "1");
    (base, target)
}

/// Each case with native events and with polling.
macro_rules! both {
    ($($name:ident)*) => {$(
        mod $name {
            #[tokio::test]
            async fn native() {
                super::$name(super::native()).await;
            }

            #[tokio::test]
            async fn polling() {
                super::$name(super::polling()).await;
            }
        }
    )*};
}

both! {
    write_in_place burst rename_over delete_and_write backup_and_swap_files new_folders race_into_new_folders
    folder_moved_into_new_folder folder_moved_away_and_back checkout config_map config_map_outside
    target_is_a_swapped_link folder_comes_back_later folder_comes_back_at_once parent_swapped missing_at_start
    missing_step_by_step single_file single_file_missing_at_start single_file_behind_a_link file_behind_a_link
    folder_behind_a_new_link link_to_nothing link_loop reading_makes_no_batch neighbours_do_not_count
    relative_target empty_files_and_folders dropping_ends_the_batches
}

async fn write_in_place(options: WatchOptions) {
    let (_base, target) = scripts();
    let mut reader = Reader::start(&target, options);
    write(&target.join("chat.rhai"), "2");
    reader.hear_of(&target.join("chat.rhai")).await;
    reader.catch_up().await;
}

async fn burst(options: WatchOptions) {
    let (_base, target) = scripts();
    let mut reader = Reader::start(&target, options);
    for n in 0..1000 {
        write(&target.join("chat.rhai"), &format!("version {n}"));
    }
    reader.catch_up().await;
}

async fn rename_over(options: WatchOptions) {
    let (_base, target) = scripts();
    let mut reader = Reader::start(&target, options);
    for n in 0..3 {
        let new = target.join(".chat.rhai.new");
        write(&new, &format!("saved {n}"));
        rename(&new, &target.join("chat.rhai"));
        reader.hear_of(&target.join("chat.rhai")).await;
        reader.catch_up().await;
    }
}

async fn delete_and_write(options: WatchOptions) {
    let (_base, target) = scripts();
    let mut reader = Reader::start(&target, options);
    fs::remove_file(target.join("chat.rhai")).unwrap();
    reader.hear_of(&target.join("chat.rhai")).await;
    write(&target.join("chat.rhai"), "2");
    reader.hear_of(&target.join("chat.rhai")).await;
    fs::remove_file(target.join("chat.rhai")).unwrap();
    write(&target.join("chat.rhai"), "3");
    reader.catch_up().await;
}

async fn backup_and_swap_files(options: WatchOptions) {
    let (_base, target) = scripts();
    let mut reader = Reader::start(&target, options);
    write(&target.join(".chat.rhai.swp"), "swap");
    rename(&target.join("chat.rhai"), &target.join("chat.rhai~"));
    write(&target.join("chat.rhai"), "2");
    fs::remove_file(target.join("chat.rhai~")).unwrap();
    fs::remove_file(target.join(".chat.rhai.swp")).unwrap();
    reader.hear_of(&target.join("chat.rhai")).await;
    reader.catch_up().await;
}

async fn new_folders(options: WatchOptions) {
    let (_base, target) = scripts();
    let mut reader = Reader::start(&target, options);
    let deep = target.join("game/room/lib");
    folder(&deep);
    write(&deep.join("names.rhai"), "1");
    reader.catch_up().await;
    reader.still_sees(&deep.join("names.rhai")).await;
}

async fn race_into_new_folders(options: WatchOptions) {
    let (_base, target) = scripts();
    let mut reader = Reader::start(&target, at_once(options));
    let place = target.clone();
    let writer = tokio::task::spawn_blocking(move || {
        for n in 0..40 {
            let deep = place.join(format!("{n}/a/b"));
            folder(&deep);
            write(&deep.join("one"), "1");
            write(&deep.parent().unwrap().join("two"), "2");
        }
    });
    while !writer.is_finished() {
        reader.next().await;
    }
    reader.catch_up().await;
    reader.still_sees(&target.join("39/a/b/one")).await;
}

async fn folder_moved_into_new_folder(options: WatchOptions) {
    let (_base, target) = scripts();
    for n in 0..5 {
        folder(&target.join(format!("old{n}/sub")));
    }
    let mut reader = Reader::start(&target, at_once(options));
    for n in 0..5 {
        let new = target.join(format!("new{n}"));
        folder(&new);
        rename(&target.join(format!("old{n}")), &new.join("moved"));
        reader.catch_up().await;
        reader.still_sees(&new.join("moved/file")).await;
        reader.still_sees(&new.join("moved/sub/file")).await;
    }
}

async fn folder_moved_away_and_back(options: WatchOptions) {
    let (base, target) = scripts();
    let sub = target.join("sub");
    folder(&sub.join("deep"));
    let mut reader = Reader::start(&target, at_once(options));
    for _ in 0..5 {
        rename(&sub, &base.path().join("away"));
        rename(&base.path().join("away"), &sub);
        reader.still_sees(&sub.join("file")).await;
        reader.still_sees(&sub.join("deep/file")).await;
        fs::remove_file(sub.join("file")).unwrap();
        fs::remove_file(sub.join("deep/file")).unwrap();
    }
}

async fn checkout(options: WatchOptions) {
    let (_base, target) = scripts();
    let file = |set: &str, n: usize| target.join(format!("{set}{}/{n}.rhai", n % 20));
    for n in 0..300 {
        folder(file("old", n).parent().unwrap());
        folder(file("both", n).parent().unwrap());
        write(&file("old", n), "old");
        write(&file("both", n), "old");
    }
    let mut reader = Reader::start(&target, options);
    for n in 0..300 {
        fs::remove_file(file("old", n)).unwrap();
        let _ = fs::remove_dir(file("old", n).parent().unwrap());
        fs::remove_file(file("both", n)).unwrap();
        write(&file("both", n), "new");
        folder(file("new", n).parent().unwrap());
        write(&file("new", n), "new");
    }
    reader.catch_up().await;
    reader.still_sees(&file("new", 299)).await;
}

async fn config_map(options: WatchOptions) {
    let base = tempfile::tempdir().unwrap();
    let target = base.path().join("scripts");
    folder(&target.join("..2024_1"));
    write(&target.join("..2024_1/chat.rhai"), "1");
    link("..2024_1", &target.join("..data"));
    link("..data/chat.rhai", &target.join("chat.rhai"));
    let mut reader = Reader::start(&target, options);
    for n in 2..5 {
        let new = target.join(format!("..2024_{n}"));
        folder(&new);
        write(&new.join("chat.rhai"), &format!("{n}"));
        link(&format!("..2024_{n}"), &target.join("..data_tmp"));
        rename(&target.join("..data_tmp"), &target.join("..data"));
        fs::remove_dir_all(target.join(format!("..2024_{}", n - 1))).unwrap();
        reader.catch_up().await;
        assert_eq!(
            reader.known.get(&target.join("chat.rhai")),
            Some(&Some(format!("{n}").into_bytes()))
        );
    }
}

async fn config_map_outside(options: WatchOptions) {
    let base = tempfile::tempdir().unwrap();
    let target = base.path().join("scripts");
    folder(&target);
    for n in 1..4 {
        folder(&base.path().join(format!("sets/{n}/sub")));
        write(
            &base.path().join(format!("sets/{n}/chat.rhai")),
            &format!("{n}"),
        );
    }
    link("../sets/1", &target.join("..data"));
    link("..data/chat.rhai", &target.join("chat.rhai"));
    let mut reader = Reader::start(&target, options);
    for n in 2..4 {
        link(&format!("../sets/{n}"), &target.join("..data_tmp"));
        rename(&target.join("..data_tmp"), &target.join("..data"));
        reader.catch_up().await;
        reader.settle().await;
        write(&base.path().join(format!("sets/{n}/sub/new.rhai")), "1");
        reader.catch_up().await;
        reader.settle().await;
        write(&base.path().join(format!("sets/{n}/chat.rhai")), "in place");
        reader.catch_up().await;
    }
}

async fn target_is_a_swapped_link(options: WatchOptions) {
    let base = tempfile::tempdir().unwrap();
    for n in 1..4 {
        folder(&base.path().join(format!("releases/{n}/sub")));
        write(
            &base.path().join(format!("releases/{n}/chat.rhai")),
            &format!("{n}"),
        );
    }
    let target = base.path().join("current");
    link("releases/1", &target);
    let mut reader = Reader::start(&target, options);
    for n in 2..4 {
        link(&format!("releases/{n}"), &base.path().join("next"));
        rename(&base.path().join("next"), &target);
        reader.catch_up().await;
        reader.still_sees(&target.join("chat.rhai")).await;
        reader.still_sees(&target.join("sub/new.rhai")).await;
    }
}

async fn folder_comes_back_later(options: WatchOptions) {
    let base = tempfile::tempdir().unwrap();
    let target = base.path().join("repo/scripts");
    folder(&target);
    write(&target.join("chat.rhai"), "1");
    let mut reader = Reader::start(&target, options);
    for n in 0..3 {
        fs::remove_dir_all(base.path().join("repo")).unwrap();
        reader.catch_up().await;
        assert!(reader.known.is_empty());
        folder(&target.join("game"));
        write(&target.join("game/lobby.rhai"), &format!("{n}"));
        reader.catch_up().await;
        reader.still_sees(&target.join("game/lobby.rhai")).await;
    }
}

async fn folder_comes_back_at_once(options: WatchOptions) {
    let base = tempfile::tempdir().unwrap();
    let target = base.path().join("repo/scripts");
    folder(&target.join("game"));
    let mut reader = Reader::start(&target, at_once(options));
    for n in 0..10 {
        fs::remove_dir_all(base.path().join("repo")).unwrap();
        folder(&target.join("game"));
        write(&target.join("game/lobby.rhai"), &format!("{n}"));
        reader.catch_up().await;
        reader.still_sees(&target.join("game/lobby.rhai")).await;
    }
}

async fn parent_swapped(options: WatchOptions) {
    let base = tempfile::tempdir().unwrap();
    let target = base.path().join("app/src/scripts");
    folder(&target);
    write(&target.join("chat.rhai"), "1");
    folder(&base.path().join("app2/src/scripts"));
    write(&base.path().join("app2/src/scripts/chat.rhai"), "2");
    let mut reader = Reader::start(&target, options);
    rename(&base.path().join("app"), &base.path().join("app1"));
    rename(&base.path().join("app2"), &base.path().join("app"));
    reader.catch_up().await;
    reader.still_sees(&target.join("chat.rhai")).await;
}

async fn missing_at_start(options: WatchOptions) {
    let base = tempfile::tempdir().unwrap();
    let target = base.path().join("a/b/scripts");
    let mut reader = Reader::start(&target, options);
    folder(&target);
    write(&target.join("chat.rhai"), "1");
    reader.catch_up().await;
    reader.still_sees(&target.join("chat.rhai")).await;
}

async fn missing_step_by_step(options: WatchOptions) {
    let base = tempfile::tempdir().unwrap();
    let target = base.path().join("a/b/scripts");
    let mut reader = Reader::start(&target, options);
    for step in ["a", "a/b", "a/b/scripts"] {
        folder(&base.path().join(step));
        if options.poll.is_none() {
            reader.next().await;
        }
    }
    reader.catch_up().await;
    reader.still_sees(&target.join("chat.rhai")).await;
}

async fn single_file(options: WatchOptions) {
    let (_base, scripts) = scripts();
    let target = scripts.join("chat.rhai");
    let mut reader = Reader::start(&target, options);
    write(&target, "2");
    reader.hear_of(&target).await;
    for n in 0..3 {
        write(&scripts.join("new"), &format!("over {n}"));
        rename(&scripts.join("new"), &target);
        let batch = reader.hear_of(&target).await;
        assert_eq!(batch.paths.len(), 1, "{batch:?}");
        reader.catch_up().await;
    }
    fs::remove_file(&target).unwrap();
    reader.catch_up().await;
    write(&target, "3");
    reader.catch_up().await;
}

async fn single_file_missing_at_start(options: WatchOptions) {
    let base = tempfile::tempdir().unwrap();
    let target = base.path().join("a/chat.rhai");
    let mut reader = Reader::start(&target, options);
    folder(&base.path().join("a"));
    write(&target, "1");
    reader.catch_up().await;
    write(&target, "2");
    reader.catch_up().await;
}

async fn single_file_behind_a_link(options: WatchOptions) {
    let (base, scripts) = scripts();
    write(&scripts.join("other.rhai"), "other");
    let target = base.path().join("main.rhai");
    link("scripts/chat.rhai", &target);
    let mut reader = Reader::start(&target, options);
    write(&scripts.join("chat.rhai"), "2");
    reader.hear_of(&target).await;
    reader.catch_up().await;
    link("scripts/other.rhai", &base.path().join("next"));
    rename(&base.path().join("next"), &target);
    reader.hear_of(&target).await;
    write(&scripts.join("other.rhai"), "2");
    reader.hear_of(&target).await;
    reader.catch_up().await;
}

async fn file_behind_a_link(options: WatchOptions) {
    let (base, target) = scripts();
    let shared = base.path().join("shared");
    folder(&shared);
    write(&shared.join("names.rhai"), "1");
    link("../shared/names.rhai", &target.join("names.rhai"));
    let mut reader = Reader::start(&target, options);
    write(&shared.join("names.rhai"), "2");
    reader.catch_up().await;
    reader.settle().await;
    write(&shared.join("new"), "3");
    rename(&shared.join("new"), &shared.join("names.rhai"));
    reader.catch_up().await;
    reader.settle().await;
    fs::remove_dir_all(&shared).unwrap();
    reader.catch_up().await;
    reader.settle().await;
    folder(&shared);
    write(&shared.join("names.rhai"), "4");
    reader.catch_up().await;
}

async fn folder_behind_a_new_link(options: WatchOptions) {
    let (base, target) = scripts();
    folder(&base.path().join("shared/sub"));
    let mut reader = Reader::start(&target, options);
    link("../shared", &target.join("lib"));
    reader.catch_up().await;
    reader.settle().await;
    write(&base.path().join("shared/sub/names.rhai"), "1");
    reader.catch_up().await;
}

async fn link_to_nothing(options: WatchOptions) {
    let (base, target) = scripts();
    link("../not/yet", &target.join("lib"));
    let mut reader = Reader::start(&target, options);
    folder(&base.path().join("not/yet"));
    reader.catch_up().await;
    reader.settle().await;
    write(&base.path().join("not/yet/names.rhai"), "1");
    reader.catch_up().await;
}

async fn link_loop(options: WatchOptions) {
    let (_base, target) = scripts();
    link(".", &target.join("self"));
    link("b", &target.join("a"));
    link("a", &target.join("b"));
    let mut reader = Reader::start(&target, options);
    let mut problems = 0;
    for n in 2..6 {
        write(&target.join("chat.rhai"), &format!("{n}"));
        problems += reader
            .hear_of(&target.join("chat.rhai"))
            .await
            .problems
            .len();
    }
    assert!(problems <= 2, "one for each link that leads nowhere");
}

async fn reading_makes_no_batch(options: WatchOptions) {
    let (_base, target) = scripts();
    folder(&target.join("game"));
    write(&target.join("game/lobby.rhai"), "1");
    let mut reader = Reader::start(&target, options);
    reader.settle().await;
    for n in 0..5 {
        for _ in 0..20 {
            tree(&target);
        }
        let fence = target.join("game/lobby.rhai");
        write(&fence, &format!("version {n}"));
        let batch = reader.next().await;
        let others = |path: &&PathBuf| **path != fence && **path != target.join("fence");
        assert_eq!(batch.paths.iter().find(others), None);
    }
}

async fn neighbours_do_not_count(options: WatchOptions) {
    let (base, target) = scripts();
    let mut reader = Reader::start(&target, options);
    write(&base.path().join("neighbour"), "1");
    folder(&base.path().join("neighbours/more"));
    write(&target.join("chat.rhai"), "2");
    let batch = reader.next().await;
    let inside = |path: &PathBuf| path.starts_with(&target);
    assert!(batch.paths.iter().all(inside), "{batch:?}");
}

async fn relative_target(options: WatchOptions) {
    let base = tempfile::tempdir_in(".").unwrap();
    let here = std::env::current_dir().unwrap();
    let target = base.path().strip_prefix(here).unwrap_or(base.path());
    let target = target.join("../").join(base.path().file_name().unwrap());
    let mut reader = Reader::start(&target, options);
    reader.still_sees(&target.join("chat.rhai")).await;
}

async fn empty_files_and_folders(options: WatchOptions) {
    let (_base, target) = scripts();
    let mut reader = Reader::start(&target, options);
    folder(&target.join("empty"));
    reader.catch_up().await;
    reader.settle().await;
    write(&target.join("empty.rhai"), "");
    reader.catch_up().await;
    reader.settle().await;
    rename(&target.join("empty.rhai"), &target.join("renamed.rhai"));
    reader.catch_up().await;
    reader.settle().await;
    fs::remove_dir(target.join("empty")).unwrap();
    reader.catch_up().await;
    reader.settle().await;
    write(&target.join("chat.rhai"), "");
    reader.catch_up().await;
}

async fn dropping_ends_the_batches(options: WatchOptions) {
    let (_base, target) = scripts();
    let mut reader = Reader::start(&target, options);
    write(&target.join("chat.rhai"), "2");
    reader.next().await;
    drop(reader.watcher);
    let end = async { while reader.batches.next().await.is_some() {} };
    timeout(DEADLINE, end).await.expect("an end");
}

#[tokio::test]
async fn permissions_are_a_change() {
    use std::os::unix::fs::PermissionsExt;
    let (_base, target) = scripts();
    let script = target.join("chat.rhai");
    let mut reader = Reader::start(&target, native());
    fs::set_permissions(&script, fs::Permissions::from_mode(0o600)).unwrap();
    reader.hear_of(&script).await;
}

#[tokio::test]
async fn lost_events_lead_to_a_look_at_everything() {
    let (_base, target) = scripts();
    let mut reader = Reader::start(&target, native());
    let lost = Event::new(EventKind::Other).set_flag(Flag::Rescan);
    reader.watcher.stop.send(Raw::Event(Ok(lost))).unwrap();
    assert!(reader.next().await.paths.is_empty());
    reader.still_sees(&target.join("chat.rhai")).await;
}

/// The watching thread of `target` without a [`Watcher`]; what notify says goes to `events` alone.
fn watching_by_hand(
    target: &Path,
    events: impl notify::EventHandler,
) -> (mpsc::Sender<Raw>, UnboundedReceiver<Note>) {
    let (raw, receiver) = mpsc::channel();
    let (notes, received) = unbounded_channel();
    let outbox = Outbox {
        given: target.to_path_buf(),
        root: target.to_path_buf(),
        notes,
    };
    let native = Native::start(outbox, events).expect("a watch");
    std::thread::spawn(move || native.run(&receiver));
    (raw, received)
}

async fn next_note(notes: &mut UnboundedReceiver<Note>) -> Note {
    let note = timeout(DEADLINE, notes.recv()).await;
    note.expect("a note before the deadline")
        .expect("a thread that lives")
}

#[tokio::test]
async fn a_new_watch_is_followed_by_a_look_at_the_target() {
    let (_base, target) = scripts();
    let (raw, mut notes) = watching_by_hand(&target, |_| {});
    let new = target.join("new");
    folder(&new);
    let created = Event::new(EventKind::Create(CreateKind::Folder)).add_path(new.clone());
    raw.send(Raw::Event(Ok(created))).unwrap();
    for expected in [&new, &target] {
        let note = next_note(&mut notes).await;
        assert!(
            matches!(&note, Note::Changed(path) if path == expected),
            "{note:?}"
        );
    }
    raw.send(Raw::Stop).unwrap();
    assert!(notes.recv().await.is_none());
}

#[tokio::test]
async fn watches_that_ended_in_lost_events_are_made_anew() {
    let (base, target) = scripts();
    let sub = target.join("sub");
    folder(&sub);
    let (heard, events) = mpsc::channel();
    let (raw, mut notes) = watching_by_hand(&target, heard);
    rename(&sub, &base.path().join("away"));
    rename(&base.path().join("away"), &sub);
    let back = EventKind::Modify(ModifyKind::Name(RenameMode::To));
    let hear = || events.recv_timeout(DEADLINE).unwrap().unwrap();
    let is_back = |event: Event| event.kind == back && event.paths.contains(&sub);
    while !is_back(hear()) {}
    let lost = Event::new(EventKind::Other).set_flag(Flag::Rescan);
    raw.send(Raw::Event(Ok(lost))).unwrap();
    assert!(matches!(next_note(&mut notes).await, Note::Everything));
    assert!(matches!(next_note(&mut notes).await, Note::Changed(path) if path == target));
    write(&sub.join("new.rhai"), "1");
    while !hear().paths.contains(&sub.join("new.rhai")) {}
    raw.send(Raw::Stop).unwrap();
}

#[tokio::test]
async fn a_file_in_the_way_of_the_target_is_waited_out() {
    for options in [native(), polling()] {
        let base = tempfile::tempdir().unwrap();
        write(&base.path().join("a"), "a file");
        let target = base.path().join("a/scripts");
        let mut reader = Reader::start(&target, options);
        fs::remove_file(base.path().join("a")).unwrap();
        folder(&target);
        reader.catch_up().await;
        reader.still_sees(&target.join("chat.rhai")).await;
    }
}

#[test]
fn needs_no_runtime_to_start_and_takes_any_to_collect() {
    let (_base, target) = scripts();
    let mut reader = Reader::start(&target, native());
    write(&target.join("chat.rhai"), "2");
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().build().unwrap();
    runtime.block_on(reader.catch_up());
}

#[test]
fn one_folder_has_one_watch() {
    let base = tempfile::tempdir().unwrap();
    let (old, new) = (base.path().join("old"), base.path().join("new"));
    folder(&old.join("sub"));
    let watcher = RecommendedWatcher::new(|_| {}, notify::Config::default()).unwrap();
    let mut folders = Folders::new(watcher);
    let mode = RecursiveMode::NonRecursive;
    assert!(folders.want(&old, mode).unwrap());
    assert!(folders.want(&old.join("sub"), mode).unwrap());
    assert!(!folders.want(&old, mode).unwrap());
    rename(&old, &new);
    folders.begin();
    assert!(folders.want(&new, mode).unwrap());
    assert!(!folders.contains(&old) && !folders.contains(&old.join("sub")));
    folders.begin();
    folders.want(base.path(), mode).unwrap();
    folders.finish();
    assert!(folders.contains(base.path()) && !folders.contains(&new));
    assert!(folders.want(&old, mode).is_err());
}

#[test]
fn a_reached_limit_names_the_way_out() {
    let full = notify::Error::new(notify::ErrorKind::MaxFilesWatch).add_path("scripts/a".into());
    let full = WatchError::from_notify(full, Path::new("scripts"));
    assert_eq!(
        full.to_string(),
        "cannot watch `scripts/a`: the limit `fs.inotify.max_user_watches` is reached"
    );
    let hint = full.hint().unwrap();
    assert!(hint.contains("fs.inotify.max_user_watches") && hint.contains("--poll"));
    let many = notify::Error::io(io::Error::from_raw_os_error(24));
    let many = WatchError::from_notify(many, Path::new("scripts"));
    assert!(
        many.hint()
            .unwrap()
            .contains("fs.inotify.max_user_instances")
    );
    assert_eq!(many.path(), Path::new("scripts"));
    let other = notify::Error::io(io::ErrorKind::PermissionDenied.into());
    let other = WatchError::from_notify(other, Path::new("scripts"));
    assert_eq!(other.to_string(), "cannot watch `scripts`");
    assert_eq!(other.hint(), None);
}

fn changed(path: &str) -> Note {
    Note::Changed(path.into())
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[tokio::test(start_paused = true)]
async fn a_batch_ends_with_quiet() {
    let (notes, received) = unbounded_channel();
    let mut batches = Batches::new(received, native());
    let sender = tokio::spawn(async move {
        let mut ticks = interval(millis(40));
        for path in ["a", "b", "a"] {
            ticks.tick().await;
            notes.send(changed(path)).unwrap();
        }
        notes
    });
    let start = Instant::now();
    let batch = batches.next().await.unwrap();
    assert_eq!(batch.paths, ["a".into(), "b".into()].into());
    assert_eq!(start.elapsed(), millis(130));
    drop(sender.await);
    assert!(batches.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_batch_ends_at_most_so_late() {
    let (notes, received) = unbounded_channel();
    let mut batches = Batches::new(received, native());
    tokio::spawn(async move {
        let mut ticks = interval(millis(40));
        while notes.send(changed("a")).is_ok() {
            ticks.tick().await;
        }
    });
    let start = Instant::now();
    let batch = timeout(DEADLINE, batches.next()).await;
    assert!(batch.expect("a batch in spite of the changes").is_some());
    assert_eq!(start.elapsed(), millis(500));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_wait_loses_nothing() {
    let (notes, received) = unbounded_channel();
    let mut batches = Batches::new(received, native());
    notes.send(changed("a")).unwrap();
    let cancelled = timeout(millis(20), batches.next()).await;
    assert!(cancelled.is_err());
    notes.send(changed("b")).unwrap();
    drop(notes);
    let batch = batches.next().await.unwrap();
    assert_eq!(batch.paths, ["a".into(), "b".into()].into());
    assert!(batches.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn everything_is_the_empty_set_and_problems_come_along() {
    let (notes, received) = unbounded_channel();
    let mut batches = Batches::new(received, native());
    notes.send(changed("a")).unwrap();
    notes.send(Note::Everything).unwrap();
    notes.send(changed("b")).unwrap();
    let full = notify::Error::new(notify::ErrorKind::MaxFilesWatch);
    let full = WatchError::from_notify(full, Path::new("scripts"));
    notes.send(Note::Problem(full)).unwrap();
    let batch = batches.next().await.unwrap();
    assert!(batch.paths.is_empty());
    assert_eq!(batch.problems.len(), 1);
}
