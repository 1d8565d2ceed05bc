//! Watches paths by comparing contents at an interval, for file systems without events.
//!
//! In: events of notify's polling watcher, which follows symbolic links, and finds by itself what was replaced or comes
//! back. Out: notes to the batches.
//!
//! Invariant: a missing target costs one check per interval; a persistent problem is reported once.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use notify::{Config, Event, EventHandler, PollWatcher, RecursiveMode, Watcher};

use super::error::WatchError;
use super::notifier::{Notifier, Raw, is_change};

/// Minimum interval, so that an interval of zero does not become a busy loop.
const SHORTEST: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(super) struct Poll {
    notifier: Notifier,
    watcher: PollWatcher,
    interval: Duration,
    /// `true` if the polling watcher has the target. It accepts only a target that exists.
    watching: bool,
    /// Paths whose problem was reported, and where nothing has changed since.
    reported: BTreeSet<PathBuf>,
}

impl Poll {
    /// Creates the polling watcher, and reads the target for the first time.
    pub(super) fn start(
        notifier: Notifier,
        interval: Duration,
        handler: impl EventHandler,
    ) -> Result<Self, WatchError> {
        let interval = interval.max(SHORTEST);
        let config = Config::default()
            .with_poll_interval(interval)
            .with_compare_contents(true);
        let watcher = PollWatcher::new(handler, config)
            .map_err(|error| WatchError::from_notify(error, &notifier.given))?;
        let mut poll = Self {
            notifier,
            watcher,
            interval,
            watching: false,
            reported: BTreeSet::new(),
        };
        poll.begin();
        Ok(poll)
    }

    /// Turns events into notes until the watcher is dropped.
    pub(super) fn run(mut self, raw: &Receiver<Raw>) {
        loop {
            match raw.recv_timeout(self.interval) {
                Ok(Raw::Event(event)) => self.take(event),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Raw::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            }
            if !self.watching && self.begin() {
                self.notifier.target_changed();
            }
        }
    }

    /// Passes the target to the polling watcher, which accepts only what exists. Returns `true` if it did.
    fn begin(&mut self) -> bool {
        let path = self.notifier.root.clone();
        let begun = match fs::metadata(&path) {
            Ok(_) => self.watcher.watch(&path, RecursiveMode::Recursive),
            Err(source) => Err(notify::Error::io(source)),
        };
        self.watching = begun.is_ok();
        if let Err(error) = begun {
            self.report(WatchError::from_notify(error, &path));
        }
        self.watching
    }

    fn take(&mut self, event: notify::Result<Event>) {
        match event {
            Ok(event) if is_change(event.kind) => {
                for path in &event.paths {
                    self.reported.retain(|problem| !path.starts_with(problem));
                    self.notifier.changed(path);
                }
            }
            Ok(_) => {}
            Err(error) => self.report(WatchError::from_notify(error, &self.notifier.root)),
        }
    }

    /// Reports a problem, once. Three kinds of failures are not problems. A missing target only has to be passed to the
    /// polling watcher again when it is back. A folder that contains itself through a link is the only failure without
    /// a cause, and everything in it is reached directly. A broken link below the target leads to nothing that could be
    /// watched.
    fn report(&mut self, problem: WatchError) {
        let path = problem.path();
        let leads_nowhere = path.is_symlink() && fs::metadata(path).is_err();
        if path != self.notifier.root && leads_nowhere
            || matches!(problem, WatchError::Failed { .. })
        {
            return;
        }
        if !problem.is_absence() {
            if self.reported.insert(problem.path().to_path_buf()) {
                self.notifier.problem(problem);
            }
        } else if self.watching && problem.path() == self.notifier.root {
            let _ = self.watcher.unwatch(&self.notifier.root);
            self.watching = false;
        }
    }
}
