//! Integration tests: scripts, and what clients see of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_debug_implementations,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod api;
mod cli;
mod host;
mod limits;
mod reload;
mod repository;
mod script;
mod server;
mod services;
mod state;
mod support;
mod transport;
