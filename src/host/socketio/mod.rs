//! The Socket.IO crate: its handlers, and the ways from scripts to its sockets.
//!
//! In: what the crate calls for a CONNECT, an event and a disconnect. Out: work of connections, and packets by a
//! [`Link`](crate::connection::Link). Nothing else of the host calls the crate for a socket.

pub(super) mod attach;
pub(super) mod backend;
mod cluster;
pub(super) mod handlers;
mod namespace_link;
mod rate_limit;
mod socket;
mod socket_link;
mod stalled;
