//! How a host serves: what the flags of `patchcord serve` say.

use std::time::Duration;

use socketioxide::{SocketIo, SocketIoBuilder, TransportType};

use super::origin::Origin;
use crate::script::Limits;

/// The crate's own packets, such as pings, may wait beside the events that [`Options::max_backlog_packets`] allows.
const OWN_PACKETS: usize = 1 << 10;
/// More do not fit into the crate's queue. It takes its memory only as it fills.
const MAX_QUEUE: usize = 1 << 30;
/// The crate keeps one such buffer for each WebSocket, for as long as it lives. Our stream reads more at once.
const READ_BUFFER: usize = 1 << 8;

/// A way in which packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// HTTP requests that wait for packets.
    Polling,
    /// A WebSocket.
    Websocket,
}

impl Transport {
    /// Its name in a query.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::Websocket => "websocket",
        }
    }
}

/// What becomes of a connection on which an edit fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum OnRebindFailure {
    /// The edit is rejected, for everyone.
    #[default]
    Reject,
    /// The connection is disconnected, and everyone else gets the new version.
    Disconnect,
}

/// How a host serves. What the flags of `patchcord serve` say is here.
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
    /// The path of the Socket.IO endpoint, without a slash at its end.
    pub path: String,
    /// From one ping to the next.
    pub ping_interval: Duration,
    /// So long a client has to answer a ping.
    pub ping_timeout: Duration,
    /// So long a client has from the handshake to its first CONNECT.
    pub connect_timeout: Duration,
    /// So long an upgrade from polling to WebSocket may take.
    pub upgrade_timeout: Duration,
    /// The most bytes of one message from a client, whatever the transport.
    pub max_payload: usize,
    /// The most bytes that may wait for a client; one that lets more pile up is cut off.
    pub max_backlog: usize,
    /// The same in packets. It should be more than what one call sends to a client.
    pub max_backlog_packets: usize,
    /// So long [`Host::close`](crate::Host::close) waits for the scripts, and for clients to take what was sent to them.
    pub drain_timeout: Duration,
    /// The transports that clients may use.
    pub transports: Vec<Transport>,
    /// Pages of these origins may connect, beside those that the server itself serves.
    pub origins: Vec<Origin>,
    /// So many clients may be connected at once.
    pub max_connections: Option<usize>,
    /// So many proxies stand in front of the server: what the outermost of them says in `X-Forwarded-For` and
    /// `X-Forwarded-Host` is believed. 0 believes nobody.
    pub trust_proxy: usize,
    /// Looks at the files at this interval instead of asking the system for changes.
    pub poll: Option<Duration>,
    /// A script whose file is missing keeps serving for so long, and one that fails with a file that is missing or empty
    /// is reported after it: an editor may be in the middle of saving.
    pub missing_grace: Duration,
    /// What becomes of a live connection on which an edit fails.
    pub on_rebind_failure: OnRebindFailure,
    /// Rolls a version back by itself that fails at places where the one before did not: on five connections, and on
    /// one in twenty, within 30 seconds.
    pub rollback_on_errors: bool,
    /// So many events a second each client may send; a burst of as many may come at once. What is more is refused, and
    /// a client that goes on is cut off.
    pub max_events_per_second: Option<usize>,
    /// The most attachments of one packet from a client, each of up to `max_payload` bytes: by default 16 MB together.
    pub max_attachments: usize,
    /// A handler that throws answers the ack of its event with `{ error: text }`.
    pub ack_errors: bool,
    /// The most instances of one dynamic namespace at a time; beyond it new ones are refused.
    pub max_namespaces: usize,
    /// What a script may use up.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: "/socket.io".to_owned(),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(45),
            upgrade_timeout: Duration::from_secs(10),
            max_payload: 1_000_000,
            max_backlog: 16 << 20,
            max_backlog_packets: 1 << 17,
            drain_timeout: Duration::from_secs(10),
            transports: vec![Transport::Polling, Transport::Websocket],
            origins: Vec::new(),
            max_connections: None,
            trust_proxy: 0,
            poll: None,
            missing_grace: Duration::from_secs(2),
            on_rebind_failure: OnRebindFailure::Reject,
            rollback_on_errors: false,
            max_events_per_second: None,
            max_attachments: 16,
            ack_errors: false,
            max_namespaces: 10_000,
            limits: Limits::default(),
        }
    }
}

impl Options {
    /// A builder of a `SocketIo` with the path, times, payloads and transports of these options, and room for what one
    /// call of a script can send: for [`Host::attach`](crate::Host::attach), with an adapter of the program's choice.
    ///
    /// ```
    /// let (layer, io) = patchcord::Options::default().socket_io().build_layer();
    /// ```
    pub fn socket_io(&self) -> SocketIoBuilder {
        let builder = SocketIo::builder();
        let builder = match self.transports.as_slice() {
            [Transport::Polling] => builder.transports([TransportType::Polling]),
            [Transport::Websocket] => builder.transports([TransportType::Websocket]),
            _ => builder,
        };
        builder
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
