//! In-memory hosts: scripts, clients and edits without a network, for tests of scripts and of this crate.
//!
//! When a function returns, everything that results from it has happened, so a test never has to wait.
//!
//! ```
//! use patchcord::testing::TestHost;
//!
//! let mut host = TestHost::new("fn on_connection(socket) { socket.on(\"add\", |a, b| a + b); }");
//! let ada = host.connect("/")?;
//! assert_eq!(ada.ask("add", (1, 2)), Some("[3]".to_owned()));
//!
//! host.edit("main.rhai", "fn on_connection(socket) { socket.on(\"add\", |a, b| a + b + 10); }");
//! assert_eq!(ada.ask("add", (1, 2)), Some("[13]".to_owned()));
//! # Ok::<(), patchcord::testing::Refused>(())
//! ```

mod client;
mod client_api;
mod console;
mod host;
mod network;
mod running;
mod runtime;
mod suite;
mod test_api;

pub use client::TestClient;
pub use console::{Answer, Console};
pub use host::{TestHost, options};
pub use runtime::Refused;
pub use suite::{Outcome, Suite};
pub use test_api::reference;
