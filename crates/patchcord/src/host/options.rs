//! Options of a host, which the flags of `patchcord serve` set.

use std::{path::PathBuf, time::Duration};

use socketioxide::{SocketIo, SocketIoBuilder, TransportType};

use super::{allowed_host::AllowedHost, origin::Origin};
use crate::script::Limits;

/// Maximum number of packets of socketioxide itself, such as pings, that wait in addition to the events that
/// [`Options::max_backlog_packets`] allows.
const OWN_PACKETS: usize = 1 << 10;
/// Maximum number of packets in socketioxide's queue for a client. The queue allocates its memory only as it fills.
const MAX_QUEUE: usize = 1 << 30;
/// Default maximum number of connected clients: this many idle ones use about 250 MB together.
const MAX_CONNECTIONS: usize = 20_000;
/// Minimum of the default for [`Options::max_unconnected`], for servers with a low maximum of connections.
const MIN_UNCONNECTED: usize = 100;
/// Size in bytes of the buffer that socketioxide keeps for each WebSocket, during its whole life. It may be small,
/// because the host's stream reads more at once.
const READ_BUFFER: usize = 1 << 8;
/// Size in bytes of the same buffer for the host's own `SocketIo`, which reads little more than CONNECTs.
const SMALL_READ_BUFFER: usize = 1 << 6;

/// Transport that carries the packets of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// HTTP long polling: requests that wait for packets.
    Polling,
    /// WebSocket.
    Websocket,
}

impl Transport {
    /// Returns the name of the transport in the query of a request: `polling` or `websocket`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::Websocket => "websocket",
        }
    }
}

/// Reaction to an edit whose `on_connection` fails on a live connection, where the version before did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnRebindFailure {
    /// The edit is rejected for all connections, and they keep the version before.
    #[default]
    Reject,
    /// The clients of these connections are disconnected, and all others get the new version.
    Disconnect,
}

