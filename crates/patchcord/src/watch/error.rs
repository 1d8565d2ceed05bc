//! Problems of a watch, as values for the consumer of the batches.

use std::io;
use std::path::{Path, PathBuf};

use notify::ErrorKind;

const MAX_WATCHES: &str = "fs.inotify.max_user_watches";
const MAX_INSTANCES: &str = "fs.inotify.max_user_instances";

/// `EMFILE`, which inotify returns if a user has too many instances.
const TOO_MANY_OPEN: i32 = 24;

/// Part of the target that cannot be watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The operating system allows no more watches.
    #[error("cannot watch `{}`: the limit `{setting}` is reached", path.display())]
    Limit {
        /// First path that is not watched.
        path: PathBuf,
        /// Name of the limit.
        setting: &'static str,
    },
    /// The path cannot be read or watched.
    #[error("cannot watch `{}`", path.display())]
    Io {
        /// Path that is not watched.
        path: PathBuf,
        /// Cause of the failure.
        #[source]
        source: io::Error,
    },
    /// The watcher itself failed.
    #[error("watching `{}` failed", path.display())]
    Failed {
        /// Path that is not watched.
        path: PathBuf,
        /// Cause of the failure.
        #[source]
        source: notify::Error,
    },
}

impl WatchError {
    /// Returns the path that is not watched.
    pub fn path(&self) -> &Path {
        match self {
            Self::Limit { path, .. } | Self::Io { path, .. } | Self::Failed { path, .. } => path,
        }
    }

    /// Returns the remedy, if one is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Limit { setting, .. } => Some(format!(
                "raise `{setting}` with `sysctl`, or use `--poll`, which needs no watches"
            )),
            Self::Io { .. } | Self::Failed { .. } => None,
        }
    }

    /// Converts an error of notify. It concerns `path`, unless notify names another one.
    pub(super) fn from_notify(error: notify::Error, path: &Path) -> Self {
        let notify::Error { kind, paths } = error;
        let path = paths
            .into_iter()
            .next()
            .unwrap_or_else(|| path.to_path_buf());
        match kind {
            ErrorKind::MaxFilesWatch => Self::Limit {
                path,
                setting: MAX_WATCHES,
            },
            ErrorKind::Io(source) if source.raw_os_error() == Some(TOO_MANY_OPEN) => Self::Limit {
                path,
                setting: MAX_INSTANCES,
            },
            ErrorKind::Io(source) => Self::Io { path, source },
            ErrorKind::PathNotFound => Self::Io {
                path,
                source: io::ErrorKind::NotFound.into(),
            },
            kind => Self::Failed {
                path,
                source: notify::Error::new(kind),
            },
        }
    }

    /// Returns `true` if there is just nothing to watch. This is not a problem, because the watch waits for missing
    /// paths.
    pub(super) fn is_absence(&self) -> bool {
        match self {
            Self::Io { source, .. } => is_absence(source),
            Self::Limit { .. } | Self::Failed { .. } => false,
        }
    }
}

/// Returns `true` if the error means that there is nothing at the path.
pub(super) fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
