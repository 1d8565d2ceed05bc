//! Embeddable scripting host for Socket.IO connection handlers.
//!
//! A Socket.IO server (socketioxide on axum and tokio) calls [Rhai] scripts for each event of a connection. Saving a
//! script changes the behaviour of live connections and keeps their state. It takes effect on all of them or on none.
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
//! There are three ways to serve. The host does the most in the first, and the least in the last:
//!
//! | call | serves | what the host does |
//! |---|---|---|
//! | [`server::serve`] | scripts alone | loads, watches and listens |
//! | [`Host::service`] | an axum app | handles the Socket.IO path, and leaves all other paths to the app; all guarantees hold |
//! | [`Host::attach`] | a `SocketIo` of the application | serves alongside namespaces in Rust, with any adapter; the documentation of `Host::attach` lists the guarantees that do not hold there |
//!
//! # Sources of scripts
//!
//! Scripts come from a folder or a file ([`HostBuilder::scripts`]), from memory ([`script::Memory`]), or from a
//! [`script::Loader`] of the application. [`Host::watch`] watches a folder, a file, or a loader that announces its
//! changes. [`Host::reload`] reloads scripts from any source:
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
//! host.load().await?;
//!
//! *setting.0.lock().unwrap() = "fn on_connection(socket) { socket.emti(\"hello\"); }".to_owned();
//! let problems = host.reload().await.unwrap_err().diagnostics;
//! assert_eq!(problems[0].message, "unknown function `emti` on `socket`");
//! // Version 1 keeps serving. A version that serves and turns out to be wrong is undone:
//! *setting.0.lock().unwrap() = "fn on_connection(socket) { socket.emit(\"hello\"); }".to_owned();
//! host.reload().await?;
//! assert_eq!(host.rollback("/").await?, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Functions of the application
//!
//! A reload may run `on_connection` of live connections again as a *draft*, a run without effects. So the host must
//! know what a function does:
//!
//! | registered with | the function | in a draft, it |
//! |---|---|---|
//! | [`HostBuilder::function`] | has no side effects | is called |
//! | [`HostBuilder::effect`] | has side effects | is skipped |
//! | [`HostBuilder::async_function`] | is asynchronous, and passes its result to a closure | is skipped |
//!
//! [`HostBuilder::module`] registers [`Functions`] as a module with a name. A [`Signature`] adds the names of the
//! parameters and a comment. [`Host::check`] knows these functions, and [`Host::definitions`] exports them for editors:
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
//! Every script call ends, and uses no more than its [`script::Limits`] allow. They are part of the [`Options`], like
//! the limits of clients:
//!
//! ```
//! use patchcord::{Host, Options};
//! use std::time::Duration;
//!
//! let mut options = Options::default();
//! options.limits.time = Duration::from_millis(20); // of one call
//! options.clients.max_events_per_second = Some(200); // of one client
//! let host = Host::builder().options(options).build();
//! ```
//!
//! The memory limit of a call needs a meter, which reports how much memory a thread has allocated:
//! [`set_memory_meter`].
//!
//! # Events
//!
//! A host reports everything that happens as a [`HostEvent`]. Without a listener or a subscriber ([`Host::subscribe`]),
//! the events go to [`tracing`](https://docs.rs/tracing).
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
//! [`testing::TestHost`] runs scripts in memory, with simulated clients and a clock that the test advances:
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
//! Two hosts share no functions, limits, `io.data` or clients. They can serve one app under two paths:
//!
//! ```
//! use axum::Router;
//! use patchcord::{Host, Options, script::Memory};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), patchcord::AttachError> {
//! async fn host(path: &str, script: &str) -> Host {
//!     let mut options = Options::default();
//!     options.transport.path = path.to_owned();
//!     let host = Host::builder().options(options).loader(Memory::from([("main.rhai", script)])).build();
//!     host.load().await.unwrap();
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
//! # Public API
//!
//! The public API is what this documentation shows. Other modules are accessible only for the tests of this crate, and
//! change without notice.
//!
//! [Rhai]: https://rhai.rs/book

// Some items exist only for `testing`, or are public only for `internals`.
#![cfg_attr(
    not(all(feature = "internals", feature = "testing")),
    allow(dead_code, unreachable_pub, unused_imports, reason = "see above")
)]

#[cfg(not(unix))]
compile_error!(
    "patchcord runs on Unix (Linux, macOS, BSD): it uses clocks of threads, signals and Unix sockets"
);

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
pub use host::store;
pub use host::{
    AttachError, BadSignature, Functions, Host, HostBuilder, HostLayer, LoadReport, Options,
    ScriptsRejected, Signature,
};
pub use script::{MeterIsSet, set_memory_meter};
pub use value::Secret;
pub use watch::WatchError;
/// Crates whose types appear in the public API, re-exported in the versions that this crate uses.
pub use {axum, rhai, socketioxide};

pub mod server;

#[cfg(feature = "testing")]
pub mod testing;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
