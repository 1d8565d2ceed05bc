//! The same again and again: announced a few times, and then counted.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::Inner;
use crate::{connection::HostEvent, diagnostic::Diagnostic};

/// So often the same is announced within [`WINDOW`].
const ANNOUNCED: usize = 5;
/// After this time it is announced how often it came.
const WINDOW: Duration = Duration::from_secs(10);
/// So many different things are told apart at a time; further ones are taken for one.
const DIFFERENT: usize = 1_000;
/// See [`DIFFERENT`].
const FURTHER: u64 = 0;

/// What came in the last [`WINDOW`], and how often.
#[derive(Debug, Default)]
pub(super) struct Storms(Mutex<HashMap<u64, usize>>);

impl Inner {
    /// Announces an event, unless the same has been announced often enough.
    pub(super) fn announce_sparingly(&self, event: &HostEvent) {
        let Some(what) = identity(event) else {
            return self.tell(event);
        };
        let (what, times) = self.storms.count(what);
        if times == 1
            && let Some(host) = self.me.upgrade()
        {
            tokio::spawn(host.announce_repeats(what, event.clone()));
        }
        if times <= ANNOUNCED {
            self.tell(event);
        }
    }

    async fn announce_repeats(self: Arc<Self>, what: u64, event: HostEvent) {
        let host = Arc::downgrade(&self);
        drop(self);
        sleep_until(Instant::now() + WINDOW).await;
        let Some(host) = host.upgrade() else {
            return;
        };
        let times = host.storms.forget(what).saturating_sub(ANNOUNCED);
        if times > 0 {
            host.tell(&repeated(event, times));
        }
    }
}

impl Storms {
    /// Once more: what it is taken for, and how often that was then.
    fn count(&self, what: u64) -> (u64, usize) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let what = match what {
            what if counts.len() < DIFFERENT || counts.contains_key(&what) => what,
            _ => FURTHER,
        };
        let times = counts.entry(what).or_default();
        *times += 1;
        (what, *times)
    }

    fn forget(&self, what: u64) -> usize {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.remove(&what).unwrap_or_default()
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
