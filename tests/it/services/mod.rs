//! Services: what scripts reach beyond their clients.

mod cron;
#[cfg(feature = "sql")]
mod db_limits;
#[cfg(feature = "sql")]
mod db_permissions;
#[cfg(feature = "sql")]
mod db_safety;
#[cfg(feature = "sql")]
mod db_server;
#[cfg(feature = "sql")]
mod db_stand_ins;
#[cfg(feature = "sql")]
mod db_support;
#[cfg(feature = "sql")]
mod db_tls;
#[cfg(feature = "sql")]
mod db_transactions;
#[cfg(feature = "sql")]
mod db_values;
mod env;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "http")]
mod http_tls;
#[cfg(feature = "jwt")]
mod jwt;
mod metrics;
#[cfg(feature = "http")]
mod other_side;
mod password;
