//! Services: what scripts reach beyond their clients.

mod cron;
mod env;
mod http;
mod jwt;
mod metrics;
mod other_side;
mod password;
