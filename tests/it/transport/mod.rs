//! Clients, packet by packet, over real sockets.

mod admission;
mod allowed_hosts;
mod backlog;
mod early_disconnects;
mod hijack;
mod malformed_packets;
mod origins;
mod queries;
mod recovery;
mod rejected_connects;
mod sockets;
mod streams;
mod tcp;
mod upgrades;
mod wire;
