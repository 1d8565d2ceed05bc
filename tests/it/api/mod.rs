//! Script API, as clients see it.

mod acks;
mod async_functions;
mod broadcast;
mod catch_all;
mod client_acks;
mod data;
mod dynamic_namespaces;
pub(crate) mod handshake;
mod hooks;
mod limit;
mod namespaces;
mod presence;
mod presence_model;
mod rooms;
mod scripts;
mod timers;
mod values;
