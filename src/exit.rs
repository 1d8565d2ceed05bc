//! Exit codes: 0 done, 1 the scripts have problems, 2 the command cannot run.

/// Exit code: the scripts have problems.
pub(super) const PROBLEMS: u8 = 1;
/// Exit code: the command cannot run.
pub(super) const CANNOT_RUN: u8 = 2;
