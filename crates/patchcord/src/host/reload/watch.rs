//! Reloads automatically when files change.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Weak},
};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{Reloader, Trigger, snapshot::Changed};
use crate::{
    event::HostEvent,
    watch::{Batches, WatchError, WatchOptions, Watcher},
};

impl Reloader {
    /// Starts to reload when files change, until the [`Watching`] is dropped.
    pub(in crate::host) fn watch(self: &Arc<Self>) -> Result<Watching, WatchError> {
        let stop = Arc::new(Notify::new());
        if let Some(target) = self.scripting.loader.watched() {
            let options = WatchOptions {
                poll: self.options.poll,
                ..WatchOptions::default()
            };
            let (watcher, batches) = Watcher::start(target, options)?;
            let reloader = Arc::downgrade(self);
            tokio::spawn(follow(reloader, watcher, batches, stop.clone()));
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

    /// Returns the scripts that a batch of changed paths concerns.
    fn changed(&self, paths: &BTreeSet<PathBuf>) -> Changed {
        let names = self.scripting.loader.changed(paths);
        names.map_or(Changed::Everything, Changed::Files)
    }
}

/// Loads the scripts after each batch of changes, and at the time at which a missing or half-written file is to be
/// loaded again.
async fn follow(
    reloader: Weak<Reloader>,
    watcher: Watcher,
    mut batches: Batches,
    stop: Arc<Notify>,
) {
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
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.notified() => break,
            () = timer => changed = Changed::Everything,
            () = look.notified() => changed = Changed::Everything,
            batch = batches.next() => {
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
    drop(watcher);
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
