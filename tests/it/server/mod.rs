//! The stand-alone server and its channels for operators.

mod admin;
mod api;
mod control;
mod inspect;
mod public;
