//! Services: what scripts reach beyond their clients.

mod env;
mod jwt;
