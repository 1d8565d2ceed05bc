//! Source files of a version: their texts, the hash that identifies them, and the reasons why a script was rejected.

use std::sync::Arc;

use sha1::{Digest, Sha1};

use crate::diagnostic::Diagnostic;

/// File from which a version was read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceFile {
    /// Name within the scripts folder.
    pub name: Arc<str>,
    /// Text at the time of the read; `None` if it could not be read.
    pub text: Option<Arc<str>>,
}

/// Reasons why a script was rejected, and the files that were read. If any of these files changes, loading is tried
/// again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Rejected {
    /// Errors, and the warnings found with them.
    pub diagnostics: Vec<Diagnostic>,
    /// Files that were read, and files that were not found.
    pub files: Vec<SourceFile>,
}

/// Returns a hash that identifies the names and texts of files, as twelve hexadecimal digits.
pub fn hash(files: &[SourceFile]) -> Arc<str> {
    let mut digest = Sha1::new();
    for SourceFile { name, text } in files {
        for part in [&**name, text.as_deref().unwrap_or_default()] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
    }
    let digest = digest.finalize();
    let digits: Vec<_> = digest
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    digits.concat().into()
}

/// Comment that stands alone on a line and makes each version of the script reset the state of live connections.
const RESET: &str = "@reset";

/// Returns the file, line and column of each comment `// @reset`.
pub fn reset_comments(files: &[SourceFile]) -> Vec<(Arc<str>, usize, usize)> {
    let is_reset = |line: &str| {
        let comment = line.trim().strip_prefix("//");
        comment.is_some_and(|comment| comment.trim() == RESET)
    };
    let found = files.iter().flat_map(|file| {
        let lines = file.text.iter().flat_map(|text| text.lines()).enumerate();
        lines.filter(|(_, line)| is_reset(line)).map(|(nth, line)| {
            let blanks = line.chars().take_while(|c| c.is_whitespace()).count();
            (file.name.clone(), nth + 1, blanks + 1)
        })
    });
    found.collect()
}
