//! Sockets of clients that came through the host's own service. Their events, acks and rooms never pass socketioxide,
//! which knows them by their CONNECT and their end only.

mod acks;
pub(super) mod handlers;
mod link;
mod member;
pub(super) mod members;