/// Options of a host. The flags of `patchcord serve` set them.
///
/// Start from [`Options::default`], and change fields.
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
    /// Path of the Socket.IO endpoint, without a slash at its end. By default `/socket.io`.
    pub path: String,
    /// Interval between two pings of the server. By default 25 seconds.
    pub ping_interval: Duration,
    /// Maximum time for a client to answer a ping; a client that does not answer is disconnected. By default 20
    /// seconds.
    pub ping_timeout: Duration,
    /// Maximum time for a client from the Engine.IO handshake to its first CONNECT, and for the answer of
    /// `on_handshake` to a CONNECT. By default 10 seconds.
    pub connect_timeout: Duration,
    /// Maximum time for an upgrade from polling to WebSocket. By default 10 seconds.
    pub upgrade_timeout: Duration,
    /// Maximum time in which a client accepts no byte of a response or a WebSocket; then its connection is closed. By
    /// default 30 seconds.
    pub write_timeout: Duration,
    /// Maximum size of one message from a client in bytes, by either transport. By default 1,000,000.
    pub max_payload: usize,
    /// Maximum bytes that wait in the send queue of a client; a client with more is disconnected. By default 16 MiB.
    pub max_backlog: usize,
    /// Maximum number of packets that wait in the send queue of a client; a client with more is disconnected. It should
    /// be higher than the number of packets that one script call sends to a client. By default 131,072.
    pub max_backlog_packets: usize,
    /// Maximum memory in bytes of the send queues of all slow clients together. Beyond it, the clients with the longest
    /// queues are disconnected. A broadcast counts once, however many clients it waits for. By default 256 MiB.
    pub max_backlog_total: usize,
    /// Maximum time that [`Host::close`](crate::Host::close) waits for running script calls, and for clients to read
    /// what was sent to them. By default 10 seconds.
    pub drain_timeout: Duration,
    /// Transports that clients may use. By default both.
    pub transports: Vec<Transport>,
    /// Origins whose pages may connect, in addition to the pages that the server itself serves. By default none.
    pub origins: Vec<Origin>,
    /// Names that clients may send in `Host`, in addition to IP addresses, `localhost` and the names below it. A
    /// request with any other name is rejected, on every path. Otherwise the page of another site could point its own
    /// name at this server, and use the server through its visitors (DNS rebinding). `None`, the default, allows every
    /// name; but a [`Server`](crate::server::Server) at a loopback address then accepts only these names and the one
    /// that it listens at.
    pub allowed_hosts: Option<Vec<AllowedHost>>,
    /// Maximum number of clients connected at once, with or without a socket. Further ones are rejected with status
    /// 503. By default 20,000. `None` means unlimited.
    pub max_connections: Option<usize>,
    /// Maximum number of clients of one address connected at once. Further ones are rejected with status 429. By
    /// default 10,000, half of [`Options::max_connections`]. `None` means unlimited.
    ///
    /// In this option and the next ones, the address is the one that [`Options::trust_proxy`] determines. IPv6
    /// addresses count by their first 64 bits. There is no limit for loopback addresses, nor for clients whose address
    /// the host does not know: an app around [`Host::service`](crate::Host::service) needs axum's
    /// `ConnectInfo<SocketAddr>`. Clients behind a proxy that is not trusted share its address, so this limit does not
    /// hold for them: [`HostEvent::UntrustedProxy`](crate::HostEvent::UntrustedProxy) reports the proxy.
    pub max_connections_per_address: Option<usize>,
    /// Maximum number of clients that open a connection per second, all together; a burst of ten times as many may come
    /// at once, because all clients return together when a server restarts. Further ones are rejected with status 429.
    /// A proxy that is not trusted may use half of it. By default 5,000. `None` means unlimited.
    pub max_connects_per_second: Option<usize>,
    /// Maximum number of clients of one address that open a connection per second; a burst of ten times as many may
    /// come at once. Further ones are rejected with status 429. By default 1,000. `None` means unlimited.
    pub max_connects_per_second_per_address: Option<usize>,
    /// Maximum number of clients without a socket: clients that have opened a connection, and whose CONNECT was not
    /// accepted so far. Further ones are rejected with status 503. Clients of one address may use a third of this
    /// limit; further ones are rejected with status 429. `None`, the default, means half of
    /// [`Options::max_connections`], and at least 100.
    pub max_unconnected: Option<usize>,
    /// Number of trusted proxies in front of the server. The host uses what the outermost of them says in
    /// `X-Forwarded-For` and `X-Forwarded-Host`. By default 0: no proxy is trusted.
    pub trust_proxy: usize,
    /// Interval at which the watch polls the files for changes. `None`, the default, means that the operating system
    /// notifies the watch of changes.
    pub poll: Option<Duration>,
    /// Grace period for missing files. A script whose file is missing keeps serving for this time. A script that fails
    /// because one of its files is missing or empty is reported only after this time, because an editor may be in the
    /// middle of a save. By default 2 seconds.
    pub missing_grace: Duration,
    /// Reaction to an edit that fails on a live connection. By default the edit is rejected.
    pub on_rebind_failure: OnRebindFailure,
    /// The host automatically rolls back a version whose handlers fail at places where the version before did not: on
    /// at least five connections, and on at least one in twenty, within 30 seconds. A value that a script throws on
    /// purpose (`throw "too long"`) is an answer, and does not count. The whole batch is rolled back, as by
    /// [`Host::rollback`](crate::Host::rollback). By default `false`.
    pub rollback_on_errors: bool,
    /// Folder in which the host keeps versions with their texts, so that it knows them after a restart: the last 100
    /// batches, and those whose versions serve. A version that was rolled back does not serve after a restart either,
    /// unless its files have changed. Only one host can use the folder at a time. `None`, the default, keeps eight
    /// earlier versions of each script in memory.
    pub history: Option<PathBuf>,
    /// Maximum number of events per second from each client; a burst of the same number may come at once. Pongs, and
    /// acks that no script waits for, count as events. Further events are dropped, and a client that keeps exceeding
    /// the limit is disconnected. `None`, the default, means unlimited.
    pub max_events_per_second: Option<usize>,
    /// Maximum number of binary attachments of one packet from a client, each of up to [`Options::max_payload`] bytes.
    /// By default 16, so 16 MB together.
    pub max_attachments: usize,
    /// A handler that throws answers the ack of its event with `{ error: text }`. By default `false`: the ack gets no
    /// answer.
    pub ack_errors: bool,
    /// Maximum number of instances of one dynamic namespace at a time; clients of further ones are rejected. An
    /// instance without clients is removed to make room for another one. By default 10,000.
    pub max_namespaces: usize,
    /// Maximum number of namespaces that one client may be in at once; CONNECTs to further ones are rejected. A client
    /// that connects and disconnects again and again may send the same number of CONNECTs at once, and then 10 per
    /// second, or a tenth of [`Options::max_events_per_second`] if that is less. By default 32.
    pub max_namespaces_per_client: usize,
    /// Limits of each script call: time, operations, memory and sizes.
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
    /// Returns the maximum number of clients without a socket, with the default filled in.
    pub(super) fn max_unconnected(&self) -> usize {
        let half = self.max_connections.unwrap_or(MAX_CONNECTIONS) / 2;
        self.max_unconnected
            .unwrap_or_else(|| half.max(MIN_UNCONNECTED))
    }

    /// Returns a builder of a `SocketIo` with the path, times, payload limits and transports of these options, and with
    /// queues that hold what one script call can send. It is meant for [`Host::attach`](crate::Host::attach); the
    /// application can set an adapter.
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

    /// Returns the builder of the host's own `SocketIo`, which sees each client as a WebSocket.
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
