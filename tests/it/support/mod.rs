//! Helpers that several tests share.

pub(crate) mod application;
pub(crate) mod database;
pub(crate) mod gate;
pub(crate) mod memory;
pub(crate) mod options;
pub(crate) mod preview;
pub(crate) mod program;
pub(crate) mod server;
pub(crate) mod tls;
pub(crate) mod watched;
pub(crate) mod wire;
