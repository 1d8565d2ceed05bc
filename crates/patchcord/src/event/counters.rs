//! Counters of a host: for metrics, and for cases that the host ignores, as Node does, and that would otherwise leave
//! no trace.

use super::{Counter, HostEvent, RefusedConnects};

/// Name and description of the counter that has one count per reason.
const REFUSED_CONNECTS: (&str, &str) = (
    "connects_refused",
    "clients that were not let into a namespace",
);

macro_rules! counters {
    ($($(#[doc = $extra:literal])* $name:ident: $meaning:literal,)*) => {
        /// Counters of a host since it was built.
        ///
        /// ```
        /// use patchcord::testing::TestHost;
        ///
        /// let host = TestHost::new("fn on_connection(socket) { }");
        /// host.connect("/")?.emit("nobody listens", ());
        /// assert_eq!(host.counters().events_received.get(), 1);
        /// assert_eq!(host.counters().events_unhandled.get(), 1);
        /// # Ok::<(), patchcord::testing::Refused>(())
        /// ```
        #[derive(Debug, Default)]
        #[non_exhaustive]
        pub struct Counters {
            $(#[doc = $meaning] #[doc = ""] $(#[doc = $extra])* pub $name: Counter,)*
            /// clients that were not let into a namespace
            ///
            /// See [`HostEvent::ConnectRefused`].
            pub connects_refused: RefusedConnects,
        }

        impl Counters {
            /// Returns the name in metrics, the description and the count of each counter.
            pub fn all(&self) -> Vec<(&'static str, &'static str, u64)> {
                let mut all = vec![$((stringify!($name), $meaning, self.$name.get())),*];
                let (name, meaning) = REFUSED_CONNECTS;
                all.push((name, meaning, self.connects_refused.get()));
                all
            }
        }
    };
}

counters! {
    sockets_connected: "sockets that entered a namespace",
    sockets_disconnected: "sockets that left a namespace",
    events_received: "events that clients sent",
    /// Ignored by the host, as in Node.
    events_unhandled: "events that nobody listened to",
    /// See [`HostEvent::Unanswered`].
    events_unanswered: "events whose ack no listener called",
    /// Ignored by the host, as in Node.
    sends_after_disconnect: "sends to sockets that had disconnected",
    /// See [`HostEvent::EventDropped`].
    events_dropped: "events and packets that were dropped",
    handler_failures: "script calls that failed",
    slow_consumers: "clients that were disconnected because they did not read",
    /// See [`HostEvent::ClientDisconnected`].
    clients_disconnected: "clients that were disconnected because they exceeded a limit, or their `on_connection` failed",
    /// See [`HostEvent::RequestRejected`].
    requests_rejected: "clients and requests that were rejected",
    /// `requests_rejected` also includes everything that this counter and the following ones count, up to
    /// `over_max_tcp_connections_per_address`.
    over_max_connections: "clients that were rejected at `max-connections`",
    over_max_connections_per_address: "clients that were rejected at `max-connections-per-address`",
    over_max_connects_per_second: "clients that were rejected at `max-connects-per-second`",
    over_max_connects_per_second_per_address: "clients that were rejected at `max-connects-per-second-per-address`",
    over_max_unconnected: "clients that were rejected at `max-unconnected`, or at the third of it for one address",
    requests_too_long: "requests whose path and query, or whose head, were too long",
    over_max_tcp_connections: "TCP connections that were rejected at `max-tcp-connections`",
    over_max_tcp_connections_per_address: "TCP connections that were rejected at `max-tcp-connections-per-address`",
    /// See [`HostEvent::ResponseUnread`].
    responses_unread: "connections that were closed because the client did not read a response",
    /// See [`HostEvent::HeadersLeftOut`].
    headers_left_out: "clients with headers that are too long for scripts",
    /// Counts every request; [`HostEvent::OriginRefused`] is announced once for each origin.
    origins_refused: "requests from pages that may not connect",
    /// Counts every request; [`HostEvent::HostRefused`] is announced once for each host.
    hosts_refused: "requests for a host that is not the server",
    /// Each element of a batch counts.
    api_operations: "operations that backends asked for by the HTTP API, and that were done",
    /// Each element of a batch counts.
    api_operations_failed: "operations that backends asked for by the HTTP API, and that failed",
    /// `requests_rejected` also includes those that this counter counts.
    api_requests_refused: "requests to the HTTP API without a known key, beyond the scopes of their key, or beyond its rate",
    /// See [`HostEvent::AcceptFailed`].
    accept_errors: "failures to accept a connection",
    versions_replaced: "versions that replaced one that was serving",
    batches_rejected: "batches of changes that were rejected",
    versions_rolled_back: "versions that were rolled back",
    versions_staged: "times that versions were staged for some clients",
    versions_promoted: "times that staged versions began to serve all clients",
    stages_abandoned: "times that a stage was abandoned",
    namespaces_removed: "namespaces whose file was removed",
    /// See [`HostEvent::ServiceFailed`].
    service_calls: "calls of services by scripts, such as `http::get`",
    /// See [`HostEvent::ServiceFailed`].
    service_failures: "calls of services that failed",
    /// All changes of a save count as one.
    store_writes: "times that changes of `io.data` were saved",
    /// See [`HostEvent::StoreFailed`].
    store_failures: "failures of the store of `io.data`",
    /// See [`Host::script_metrics`](crate::Host::script_metrics).
    metrics_dropped: "changes of metrics of scripts that were dropped at the limit of series",
    script_read_errors: "times that the scripts could not be read or watched",
}

impl Counters {
    /// Returns the counts of a counter by reason; the reasons are labels in metrics. Returns `None` for a counter
    /// without reasons.
    pub fn reasons(&self, name: &str) -> Option<Vec<(&'static str, u64)>> {
        (name == REFUSED_CONNECTS.0).then(|| self.connects_refused.all())
    }

    /// Counts an announced event.
    pub fn announced(&self, event: &HostEvent) {
        self.count(event, 1);
    }

    fn count(&self, event: &HostEvent, times: usize) {
        match event {
            HostEvent::EventDropped { count: lost, .. } => {
                self.events_dropped.add_many(times * lost);
            }
            HostEvent::HandlerFailed { .. } => self.handler_failures.add_many(times),
            HostEvent::Unanswered { .. } => self.events_unanswered.add_many(times),
            HostEvent::HandlerFailuresSuppressed { count: failed, .. } => {
                self.handler_failures.add_many(times * failed);
            }
            HostEvent::SlowConsumer { .. } => self.slow_consumers.add_many(times),
            HostEvent::ClientDisconnected { .. } => self.clients_disconnected.add_many(times),
            HostEvent::RequestRejected { count: refused, .. } => {
                self.requests_rejected.add_many(times * refused);
            }
            HostEvent::ConnectRefused { kind, .. } => {
                self.connects_refused.by(*kind).add_many(times);
            }
            HostEvent::Suppressed {
                event,
                count: suppressed,
            } => self.count(event, times * suppressed),
            HostEvent::HeadersLeftOut {
                count: left_out, ..
            } => {
                self.headers_left_out.add_many(times * left_out);
            }
            HostEvent::ResponseUnread { count: unread, .. } => {
                self.responses_unread.add_many(times * unread);
            }
            HostEvent::AcceptFailed { .. } => self.accept_errors.add_many(times),
            HostEvent::Replaced { .. } => self.versions_replaced.add_many(times),
            HostEvent::Rejected { .. } => self.batches_rejected.add_many(times),
            HostEvent::RolledBack { .. } => self.versions_rolled_back.add_many(times),
            HostEvent::Staged { .. } => self.versions_staged.add_many(times),
            HostEvent::Promoted { .. } => self.versions_promoted.add_many(times),
            HostEvent::Abandoned { .. } => self.stages_abandoned.add_many(times),
            HostEvent::Removed { .. } => self.namespaces_removed.add_many(times),
            HostEvent::ServiceFailed { .. } => self.service_failures.add_many(times),
            HostEvent::StoreFailed { .. } => self.store_failures.add_many(times),
            HostEvent::ScriptsUnreadable { .. } => self.script_read_errors.add_many(times),
            // Only the first request from an origin, or for a host, is announced. The code that rejects the requests
            // counts all of them.
            HostEvent::OriginRefused { .. } | HostEvent::HostRefused { .. } => {}
            // Nothing was lost or rejected.
            HostEvent::Loaded { .. }
            | HostEvent::Unheard { .. }
            | HostEvent::Missing { .. }
            | HostEvent::Returned { .. }
            | HostEvent::Moved { .. }
            | HostEvent::Ignored { .. }
            | HostEvent::KeptByRollback { .. }
            | HostEvent::Unchanged { .. }
            | HostEvent::Paused { .. }
            | HostEvent::Resumed
            | HostEvent::StoreRecovered { .. }
            | HostEvent::WaitsForStage { .. }
            | HostEvent::HistoryFailed { .. }
            | HostEvent::Warnings { .. }
            | HostEvent::AttachWarning { .. }
            | HostEvent::BundleMissing { .. }
            | HostEvent::UntrustedProxy { .. }
            | HostEvent::Log { .. } => {}
        }
    }
}
