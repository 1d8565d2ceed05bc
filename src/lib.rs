//! An embeddable scripting host for Socket.IO connection handlers.
//!
//! A Socket.IO server (socketioxide on axum and tokio) calls Rhai scripts on each connection event. Saving a script
//! changes the behaviour of live connections, keeps their state, and takes effect everywhere or nowhere.
//!
//! Start at [`Host`].

pub mod diagnostic;
pub mod value;
pub mod watch;

pub mod script;

pub mod connection;

mod api;

pub mod host;

pub use connection::HostEvent;
pub use host::{AttachError, Functions, Host, HostBuilder, Options, Signature};
/// The crates whose types this one takes and gives, in the versions that it needs.
pub use {axum, rhai, socketioxide};

pub mod server;

pub mod testing;

pub mod preset;

#[cfg(feature = "cli")]
pub mod cli;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
