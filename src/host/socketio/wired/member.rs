//! Socket of one client in a namespace, and the link from scripts to it.

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock, atomic::AtomicU8},
};

use parking_lot::Mutex;

use super::asks::Asks;
use crate::host::transport::{secret, wire::Wire};

/// Socket of one client in a namespace.
#[derive(Debug)]
pub(in crate::host::socketio) struct Member {
    /// Position in the order of connecting.
    pub(super) number: u64,
    /// Public id.
    pub(super) id: Arc<str>,
    pub(super) wire: Arc<Wire>,
    /// Rooms, each with its position in the order of all joins. Changed only under the lock of
    /// [`Members`](super::members::Members).
    pub(super) rooms: Mutex<BTreeMap<Arc<str>, u64>>,
    /// See [`Presence`]. Changed only under the same lock.
    pub(super) presence: AtomicU8,
    /// Answers that the client owes, once there were any.
    pub(super) asks: OnceLock<Arc<Asks>>,
}

/// Whether broadcasts reach a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Presence {
    /// Not yet: its CONNECT is not answered.
    Expected,
    Present,
    /// Not any more: it can join no room.
    Gone,
}

impl Member {
    pub(super) fn new(number: u64, wire: Arc<Wire>) -> Self {
        Self {
            number,
            id: secret::new().into(),
            wire,
            rooms: Mutex::default(),
            presence: AtomicU8::new(Presence::Expected as u8),
            asks: OnceLock::new(),
        }
    }
}
