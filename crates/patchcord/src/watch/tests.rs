//! Tests on real folders. A [`Reader`] does what every consumer does: it reads the target after each batch and never
//! otherwise. A change that no batch covers leaves the reader behind, and the deadline ends the test.

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
use super::{Batch, Batches, Note, Notifier, Raw, WatchError, WatchOptions, Watcher};

const DEADLINE: Duration = Duration::from_secs(10);

/// Entries below a target: the content of a file, and `None` for a folder or for what cannot be read.
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

    /// Waits until the reader knows the current state of the target.
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

    /// Changes a separate file until that change is reported by name, so that all earlier changes are reported too.
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

    /// Changes a file when no other changes are pending, and waits until the reader has read it.
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

/// Returns options with which every change has its own batch, as far as possible.
fn at_once(options: WatchOptions) -> WatchOptions {
    WatchOptions {
        quiet: Duration::ZERO,
        at_most: Duration::ZERO,
        ..options
    }
}

/// Creates a folder `scripts` with one script, and a folder around it.
fn scripts() -> (TempDir, PathBuf) {
    let base = tempfile::tempdir().expect("a folder");
    let target = base.path().join("scripts");
    folder(&target);
    write(&target.join("chat.rhai"), "1");
    (base, target)
}

/// Runs each case with native events and with polling.
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

mod batches;
mod links;
mod missing;
mod native_events;

both! {
    write_in_place burst rename_over delete_and_write backup_and_swap_files new_folders race_into_new_folders
    folder_moved_into_new_folder folder_moved_away_and_back checkout single_file reading_makes_no_batch
    neighbours_do_not_count relative_target empty_files_and_folders dropping_ends_the_batches
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
