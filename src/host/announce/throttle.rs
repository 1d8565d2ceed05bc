//! The same again and again: announced a few times, and then counted.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use parking_lot::Mutex;

use crate::{diagnostic::Diagnostic, event::HostEvent};

/// So often the same is announced within [`WINDOW`].
const ANNOUNCED: usize = 5;
/// After this time it is announced how often it came.
pub(super) const WINDOW: Duration = Duration::from_secs(10);
/// So many different things are told apart at a time; further ones are taken for one.
const DIFFERENT: usize = 1_000;
/// See [`DIFFERENT`].
const FURTHER: u64 = 0;

/// What came in the last [`WINDOW`], and how often.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<HashMap<u64, usize>>);

/// What becomes of an event.
pub(super) struct Admitted {
    /// It is told now; otherwise it is counted.
    pub(super) is_told: bool,
    /// The window that begins with it: after [`WINDOW`] its end is to be asked for.
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

    /// Ends the window that began with `event`: what stands for those that were counted and not told, if there were any.
    pub(super) fn end(&self, key: u64, event: HostEvent) -> Option<HostEvent> {
        let times = self.0.lock().remove(&key).unwrap_or_default();
        let more = times.saturating_sub(ANNOUNCED);
        (more > 0).then(|| repeated(event, more))
    }
}

/// What stands for so many more of an event.
fn repeated(event: HostEvent, more: usize) -> HostEvent {
    let mut event = match event {
        HostEvent::HandlerFailed { diagnostic } => HostEvent::Repeated {
            diagnostic,
            times: more,
        },
        event => event,
    };
    if let HostEvent::Lost { times, .. } | HostEvent::Refused { times, .. } = &mut event {
        *times = more;
    }
    event
}

/// What makes two events the same, for those that a client or a script can cause without end.
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
        _ => return None,
    }
    Some(hasher.finish())
}

/// Where an error is. What it says, and the event of its call, a client may choose.
fn failure(diagnostic: &Diagnostic, hasher: &mut DefaultHasher) {
    match &diagnostic.place {
        Some(place) => (&place.file, place.line, place.column).hash(hasher),
        None => diagnostic.message.hash(hasher),
    }
    if let Some(origin) = &diagnostic.origin {
        (&origin.namespace, origin.version).hash(hasher);
    }
}

/// A reason without its details, which may come from a client.
fn kind(reason: &str) -> &str {
    reason.split(':').next().unwrap_or_default()
}
