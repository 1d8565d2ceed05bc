//! Socket of one client in a namespace, with its rooms and its pending acks.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;

use super::acks::PendingAcks;
use crate::host::{
    socketio::recovery::Identity,
    transport::{secret, wire::Wire},
};

/// Socket of one client in a namespace.
#[derive(Debug)]
pub(in crate::host::socketio) struct Member {
    /// Position in the order of connecting.
    pub(super) number: u64,
    /// Public id.
    pub(super) id: Arc<str>,
    pub(super) wire: Arc<Wire>,
    pub(super) place: Mutex<Place>,
    /// Pending acks, created with the first of them.
    pub(super) asks: OnceLock<Arc<PendingAcks>>,
    /// Identity with which the client may come back; `None` if recovery is off.
    pub(super) identity: Option<Arc<Identity>>,
}

/// Place of a socket in its namespace. Changed only under the lock of [`Members`](super::members::Members).
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) membership: Membership,
    /// Rooms, each with its position in the order of all joins.
    pub(super) rooms: BTreeMap<Arc<str>, u64>,
    /// `true` if the socket has left the room named by its own id.
    pub(super) has_left_own_room: bool,
}

/// Membership of a socket in its namespace. Broadcasts reach only a socket that is present.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Membership {
    /// The CONNECT is not answered yet.
    #[default]
    Expected,
    Present,
    /// The socket has left, and can join no room.
    Gone,
}

impl Member {
    pub(super) fn new(number: u64, wire: Arc<Wire>, identity: Option<Arc<Identity>>) -> Self {
        Self::with_id(secret::new().into(), number, wire, identity)
    }

    /// Creates the socket of a client that comes back.
    pub(super) fn with_id(
        id: Arc<str>,
        number: u64,
        wire: Arc<Wire>,
        identity: Option<Arc<Identity>>,
    ) -> Self {
        Self {
            number,
            id,
            wire,
            identity,
            place: Mutex::default(),
            asks: OnceLock::new(),
        }
    }
}
