//! Watcher of files: reports that something in a folder, or one file, may have changed.
//!
//! In: a target (a folder with everything below it, or one file), which may be missing, a symbolic link, or replaced as
//! a whole while it is watched. Out: [`Batches`] of changed paths, each closed after a moment of quiet.
//!
//! A thread of patchcord stands between notify and the batches. `native` keeps a watch on every folder that matters,
//! and moves the watches when the tree moves; `poll` compares contents at an interval, for file systems without events.
//!
//! Invariant: after every change below the target, a batch is delivered that ends after the change. A consumer that
//! reads the target after each batch has therefore seen every change. A batch may name too much, never too little.
//! Reading the target makes no batch.
//!
//! Some changes cause no event at all, and only polling sees them: writes to a network file system by another machine,
//! through a memory map, or through a hard link outside the target, and a file system that is mounted over a folder.

mod error;
mod folders;
mod native;
mod notifier;
mod poll;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, timeout_at};

pub use error::WatchError;
use native::Native;
use notifier::{Note, Notifier, Raw, forward};
use poll::Poll;

/// Maximum wait that is accepted from [`WatchOptions`]; it keeps times from overflowing.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// Options of a watch: how changes are found, and how they are collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchOptions {
    /// `None` uses the events of the operating system; `Some` compares all contents at this interval.
    pub poll: Option<Duration>,
    /// Time without changes after which a batch is delivered.
    pub quiet: Duration,
    /// Maximum time from the first change of a batch to its delivery, even if changes continue.
    pub at_most: Duration,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self {
            poll: None,
            quiet: Duration::from_millis(50),
            at_most: Duration::from_millis(500),
        }
    }
}

/// Handle that keeps the watch alive. Dropping it ends the watch, its threads, and, after what is still queued, its
/// [`Batches`].
#[derive(Debug)]
pub struct Watcher {
    stop: mpsc::Sender<Raw>,
}

impl Watcher {
    /// Watches `target`: a folder with everything below it, or one file.
    ///
    /// The target may be missing: the watch then waits for it. Changes made after this function returns are reported.
    /// It reads the folder and therefore blocks for a moment; it needs no runtime.
    ///
    /// # Errors
    ///
    /// Returns an error if no watch can be set up at all, or if a limit of the operating system leaves parts of the
    /// target unwatched. A folder that cannot be read is not an error here, but a problem of the first batch.
    pub fn start(target: &Path, options: WatchOptions) -> Result<(Self, Batches), WatchError> {
        let failed = |source| WatchError::Io {
            path: target.to_path_buf(),
            source,
        };
        let (stop, raw) = mpsc::channel();
        let (notes, received) = unbounded_channel();
        let notifier = Notifier {
            given: target.to_path_buf(),
            root: std::path::absolute(target).map_err(failed)?,
            notes,
        };
        let run: Box<dyn FnOnce() + Send> = match options.poll {
            None => {
                let native = Native::start(notifier, forward(&stop))?;
                Box::new(move || native.run(&raw))
            }
            Some(interval) => {
                let poll = Poll::start(notifier, interval, forward(&stop))?;
                Box::new(move || poll.run(&raw))
            }
        };
        thread::Builder::new()
            .name("watch".to_owned())
            .spawn(run)
            .map_err(failed)?;
        Ok((Self { stop }, Batches::new(received, options)))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // This fails only if the thread has ended already, which is all that is wanted.
        let _ = self.stop.send(Raw::Stop);
    }
}

/// Changes, and possible changes, that are reported together.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Batch {
    /// Paths that may have changed, below the target as the caller wrote it where possible. A folder stands for
    /// everything in it; an empty set means that anything may have changed.
    pub paths: BTreeSet<PathBuf>,
    /// Parts that could not be watched. Changes there may stay unnoticed until the problem is repaired.
    pub problems: Vec<WatchError>,
}

/// Batches of one [`Watcher`], in order.
#[derive(Debug)]
pub struct Batches {
    notes: UnboundedReceiver<Note>,
    quiet: Duration,
    at_most: Duration,
    /// Batch that is being collected; kept here so that a cancelled `next` loses nothing.
    open: Option<Open>,
}

impl Batches {
    fn new(notes: UnboundedReceiver<Note>, options: WatchOptions) -> Self {
        Self {
            notes,
            quiet: options.quiet.min(MAX_WAIT),
            at_most: options.at_most.min(MAX_WAIT),
            open: None,
        }
    }

    /// Returns the next batch, or `None` after the watcher was dropped. Safe to cancel: nothing that was collected is
    /// lost.
    pub async fn next(&mut self) -> Option<Batch> {
        loop {
            let note = match &self.open {
                None => Some(self.notes.recv().await?),
                Some(open) => {
                    let due = (open.last + self.quiet).min(open.first + self.at_most);
                    if due <= Instant::now() {
                        None
                    } else {
                        timeout_at(due, self.notes.recv()).await.ok().flatten()
                    }
                }
            };
            match note {
                Some(note) => self.collect(note),
                None => return self.open.take().map(|open| open.batch),
            }
        }
    }

    fn collect(&mut self, note: Note) {
        let now = Instant::now();
        let open = self.open.get_or_insert_with(|| Open {
            batch: Batch::default(),
            everything: false,
            first: now,
            last: now,
        });
        open.last = now;
        match note {
            Note::Changed(path) if !open.everything => {
                open.batch.paths.insert(path);
            }
            Note::Changed(_) => {}
            Note::Everything => {
                open.everything = true;
                open.batch.paths.clear();
            }
            Note::Problem(problem) => open.batch.problems.push(problem),
        }
    }
}

/// Batch that is being collected.
#[derive(Debug)]
struct Open {
    batch: Batch,
    everything: bool,
    first: Instant,
    last: Instant,
}
