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
mod carry;
mod check;
mod compile;
mod constants;
mod handler;
mod known;
mod lines;
mod loader;
mod nesting;
mod sandbox;
mod top_level;
mod version;
mod vocabulary;
mod warm;
mod words;

#[cfg(feature = "cli")]
pub(crate) use budget::is_measured;
pub(crate) use budget::{has_taken_long, measure_by, produce, took_long};
#[doc(hidden)]
pub use call::CallError;
pub(crate) use call::{catch_panic, limit};
pub use carry::Carried;
#[doc(hidden)]
pub use carry::{carry, release};
pub(crate) use compile::module as check_module;
#[doc(hidden)]
pub use handler::Handler;
#[doc(hidden)]
pub use known::Known;
pub(crate) use lines::Lines;
pub use loader::{Folder, LoadError, Loader, Memory};
pub use sandbox::Limits;
#[doc(hidden)]
pub use sandbox::{Globals, engine};
pub(crate) use top_level::{is_running as is_top_level, listen as listen_for_connections};
#[doc(hidden)]
pub use version::{Hook, Rejected, SourceFile, Version, hash};
#[doc(hidden)]
pub use vocabulary::{Callback, TypeOf, Vocabulary};
#[doc(hidden)]
pub use words::Words;
