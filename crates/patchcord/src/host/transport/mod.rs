//! Sessions of clients: everything between the network and socketioxide.
//!
//! In: HTTP requests to the Socket.IO path. Out: events and acks for the sockets of a client, packets for socketioxide,
//! and bytes to the client. The host speaks Engine.IO itself, for both transports. socketioxide sees each client as a
//! WebSocket: see [`wire`] and [`bridge`].
//!
//! | subject | modules |
//! |---|---|
//! | requests | [`service`], [`host_check`], [`cors`], [`endpoint`], [`request`], [`response`], [`forwarded`] |
//! | requests that open a session | [`admission`] |
//! | WebSockets | [`upgrade`], [`client_frames`], [`server_frames`] |
//! | polling | [`polling`], [`requests`] |
//! | sessions | [`wire`], [`sessions`], [`secret`], [`reader`], [`bridge`] |
//! | the CONNECTs and sockets of a session | [`connects`], [`sockets`] |
//! | the rate limit of a session | [`rate`] |
//! | data that waits for a client | [`send_queue`], [`flush`] |
//! | data that waits for all clients together | [`stalled_queues`] |
//! | the format of packets | [`protocol`], [`packet`], [`encode`] |

use std::time::Duration;

/// Maximum time for handling packets of one client in a row, so that other clients get their turn on this thread.
const TIME_IN_A_ROW: Duration = Duration::from_millis(5);

mod admission;
mod bridge;
mod client_frames;
mod connects;
pub(super) mod cors;
pub(super) mod encode;
pub(super) mod endpoint;
pub(super) mod flush;
mod forwarded;
pub(super) mod host_check;
mod packet;
mod polling;
mod protocol;
pub(super) mod rate;
mod reader;
pub(super) mod request;
mod requests;
mod response;
pub(super) mod secret;
pub(super) mod send_queue;
mod server_frames;
pub(super) mod service;
pub(super) mod sessions;
pub(super) mod sockets;
pub(super) mod stalled_queues;
mod upgrade;
pub(super) mod wire;
