//! `io.data` that stays: over a restart, a crash and a failure of its store.

mod command;
mod crash;
mod expiry;
mod failures;
mod kept;
mod whole_calls;
