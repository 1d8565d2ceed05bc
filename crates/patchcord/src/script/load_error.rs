//! Why a script could not be read.

use std::{io::ErrorKind, path::Path};

/// Why a script could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// No script has this name.
    #[error("there is no file `{0}`")]
    NotFound(String),
    /// The file is no text that a script may have: it is not UTF-8, or has control characters.
    #[error("`{name}` cannot be read as text: {problem}")]
    NotText {
        /// Name of the file.
        name: String,
        /// The problem with its place, and the remedy.
        problem: String,
    },
    /// The place of the scripts, or one of them, cannot be read.
    #[error("`{path}` cannot be read: {reason}")]
    Unreadable {
        /// What was to be read.
        path: String,
        /// What the system says.
        reason: String,
    },
}

impl LoadError {
    pub(super) fn new(path: &Path, error: &std::io::Error) -> Self {
        let shown = path.display().to_string();
        match error.kind() {
            ErrorKind::NotFound => Self::NotFound(shown),
            _ => Self::Unreadable {
                path: shown,
                reason: error.to_string(),
            },
        }
    }
}
