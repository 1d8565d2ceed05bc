//! Turns source text into callable code: Rhai without Socket.IO.
//!
//! In: text from a [`Loader`]. Out: a [`Version`], one compiled and immutable state of a script, or the
//! [`Diagnostic`](crate::diagnostic::Diagnostic)s that explain why there is none; and [`Handler`]s, the closures and
//! functions that a version's code passes to the host.
//!
//! Two versions are compared by their code, not by their text: each has a table of its closures (`places`), `align`
//! pairs two tables, and `swap` replaces live closures with their counterparts.
//!
//! Invariants: the text of a version never changes; a handler is called in the newest version that its connection has
//! adopted, even if the handler keeps an older text; no call exceeds its [`Limits`] or ends the process.

mod align;
mod bounded;
mod budget;
mod call;
mod call_cache;
mod captures;
mod changes;
mod check;
mod code;
mod compile;
mod constants;
mod copies;
mod cron;
mod engine;
mod folder;
mod handler;
mod hook;
mod last_use;
mod library;
mod limits;
mod load_error;
mod loader;
mod merge;
mod meter;
mod modules;
mod names;
mod nesting;
pub(crate) mod option_value;
mod packed;
mod places;
mod program;
mod reach;
mod reference;
mod repl;
mod sandbox;
mod shown;
mod source;
mod stale;
mod state_transfer;
mod swap;
mod symbols;
mod text;
mod timer;
mod tokens;
mod top_level;
mod transition;
mod values;
mod version;
mod vocabulary;

#[doc(hidden)]
pub use align::{Alignment, align};
pub(crate) use budget::{cheap_seconds, has_taken_long, produce, took_long};
#[doc(hidden)]
pub use call::CallError;
pub(crate) use call::{
    call_position, catch_panic, limit, misuse, origin, place_of_call, placed, running,
    with_position,
};
pub use changes::{ChangeKind, CodeChange};
pub(crate) use changes::{changes, events, renamed_variables};
#[doc(hidden)]
pub use code::Code;
pub(crate) use compile::module as check_module;
#[doc(hidden)]
pub use copies::Copies;
#[doc(hidden)]
pub use cron::Cron;
#[doc(hidden)]
pub use engine::EngineBuilder;
pub use folder::Folder;
#[doc(hidden)]
pub use handler::Handler;
#[doc(hidden)]
pub use hook::Hook;
#[cfg(any(feature = "http", feature = "jwt"))]
pub(crate) use library::parse_json;
pub(crate) use library::{NoSum, shape_problem, sum};
pub use limits::Limits;
pub use load_error::LoadError;
pub use loader::{Changes, Ignored, Loader, Memory};
pub(crate) use merge::{Merged, is_same_value, merge};
#[doc(hidden)]
pub use meter::{MeterIsSet, is_measured, set_memory_meter};
#[doc(hidden)]
pub(crate) use nesting::result_excess;
pub use option_value::InvalidOption;
#[doc(hidden)]
pub use option_value::Time;
#[doc(hidden)]
pub use packed::{Packer, Unpacker, replace_lost};
pub use places::{Function, Places, Row};
#[doc(hidden)]
pub use reach::{Reach, runs::Run};
#[doc(hidden)]
pub use reference::ApiReference;
pub use reference::Page;
pub(crate) use repl::ReplSession;
#[doc(hidden)]
pub use sandbox::Globals;
#[doc(hidden)]
pub use shown::{Spot, place, shown};
#[doc(hidden)]
pub use source::{Rejected, SourceFile, hash, reset_comments};
pub use stale::Stale;
#[doc(hidden)]
pub use stale::{in_value as stale_in_value, of as stale};
#[doc(hidden)]
pub use state_transfer::{
    CarriedState, Initial, Outcome, captured, each_captured, release, release_lost,
    reset::{Captured, compare, reset},
    transfer_state,
};
#[doc(hidden)]
pub use swap::{Handles, Rewritten, Swap, Swapped, Use};
pub(crate) use symbols::nearest;
#[doc(hidden)]
pub use symbols::{ArgumentCheck, SymbolTable};
pub(crate) use text::accept as accept_text;
#[doc(hidden)]
pub use timer::TimerHandle;
pub(crate) use top_level::{is_running as is_top_level, listen as listen_for_connections};
#[doc(hidden)]
pub use transition::CallMap;
#[doc(hidden)]
pub use version::Version;
#[doc(hidden)]
pub use vocabulary::{Callback, TypeOf, Vocabulary};
