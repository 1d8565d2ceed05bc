//! Clients that do not read, where there is no wire to cut: on a `SocketIo` of the program's own.
//!
//! The crate takes nothing more for such a client, not even the packet that disconnects it. The host parts with it at
//! once, and tells it as soon as the crate takes that; a client that never reads again is closed by the heartbeat.

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

/// So long until the crate is asked again to take the last packet.
const AGAIN: Duration = Duration::from_secs(1);

/// The connection of a socket that has no wire.
#[derive(Clone)]
struct Watched(Weak<Connection>);

/// The host has parted with the socket.
#[derive(Clone)]
struct Parted;

/// Lets [`part_with`] find the connection of a socket.
pub(super) fn watch<A: Adapter>(socket: &Socket<A>, connection: &Arc<Connection>) {
    socket
        .extensions
        .insert(Watched(Arc::downgrade(connection)));
}

/// Whether nothing is sent to it any more.
pub(super) fn is_parted_with<A: Adapter>(socket: &Socket<A>) -> bool {
    socket.extensions.get::<Parted>().is_some()
}

/// Says that a client is cut off.
pub(super) fn announce(connection: &Connection, reason: String) {
    connection.namespace().driver().announce(HostEvent::CutOff {
        peer: None,
        socket: Some(connection.id().to_string()),
        reason,
    });
}

/// Parts with a client that takes nothing more, once.
pub(super) fn part_with<A: Adapter>(socket: SocketRef<A>) {
    let Some(Watched(connection)) = socket.extensions.remove::<Watched>() else {
        return;
    };
    socket.extensions.insert(Parted);
    if let Some(connection) = connection.upgrade() {
        connection.cut();
        let reason = "it does not read: as many packets wait for it as the `max_buffer_size` of the `SocketIo` allows";
        announce(&connection, reason.to_owned());
        connection.post_elsewhere(Work::Disconnect("transport error"));
    }
    tokio::spawn(async move {
        while socket.clone().disconnect().is_err() {
            sleep_until(Instant::now() + AGAIN).await;
        }
    });
}
