//! Throttles repeated events: the first few are announced, the rest are only counted.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use parking_lot::Mutex;

use crate::{diagnostic::Diagnostic, event::HostEvent};

/// Maximum announcements of the same event within [`WINDOW`].
const ANNOUNCED: usize = 5;
/// Window of the throttle; at its end the number of further events is announced.
pub(super) const WINDOW: Duration = Duration::from_secs(10);
/// Maximum distinct events tracked at a time; all others share one entry.
const DIFFERENT: usize = 1_000;
/// Key of the entry that all events beyond [`DIFFERENT`] share.
const FURTHER: u64 = 0;

/// Events of the last [`WINDOW`], with the number of times that each came.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<HashMap<u64, usize>>);

/// Decision on an event.
pub(super) struct Admitted {
    /// The event is announced now; otherwise it is only counted.
    pub(super) is_told: bool,
    /// Key of the window that begins with the event; the caller ends this window after [`WINDOW`].
    pub(super) begins: Option<u64>,
}

impl Throttle {
    pub(super) fn admit(&self, event: &HostEvent) -> Admitted {
        let Some(key) = identity(event) else {
            return Admitted {
                is_told: true,
                begins: None,
            };
        };
        let mut counts = self.0.lock();
        let key = match key {
            key if counts.len() < DIFFERENT || counts.contains_key(&key) => key,
            _ => FURTHER,
        };
        let times = counts.entry(key).or_default();
        *times += 1;
        Admitted {
            is_told: *times <= ANNOUNCED,
            begins: (*times == 1).then_some(key),
        }
    }

    /// Ends the window that began with `event`. Returns one event that stands for all that were counted and not
    /// announced, if there were any.
    pub(super) fn end(&self, key: u64, event: HostEvent) -> Option<HostEvent> {
        let times = self.0.lock().remove(&key).unwrap_or_default();
        let more = times.saturating_sub(ANNOUNCED);
        (more > 0).then(|| repeated(event, more))
    }
}

/// Returns one event that stands for `more` further ones.
fn repeated(event: HostEvent, more: usize) -> HostEvent {
    let mut event = match event {
        HostEvent::HandlerFailed { diagnostic } => HostEvent::Repeated {
            diagnostic,
            times: more,
        },
        event => event,
    };
    if let HostEvent::Lost { times, .. }
    | HostEvent::Refused { times, .. }
    | HostEvent::HeadersLeftOut { times, .. }
    | HostEvent::ResponseUnread { times, .. } = &mut event
    {
        *times = more;
    }
    event
}

/// Returns a key that equal events share. Only events that a client or a script can cause without end have a key.
fn identity(event: &HostEvent) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    match event {
        HostEvent::HandlerFailed { diagnostic } => failure(diagnostic, &mut hasher),
        HostEvent::Lost {
            namespace,
            socket,
            reason,
            ..
        } => (namespace, socket, kind(reason)).hash(&mut hasher),
        HostEvent::Refused { reason, .. } => kind(reason).hash(&mut hasher),
        HostEvent::HeadersLeftOut { .. } | HostEvent::ResponseUnread { .. } => {
            std::mem::discriminant(event).hash(&mut hasher);
        }
        _ => return None,
    }
    Some(hasher.finish())
}

/// Hashes the place of an error, and not its message or the event of its call, because a client may choose these.
/// Without a place, the message is all there is.
fn failure(diagnostic: &Diagnostic, hasher: &mut DefaultHasher) {
    match &diagnostic.place {
        Some(place) => (&place.file, place.line, place.column).hash(hasher),
        None => diagnostic.message.hash(hasher),
    }
    if let Some(origin) = &diagnostic.origin {
        (&origin.namespace, origin.version).hash(hasher);
    }
}

/// Returns a reason without its details, which may come from a client.
fn kind(reason: &str) -> &str {
    reason.split(':').next().unwrap_or_default()
}
