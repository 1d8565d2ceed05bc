//! Errors of reading a script.

use std::{io::ErrorKind, path::Path};

/// Error of reading a script.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// No script has this name.
    #[error("there is no file `{0}`")]
    NotFound(String),
    /// The file is not valid script text: it is not UTF-8, or it contains control characters.
    #[error("`{name}` cannot be read as text: {problem}")]
    NotText {
        /// Name of the file.
        name: String,
        /// Problem with its location, and the remedy.
        problem: String,
    },
    /// The root of the scripts, or one script, cannot be read.
    #[error("`{path}` cannot be read: {reason}")]
    Unreadable {
        /// Path that cannot be read.
        path: String,
        /// Reason that the system reports.
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
