//! Wire of one client: everything between the network and socketioxide.
//!
//! In: HTTP requests to the Socket.IO path. Out: what the host hands to socketioxide, and bytes to the client. The host
//! answers WebSocket handshakes itself, and hands socketioxide a stream of its own; see [`wire`].
//!
//! | | |
//! |---|---|
//! | a request | [`service`], [`host_check`], [`cors`], [`endpoint`], [`request`], [`response`], [`forwarded`] |
//! | a WebSocket | [`upgrade`], [`ws_stream`], [`ws_frames`] |
//! | polling | [`polling`], [`payload`], [`session`], [`poll_queue`], [`secret`] |
//! | all of it | [`protocol`]: what stands on the wire |
//! | both | [`wire`] with [`connects`], [`send_queue`], [`encode`], [`flush`] |

mod connects;
pub(super) mod cors;
pub(super) mod encode;
pub(super) mod endpoint;
pub(super) mod flush;
mod forwarded;
pub(super) mod host_check;
mod payload;
mod poll_queue;
mod polling;
mod protocol;
pub(super) mod request;
mod response;
mod secret;
mod send_queue;
pub(super) mod service;
mod session;
mod upgrade;
pub(super) mod wire;
pub(super) mod ws_frames;
mod ws_stream;
