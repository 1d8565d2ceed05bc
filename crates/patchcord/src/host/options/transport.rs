//! Options of the transports.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::script::{InvalidOption, option_value};

/// Transport that carries the packets of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

/// Options of the transports: the path, heartbeats, timeouts, and the limits of messages and send queues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct TransportOptions {
    /// Path of the Socket.IO endpoint, without a trailing slash. By default `/socket.io`.
    pub path: String,
    /// Transports that clients may use. By default both.
    pub transports: Vec<Transport>,
    /// Interval between two pings of the server. By default 25 seconds.
    #[serde(with = "option_value::time")]
    pub ping_interval: Duration,
    /// Maximum time for a client to answer a ping; a client that does not answer is disconnected. By default 20
    /// seconds.
    #[serde(with = "option_value::time")]
    pub ping_timeout: Duration,
    /// Maximum time for a client from the Engine.IO handshake to its first CONNECT, and for the answer of
    /// `on_handshake` to a CONNECT. By default 10 seconds.
    #[serde(with = "option_value::time")]
    pub connect_timeout: Duration,
    /// Maximum time for an upgrade from polling to WebSocket. By default 10 seconds.
    #[serde(with = "option_value::time")]
    pub upgrade_timeout: Duration,
    /// Maximum time for which a client may accept no byte of a response or a WebSocket. After that, its connection is
    /// closed. By default 30 seconds.
    #[serde(with = "option_value::time")]
    pub write_timeout: Duration,
    /// Maximum time that [`Host::close`](crate::Host::close) waits for running script calls, and for clients to read
    /// what was sent to them. By default 10 seconds.
    #[serde(with = "option_value::time")]
    pub drain_timeout: Duration,
    /// Time over which [`Host::close`](crate::Host::close) spreads the disconnects of clients, so that not all of them
    /// connect to another server at once. By default 0: all at once.
    #[serde(with = "option_value::time")]
    pub drain_spread: Duration,
    /// Maximum size of one message from a client in bytes, by either transport. By default 1,000,000.
    pub max_payload: usize,
    /// Maximum number of binary attachments of one packet from a client, each of up to
    /// [`TransportOptions::max_payload`] bytes. By default 16, so 16 MB together.
    pub max_attachments: usize,
    /// Maximum number of bytes that wait in the send queue of a client; a client with more is disconnected. By default
    /// 16 MiB.
    pub max_backlog: usize,
    /// Maximum number of packets that wait in the send queue of a client; a client with more is disconnected. It should
    /// be higher than the number of packets that one script call sends to a client. By default 131,072.
    pub max_backlog_packets: usize,
    /// Maximum memory in bytes of the send queues of all slow clients together. Beyond it, the clients with the longest
    /// queues are disconnected. A broadcast counts once, however many clients it waits for. By default 256 MiB.
    pub max_backlog_total: usize,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self {
            path: "/socket.io".to_owned(),
            transports: vec![Transport::Polling, Transport::Websocket],
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(10),
            upgrade_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            drain_spread: Duration::ZERO,
            max_payload: 1_000_000,
            max_attachments: 16,
            max_backlog: 16 << 20,
            max_backlog_packets: 1 << 17,
            max_backlog_total: 256 << 20,
        }
    }
}

impl TransportOptions {
    pub(super) fn validate(&self) -> Result<(), InvalidOption> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
        let path = self.path.as_str();
        if !path.starts_with('/')
            || path.ends_with('/')
            || path.contains("//")
            || !path.chars().all(is_plain)
        {
            let reason = "expected a path such as `/socket.io`";
            return Err(InvalidOption::new("transport.path", reason));
        }
        if self.transports.is_empty() {
            let reason = "expected `polling`, `websocket` or both";
            return Err(InvalidOption::new("transport.transports", reason));
        }
        InvalidOption::check_times(&[
            ("transport.ping_interval", self.ping_interval),
            ("transport.ping_timeout", self.ping_timeout),
            ("transport.connect_timeout", self.connect_timeout),
            ("transport.upgrade_timeout", self.upgrade_timeout),
            ("transport.write_timeout", self.write_timeout),
        ])?;
        InvalidOption::check_longest("transport.drain_timeout", self.drain_timeout)?;
        InvalidOption::check_longest("transport.drain_spread", self.drain_spread)?;
        InvalidOption::check_numbers(&[
            ("transport.max_payload", self.max_payload),
            ("transport.max_backlog", self.max_backlog),
            ("transport.max_backlog_packets", self.max_backlog_packets),
            ("transport.max_backlog_total", self.max_backlog_total),
        ])
    }
}
