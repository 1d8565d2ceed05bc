//! Options for clients.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    host::{allowed_host::AllowedHost, origin::Origin},
    script::{InvalidOption, option_value},
};

/// Default maximum number of connected clients: this many idle clients use about 400 MB in total.
const MAX_CONNECTIONS: usize = 20_000;
/// Minimum of the default for [`ClientOptions::max_unconnected`], for servers with a low maximum number of connections.
const MIN_UNCONNECTED: usize = 100;

/// Options for clients: which ones may connect, how many, and how much each of them may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ClientOptions {
    /// Origins whose pages may connect, in addition to the pages that the server itself serves. By default none.
    pub origins: Vec<Origin>,
    /// Names that clients may send in `Host`, in addition to IP addresses, `localhost` and its subdomains. A request
    /// with any other name is rejected, on every path. Otherwise another site could point its own name at this server,
    /// and its pages could use the server through their visitors (DNS rebinding). `None`, the default, allows every
    /// name. With `None`, a [`Server`](crate::server::Server) that listens on a loopback address still accepts only IP
    /// addresses, `localhost` and its subdomains, and the name that it listens on.
    pub allowed_hosts: Option<Vec<AllowedHost>>,
    /// Number of trusted proxies in front of the server. The host uses what the outermost of them has written to
    /// `X-Forwarded-For` and `X-Forwarded-Host`. By default 0: no proxy is trusted.
    pub trust_proxy: usize,
    /// Maximum number of clients connected at once, with or without a socket. Further clients are rejected with status
    /// 503. By default 20,000. `None` means unlimited.
    #[serde(with = "option_value::maximum")]
    pub max_connections: Option<usize>,
    /// Maximum number of clients of one address connected at once. Further clients are rejected with status 429. By
    /// default 10,000, half of [`ClientOptions::max_connections`]. `None` means unlimited.
    ///
    /// In this option and the next ones, the address is the one that [`ClientOptions::trust_proxy`] determines. IPv6
    /// addresses with the same first 64 bits count as one address. There is no limit for loopback addresses, nor for
    /// clients whose address the host does not know. To know it, [`Host::service`](crate::Host::service) needs an app
    /// with axum's `ConnectInfo<SocketAddr>`. Clients behind a proxy that is not trusted share its address, so this
    /// limit does not apply to them: [`HostEvent::UntrustedProxy`](crate::HostEvent::UntrustedProxy) reports the proxy.
    #[serde(with = "option_value::maximum")]
    pub max_connections_per_address: Option<usize>,
    /// Maximum number of clients in total that open a connection per second. A burst of ten times as many may come at
    /// once, because all clients reconnect at the same time when a server restarts. Further clients are rejected with
    /// status 429. A proxy that is not trusted may use half of this limit. By default 5,000. `None` means unlimited.
    #[serde(with = "option_value::maximum")]
    pub max_connects_per_second: Option<usize>,
    /// Maximum number of clients of one address that open a connection per second. A burst of ten times as many may
    /// come at once. Further clients are rejected with status 429. By default 1,000. `None` means unlimited.
    #[serde(with = "option_value::maximum")]
    pub max_connects_per_second_per_address: Option<usize>,
    /// Maximum number of clients without a socket: clients that have opened a connection, but have had no CONNECT
    /// accepted yet. Further clients are rejected with status 503. Clients of one address may use a third of this
    /// limit; further clients of the address are rejected with status 429. `None`, the default, means half of
    /// [`ClientOptions::max_connections`], and at least 100.
    pub max_unconnected: Option<usize>,
    /// Maximum number of instances of one dynamic namespace at a time. Clients that would need another instance are
    /// rejected. An instance without clients is removed to make room for another one. By default 10,000.
    pub max_namespaces: usize,
    /// Maximum number of namespaces that one client may be in at once; CONNECTs to further namespaces are rejected. A
    /// client that repeatedly connects and disconnects may send the same number of CONNECTs at once, and then 10 per
    /// second, or a tenth of [`ClientOptions::max_events_per_second`] if that is less. By default 32.
    pub max_namespaces_per_client: usize,
    /// Maximum number of events per second from each client; a burst of the same number may come at once. Pongs, and
    /// acks that no script waits for, count as events. Further events are dropped, and a client that keeps exceeding
    /// the limit is disconnected. `None`, the default, means unlimited.
    #[serde(with = "option_value::maximum")]
    pub max_events_per_second: Option<usize>,
    /// Time for which a key of `socket.present` stays present after its last socket has disconnected. If the client
    /// comes back within this time, neither `on_absent` nor `on_present` is called. By default 5 seconds; zero is
    /// possible.
    #[serde(with = "option_value::time")]
    pub presence_grace: Duration,
    /// `true` answers the ack of an event whose handler throws with `{ error: text }`. By default `false`: the ack gets
    /// no answer.
    pub ack_errors: bool,
    /// Time for which a client whose connection broke may come back and continue: with the same `socket.id`, rooms,
    /// `socket.data` and variables of its handlers, and with the events that it has missed. `None`, the default, turns
    /// this off. At most [`ClientOptions::max_connections`] connections are kept, or 20,000 if that is unlimited; the
    /// oldest are given up first. Only for [`Host::service`](crate::Host::service).
    #[serde(with = "option_value::optional_time")]
    pub recovery: Option<Duration>,
    /// Maximum memory in bytes of the events that are kept for clients that come back, in all namespaces together.
    /// Beyond it, the oldest events of the namespace with the most bytes are given up; a client that has missed one of
    /// them begins anew. By default 64 MiB.
    pub recovery_log: usize,
    /// `true` also runs `on_handshake` for a client that comes back. By default `false`, as in Node.
    pub recovery_handshake: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            origins: Vec::new(),
            allowed_hosts: None,
            trust_proxy: 0,
            max_connections: Some(MAX_CONNECTIONS),
            max_connections_per_address: Some(MAX_CONNECTIONS / 2),
            max_connects_per_second: Some(5_000),
            max_connects_per_second_per_address: Some(1_000),
            max_unconnected: None,
            max_namespaces: 10_000,
            max_namespaces_per_client: 32,
            max_events_per_second: None,
            presence_grace: Duration::from_secs(5),
            ack_errors: false,
            recovery: None,
            recovery_log: 64 << 20,
            recovery_handshake: false,
        }
    }
}

