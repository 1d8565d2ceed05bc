//! Connection state recovery: clients that come back after their connection broke, and continue where they were.
//!
//! Each socket has a secret *pid*, and each event for a client ends with an *offset*: its number in the log of the
//! namespace. A connection that breaks is kept for a while ([`sessions`]). A client that comes back with its pid gets
//! this connection, and the events of the [`log`] behind its offset. The official client sends both by itself.

mod budget;
mod identity;
mod inherited;
mod log;
mod offset;
mod sessions;

pub(in crate::host) use self::budget::Recovery;
pub(super) use self::{
    identity::{Identity, Return},
    inherited::Inherited,
    log::{Recipients, Rooms},
    sessions::{Claim, NamespaceRecovery},
};
