//! Pauses and resumes the loading of saves.

use std::sync::Arc;

use super::{Loaded, Reloader, Trigger, snapshot::Changed};
use crate::event::HostEvent;

impl Reloader {
    /// Pauses the loading of saves. Returns `false` if it is already paused.
    pub(in crate::host) async fn pause(&self) -> bool {
        let was_paused = std::mem::replace(&mut self.scripts.lock().await.is_paused, true);
        if !was_paused {
            self.announcer.announce(HostEvent::Paused { files: vec![] });
        }
        !was_paused
    }

    /// Resumes, and loads everything that was saved in the meantime. Returns `None` if the loading was not paused.
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
            // The saves wait until the stage ends.
            return Some(Loaded::default());
        }
        Some(self.load(Trigger::Requested).await)
    }

    /// Announces the scripts that wait until the host is resumed.
    pub(super) fn wait_for_resume(&self, changed: &Changed) {
        let files = changed.scripts();
        if !files.is_empty() {
            self.announcer.announce(HostEvent::Paused { files });
        }
    }
}
