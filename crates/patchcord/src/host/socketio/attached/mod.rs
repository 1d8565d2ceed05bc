//! Sockets on a `SocketIo` of the application: all their packets pass through socketioxide.

pub(super) mod cluster;
pub(super) mod handlers;
pub(super) mod namespace_link;
mod socket;
mod socket_link;
mod stalled;
pub(in crate::host) mod warnings;
