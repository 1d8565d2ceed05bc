//! The stand-alone server and its channels for operators.

mod admin;
mod api;
mod control;
mod inherited;
mod inspect;
mod public;
mod restart;
mod service_manager;
