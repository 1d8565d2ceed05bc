//! Watches paths by means of the events of the operating system.
//!
//! In: events of notify. Out: notes to the batches, and watches on every folder that matters. There are two kinds of
//! watches. A *whole* folder is part of the target, and everything in it counts. A *look-out* waits for one *name* on
//! the way to the target (a parent, a symbolic link, something that does not exist yet), and only this name counts. The
//! rule is the same for the target and for every symbolic link in it.
//!
//! notify's own recursion is not used where events come from inotify, because it misses what is written into a new
//! folder before its watch exists, and does not see symbolic links that are swapped.
//!
//! Invariant: a folder is watched before it is read, and after a watch is added, another note follows, so that changes
//! that happened there in the meantime are noticed.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, FileType};
use std::iter;
use std::path::{Component, Path, PathBuf};
use std::sync::mpsc::Receiver;

use notify::event::{ModifyKind, RenameMode};
use notify::{Event, EventHandler, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::error::WatchError;
use super::folders::Folders;
use super::notifier::{Notifier, Raw, is_change};

/// `true` where events come from inotify. There, a watch covers one folder and is cheap, so every folder and every
/// parent gets one. Elsewhere, a watch covers everything below it, so watching `/` would report every change on the
/// machine.
const INOTIFY: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Mode of the watch on a whole folder.
const WHOLE: RecursiveMode = if INOTIFY {
    RecursiveMode::NonRecursive
} else {
    RecursiveMode::Recursive
};

/// Maximum number of symbolic links on one path, as in Linux.
const MAX_LINKS: usize = 40;

/// Maximum number of events that are handled before the watches are updated, so that a flood of events cannot delay the
/// update forever.
const MAX_EVENTS: usize = 1024;

#[derive(Debug)]
pub(super) struct Native {
    target: PathBuf,
    notifier: Notifier,
    folders: Folders,
    plan: Plan,
    /// `true` if the watches may no longer be where they should be.
    stale: bool,
    /// `true` if the current pass has added a watch.
    added: bool,
    /// Problems of the current pass, by path or limit.
    problems: BTreeMap<PathBuf, WatchError>,
    /// Paths and limits of the problems of the previous pass, which were reported.
    reported: HashSet<PathBuf>,
}

/// Folders and names that count, as real paths.
#[derive(Debug, Default)]
struct Plan {
    whole: HashSet<PathBuf>,
    names: HashSet<PathBuf>,
}

impl Plan {
    fn concerns(&self, path: &Path) -> bool {
        self.names.contains(path) || self.is_inside(path)
    }

    fn is_inside(&self, path: &Path) -> bool {
        path.ancestors().any(|folder| self.whole.contains(folder))
    }
}

impl Native {
    /// Creates the watcher, and adds the first watches.
    pub(super) fn start(
        notifier: Notifier,
        handler: impl EventHandler,
    ) -> Result<Self, WatchError> {
        let watcher = RecommendedWatcher::new(handler, notify::Config::default())
            .map_err(|error| WatchError::from_notify(error, &notifier.given))?;
        let mut native = Self {
            target: notifier.root.clone(),
            notifier,
            folders: Folders::new(watcher),
            plan: Plan::default(),
            stale: false,
            added: false,
            problems: BTreeMap::new(),
            reported: HashSet::new(),
        };
        native.place();
        for problem in native.take_problems() {
            if matches!(problem, WatchError::Limit { .. }) {
                return Err(problem);
            }
            native.notifier.problem(problem);
        }
        Ok(native)
    }

    /// Turns events into notes until the watcher is dropped.
    pub(super) fn run(mut self, raw: &Receiver<Raw>) {
        while let Ok(first) = raw.recv() {
            for message in iter::once(first).chain(raw.try_iter().take(MAX_EVENTS)) {
                match message {
                    Raw::Event(event) => self.take(event),
                    Raw::Stop => return,
                }
            }
            if self.stale {
                self.put_in_order();
            }
        }
    }

    fn take(&mut self, event: notify::Result<Event>) {
        match event {
            Err(error) => {
                let problem = WatchError::from_notify(error, &self.notifier.given);
                self.notifier.problem(problem);
            }
            Ok(event) if event.need_rescan() => {
                self.folders.forget_all();
                self.stale = true;
                self.notifier.everything();
            }
            Ok(event) if is_change(event.kind) => {
                for path in &event.paths {
                    self.take_change(event.kind, path);
                }
            }
            Ok(_) => {}
        }
    }

    fn take_change(&mut self, kind: EventKind, path: &Path) {
        if !self.plan.concerns(path) {
            return;
        }
        self.notifier.changed(path);
        if changes_only_content(kind) || !self.may_move_watches(path) {
            return;
        }
        self.stale = true;
        if takes_away(kind) {
            self.folders.forget(path);
        }
    }

    /// Returns `true` if the watches depend on what is at `path`. Saving a plain file moves no watch.
    fn may_move_watches(&self, path: &Path) -> bool {
        self.folders.contains(path)
            || self.plan.names.contains(path)
            || fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file())
    }

    fn put_in_order(&mut self) {
        self.place();
        for problem in self.take_problems() {
            self.notifier.problem(problem);
        }
        if self.added {
            self.notifier.target_changed();
        }
    }

    /// Runs one pass: names every folder that matters, from the root of the file system downwards.
    fn place(&mut self) {
        self.stale = false;
        self.added = false;
        self.plan = Plan::default();
        self.folders.begin();
        let target = self.target.clone();
        self.notifier.root = self.follow(&target);
        self.enter(self.notifier.root.clone());
        self.folders.finish();
    }

    /// Returns the real path of `path`, and puts a look-out at every step. What does not exist keeps its name.
    fn follow(&mut self, path: &Path) -> PathBuf {
        let mut real = PathBuf::new();
        let mut ahead = steps(path);
        let mut links = 0;
        while let Some(step) = ahead.pop() {
            let name = match step {
                Step::Root(root) => {
                    real = root;
                    continue;
                }
                Step::Up => {
                    real.pop();
                    continue;
                }
                Step::Name(name) => name,
            };
            let here = real.join(name);
            match self.look(&real, &here, ahead.is_empty()) {
                Some(to) if links < MAX_LINKS => {
                    links += 1;
                    ahead.extend(steps(&to));
                }
                _ => real = here,
            }
        }
        real
    }

    /// Puts a look-out in `folder` for the name `here`. Returns the target of `here` if it is a symbolic link.
    fn look(&mut self, folder: &Path, here: &Path, is_last: bool) -> Option<PathBuf> {
        let is_parent = || !is_last && fs::symlink_metadata(here).is_ok_and(|found| found.is_dir());
        self.plan.names.insert(here.to_path_buf());
        if !INOTIFY && is_parent() {
            return None;
        }
        let watched = self.folders.want(folder, RecursiveMode::NonRecursive);
        // A parent that can be traversed but not read is common. This matters only where the watch must wait for
        // something.
        self.note(folder, watched, !is_parent());
        let path = here.to_path_buf();
        match fs::symlink_metadata(here) {
            Ok(found) if found.is_symlink() => fs::read_link(here).ok(),
            Ok(_) => None,
            Err(source) => {
                self.report(WatchError::Io { path, source });
                None
            }
        }
    }

    /// Watches the folder at `root` and all folders below it, through symbolic links, each folder once.
    fn enter(&mut self, root: PathBuf) {
        let mut ahead = vec![root];
        let mut entered = HashSet::new();
        while let Some(folder) = ahead.pop() {
            if !folder.is_dir() || !entered.insert(folder.clone()) {
                continue;
            }
            if INOTIFY || !self.plan.is_inside(&folder) {
                let watched = self.folders.want(&folder, WHOLE);
                self.note(&folder, watched, true);
                self.plan.whole.insert(folder.clone());
            }
            for (path, kind) in self.read(&folder) {
                if kind.is_symlink() {
                    ahead.push(self.follow(&path));
                } else if kind.is_dir() {
                    ahead.push(path);
                }
            }
        }
    }

    fn read(&mut self, folder: &Path) -> Vec<(PathBuf, FileType)> {
        match fs::read_dir(folder) {
            Ok(entries) => entries
                .flatten()
                .filter_map(|entry| Some((entry.path(), entry.file_type().ok()?)))
                .collect(),
            Err(source) => {
                let path = folder.to_path_buf();
                self.report(WatchError::Io { path, source });
                Vec::new()
            }
        }
    }

    fn note(&mut self, folder: &Path, watched: notify::Result<bool>, matters: bool) {
        match watched {
            Ok(added) => self.added |= added,
            Err(error) => {
                let problem = WatchError::from_notify(error, folder);
                if matters || matches!(problem, WatchError::Limit { .. }) {
                    self.report(problem);
                }
            }
        }
    }

    fn report(&mut self, problem: WatchError) {
        let subject = match &problem {
            WatchError::Limit { setting, .. } => PathBuf::from(setting),
            other => other.path().to_path_buf(),
        };
        if !problem.is_absence() {
            self.problems.entry(subject).or_insert(problem);
        }
    }

    /// Returns the problems of this pass that the previous one did not have.
    fn take_problems(&mut self) -> Vec<WatchError> {
        let problems = std::mem::take(&mut self.problems);
        let subjects = problems.keys().cloned().collect();
        let before = std::mem::replace(&mut self.reported, subjects);
        problems
            .into_iter()
            .filter(|(subject, _)| !before.contains(subject))
            .map(|(_, problem)| problem)
            .collect()
    }
}

/// Step on the way along a path.
#[derive(Debug)]
enum Step {
    Root(PathBuf),
    Up,
    Name(OsString),
}

/// Returns the steps of `path`, the first one last.
fn steps(path: &Path) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut start = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Prefix(_) | Component::RootDir => start.push(component),
            Component::CurDir => {}
            Component::ParentDir => steps.push(Step::Up),
            Component::Normal(name) => steps.push(Step::Name(name.to_owned())),
        }
    }
    if !start.as_os_str().is_empty() {
        steps.insert(0, Step::Root(start));
    }
    steps.reverse();
    steps
}

/// Returns `true` if an event of this kind leaves all names and folders as they are.
fn changes_only_content(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Modify(ModifyKind::Data(_)) | EventKind::Access(_)
    )
}

/// Returns `true` if, after an event of this kind, another folder may be at the path, and its watch may be gone.
fn takes_away(kind: EventKind) -> bool {
    !matches!(
        kind,
        EventKind::Create(_)
            | EventKind::Modify(ModifyKind::Metadata(_) | ModifyKind::Name(RenameMode::To))
    )
}
