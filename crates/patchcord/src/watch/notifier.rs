//! Messages of the watching thread. In: events of notify. Out: paths that may have changed.

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
};

use notify::{
    Event, EventKind,
    event::{AccessKind, AccessMode, MetadataKind, ModifyKind},
};
use tokio::sync::mpsc::UnboundedSender;

use super::error::WatchError;

/// Message from notify, or from the [`Watcher`], to the watching thread.
#[derive(Debug)]
pub(super) enum Raw {
    Event(notify::Result<Event>),
    Stop,
}

/// Message from the watching thread to the [`Batches`].
#[derive(Debug)]
pub(super) enum Note {
    Changed(PathBuf),
    Everything,
    Problem(WatchError),
}

/// The watching thread's end of the channel to the [`Batches`]. Sending ignores errors, because the receiver may be
/// gone.
#[derive(Debug)]
pub(super) struct Notifier {
    /// The target as the caller wrote it.
    pub(super) given: PathBuf,
    /// The target as events name it: absolute and, with native events, without symbolic links.
    pub(super) root: PathBuf,
    pub(super) notes: UnboundedSender<Note>,
}

impl Notifier {
    pub(super) fn changed(&self, path: &Path) {
        let path = match path.strip_prefix(&self.root) {
            Ok(rest) if rest.as_os_str().is_empty() => self.given.clone(),
            Ok(rest) => self.given.join(rest),
            Err(_) => path.to_path_buf(),
        };
        let _ = self.notes.send(Note::Changed(path));
    }

    /// Reports that everything may have changed, by naming the target.
    pub(super) fn target_changed(&self) {
        let _ = self.notes.send(Note::Changed(self.given.clone()));
    }

    /// Reports that events were lost.
    pub(super) fn everything(&self) {
        let _ = self.notes.send(Note::Everything);
    }

    pub(super) fn problem(&self, problem: WatchError) {
        let _ = self.notes.send(Note::Problem(problem));
    }
}

pub(super) fn forward(raw: &mpsc::Sender<Raw>) -> impl notify::EventHandler + use<> {
    let raw = raw.clone();
    move |event| {
        let _ = raw.send(Raw::Event(event));
    }
}

/// Returns `true` if an event can mean a change. A change of attributes counts, because a file may have become
/// readable; a read does not count.
pub(super) fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Modify(ModifyKind::Metadata(kind)) => kind != MetadataKind::AccessTime,
        _ => true,
    }
}
