//! Reports the guarantees of the host that do not hold on a `SocketIo` of the application, when a host is attached to
//! it.

use socketioxide::{SocketIoConfig, TransportType};

use crate::host::options::Options;

/// Minimum of `max_buffer_size`, in packets: the number that one script call may send to a client, with the default
/// limits.
const MIN_PACKETS: usize = 10_000;

/// Reason why a host cannot be attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The host already serves: [`Host::service`](crate::Host::service) or [`Host::attach`](crate::Host::attach) was
    /// called before.
    #[error("the host serves already; a host has one server")]
    ServesAlready,
    /// The `SocketIo` has a parser other than Socket.IO's common one.
    #[error("scripts need the common parser of Socket.IO, and this `SocketIo` has another one")]
    OtherParser,
}

/// Returns `true` if the parser is not the common one. Only the `Debug` text of the configuration shows the parser. If
/// it no longer does, the first event still reveals the parser.
pub(in crate::host) fn has_other_parser(config: &SocketIoConfig) -> bool {
    let config = format!("{config:?}");
    config.contains("parser: ") && !config.contains("parser: Common")
}

/// Returns a warning for each guarantee that does not hold on a `SocketIo` with this configuration.
pub(in crate::host) fn warnings(config: &SocketIoConfig, options: &Options) -> Vec<String> {
    let engine = &config.engine_config;
    let mut warnings = Vec::new();
    if engine.allowed_transport(TransportType::Polling) {
        warnings.push(
            "on a `SocketIo` of the application, `socket.id` is the session id of Engine.IO: whoever learns the id of a \
             client that polls can act as that client; give clients ids of your own, or allow WebSockets only"
                .to_owned(),
        );
    }
    if engine.max_buffer_size < MIN_PACKETS {
        warnings.push(format!(
            "`max_buffer_size` of the `SocketIo` is {}: a client is disconnected when a call sends it more packets than that; \
             a call may send {MIN_PACKETS} and more",
            engine.max_buffer_size
        ));
    }
    let max_payload = options.transport.max_payload;
    let payloads = [
        ("max_payload", engine.max_payload),
        ("ws_max_message_size", engine.ws_max_message_size as u64),
    ];
    for (name, size) in payloads {
        if size > max_payload as u64 {
            warnings.push(format!(
                "`{name}` of the `SocketIo` is {size}, so the option `transport.max_payload`, {max_payload}, has no effect"
            ));
        }
    }
    let default = Options::default();
    let (transport, clients) = (&options.transport, &options.clients);
    let is_set = [
        ("transport.path", transport.path != engine.req_path),
        (
            "transport.write_timeout",
            transport.write_timeout != default.transport.write_timeout,
        ),
        (
            "transport.max_backlog",
            transport.max_backlog != default.transport.max_backlog,
        ),
        (
            "transport.max_backlog_packets",
            transport.max_backlog_packets != default.transport.max_backlog_packets,
        ),
        (
            "transport.max_backlog_total",
            transport.max_backlog_total != default.transport.max_backlog_total,
        ),
        (
            "transport.max_attachments",
            transport.max_attachments != default.transport.max_attachments,
        ),
        (
            "clients.origins",
            clients.origins != default.clients.origins,
        ),
        ("clients.allowed_hosts", clients.allowed_hosts.is_some()),
        (
            "clients.max_connections",
            clients.max_connections != default.clients.max_connections,
        ),
        (
            "clients.max_connections_per_address",
            clients.max_connections_per_address != default.clients.max_connections_per_address,
        ),
        (
            "clients.max_connects_per_second",
            clients.max_connects_per_second != default.clients.max_connects_per_second,
        ),
        (
            "clients.max_connects_per_second_per_address",
            clients.max_connects_per_second_per_address
                != default.clients.max_connects_per_second_per_address,
        ),
        ("clients.max_unconnected", clients.max_unconnected.is_some()),
        ("clients.recovery", clients.recovery.is_some()),
        (
            "clients.max_namespaces_per_client",
            clients.max_namespaces_per_client != default.clients.max_namespaces_per_client,
        ),
    ];
    for (name, _) in is_set.iter().filter(|(_, is_set)| *is_set) {
        warnings.push(format!(
            "the option `{name}` has no effect on a `SocketIo` of the application"
        ));
    }
    warnings
}
