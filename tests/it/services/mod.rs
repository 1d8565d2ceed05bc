//! Services: what scripts reach beyond their clients.

mod env;
mod http;
mod jwt;
mod other_side;
