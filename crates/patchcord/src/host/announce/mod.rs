//! Announces what happens in a host.
//!
//! In: a [`HostEvent`] from anywhere in the host. Out: the counters, and the listeners of the application or, if there
//! are none, [`tracing`](mod@self::tracing). A repeated event is announced a few times, and then only counted.

pub(super) mod once;
mod throttle;
mod tracing;
mod unheard;

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tokio::time::{Instant, sleep_until};

use self::{
    once::Once,
    throttle::{Throttle, WINDOW},
    unheard::{Sent, Unheard},
};
use crate::{
    event::{Counters, HostEvent},
    script::{self, Version},
};

/// Listener of the application; receives every event that is announced.
pub(super) type Listener = Box<dyn Fn(&HostEvent) + Send + Sync>;

/// Counts events, and announces them to all listeners.
#[derive(Default)]
pub(crate) struct Announcer {
    listeners: Vec<Listener>,
    counters: Counters,
    throttle: Throttle,
    unheard: Unheard,
    /// Events whose ack no listener has answered.
    unanswered: Once,
}

impl std::fmt::Debug for Announcer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Announcer")
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

impl Announcer {
    pub(super) fn new(listeners: Vec<Listener>) -> Arc<Self> {
        Arc::new(Self {
            listeners,
            ..Self::default()
        })
    }

    pub(crate) const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Counts an event, and announces it unless the same event was announced often enough.
    pub(crate) fn announce(self: &Arc<Self>, event: HostEvent) {
        self.counters.announced(&event);
        if let HostEvent::Unanswered { script, event, .. } = &event
            && !self.unanswered.is_new(&format!("{script} {event}"))
        {
            return;
        }
        let admitted = self.throttle.admit(&event);
        if admitted.is_announced {
            self.notify(&event);
        }
        if let Some(key) = admitted.begins {
            tokio::spawn(self.clone().announce_repeats(key, event));
        }
    }

    /// Waits until a window of the throttle ends, and announces how many of its events were counted and not announced.
    async fn announce_repeats(self: Arc<Self>, key: u64, event: HostEvent) {
        let announcer = Arc::downgrade(&self);
        drop(self);
        sleep_until(Instant::now() + WINDOW).await;
        if let Some(announcer) = announcer.upgrade()
            && let Some(repeats) = announcer.throttle.end(key, event)
        {
            announcer.notify(&repeats);
        }
    }

    /// Notes which events a version listens to, and which ones it listens to no more.
    pub(in crate::host) fn edited(
        &self,
        script: &Arc<str>,
        version: u64,
        heard: &BTreeSet<String>,
        silent: BTreeSet<String>,
    ) {
        self.unheard.edited(script, version, heard, silent);
    }

    /// Counts a client that has sent an event to which nobody listens. An event that the version has a listener for is
    /// not announced: the listener is added later, or to other clients.
    pub(in crate::host) fn unheard(
        self: &Arc<Self>,
        version: &Version,
        namespace: &Arc<str>,
        event: &str,
        socket: &Arc<str>,
    ) {
        let Some(sent) = self.unheard.sent(version.entry(), event, socket) else {
            return;
        };
        let heard = script::events(version);
        let happened = |since| HostEvent::Unheard {
            namespace: namespace.clone(),
            script: version.entry().clone(),
            event: event.to_owned(),
            since,
            similar: script::nearest(event, heard.iter().map(String::as_str)).map(str::to_owned),
            clients: 1,
        };
        match sent {
            Sent::Since(version) => {
                tokio::spawn(self.clone().announce_unheard(happened(Some(version))));
            }
            Sent::Unknown if !heard.contains(event) => self.announce(happened(None)),
            Sent::Unknown => {}
        }
    }

    /// Waits until the window ends, and announces how many clients have sent the event in it.
    async fn announce_unheard(self: Arc<Self>, mut happened: HostEvent) {
        let announcer = Arc::downgrade(&self);
        drop(self);
        sleep_until(Instant::now() + WINDOW).await;
        if let Some(announcer) = announcer.upgrade()
            && let HostEvent::Unheard {
                script,
                event,
                since: Some(version),
                clients,
                ..
            } = &mut happened
            && let Some(counted) = announcer.unheard.end(script, event, *version)
        {
            *clients = counted;
            announcer.announce(happened);
        }
    }

    fn notify(&self, event: &HostEvent) {
        if self.listeners.is_empty() {
            tracing::trace(event);
        }
        for listener in &self.listeners {
            // A listener that panics must not leave a connection half connected.
            let _ = catch_unwind(AssertUnwindSafe(|| listener(event)));
        }
    }
}
