//! Source text to something callable: Rhai without Socket.IO.
//!
//! In: text from a [`Loader`]. Out: a [`Version`], one compiled and immutable state of a script, or the
//! [`Diagnostic`](crate::diagnostic::Diagnostic)s that say why there is none; and [`Handler`]s, the closures and
//! functions that a version's code hands to the host.
//!
//! What must stay true: a version never changes; a handler is always called in the state it was made in; no call
//! passes its [`Limits`] or ends the process.

mod bounded;
mod budget;
mod call;
mod call_cache;
mod captures;
mod check;
mod compile;
mod constants;
mod engine;
mod handler;
mod hook;
mod limits;
mod loader;
mod meter;
mod nesting;
mod reference;
mod repl;
mod sandbox;
mod source;
mod state_transfer;
mod symbols;
mod top_level;
mod version;
mod vocabulary;

pub(crate) use budget::{has_taken_long, produce, took_long};
#[doc(hidden)]
pub use call::CallError;
pub(crate) use call::{catch_panic, limit};
pub(crate) use compile::module as check_module;
#[doc(hidden)]
pub use engine::EngineBuilder;
#[doc(hidden)]
pub use handler::Handler;
#[doc(hidden)]
pub use hook::Hook;
pub use limits::Limits;
pub use loader::{Folder, LoadError, Loader, Memory};
#[cfg(feature = "cli")]
pub(crate) use meter::is_measured;
pub(crate) use meter::measure_by;
#[doc(hidden)]
pub use reference::Words;
pub(crate) use repl::Lines;
#[doc(hidden)]
pub use sandbox::Globals;
#[doc(hidden)]
pub use source::{Rejected, SourceFile, hash};
pub use state_transfer::Carried;
#[doc(hidden)]
pub use state_transfer::{carry, release};
#[doc(hidden)]
pub use symbols::Known;
pub(crate) use top_level::{is_running as is_top_level, listen as listen_for_connections};
#[doc(hidden)]
pub use version::Version;
#[doc(hidden)]
pub use vocabulary::{Callback, TypeOf, Vocabulary};
