//! Where a connection is in its life.

use std::sync::atomic::{AtomicU8, Ordering};

/// Where a connection is in its life. It never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
#[non_exhaustive]
#[repr(u8)]
pub enum Phase {
    /// Its client has asked for it, and `on_handshake` decides.
    Handshaking,
    /// It is accepted and in its namespace, but its CONNECT is not answered yet: what it is sent waits, and so do events.
    Accepted,
    /// Its CONNECT is answered, and `on_connection` is its next work.
    Answered,
    /// `on_connection` has begun; events are handled.
    Connected,
    /// It has left: nothing it does or is sent has an effect.
    Left,
}

impl Phase {
    const fn of(number: u8) -> Self {
        match number {
            0 => Self::Handshaking,
            1 => Self::Accepted,
            2 => Self::Answered,
            3 => Self::Connected,
            _ => Self::Left,
        }
    }
}

/// The present phase of a connection.
#[derive(Debug)]
pub(super) struct Current(AtomicU8);

impl Current {
    pub(super) const fn new() -> Self {
        Self(AtomicU8::new(Phase::Handshaking as u8))
    }

    pub(super) fn get(&self) -> Phase {
        Phase::of(self.0.load(Ordering::Acquire))
    }

    /// Goes on from one phase to another; `false` when it is in another one.
    pub(super) fn advance(&self, from: Phase, to: Phase) -> bool {
        self.0
            .compare_exchange(from as u8, to as u8, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Ends it; `false` when it had ended already.
    pub(super) fn end(&self) -> bool {
        Phase::of(self.0.swap(Phase::Left as u8, Ordering::AcqRel)) != Phase::Left
    }

    /// Whether events are handled, or it has left and they mean nothing any more. Before they wait.
    pub(super) fn takes_events(&self) -> bool {
        self.get() >= Phase::Answered
    }
}
