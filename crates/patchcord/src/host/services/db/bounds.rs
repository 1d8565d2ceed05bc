//! Limits of calls.

use std::time::Duration;

use super::failure::Failure;

/// Limits of each call.
#[derive(Debug, Clone)]
pub(super) struct Bounds {
    pub(super) timeout: Duration,
    pub(super) max_rows: usize,
    pub(super) max_bytes: usize,
}

impl Bounds {
    /// Returns the failure of a call whose result is too large.
    pub(super) fn too_large(&self) -> Failure {
        let most = self.max_bytes;
        format!(
            "the result has more than {most} bytes, the limit of `--db-max-bytes`: select fewer columns or rows"
        )
        .into()
    }
}
