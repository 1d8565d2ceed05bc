//! Listeners as data.

use std::sync::Arc;

use serde::Serialize;

use super::is_global;
use crate::{
    connection::{ANY, Listening, MIDDLEWARE, OUTGOING},
    script::{self, Stale},
};

/// Listener of a connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct ListenerInfo {
    /// Its event; `on_any`, `on_any_outgoing` or `use` for a listener of any event.
    pub event: String,
    /// It is called once.
    pub once: bool,
    /// File of its code.
    pub file: Arc<str>,
    /// Line at which its code begins.
    pub line: usize,
    /// Version that the code is of.
    pub version: u64,
    /// Reason for which it has the code of an older version than the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale: Option<Stale>,
}

impl ListenerInfo {
    pub(super) fn new(listening: &Listening) -> Self {
        let handler = &listening.handler;
        let (file, line) = script::place(handler);
        let event = match &*listening.event {
            ANY => "on_any",
            OUTGOING => "on_any_outgoing",
            MIDDLEWARE => "use",
            event => event,
        };
        Self {
            event: event.to_owned(),
            once: listening.once,
            file,
            line,
            version: handler.code().number(),
            stale: script::stale(handler, &is_global),
        }
    }
}
