//! Options of a host: the flags of `patchcord serve` set them.

use std::{path::PathBuf, time::Duration};

use socketioxide::{SocketIo, SocketIoBuilder, TransportType};

use super::{allowed_host::AllowedHost, origin::Origin};
use crate::script::Limits;

/// Maximum packets of socketioxide itself, such as pings, that wait beside the events that
/// [`Options::max_backlog_packets`] allows.
const OWN_PACKETS: usize = 1 << 10;
/// Maximum packets that fit into socketioxide's queue. The queue allocates its memory only as it fills.
const MAX_QUEUE: usize = 1 << 30;
/// Default maximum of connected clients: idle ones take about 250 MB together.
const MAX_CONNECTIONS: usize = 20_000;
/// Minimum of clients without a socket by default, for servers of few connections.
const MIN_UNCONNECTED: usize = 100;
/// Size in bytes of the buffer that socketioxide keeps for each WebSocket, as long as the WebSocket lives. The host's
/// stream reads more at once.
const READ_BUFFER: usize = 1 << 8;
/// The same for the host's own `SocketIo`, which reads little more than CONNECTs.
const SMALL_READ_BUFFER: usize = 1 << 6;

/// Transport that carries the packets of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// HTTP requests that wait for packets.
    Polling,
    /// A WebSocket.
    Websocket,
}

impl Transport {
    /// Returns the name of the transport in a query.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::Websocket => "websocket",
        }
    }
}

/// Reaction to an edit that fails on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnRebindFailure {
    /// The edit is rejected for all connections.
    #[default]
    Reject,
    /// The connection is disconnected, and all others get the new version.
    Disconnect,
}

/// Options of a host. The flags of `patchcord serve` set them.
///
/// ```
/// use patchcord::Options;
/// use patchcord::host::{OnRebindFailure, Transport};
///
/// let mut options = Options::default();
/// options.origins = vec!["https://example.com".parse()?];
/// options.transports = vec![Transport::Websocket];
/// options.on_rebind_failure = OnRebindFailure::Disconnect;
/// let host = patchcord::Host::builder().options(options).build();
/// # Ok::<(), patchcord::host::BadOrigin>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Path of the Socket.IO endpoint, without a slash at its end.
    pub path: String,
    /// Interval between two pings.
    pub ping_interval: Duration,
    /// Time limit for a client to answer a ping.
    pub ping_timeout: Duration,
    /// Time limit for a client from the handshake to its first CONNECT, and for the answer of `on_handshake` to a
    /// CONNECT.
    pub connect_timeout: Duration,
    /// Time limit for an upgrade from polling to WebSocket.
    pub upgrade_timeout: Duration,
    /// Maximum time in which a client takes nothing of what the server writes to it, of a response or over a WebSocket;
    /// the connection is closed then.
    pub write_timeout: Duration,
    /// Maximum size of one message from a client in bytes, whatever the transport.
    pub max_payload: usize,
    /// Maximum bytes that wait for a client; a client that lets more pile up is disconnected.
    pub max_backlog: usize,
    /// Maximum packets that wait for a client; a client that lets more pile up is disconnected. It should be more than
    /// one call sends to a client.
    pub max_backlog_packets: usize,
    /// Maximum memory in bytes of all that waits for clients that do not take it, together; beyond it, the clients for
    /// which most waits are disconnected. A broadcast counts once, however many clients it waits for.
    pub max_backlog_total: usize,
    /// Maximum time that [`Host::close`](crate::Host::close) waits for the scripts, and for clients to take what was
    /// sent to them.
    pub drain_timeout: Duration,
    /// The transports that clients may use.
    pub transports: Vec<Transport>,
    /// Origins whose pages may connect, beside the pages that the server itself serves.
    pub origins: Vec<Origin>,
    /// Names by which clients may ask for the server, beside addresses, `localhost` and the names below it: a request
    /// for any other `Host` is rejected, on every path. This keeps pages of other sites from using the server through
    /// their visitors by pointing their own name at it. `None` allows every name, but a
    /// [`Server`](crate::server::Server) at a loopback address then answers to no names but these.
    pub allowed_hosts: Option<Vec<AllowedHost>>,
    /// Maximum number of clients connected at once, with or without a socket. Further ones are rejected with status 503.
    /// By default 20,000. `None` means unlimited.
    pub max_connections: Option<usize>,
    /// Maximum number of clients of one address connected at once. Further ones are rejected with status 429. By default
    /// 10,000, half of [`Options::max_connections`]. `None` means unlimited.
    ///
    /// For this and the next options, the address is the one that [`Options::trust_proxy`] determines. IPv6 addresses
    /// count by their first 64 bits. Loopback addresses have no limit, and no client has one whose address the host does
    /// not know: an app around [`Host::service`](crate::Host::service) needs axum's `ConnectInfo<SocketAddr>`. Clients
    /// behind a proxy that is not trusted share its address, so this limit does not hold for them:
    /// [`HostEvent::UntrustedProxy`](crate::HostEvent::UntrustedProxy) reports the proxy.
    pub max_connections_per_address: Option<usize>,
    /// Maximum number of clients that open a connection per second, all together; a burst of ten times as many may come
    /// at once, because all clients return together when a server restarts. Further ones are rejected with status 429. A
    /// proxy that is not trusted may use half of it. By default 5,000. `None` means unlimited.
    pub max_connects_per_second: Option<usize>,
    /// Maximum number of clients of one address that open a connection per second; a burst of ten times as many may come
    /// at once. Further ones are rejected with status 429. By default 1,000. `None` means unlimited.
    pub max_connects_per_second_per_address: Option<usize>,
    /// Maximum number of clients without a socket: they have opened a connection, and no CONNECT of theirs was accepted
    /// so far. Further ones are rejected with status 503. Clients of one address may be a third of them; further ones are
    /// rejected with status 429. `None` means half of [`Options::max_connections`], and at least 100.
    pub max_unconnected: Option<usize>,
    /// Number of proxies in front of the server. The host believes what the outermost of them says in `X-Forwarded-For`
    /// and `X-Forwarded-Host`. With 0 it trusts no proxy.
    pub trust_proxy: usize,
    /// Interval at which the host looks at the files. `None` means that it asks the system for changes instead.
    pub poll: Option<Duration>,
    /// Grace period for missing files. A script whose file is missing keeps serving for this time. A script that fails
    /// with a file that is missing or empty is reported after this time, because an editor may be in the middle of
    /// saving.
    pub missing_grace: Duration,
    /// Reaction to an edit that fails on a live connection.
    pub on_rebind_failure: OnRebindFailure,
    /// Automatic rollback of a version that fails at places where the one before did not: on at least five connections,
    /// and on at least one in twenty, within 30 seconds. What a script throws on purpose (`throw "too long"`) is an
    /// answer, and does not count. The whole batch is rolled back, as by [`Host::rollback`](crate::Host::rollback).
    pub rollback_on_errors: bool,
    /// Folder in which versions are kept with their texts, so that they are known after a restart: the last 100 batches,
    /// and those whose versions serve. A version that was rolled back does not serve after a restart either, unless its
    /// files have changed. One host has the folder at a time. `None` keeps eight versions of each script in memory.
    pub history: Option<PathBuf>,
    /// Maximum events per second from each client; a burst of as many may come at once. Pongs, and acks that nobody
    /// waits for, count as events. Further events are dropped, and a client that keeps exceeding the limit is
    /// disconnected. `None` means unlimited.
    pub max_events_per_second: Option<usize>,
    /// Maximum attachments of one packet from a client, each of up to `max_payload` bytes: by default 16 MB together.
    pub max_attachments: usize,
    /// Error answers: a handler that throws answers the ack of its event with `{ error: text }`.
    pub ack_errors: bool,
    /// Maximum instances of one dynamic namespace at a time; further ones are rejected. An instance that every client has
    /// left makes room for another one.
    pub max_namespaces: usize,
    /// Maximum namespaces that one client may be in; CONNECTs to further ones are rejected. A client that connects and
    /// disconnects again and again has as many CONNECTs at once and then 10 per second, or a tenth of
    /// [`Options::max_events_per_second`] if that is less.
    pub max_namespaces_per_client: usize,
    /// Limits of a script.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: "/socket.io".to_owned(),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(10),
            upgrade_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            max_payload: 1_000_000,
            max_backlog: 16 << 20,
            max_backlog_packets: 1 << 17,
            max_backlog_total: 256 << 20,
            drain_timeout: Duration::from_secs(10),
            transports: vec![Transport::Polling, Transport::Websocket],
            origins: Vec::new(),
            allowed_hosts: None,
            max_connections: Some(MAX_CONNECTIONS),
            max_connections_per_address: Some(MAX_CONNECTIONS / 2),
            max_connects_per_second: Some(5_000),
            max_connects_per_second_per_address: Some(1_000),
            max_unconnected: None,
            trust_proxy: 0,
            poll: None,
            missing_grace: Duration::from_secs(2),
            on_rebind_failure: OnRebindFailure::Reject,
            rollback_on_errors: false,
            history: None,
            max_events_per_second: None,
            max_attachments: 16,
            ack_errors: false,
            max_namespaces: 10_000,
            max_namespaces_per_client: 32,
            limits: Limits::default(),
        }
    }
}

