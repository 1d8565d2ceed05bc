//! Description of a listener as data.

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
    /// Name of its event; `on_any`, `on_any_outgoing` or `use` for a listener of all events.
    pub event: String,
    /// `true` if it is called only once.
    pub once: bool,
    /// File of its code.
    pub file: Arc<str>,
    /// Line at which its code begins.
    pub line: usize,
    /// Number of the version of its code.
    pub version: u64,
    /// Reason why its code is older than the version of the connection; `None` if it is not.
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
