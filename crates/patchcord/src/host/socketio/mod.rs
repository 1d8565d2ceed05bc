//! Connects the host to socketioxide: the handlers, and the links from scripts to sockets.
//!
//! In: the calls of socketioxide for a CONNECT and a disconnect, and on a `SocketIo` of the application for an event.
//! Out: work items of connections, and packets through a [`Link`](crate::connection::Link). No other part of the host
//! calls socketioxide for a socket.

pub(super) mod attached;
pub(super) mod backend;
pub(super) mod context;
pub(super) mod recovery;
mod wired;
