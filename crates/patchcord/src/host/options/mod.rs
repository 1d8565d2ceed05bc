//! Options of a host, which the flags of `patchcord serve` set.

mod clients;
mod data;
mod databases;
#[cfg_attr(
    not(feature = "http"),
    allow(dead_code, reason = "for HTTP requests of scripts")
)]
mod net_rule;
mod permissions;
#[cfg(feature = "sql")]
mod postgres_url;
mod reload;
mod transport;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use socketioxide::{SocketIo, SocketIoBuilder, TransportType};

#[cfg(feature = "sql")]
pub(super) use self::databases::Location;
#[cfg(feature = "http")]
pub(super) use self::net_rule::Destination;
#[cfg(feature = "sql")]
pub(super) use self::postgres_url::{Encryption, EncryptionMode, PostgresServer};
pub use self::{
    clients::ClientOptions,
    data::DataOptions,
    databases::{BadDatabaseUrl, DatabaseOptions, DatabaseUrl},
    net_rule::{BadNetRule, NetRule},
    permissions::{BadEnvRule, EnvRule, PermissionOptions},
    reload::{OnRebindFailure, ReloadOptions},
    transport::{Transport, TransportOptions},
};
use crate::script::{InvalidOption, Limits};

/// Maximum number of packets of socketioxide itself, such as pings, that wait in addition to the events that
/// [`TransportOptions::max_backlog_packets`] allows.
const OWN_PACKETS: usize = 1 << 10;
/// Maximum number of packets in socketioxide's queue for a client. The queue allocates its memory only as it fills.
const MAX_QUEUE: usize = 1 << 30;
/// Size in bytes of the buffer that socketioxide keeps for each WebSocket as long as the WebSocket is open. It may be
/// small, because the host's stream reads more at once.
const READ_BUFFER: usize = 1 << 8;
/// Time by which socketioxide waits longer for a CONNECT than the host for `on_handshake`, so that a client whose
/// handshake takes too long receives the reason.
const CONNECT_GRACE: Duration = Duration::from_millis(500);
/// Size in bytes of the same buffer for the host's own `SocketIo`, which reads little more than CONNECTs.
const SMALL_READ_BUFFER: usize = 1 << 6;

/// Options of a host, in seven groups. The flags of `patchcord serve` set them.
///
/// Start from [`Options::default`], and change fields.
///
/// ```
/// use patchcord::{Host, Options, host::{OnRebindFailure, Transport}};
///
/// let mut options = Options::default();
/// options.transport.transports = vec![Transport::Websocket];
/// options.clients.origins = vec!["https://example.com".parse()?];
/// options.reload.on_rebind_failure = OnRebindFailure::Disconnect;
/// let host = Host::builder().options(options).build();
/// # Ok::<(), patchcord::host::BadOrigin>(())
/// ```
///
/// Alternatively, read them from the configuration of the application with serde, and validate them. Names have
/// hyphens, like the flags. Times have a unit. `"none"` means that there is no maximum. Options that are left out have
/// their defaults:
///
/// ```
/// use patchcord::Options;
///
/// let text = r#"{
///     "transport": { "path": "/ws", "ping-interval": "10s" },
///     "clients": { "max-connections": "none", "origins": ["https://example.com"] },
///     "limits": { "time": "20ms" }
/// }"#;
/// let options: Options = serde_json::from_str(text)?;
/// options.validate()?;
/// assert_eq!(options.clients.max_connections, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Options {
    /// Options of the transports.
    pub transport: TransportOptions,
    /// Options for clients.
    pub clients: ClientOptions,
    /// Options for reloads.
    pub reload: ReloadOptions,
    /// Permissions: what scripts may reach beyond their clients.
    pub permissions: PermissionOptions,
    /// Databases that scripts may use.
    pub databases: DatabaseOptions,
    /// Options of the store that keeps `io.data` over a restart.
    pub data: DataOptions,
    /// Limits of each script call: time, operations, memory and sizes.
    pub limits: Limits,
}

impl Options {
    /// Checks the values of all options. [`HostBuilder::build`](crate::HostBuilder::build) makes the same check, but
    /// panics. An application that reads its options from a configuration should therefore call this method first.
    ///
    /// ```
    /// let mut options = patchcord::Options::default();
    /// options.transport.path = "socket.io".to_owned();
    /// let error = options.validate().unwrap_err();
    /// assert_eq!(error.to_string(), "option `transport.path`: expected a path such as `/socket.io`");
    /// ```
    ///
    /// # Errors
    /// Returns the first option that has an invalid value.
    pub fn validate(&self) -> Result<(), InvalidOption> {
        self.transport.validate()?;
        self.clients.validate()?;
        self.reload.validate()?;
        self.permissions.validate()?;
        self.databases.validate()?;
        self.data.validate()?;
        self.limits.validate()
    }

    /// Returns a builder of a `SocketIo` with the path, times, payload limits and transports of these options, and with
    /// queues that can hold everything that one script call can send. It is meant for
    /// [`Host::attach`](crate::Host::attach); the application can set an adapter.
    ///
    /// ```
    /// let (layer, io) = patchcord::Options::default().socket_io().build_layer();
    /// ```
    pub fn socket_io(&self) -> SocketIoBuilder {
        let builder = self.any_socket_io();
        match self.transport.transports.as_slice() {
            [Transport::Polling] => builder.transports([TransportType::Polling]),
            [Transport::Websocket] => builder.transports([TransportType::Websocket]),
            _ => builder,
        }
    }

    /// Returns the builder of the host's own `SocketIo`, which sees each client as a WebSocket.
    pub(super) fn socket_io_of_host(&self) -> SocketIoBuilder {
        self.any_socket_io()
            .transports([TransportType::Websocket])
            .connect_timeout(self.transport.connect_timeout + CONNECT_GRACE)
            .ws_read_buffer_size(SMALL_READ_BUFFER)
    }

    fn any_socket_io(&self) -> SocketIoBuilder {
        SocketIo::builder()
            .req_path(self.transport.path.clone())
            .ping_interval(self.transport.ping_interval)
            .ping_timeout(self.transport.ping_timeout)
            .connect_timeout(self.transport.connect_timeout)
            .upgrade_timeout(self.transport.upgrade_timeout)
            .max_payload(self.transport.max_payload as u64)
            .ws_max_message_size(self.transport.max_payload)
            .ws_max_frame_size(self.transport.max_payload)
            .ws_read_buffer_size(READ_BUFFER)
            .max_buffer_size(self.transport.max_backlog_packets.min(MAX_QUEUE) + OWN_PACKETS)
    }
}