impl Options {
    /// Returns the maximum number of clients without a socket.
    pub(super) fn max_unconnected(&self) -> usize {
        let half = self.max_connections.unwrap_or(MAX_CONNECTIONS) / 2;
        self.max_unconnected
            .unwrap_or_else(|| half.max(MIN_UNCONNECTED))
    }

    /// Returns a builder of a `SocketIo` with the path, times, payload limits and transports of these options, and with
    /// room for what one script call can send. It is meant for [`Host::attach`](crate::Host::attach), with an adapter
    /// that the application chooses.
    ///
    /// ```
    /// let (layer, io) = patchcord::Options::default().socket_io().build_layer();
    /// ```
    pub fn socket_io(&self) -> SocketIoBuilder {
        let builder = self.any_socket_io();
        match self.transports.as_slice() {
            [Transport::Polling] => builder.transports([TransportType::Polling]),
            [Transport::Websocket] => builder.transports([TransportType::Websocket]),
            _ => builder,
        }
    }

    /// Returns the builder of the host's own `SocketIo`, for which each client is a WebSocket.
    pub(super) fn socket_io_of_host(&self) -> SocketIoBuilder {
        self.any_socket_io()
            .transports([TransportType::Websocket])
            .ws_read_buffer_size(SMALL_READ_BUFFER)
    }

    fn any_socket_io(&self) -> SocketIoBuilder {
        SocketIo::builder()
            .req_path(self.path.clone())
            .ping_interval(self.ping_interval)
            .ping_timeout(self.ping_timeout)
            .connect_timeout(self.connect_timeout)
            .upgrade_timeout(self.upgrade_timeout)
            .max_payload(self.max_payload as u64)
            .ws_max_message_size(self.max_payload)
            .ws_max_frame_size(self.max_payload)
            .ws_read_buffer_size(READ_BUFFER)
            .max_buffer_size(self.max_backlog_packets.min(MAX_QUEUE) + OWN_PACKETS)
    }
}
