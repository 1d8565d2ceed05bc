//! Reloads by themselves, when files change.

use std::sync::Arc;

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{Host, reload::Trigger};
use crate::{
    connection::{Driver, HostEvent},
    watch::{Batches, WatchError, WatchOptions, Watcher},
};

impl Host {
    /// Reloads by itself when files change, for as long as the [`Watching`] lives. Scripts that do not come from
    /// disk are not watched.
    ///
    /// ```no_run
    /// # async fn run(host: patchcord::Host) -> Result<(), patchcord::WatchError> {
    /// host.load().await;
    /// let watching = host.watch()?;
    /// // ... serve ...
    /// drop(watching); // no edit takes effect any more
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the files cannot be watched.
    pub fn watch(&self) -> Result<Watching, WatchError> {
        let stop = Arc::new(Notify::new());
        if let Some(target) = self.inner.loader.watched() {
            let options = WatchOptions {
                poll: self.inner.options.poll,
                ..WatchOptions::default()
            };
            let (watcher, batches) = Watcher::start(target, options)?;
            tokio::spawn(self.clone().follow(watcher, batches, stop.clone()));
        }
        Ok(Watching { stop })
    }

    async fn follow(self, watcher: Watcher, mut batches: Batches, stop: Arc<Notify>) {
        // What was saved before the watch was in place.
        let mut look_again = self.reload_now(Trigger::Watched).await.look_again;
        loop {
            let timer = async {
                match look_again {
                    Some(at) => sleep_until(Instant::from_std(at)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.notified() => break,
                () = timer => {}
                batch = batches.next() => {
                    let Some(batch) = batch else { break };
                    for problem in batch.problems {
                        let hint = problem.hint().map_or_else(String::new, |hint| format!("\nhint: {hint}"));
                        self.inner.announce(HostEvent::Unreadable { problem: format!("{problem}{hint}") });
                    }
                }
            }
            look_again = self.reload_now(Trigger::Watched).await.look_again;
        }
        drop(watcher);
    }
}

/// Files are watched while this lives.
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
