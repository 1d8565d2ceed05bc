//! Properties of all events: level, name, and the key by which repeated events are throttled.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{HostEvent, Level};
use crate::diagnostic::Diagnostic;

impl HostEvent {
    /// Returns the severity, as in a log: an error requires action, a warning may require it.
    ///
    /// ```
    /// use patchcord::{Level, testing::TestHost};
    ///
    /// let mut host = TestHost::new("fn on_connection(socket) { }");
    /// host.edit("main.rhai", "fn on_connection(socket) { socket.emti(); }");
    /// assert_eq!(host.events().pop().unwrap().level(), Level::Error);
    /// ```
    pub fn level(&self) -> Level {
        match self {
            Self::Log { level, .. } => *level,
            Self::Suppressed { event, .. } => event.level(),
            Self::Rejected { .. }
            | Self::HandlerFailed { .. }
            | Self::HandlerFailuresSuppressed { .. }
            | Self::ScriptsUnreadable { .. }
            | Self::AcceptFailed { .. } => Level::Error,
            Self::RolledBack { .. }
            | Self::KeptByRollback { .. }
            | Self::Abandoned { .. }
            | Self::HistoryFailed { .. }
            | Self::Warnings { .. }
            | Self::Removed { .. }
            | Self::Missing { .. }
            | Self::Moved { .. }
            | Self::Ignored { .. }
            | Self::Unheard { .. }
            | Self::Unanswered { .. }
            | Self::EventDropped { .. }
            | Self::SlowConsumer { .. }
            | Self::ClientDisconnected { .. }
            | Self::RequestRejected { .. }
            | Self::HeadersLeftOut { .. }
            | Self::ResponseUnread { .. }
            | Self::BundleMissing { .. }
            | Self::UntrustedProxy { .. }
            | Self::ConnectRefused { .. }
            | Self::ServiceFailed { .. }
            | Self::StoreFailed { .. }
            | Self::OriginRefused { .. }
            | Self::HostRefused { .. }
            | Self::AttachWarning { .. } => Level::Warn,
            Self::Loaded { .. }
            | Self::Replaced { .. }
            | Self::Staged { .. }
            | Self::Promoted { .. }
            | Self::WaitsForStage { .. }
            | Self::Unchanged { .. }
            | Self::Paused { .. }
            | Self::Resumed
            | Self::StoreRecovered { .. }
            | Self::Returned { .. } => Level::Info,
        }
    }

    /// Returns the name of the event, which is the `type` of its JSON, such as `handler_failed`.
    ///
    /// ```
    /// assert_eq!(patchcord::HostEvent::Resumed.kind(), "resumed");
    /// ```
    pub fn kind(&self) -> &'static str {
        self.into()
    }

    /// Returns the key that all events of one kind share. Only events that a client or a script can cause without limit
    /// have a key. The key contains nothing that a client can vary, such as the id of a socket that connects
    /// repeatedly.
    pub(crate) fn throttle_key(&self) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        std::mem::discriminant(self).hash(&mut hasher);
        match self {
            Self::HandlerFailed { diagnostic } => failure(diagnostic, &mut hasher),
            Self::EventDropped { reason, .. }
            | Self::RequestRejected { reason, .. }
            | Self::ClientDisconnected { reason, .. } => without_details(reason).hash(&mut hasher),
            Self::ConnectRefused { kind, .. } => kind.hash(&mut hasher),
            Self::ServiceFailed {
                service, target, ..
            } => (service, target).hash(&mut hasher),
            Self::StoreFailed { namespace, .. } => namespace.hash(&mut hasher),
            Self::SlowConsumer { .. }
            | Self::OriginRefused { .. }
            | Self::HeadersLeftOut { .. }
            | Self::ResponseUnread { .. } => {}
            _ => return None,
        }
        Some(hasher.finish())
    }
}

/// Hashes the place of an error. The message, and the event or namespace of its call, are not hashed, because a client
/// may choose them. Only an error without a place is identified by its message.
fn failure(diagnostic: &Diagnostic, hasher: &mut DefaultHasher) {
    match &diagnostic.place {
        Some(place) => (&place.file, place.line, place.column).hash(hasher),
        None => diagnostic.message.hash(hasher),
    }
    if let Some(origin) = &diagnostic.origin {
        origin.version.hash(hasher);
    }
}

/// Returns a reason without the details that may come from a client: numbers, and everything after a colon.
fn without_details(reason: &str) -> String {
    let kind = reason.split(':').next().unwrap_or_default();
    kind.chars().filter(|c| !c.is_numeric()).collect()
}
