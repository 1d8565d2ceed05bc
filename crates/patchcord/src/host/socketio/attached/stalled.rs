//! Disconnects stalled clients where there is no wire to abort: on a `SocketIo` of the application.
//!
//! socketioxide's queue for such a client is full, so even a disconnect packet cannot be enqueued. The host ends the
//! connection at once, and sends the packet as soon as the queue accepts it. The heartbeat closes a client that never
//! reads again.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use socketioxide::{adapter::Adapter, extract::SocketRef, socket::Socket};
use tokio::time::{Instant, sleep_until};

use crate::{
    connection::{Connection, Work},
    event::HostEvent,
};

/// Interval between attempts to enqueue the disconnect packet.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Connection of a socket that has no wire.
#[derive(Clone)]
struct Tracked(Weak<Connection>);

/// Marker of a socket whose connection the host has ended.
#[derive(Clone)]
struct Disconnecting;

/// Stores the connection of a socket, so that [`disconnect_stalled`] finds it.
pub(super) fn watch<A: Adapter>(socket: &Socket<A>, connection: &Arc<Connection>) {
    socket
        .extensions
        .insert(Tracked(Arc::downgrade(connection)));
}

/// Returns `true` if the host has ended the connection, and sends nothing more to the socket.
pub(super) fn is_disconnecting<A: Adapter>(socket: &Socket<A>) -> bool {
    socket.extensions.get::<Disconnecting>().is_some()
}

/// Announces that a client is disconnected.
pub(super) fn announce(connection: &Connection, reason: String) {
    connection
        .namespace()
        .driver()
        .announce(HostEvent::ClientDisconnected {
            peer: None,
            socket: Some(connection.id().to_string()),
            reason,
        });
}

/// Disconnects a client whose queue is full, once.
pub(super) fn disconnect_stalled<A: Adapter>(socket: SocketRef<A>) {
    let Some(Tracked(connection)) = socket.extensions.remove::<Tracked>() else {
        return;
    };
    socket.extensions.insert(Disconnecting);
    if let Some(connection) = connection.upgrade() {
        connection.cut();
        let reason = "it does not read: as many packets wait for it as the `max_buffer_size` of the `SocketIo` allows";
        announce(&connection, reason.to_owned());
        connection.post_elsewhere(Work::Disconnect("transport error"));
    }
    tokio::spawn(async move {
        while socket.clone().disconnect().is_err() {
            sleep_until(Instant::now() + RETRY_INTERVAL).await;
        }
    });
}
