//! Sockets of clients that came through the host's own service. Their events, acks and rooms do not pass through
//! socketioxide, which handles only their CONNECT and their end.

mod acks;
pub(super) mod handlers;
mod link;
mod member;
pub(super) mod members;
