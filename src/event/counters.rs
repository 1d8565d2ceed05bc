//! Counters of what has happened so far: for metrics, and for what is ignored as in Node and would otherwise leave no
//! trace.

use std::sync::atomic::{AtomicU64, Ordering};

use super::HostEvent;

/// Number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub fn add(&self) {
        self.add_many(1);
    }

    /// Adds `count`.
    pub fn add_many(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Returns the number so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $extra:literal])* $name:ident: $meaning:literal,)*) => {
        /// Counters of a host, from its start.
        ///
        /// ```
        /// use patchcord::testing::TestHost;
        ///
        /// let host = TestHost::new("fn on_connection(socket) { }");
        /// host.connect("/")?.emit("nobody listens", ());
        /// assert_eq!(host.counters().events.get(), 1);
        /// assert_eq!(host.counters().unheard.get(), 1);
        /// # Ok::<(), patchcord::testing::Refused>(())
        /// ```
        #[derive(Debug, Default)]
        #[non_exhaustive]
        pub struct Counters {
            $(#[doc = $meaning] #[doc = ""] $(#[doc = $extra])* pub $name: Counter,)*
        }

        impl Counters {
            /// Returns all counters: the name in metrics, the meaning, and the count.
            pub fn all(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), $meaning, self.$name.get())),*]
            }
        }
    };
}

counters! {
    connected: "sockets that entered a namespace",
    left: "sockets that left a namespace",
    events: "events that clients sent",
    /// Ignored, as in Node.
    unheard: "events that nobody listened to",
    /// Ignored, as in Node.
    ignored: "what was sent to sockets that had left",
    /// See [`HostEvent::Lost`].
    lost: "events and packets that did not arrive",
    failed: "calls of scripts that failed",
    slow_consumers: "clients that were cut off because they did not read",
    /// See [`HostEvent::CutOff`].
    cut_off: "clients that were cut off because they went beyond a limit",
    /// See [`HostEvent::Refused`].
    refused: "clients and requests that were not taken",
    /// Counts every request; [`HostEvent::OriginRefused`] is announced once for each origin.
    origins_refused: "requests of pages that may not connect",
    /// Counts every request; [`HostEvent::HostRefused`] is announced once for each host.
    hosts_refused: "requests for a host that is not the server",
    /// See [`HostEvent::NoConnection`].
    no_connection: "times that the system gave no further connection",
    replaced: "versions that replaced one that was serving",
    rejected: "batches of changes that were refused",
    rolled_back: "versions that were rolled back",
    removed: "namespaces whose file was gone",
    unreadable: "times that the scripts could not be read or watched",
}