impl ClientOptions {
    /// Returns the maximum number of connections that are kept for clients that may come back.
    pub(in crate::host) fn max_kept(&self) -> usize {
        self.max_connections.unwrap_or(MAX_CONNECTIONS)
    }

    /// Returns the maximum number of clients without a socket, with the default filled in.
    pub(in crate::host) fn max_unconnected(&self) -> usize {
        let half = self.max_connections.unwrap_or(MAX_CONNECTIONS) / 2;
        self.max_unconnected
            .unwrap_or_else(|| half.max(MIN_UNCONNECTED))
    }

    pub(super) fn validate(&self) -> Result<(), InvalidOption> {
        if let Some(time) = self.recovery {
            InvalidOption::check_times(&[("clients.recovery", time)])?;
        }
        let maxima = [
            ("clients.max_connections", self.max_connections),
            (
                "clients.max_connections_per_address",
                self.max_connections_per_address,
            ),
            (
                "clients.max_connects_per_second",
                self.max_connects_per_second,
            ),
            (
                "clients.max_connects_per_second_per_address",
                self.max_connects_per_second_per_address,
            ),
            ("clients.max_unconnected", self.max_unconnected),
            ("clients.max_namespaces", Some(self.max_namespaces)),
            (
                "clients.max_namespaces_per_client",
                Some(self.max_namespaces_per_client),
            ),
            ("clients.max_events_per_second", self.max_events_per_second),
            ("clients.recovery_log", Some(self.recovery_log)),
        ];
        let set = maxima.map(|(name, maximum)| (name, maximum.unwrap_or(usize::MAX)));
        InvalidOption::check_longest("clients.presence_grace", self.presence_grace)?;
        InvalidOption::check_numbers(&set)
    }
}
