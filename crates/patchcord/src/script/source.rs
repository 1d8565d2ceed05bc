//! The source files of a version: their texts, the hash that identifies them, and why they were rejected.

use std::sync::Arc;

use sha1::{Digest, Sha1};

use crate::diagnostic::Diagnostic;

/// A file that a version was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceFile {
    /// Its name within the scripts folder.
    pub name: Arc<str>,
    /// Its text when it was read; `None` when there was no such file.
    pub text: Option<Arc<str>>,
}

/// Why a script has no new version, and the files that were read to find out: a change of any of them is a reason
/// to try again.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Rejected {
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// What was read, or looked for in vain.
    pub files: Vec<SourceFile>,
}

/// What files are known by: twelve hexadecimal digits that other names or texts would change.
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

/// Comment that stands alone on a line and makes live connections begin anew with each version of the script.
const RESET: &str = "@reset";

/// Returns the places of the comments `// @reset`: file, line and column.
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
