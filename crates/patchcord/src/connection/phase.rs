//! Phases in the life of a connection.

use std::sync::atomic::{AtomicU8, Ordering};

/// Phase in the life of a connection. It only moves forward, except that a client may come back from
/// [`Away`](Self::Away).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
#[non_exhaustive]
#[repr(u8)]
pub enum Phase {
    /// The client has asked to connect, and `on_handshake` decides whether to accept it.
    Handshaking,
    /// The connection is accepted and in its namespace, but its CONNECT is not answered yet. Events in both directions
    /// wait.
    Accepted,
    /// The CONNECT is answered, and `on_connection` is the next work item.
    Answered,
    /// `on_connection` has started, and events are handled.
    Connected,
    /// The client has lost its transport, and may come back. Until then, nothing is called, and events for the client
    /// are only logged.
    Away,
    /// The connection has ended. Nothing that it does and nothing that is sent to it has an effect.
    Closed,
}

impl Phase {
    const fn from_u8(number: u8) -> Self {
        match number {
            0 => Self::Handshaking,
            1 => Self::Accepted,
            2 => Self::Answered,
            3 => Self::Connected,
            4 => Self::Away,
            _ => Self::Closed,
        }
    }
}

/// Current phase of a connection.
#[derive(Debug)]
pub(super) struct Current(AtomicU8);

impl Current {
    pub(super) const fn new() -> Self {
        Self(AtomicU8::new(Phase::Handshaking as u8))
    }

    pub(super) fn get(&self) -> Phase {
        Phase::from_u8(self.0.load(Ordering::Acquire))
    }

    /// Advances from one phase to another; returns `false` if the connection is not in `from`.
    pub(super) fn advance(&self, from: Phase, to: Phase) -> bool {
        self.0
            .compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Ends the connection. Returns `false` if it had already ended.
    pub(super) fn end(&self) -> bool {
        Phase::from_u8(self.0.swap(Phase::Closed as u8, Ordering::AcqRel)) != Phase::Closed
    }

    /// Returns `true` if events are handled, or have no effect because the connection has ended. Before that, events
    /// wait.
    pub(super) fn takes_events(&self) -> bool {
        self.get() >= Phase::Answered
    }
}
