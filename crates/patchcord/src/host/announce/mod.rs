//! Announces what happens in a host.
//!
//! In: a [`HostEvent`] from anywhere in the host. Out: the counters, and the listeners and subscribers of the
//! application or, if there are none, [`tracing`](mod@self::tracing). A repeated event is announced a few times, and
//! then only counted.

pub(super) mod once;
mod throttle;
mod tracing;
mod unheard;

use std::{
    cell::RefCell,
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
};

use tokio::{
    sync::broadcast,
    time::{Instant, sleep_until},
};

use self::{
    once::Once,
    throttle::{Throttle, WINDOW},
    unheard::{Sent, Unheard},
};
use crate::{
    event::{Counters, HostEvent},
    script::{self, Version},
};

thread_local! {
    /// Events of the load that runs on this thread.
    static RECORDED: RefCell<Option<Vec<HostEvent>>> = const { RefCell::new(None) };
}

/// Runs a load. Returns its result, and the events that it has announced on this thread, without the logs of scripts.
pub(in crate::host) fn record<T>(load: impl FnOnce() -> T) -> (T, Vec<HostEvent>) {
    /// Guard that ends the recording, even after a panic, because the thread does other work later.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            RECORDED.set(None);
        }
    }
    RECORDED.set(Some(Vec::new()));
    let _end = End;
    let result = load();
    (result, RECORDED.take().unwrap_or_default())
}

/// Maximum number of events that wait for a subscriber.
const MAX_QUEUED: usize = 1024;

/// Listener of the application, which receives every event that is announced.
pub(super) type Listener = Box<dyn Fn(&HostEvent) + Send + Sync>;

/// Announcer of events: counts them, and passes them to all listeners.
#[derive(Default)]
pub(crate) struct Announcer {
    listeners: Vec<Listener>,
    /// Sender to the receivers of [`Announcer::subscribe`]; empty before the first subscription.
    subscribers: OnceLock<broadcast::Sender<Arc<HostEvent>>>,
    counters: Counters,
    throttle: Throttle,
    unheard: Unheard,
    /// Events that were announced because no listener answered their ack.
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

    /// Returns a receiver of all events that are announced from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<Arc<HostEvent>> {
        let subscribers = self
            .subscribers
            .get_or_init(|| broadcast::Sender::new(MAX_QUEUED));
        subscribers.subscribe()
    }

    /// Counts an event, and announces it unless the throttle suppresses it.
    pub(crate) fn announce(self: &Arc<Self>, event: HostEvent) {
        self.counters.announced(&event);
        RECORDED.with_borrow_mut(|recorded| match recorded {
            Some(recorded) if !matches!(event, HostEvent::Log { .. }) => {
                recorded.push(event.clone());
            }
            _ => {}
        });
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

    /// Waits until a window of the throttle ends, and announces how many of its events were suppressed.
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

    /// Records the events that a version listens to (`heard`), and those that it no longer listens to (`silent`).
    pub(in crate::host) fn edited(
        &self,
        script: &Arc<str>,
        version: u64,
        heard: &BTreeSet<String>,
        silent: BTreeSet<String>,
    ) {
        self.unheard.edited(script, version, heard, silent);
    }

    /// Counts a client that has sent an event without a listener. The event is not announced if the code of the version
    /// has a listener for it, because that listener may be added later, or only for other clients.
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

    /// Waits until the window ends, and announces the number of clients that have sent the event in it.
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
        let subscribers = self.subscribers.get();
        if self.listeners.is_empty() && subscribers.is_none() {
            tracing::trace(event);
        }
        if let Some(subscribers) = subscribers {
            // The send fails only if no receiver exists any more.
            let _ = subscribers.send(Arc::new(event.clone()));
        }
        for listener in &self.listeners {
            // A listener that panics must not leave a connection half-connected.
            let _ = catch_unwind(AssertUnwindSafe(|| listener(event)));
        }
    }
}
