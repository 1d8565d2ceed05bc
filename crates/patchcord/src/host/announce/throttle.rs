//! Throttle of repeated events: the first few are announced, the rest are only counted.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;

use crate::event::HostEvent;

/// Maximum number of announcements of the same event within [`WINDOW`].
const MAX_ANNOUNCED: usize = 5;
/// Length of a window of the throttle. At its end, the number of further events is announced.
pub(super) const WINDOW: Duration = Duration::from_secs(10);
/// Maximum number of distinct events that are tracked at a time; all others share one entry.
const MAX_TRACKED: usize = 1_000;
/// Key of the entry that all events beyond [`MAX_TRACKED`] share.
const OVERFLOW_KEY: u64 = 0;

/// Number of times that each event has happened in its window, by the key of the event.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<HashMap<u64, usize>>);

/// Decision of the throttle on an event.
pub(super) struct Admitted {
    /// `true` if the event is announced now; `false` if it is only counted.
    pub(super) is_announced: bool,
    /// Key of the window that begins with the event. The caller ends the window after [`WINDOW`] with
    /// [`Throttle::end`].
    pub(super) begins: Option<u64>,
}

impl Throttle {
    pub(super) fn admit(&self, event: &HostEvent) -> Admitted {
        let Some(key) = event.throttle_key() else {
            return Admitted {
                is_announced: true,
                begins: None,
            };
        };
        let mut counts = self.0.lock();
        let key = match key {
            key if counts.len() < MAX_TRACKED || counts.contains_key(&key) => key,
            _ => OVERFLOW_KEY,
        };
        let times = counts.entry(key).or_default();
        *times += 1;
        Admitted {
            is_announced: *times <= MAX_ANNOUNCED,
            begins: (*times == 1).then_some(key),
        }
    }

    /// Ends the window that began with `event`. Returns one event that stands for all suppressed events, if there were
    /// any.
    pub(super) fn end(&self, key: u64, event: HostEvent) -> Option<HostEvent> {
        let times = self.0.lock().remove(&key).unwrap_or_default();
        let more = times.saturating_sub(MAX_ANNOUNCED);
        (more > 0).then(|| repeated(event, more))
    }
}

/// Returns one event that stands for `more` further ones.
fn repeated(mut event: HostEvent, more: usize) -> HostEvent {
    match event {
        HostEvent::HandlerFailed { diagnostic } => HostEvent::HandlerFailuresSuppressed {
            diagnostic,
            count: more,
        },
        HostEvent::EventDropped {
            count: ref mut times,
            ..
        }
        | HostEvent::RequestRejected {
            count: ref mut times,
            ..
        }
        | HostEvent::HeadersLeftOut {
            count: ref mut times,
            ..
        }
        | HostEvent::ResponseUnread {
            count: ref mut times,
            ..
        } => {
            *times = more;
            event
        }
        event => HostEvent::Suppressed {
            event: Box::new(event),
            count: more,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{ConnectRefusal, samples::every};

    fn told(events: impl Iterator<Item = HostEvent>) -> usize {
        let throttle = Throttle::default();
        events
            .filter(|event| throttle.admit(event).is_announced)
            .count()
    }

    #[test]
    fn a_client_that_comes_again_and_again_as_somebody_else_is_the_same_event() {
        let socket = |n: usize| Some(format!("socket{n}"));
        let address = |n: usize| Some(([127, 0, 0, 1], n as u16).into());
        type Make<'a> = &'a dyn Fn(usize) -> HostEvent;
        let kinds: [Make<'_>; 7] = [
            &|n| HostEvent::SlowConsumer {
                peer: address(n),
                socket: socket(n),
                queued_packets: n,
                queued_bytes: n,
            },
            &|n| HostEvent::ClientDisconnected {
                peer: address(n),
                socket: socket(n),
                reason: format!("a packet with {n} attachments or more"),
            },
            &|n| HostEvent::RequestRejected {
                peer: address(n),
                reason: format!("no: {n}"),
                count: 1,
            },
            &|n| HostEvent::EventDropped {
                namespace: format!("/room/{n}").into(),
                socket: socket(n),
                event: format!("event {n}"),
                reason: format!("the packet cannot be read: {n}"),
                count: 1,
            },
            &|n| HostEvent::OriginRefused {
                origin: format!("https://{n}.example"),
            },
            &|n| {
                let kind = ConnectRefusal::InvalidNamespace;
                HostEvent::connect_refused(&format!("/{n}"), None, kind)
            },
            &|n| HostEvent::ConnectRefused {
                namespace: format!("/room/{n}"),
                address: None,
                socket: socket(n),
                kind: ConnectRefusal::Handshake,
                reason: format!("the token {n} is not known"),
            },
        ];
        for kind in kinds {
            assert_eq!(told((1..200).map(kind)), MAX_ANNOUNCED, "{:?}", kind(1));
        }
        assert_eq!(
            told((1..200).flat_map(|n| kinds.map(|kind| kind(n)))),
            7 * MAX_ANNOUNCED
        );
    }

    #[test]
    fn every_event_that_stands_for_others_says_for_how_many() {
        for event in every("x") {
            match repeated(event, 45) {
                HostEvent::HandlerFailuresSuppressed { count: times, .. }
                | HostEvent::EventDropped { count: times, .. }
                | HostEvent::RequestRejected { count: times, .. }
                | HostEvent::HeadersLeftOut { count: times, .. }
                | HostEvent::ResponseUnread { count: times, .. }
                | HostEvent::Suppressed { count: times, .. } => assert_eq!(times, 45),
                other => panic!("{other:?}"),
            }
        }
    }
}
