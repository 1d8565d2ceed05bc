//! The same error again and again: announced a few times, and then counted.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use super::Inner;
use crate::{
    connection::{Driver, HostEvent},
    diagnostic::Diagnostic,
};

/// So often the same error is announced within [`WINDOW`].
const ANNOUNCED: usize = 5;
/// After this time it is announced how often it came.
const WINDOW: Duration = Duration::from_secs(10);
/// So many different errors are told apart at a time; further ones are taken for one.
const DIFFERENT: usize = 1_000;
/// See [`DIFFERENT`].
const FURTHER: u64 = 0;

/// Errors of the last [`WINDOW`], and how often each came.
#[derive(Debug, Default)]
pub(super) struct Storms(Mutex<HashMap<u64, usize>>);

impl Inner {
    /// Announces that a call failed, unless the same has been announced often enough.
    pub(super) fn announce_failure(&self, diagnostic: Diagnostic) {
        let (what, times) = {
            let mut errors = self.storms.0.lock().unwrap_or_else(PoisonError::into_inner);
            let what = match identity(&diagnostic) {
                what if errors.len() < DIFFERENT || errors.contains_key(&what) => what,
                _ => FURTHER,
            };
            let times = errors.entry(what).or_default();
            *times += 1;
            (what, *times)
        };
        if times == 1
            && let Some(host) = self.me.upgrade()
        {
            tokio::spawn(host.announce_repeats(what, diagnostic.clone()));
        }
        if times <= ANNOUNCED {
            self.announce(HostEvent::HandlerFailed { diagnostic });
        }
    }

    async fn announce_repeats(self: Arc<Self>, what: u64, diagnostic: Diagnostic) {
        let host = Arc::downgrade(&self);
        drop(self);
        sleep_until(Instant::now() + WINDOW).await;
        let Some(host) = host.upgrade() else {
            return;
        };
        let mut errors = host.storms.0.lock().unwrap_or_else(PoisonError::into_inner);
        let times = errors.remove(&what).unwrap_or_default();
        drop(errors);
        if let Some(times) = times.checked_sub(ANNOUNCED).filter(|times| *times > 0) {
            host.announce(HostEvent::Repeated { diagnostic, times });
        }
    }
}

/// What makes two errors the same: where they are. What they say, and the event of their call, a client may choose.
fn identity(diagnostic: &Diagnostic) -> u64 {
    let mut hasher = DefaultHasher::new();
    match &diagnostic.place {
        Some(place) => (&place.file, place.line, place.column).hash(&mut hasher),
        None => diagnostic.message.hash(&mut hasher),
    }
    if let Some(origin) = &diagnostic.origin {
        (&origin.namespace, origin.version).hash(&mut hasher);
    }
    hasher.finish()
}
