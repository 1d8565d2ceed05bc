//! Lets saves wait.

use std::sync::Arc;

use super::{Loaded, Reloader, Trigger, snapshot::Changed};
use crate::event::HostEvent;

impl Reloader {
    /// Lets saves wait. Returns `false` if they wait already.
    pub(in crate::host) async fn pause(&self) -> bool {
        let was_paused = std::mem::replace(&mut self.scripts.lock().await.is_paused, true);
        if !was_paused {
            self.announcer.announce(HostEvent::Paused { files: vec![] });
        }
        !was_paused
    }

    /// Loads what was saved meanwhile. Returns `None` if saves do not wait.
    pub(in crate::host) async fn resume(self: &Arc<Self>) -> Option<Loaded> {
        let mut scripts = self.scripts.lock().await;
        let was_paused = std::mem::take(&mut scripts.is_paused);
        let is_staged = scripts.staged.is_some();
        drop(scripts);
        if !was_paused {
            return None;
        }
        self.announcer.announce(HostEvent::Resumed);
        if is_staged {
            // What was saved waits for the end of the stage.
            return Some(Loaded::default());
        }
        Some(self.load(Trigger::Asked).await)
    }

    /// Announces the scripts that wait.
    pub(super) fn wait_for_resume(&self, changed: &Changed) {
        let files = changed.scripts();
        if !files.is_empty() {
            self.announcer.announce(HostEvent::Paused { files });
        }
    }
}
