//! An embeddable scripting host for Socket.IO connection handlers.
//!
//! A Socket.IO server (socketioxide on axum and tokio) calls [Rhai] scripts on each connection event. Saving a script
//! changes the behaviour of live connections, keeps their state, and takes effect everywhere or nowhere.
//!
//! # A host in ten lines
//!
//! ```no_run
//! use patchcord::{Host, server::{Config, serve}};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), patchcord::server::ServerError> {
//!     let host = Host::builder()
//!         .scripts("scripts") // chat.rhai is the namespace /chat
//!         .function("twice(n)", |n: i64| n * 2)
//!         .build();
//!     serve(host, &Config::default()).await
//! }
//! ```
//!
//! There are three ways to serve, from the most that the host does to the least:
//!
//! | | for | |
//! |---|---|---|
//! | [`server::serve`] | scripts alone | loads, watches and listens |
//! | [`Host::service`] | an axum app | the Socket.IO path belongs to the host, the rest to the app; all promises hold |
//! | [`Host::attach`] | a `SocketIo` of the program's own | beside namespaces in Rust, with any adapter; lists what the host cannot hold there |
//!
//! # Where scripts come from
//!
//! From a folder or a file ([`HostBuilder::scripts`]), from memory ([`script::Memory`]), or from a [`script::Loader`] of
//! the program's own. A folder can be watched ([`Host::watch`]); everything can be reloaded by call:
//!
//! ```
//! use patchcord::{Host, script::{Loader, LoadError}};
//! use std::sync::{Arc, Mutex};
//!
//! /// One script, kept where the program likes.
//! #[derive(Debug, Clone)]
//! struct Setting(Arc<Mutex<String>>);
//!
//! impl Loader for Setting {
//!     fn list(&self) -> Result<Vec<String>, LoadError> {
//!         Ok(vec!["main.rhai".to_owned()])
//!     }
//!
//!     fn read(&self, _name: &str) -> Result<String, LoadError> {
//!         Ok(self.0.lock().unwrap().clone())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let setting = Setting(Arc::new(Mutex::new("fn on_connection(socket) {}".to_owned())));
//! let host = Host::builder().loader(setting.clone()).build();
//! assert!(host.load().await.is_empty());
//!
//! *setting.0.lock().unwrap() = "fn on_connection(socket) { socket.emti(\"hello\"); }".to_owned();
//! let problems = host.reload().await;
//! assert_eq!(problems[0].message, "unknown function `emti` on `socket`");
//! // Version 1 keeps serving. A version that serves and turns out to be wrong is undone:
//! *setting.0.lock().unwrap() = "fn on_connection(socket) { socket.emit(\"hello\"); }".to_owned();
//! assert!(host.reload().await.is_empty());
//! assert_eq!(host.rollback("/").await?, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Functions of the program
//!
//! A reload runs `on_connection` of live connections once more as a draft, so the host must know what a function does:
//!
//! | | what it does | in a draft |
//! |---|---|---|
//! | [`HostBuilder::function`] | reads | is called |
//! | [`HostBuilder::effect`] | changes something outside | is skipped |
//! | [`HostBuilder::async_function`] | waits, and gives its result to a closure | is skipped |
//!
//! [`HostBuilder::module`] puts [`Functions`] under a name. A [`Signature`] gives them names of parameters and a comment.
//! [`Host::check`] knows them, and [`Host::definitions`] writes them for editors:
//!
//! ```
//! use patchcord::{Functions, Host, Signature, script::Memory};
//!
//! let users = Functions::new()
//!     .async_function(
//!         Signature::new("find(id)").doc("The name of a user, from the database."),
//!         |id: i64| async move { Ok::<_, String>(format!("user {id}")) },
//!     );
//! let script = "fn on_connection(socket) { users::find(7, |err, name| socket.emit(\"name\", name)); }";
//! let host = Host::builder()
//!     .loader(Memory::from([("main.rhai", script)]))
//!     .module("users", users)
//!     .build();
//! assert!(host.check()?.is_empty());
//! assert!(host.definitions().contains("fn find(id: int, then: Fn) -> ();"));
//! # Ok::<(), patchcord::script::LoadError>(())
//! ```
//!
//! # Limits
//!
//! Whatever a script does, it ends, and costs no more than its [`script::Limits`]. They are part of the [`Options`], and so
//! is what clients may do:
//!
//! ```
//! use patchcord::{Host, Options};
//! use std::time::Duration;
//!
//! let mut options = Options::default();
//! options.limits.time = Duration::from_millis(20); // of one call
//! options.max_events_per_second = Some(200); // of one client
//! let host = Host::builder().options(options).build();
//! ```
//!
//! The memory of a call is held to its limit in a program that tells how much its threads have allocated:
//! [`HostBuilder::memory_meter`].
//!
//! # What happens
//!
//! Everything a host has to say is a [`HostEvent`]. Without a listener it goes to [`tracing`](https://docs.rs/tracing).
//!
//! ```
//! use patchcord::{Host, HostEvent};
//!
//! let host = Host::builder()
//!     .on_event(|event| match event {
//!         HostEvent::Replaced { script, reload, .. } => {
//!             println!("{script}: {} connections have the new version", reload.rebound);
//!         }
//!         HostEvent::HandlerFailed { diagnostic } => println!("{diagnostic}"),
//!         _ => {}
//!     })
//!     .build();
//! ```
//!
//! # Tests
//!
//! [`testing::TestHost`] runs scripts in memory, with clients and a clock that the test moves:
//!
//! ```
//! use patchcord::testing::TestHost;
//!
//! let mut host = TestHost::new("fn on_connection(socket) { let n = 0; socket.on(\"add\", |x| { n += x; n }); }");
//! let ada = host.connect("/")?;
//! assert_eq!(ada.ask("add", [1]).as_deref(), Some("[1]"));
//!
//! // An edit under a live client: it keeps its number.
//! host.edit("main.rhai", "fn on_connection(socket) { let n = 0; socket.on(\"add\", |x| { n += 10 * x; n }); }");
//! assert_eq!(ada.ask("add", [1]).as_deref(), Some("[11]"));
//! # Ok::<(), patchcord::testing::Refused>(())
//! ```
//!
//! # Several hosts
//!
//! A host shares nothing with another one: functions, limits, `io.data` and clients are its own. Two of them serve one app
//! under two paths:
//!
//! ```
//! use axum::Router;
//! use patchcord::{Host, Options, script::Memory};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), patchcord::AttachError> {
//! async fn host(path: &str, script: &str) -> Host {
//!     let mut options = Options::default();
//!     options.path = path.to_owned();
//!     let host = Host::builder().options(options).loader(Memory::from([("main.rhai", script)])).build();
//!     host.load().await;
//!     host
//! }
//! let game = host("/game", "fn on_connection(socket) { socket.emit(\"go\"); }").await;
//! let chat = host("/chat", "fn on_connection(socket) { socket.emit(\"hi\"); }").await;
//! let app = chat.service(game.service(Router::new())?)?;
//! # drop(app);
//! # Ok(())
//! # }
//! ```
//!
//! # What is meant to be used
//!
//! What this documentation shows. Other modules can be reached for the tests of this crate, and change without notice.
//!
//! [Rhai]: https://rhai.rs/book

// Some items exist for `testing`, or are public for `internals`, only.
#![cfg_attr(
    not(all(feature = "internals", feature = "testing")),
    allow(dead_code, unreachable_pub, unused_imports, reason = "see above")
)]

mod api;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod connection;
#[cfg(not(feature = "internals"))]
mod connection;
pub mod diagnostic;
pub mod event;
pub mod script;
pub mod value;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod watch;
#[cfg(not(feature = "internals"))]
mod watch;

pub mod host;

pub use event::{
    ConnectRefusal, Counter, Counters, HostEvent, KeptReason, Level, RefusedConnects, Reload,
    RollbackReason, UnchangedScript,
};
pub use host::{AttachError, Functions, Host, HostBuilder, Options, Signature};
pub use watch::WatchError;
/// The crates whose types this one takes and gives, in the versions that it needs.
pub use {axum, rhai, socketioxide};

pub mod server;

#[cfg(feature = "testing")]
pub mod testing;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