impl Counters {
    /// Counts an event that is announced.
    pub fn announced(&self, event: &HostEvent) {
        match event {
            HostEvent::Lost { times, .. } => self.lost.add_many(*times),
            HostEvent::HandlerFailed { .. } => self.failed.add(),
            HostEvent::Repeated { times, .. } => self.failed.add_many(*times),
            HostEvent::SlowConsumer { .. } => self.slow_consumers.add(),
            HostEvent::CutOff { .. } => self.cut_off.add(),
            HostEvent::Refused { times, .. } => self.refused.add_many(*times),
            HostEvent::NoConnection { .. } => self.no_connection.add(),
            HostEvent::Replaced { .. } => self.replaced.add(),
            HostEvent::Rejected { .. } => self.rejected.add(),
            HostEvent::RolledBack { .. } => self.rolled_back.add(),
            HostEvent::Removed { .. } => self.removed.add(),
            HostEvent::Unreadable { .. } => self.unreadable.add(),
            // The first request of an origin or a host is announced; all requests are counted where they are rejected.
            HostEvent::OriginRefused { .. } | HostEvent::HostRefused { .. } => {}
            // Nothing was lost or rejected.
            HostEvent::Loaded { .. }
            | HostEvent::Warned { .. }
            | HostEvent::AttachWarning { .. }
            | HostEvent::Log { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diagnostic::Diagnostic,
        event::{Level, Reload, RollBackReason},
    };

    /// Returns an event of the variant behind that of `event`. A variant without a place here does not compile.
    fn next(event: Option<&HostEvent>) -> Option<HostEvent> {
        let diagnostic = || Diagnostic::error("no");
        let text = String::new;
        let name = || "".into();
        Some(match event {
            None => HostEvent::Loaded {
                namespace: name(),
                script: name(),
                version: 1,
                hash: name(),
                files: vec![],
            },
            Some(HostEvent::Loaded { .. }) => HostEvent::Replaced {
                namespace: name(),
                script: name(),
                version: 1,
                hash: name(),
                files: vec![],
                reload: Reload::default(),
            },
            Some(HostEvent::Replaced { .. }) => HostEvent::RolledBack {
                namespace: name(),
                script: name(),
                from: 2,
                version: 1,
                hash: name(),
                files: vec![],
                reason: RollBackReason::Asked,
                reload: Reload::default(),
            },
            Some(HostEvent::RolledBack { .. }) => HostEvent::Rejected {
                scripts: vec![],
                diagnostics: vec![diagnostic()],
            },
            Some(HostEvent::Rejected { .. }) => HostEvent::Warned {
                diagnostics: vec![diagnostic()],
            },
            Some(HostEvent::Warned { .. }) => HostEvent::Removed {
                namespace: name(),
                script: name(),
            },
            Some(HostEvent::Removed { .. }) => HostEvent::Unreadable { problem: text() },
            Some(HostEvent::Unreadable { .. }) => HostEvent::HandlerFailed {
                diagnostic: diagnostic(),
            },
            Some(HostEvent::HandlerFailed { .. }) => HostEvent::Repeated {
                diagnostic: diagnostic(),
                times: 3,
            },
            Some(HostEvent::Repeated { .. }) => HostEvent::Lost {
                namespace: name(),
                socket: None,
                event: text(),
                reason: text(),
                times: 3,
            },
            Some(HostEvent::Lost { .. }) => HostEvent::SlowConsumer {
                peer: None,
                socket: None,
                packets: 7,
                backlog: 7,
            },
            Some(HostEvent::SlowConsumer { .. }) => HostEvent::CutOff {
                peer: None,
                socket: None,
                reason: text(),
            },
            Some(HostEvent::CutOff { .. }) => HostEvent::Refused {
                peer: None,
                reason: text(),
                times: 3,
            },
            Some(HostEvent::Refused { .. }) => HostEvent::NoConnection { problem: text() },
            Some(HostEvent::NoConnection { .. }) => HostEvent::OriginRefused { origin: text() },
            Some(HostEvent::OriginRefused { .. }) => HostEvent::HostRefused { host: text() },
            Some(HostEvent::HostRefused { .. }) => HostEvent::AttachWarning { problem: text() },
            Some(HostEvent::AttachWarning { .. }) => HostEvent::Log {
                level: Level::Error,
                text: text(),
                namespace: name(),
                socket: None,
                script: None,
                line: None,
            },
            Some(HostEvent::Log { .. }) => return None,
        })
    }

    #[test]
    fn every_loss_and_every_refusal_is_counted_and_can_be_written() {
        let mut counted = Vec::new();
        let mut event = next(None);
        while let Some(happened) = event {
            let counters = Counters::default();
            counters.announced(&happened);
            let written = serde_json::to_value(&happened).unwrap();
            let kind = written["type"].as_str().unwrap().to_owned();
            for (name, _, count) in counters.all().iter().filter(|(_, _, count)| *count > 0) {
                counted.push(format!("{kind}: {count} {name}"));
            }
            event = next(Some(&happened));
        }
        assert_eq!(
            counted,
            [
                "replaced: 1 replaced",
                "rolled_back: 1 rolled_back",
                "rejected: 1 rejected",
                "removed: 1 removed",
                "unreadable: 1 unreadable",
                "handler_failed: 1 failed",
                "repeated: 3 failed",
                "lost: 3 lost",
                "slow_consumer: 1 slow_consumers",
                "cut_off: 1 cut_off",
                "refused: 3 refused",
                "no_connection: 1 no_connection",
            ]
        );
    }
}
