//! Reloads automatically when files change.

use std::{
    collections::BTreeSet,
    future::{pending, poll_fn},
    path::PathBuf,
    sync::{Arc, Weak},
    task::Poll,
};

use tokio::{
    sync::Notify,
    task::unconstrained,
    time::{Instant, sleep_until},
};

use super::{Reloader, Trigger, snapshot::Changed};
use crate::{
    event::HostEvent,
    script::Changes,
    watch::{Batch, Batches, WatchError, WatchOptions, Watcher},
};

impl Reloader {
    /// Starts to reload when files change, until the [`Watching`] is dropped.
    pub(in crate::host) fn watch(self: &Arc<Self>) -> Result<Watching, WatchError> {
        let stop = Arc::new(Notify::new());
        let options = WatchOptions {
            poll: self.options.reload.poll,
            ..WatchOptions::default()
        };
        let target = self.scripting.loader.watched();
        let files = target.map(|target| Watcher::start(target, options));
        let sources = Sources {
            files: files.transpose()?,
            announced: self.scripting.loader.changes(),
        };
        if sources.files.is_some() || sources.announced.is_some() {
            tokio::spawn(follow(Arc::downgrade(self), sources, stop.clone()));
        }
        Ok(Watching { stop })
    }

    /// Announces the files and folders that cannot be watched.
    fn unwatched(&self, problems: Vec<WatchError>) {
        for problem in problems {
            let hint = problem.hint().map(|hint| format!("\nhint: {hint}"));
            self.announcer.announce(HostEvent::ScriptsUnreadable {
                error: format!("{problem}{}", hint.unwrap_or_default()),
            });
        }
    }

    /// Returns the scripts that a batch of changed paths concerns. Without paths, anything may have changed.
    fn changed(&self, paths: &BTreeSet<PathBuf>) -> Changed {
        if paths.is_empty() {
            return Changed::Everything;
        }
        let names = self.scripting.loader.changed(paths);
        names.map_or(Changed::Everything, Changed::Files)
    }
}

/// Maximum number of announced changes that one load serves.
const MAX_ANNOUNCED: usize = 10_000;

/// Sources of changes.
struct Sources {
    files: Option<(Watcher, Batches)>,
    announced: Option<Changes>,
}

impl Sources {
    /// Waits for the next batch of changes. Returns `None` when the watcher of the files has ended. Safe to cancel.
    async fn next(&mut self) -> Option<Batch> {
        tokio::select! {
            batch = changed_files(&mut self.files) => batch,
            () = announced(&mut self.announced) => Some(Batch::default()),
        }
    }
}

async fn changed_files(files: &mut Option<(Watcher, Batches)>) -> Option<Batch> {
    match files {
        Some((_, batches)) => batches.next().await,
        None => pending().await,
    }
}

/// Waits for an announced change, and takes further ones that have been announced already, because one load serves
/// them all. The stream is dropped when it ends.
async fn announced(changes: &mut Option<Changes>) {
    // Without tokio's budget, which would end a burst after some of its items.
    unconstrained(poll_fn(|context| {
        let mut is_changed = false;
        for _ in 0..MAX_ANNOUNCED {
            let Some(stream) = changes else { break };
            match stream.as_mut().poll_next(context) {
                Poll::Ready(Some(())) => is_changed = true,
                Poll::Ready(None) => *changes = None,
                Poll::Pending => break,
            }
        }
        match is_changed {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }))
    .await;
}

/// Loads the scripts after each batch of changes, and whenever it is time to load a missing or half-written file again.
async fn follow(reloader: Weak<Reloader>, mut sources: Sources, stop: Arc<Notify>) {
    // The first load finds changes that were saved before the watch started.
    let mut changed = Changed::Everything;
    // Changes at a place that cannot be watched are found only if everything is read.
    let mut is_blind = false;
    loop {
        let Some(host) = reloader.upgrade() else {
            break;
        };
        let look_again = host.load(Trigger::Watched(changed)).await.look_again;
        let look = host.look.clone();
        drop(host);
        let timer = async {
            match look_again {
                Some(at) => sleep_until(Instant::from_std(at)).await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = stop.notified() => break,
            () = timer => changed = Changed::Everything,
            () = look.notified() => changed = Changed::Everything,
            batch = sources.next() => {
                let (Some(batch), Some(host)) = (batch, reloader.upgrade()) else { break };
                is_blind |= !batch.problems.is_empty();
                host.unwatched(batch.problems);
                changed = match is_blind {
                    true => Changed::Everything,
                    false => host.changed(&batch.paths),
                };
            }
        }
    }
}

/// Guard of a watch, returned by [`Host::watch`](crate::Host::watch). The files are watched until it is dropped.
#[derive(Debug)]
#[must_use = "the files are watched while it lives"]
pub struct Watching {
    stop: Arc<Notify>,
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}
