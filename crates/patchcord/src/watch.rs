//! Says when something in a folder, or one file, may have changed: paths in, batches of changed paths out.
//!
//! In: a target (a folder with everything below it, or one file), which may be missing, a symbolic link, or replaced
//! as a whole while it is watched. Out: [`Batches`], each closed after a moment of quiet.
//!
//! A thread of our own stands between notify and the batches. `native` keeps a watch on every folder that matters
//! and moves the watches when the tree moves; `poll` compares contents at an interval, for file systems without
//! events.
//!
//! Must stay true: after every change below the target a batch is given out that ends after the change, so whoever
//! reads the target after each batch has seen every change. A batch may name too much, never too little. Reading the
//! target makes no batch.
//!
//! Some changes make no event at all, and only polling sees them: writes to a network file system by another machine,
//! through a memory map, or through a hard link outside the target, and a file system mounted over a folder.

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

/// The longest wait that is taken from [`WatchOptions`]; keeps times from overflowing.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// How a target is watched and how its changes are collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchOptions {
    /// `None` takes the events of the operating system; `Some` compares all contents at this interval.
    pub poll: Option<Duration>,
    /// A batch is given out when nothing happened for this long.
    pub quiet: Duration,
    /// A batch is given out this long after its first change, quiet or not.
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

/// Keeps the watch alive; dropping it ends the watch, its threads, and, after what is still queued, its [`Batches`].
#[derive(Debug)]
pub struct Watcher {
    stop: mpsc::Sender<Raw>,
}

impl Watcher {
    /// Watches `target`: a folder with everything below it, or one file.
    ///
    /// A target that does not exist yet is waited for. Changes made after this returns are reported. Reads the folder
    /// and therefore blocks for a moment; needs no runtime.
    ///
    /// # Errors
    ///
    /// When no watch can be set up at all, or when a limit of the operating system leaves parts of the target
    /// unwatched. A folder that cannot be read is no error here but a problem of the first batch.
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
        // The thread is gone already if this fails, which is all that is wanted.
        let _ = self.stop.send(Raw::Stop);
    }
}

/// What changed, or may have changed, in one go.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Batch {
    /// What may have changed, below the target as it was given where possible. A folder stands for all that is in
    /// it; an empty set means: look at everything.
    pub paths: BTreeSet<PathBuf>,
    /// What could not be watched. Changes there may go unseen until it is repaired.
    pub problems: Vec<WatchError>,
}

/// The batches of one [`Watcher`], in order.
#[derive(Debug)]
pub struct Batches {
    notes: UnboundedReceiver<Note>,
    quiet: Duration,
    at_most: Duration,
    /// What was collected for the next batch; kept here so that a cancelled `next` loses nothing.
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

    /// The next batch, or `None` after the watcher was dropped. Safe to cancel: nothing that was collected is lost.
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

/// A batch that is being collected.
#[derive(Debug)]
struct Open {
    batch: Batch,
    everything: bool,
    first: Instant,
    last: Instant,
}
