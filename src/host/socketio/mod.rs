//! Connects the host to socketioxide: the handlers, and the links from scripts to sockets.
//!
//! In: the calls of socketioxide for a CONNECT, an event and a disconnect. Out: work of connections, and packets
//! through a [`Link`](crate::connection::Link). No other part of the host calls socketioxide for a socket.

pub(super) mod attach;
pub(super) mod backend;
mod cluster;
pub(super) mod handlers;
mod namespace_link;
mod rate_limit;
mod socket;
mod socket_link;
mod stalled;
