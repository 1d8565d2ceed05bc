//! A folder of scripts with a host that watches it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use patchcord::{Host, HostEvent, host::Watching};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::server::TEST_TIMEOUT;

/// Grace period for missing files: long enough for a busy machine, short enough for a test.
pub(crate) const GRACE: Duration = Duration::from_secs(1);

/// Folder of scripts with a host that watches it.
pub(crate) struct Watched {
    /// Parent folder, for changes beside the scripts.
    pub(crate) around: TempDir,
    pub(crate) scripts: PathBuf,
    pub(crate) host: Host,
    pub(crate) events: UnboundedReceiver<HostEvent>,
    _watching: Watching,
}

impl Watched {
    /// Watches what `make` creates at the path of the scripts, which does not exist before.
    pub(crate) async fn new(make: impl FnOnce(&Path)) -> Self {
        Self::with(None, make).await
    }

    pub(crate) async fn with(poll: Option<Duration>, make: impl FnOnce(&Path)) -> Self {
        let around = tempfile::tempdir().unwrap();
        let scripts = around.path().join("scripts");
        make(&scripts);
        let (tell, events) = unbounded_channel();
        let mut options = patchcord::testing::options();
        options.reload.poll = poll;
        options.reload.missing_grace = GRACE;
        options.limits.time = TEST_TIMEOUT;
        let host = Host::builder()
            .scripts(&scripts)
            .options(options)
            .on_event(move |event| drop(tell.send(event.clone())))
            .build();
        let _ = host.load().await;
        let watching = host.watch().unwrap();
        Self {
            around,
            scripts,
            host,
            events,
            _watching: watching,
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.scripts.join(name)
    }

    /// Waits for the next event.
    pub(crate) async fn next(&mut self) -> String {
        let next = tokio::time::timeout(TEST_TIMEOUT, self.events.recv()).await;
        shown(&next.expect("nothing happens").unwrap())
    }

    /// Returns the events up to `wanted`, which is the last.
    pub(crate) async fn until(&mut self, wanted: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let next = tokio::time::timeout(TEST_TIMEOUT, self.events.recv()).await;
            let event = next
                .unwrap_or_else(|_| panic!("`{wanted}` does not happen after {seen:?}"))
                .unwrap();
            seen.push(shown(&event));
            if seen.last().unwrap() == wanted {
                return seen;
            }
        }
    }
}

pub(crate) fn shown(event: &HostEvent) -> String {
    match event {
        HostEvent::Log { text, .. } => text.clone(),
        HostEvent::Loaded { script, .. } => format!("loaded {script}"),
        HostEvent::Replaced {
            script, version, ..
        } => format!("replaced {script} {version}"),
        HostEvent::Removed { script, .. } => format!("removed {script}"),
        HostEvent::Missing {
            script, same_text, ..
        } => match same_text {
            Some(other) => format!("missing {script}, as {other}"),
            None => format!("missing {script}"),
        },
        HostEvent::Returned { script, .. } => format!("returned {script}"),
        HostEvent::Moved { from, to, .. } => format!("moved {from} {to}"),
        HostEvent::Ignored { file, reason } => format!("ignored {file}: {reason}"),
        HostEvent::Rejected { diagnostics, .. } => format!("rejected {diagnostics:?}"),
        HostEvent::ScriptsUnreadable { .. } => "unreadable".to_owned(),
        other => format!("{other:?}"),
    }
}

pub(crate) fn script(word: &str) -> String {
    format!("fn on_load() {{ print(\"{word}\"); }} fn on_connection(socket) {{}}")
}

/// Makes a folder with `main.rhai`, which logs `one` when it is loaded.
pub(crate) fn one(scripts: &Path) {
    fs::create_dir(scripts).unwrap();
    fs::write(scripts.join("main.rhai"), script("one")).unwrap();
}
