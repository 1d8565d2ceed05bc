//! CONNECTs of one client that are in progress.
//!
//! Packets that a client sends after a CONNECT wait until the socket exists. A CONNECT is requested, a reload may
//! postpone it, and then either its socket opens or it is rejected.

use std::{any::Any, time::Duration};

/// Maximum time that packets are held behind an unanswered CONNECT.
pub(super) const CONNECT_HOLD: Duration = Duration::from_millis(50);

/// State of a client, kept until its CONNECT has ended.
pub(in crate::host) type Kept = Box<dyn Any + Send>;

#[derive(Debug)]
struct Connect {
    namespace: Box<str>,
    /// Packet of the CONNECT, until socketioxide begins to handle it. It is kept because socketioxide ignores a CONNECT
    /// that comes too soon after a rejected one.
    packet: Option<Box<[u8]>>,
    accepted: Option<Kept>,
    /// Reservation of the namespace.
    _reserved: Kept,
    /// `true` while the CONNECT waits for a reload. The time limit [`CONNECT_HOLD`] does not apply while it waits.
    is_postponed: bool,
    /// `true` if packets no longer wait for the CONNECT, because [`CONNECT_HOLD`] is over.
    is_overdue: bool,
}

/// CONNECTs of one client that are in progress, in order.
#[derive(Debug, Default)]
pub(super) struct Connects(Vec<Connect>);

impl Connects {
    /// Records a CONNECT that the host passes to socketioxide.
    pub(super) fn request(&mut self, namespace: &str, packet: &[u8], reserved: Kept) {
        self.0.push(Connect {
            namespace: namespace.into(),
            packet: Some(packet.into()),
            accepted: None,
            _reserved: reserved,
            is_postponed: false,
            is_overdue: false,
        });
    }

    /// Returns `true` if a CONNECT to the namespace is in progress.
    pub(super) fn has(&self, namespace: &str) -> bool {
        self.0.iter().any(|one| &*one.namespace == namespace)
    }

    /// Returns the number of CONNECTs in progress.
    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    /// Records that socketioxide has begun to handle the CONNECT to a namespace.
    pub(super) fn begin(&mut self, namespace: &str) {
        if let Some(connect) = self.0.iter_mut().find(|one| &*one.namespace == namespace) {
            connect.packet = None;
        }
    }

    /// Returns the CONNECTs that socketioxide has not begun to handle.
    pub(super) fn ignored(&self) -> Vec<Box<[u8]>> {
        self.0.iter().filter_map(|one| one.packet.clone()).collect()
    }

    /// Stores the state of an accepted client. Returns it if no CONNECT to the namespace is in progress.
    pub(super) fn accept(&mut self, namespace: &str, kept: Kept) -> Option<Kept> {
        let mut connects = self.0.iter_mut();
        match connects.find(|one| &*one.namespace == namespace) {
            Some(connect) => connect.accepted.replace(kept),
            None => Some(kept),
        }
    }

    /// Removes and returns the stored state of an accepted client.
    pub(super) fn take_accepted(&mut self, namespace: &str) -> Option<Kept> {
        let mut connects = self.0.iter_mut();
        let connect = connects.find(|one| &*one.namespace == namespace)?;
        connect.accepted.take()
    }

    /// Records whether the CONNECT to a namespace waits for a reload.
    pub(super) fn postpone(&mut self, namespace: &str, is_postponed: bool) {
        if let Some(connect) = self.0.iter_mut().find(|one| &*one.namespace == namespace) {
            connect.is_postponed = is_postponed;
        }
    }

    /// Removes the CONNECT to a namespace: its socket is open, or it was rejected.
    pub(super) fn end(&mut self, namespace: &str) {
        let found = self.0.iter().position(|one| &*one.namespace == namespace);
        if let Some(at) = found {
            self.0.remove(at);
        }
        if self.0.is_empty() {
            // An idle client keeps no memory for CONNECTs.
            self.0 = Vec::new();
        }
    }

    /// Returns `true` if packets wait for a CONNECT.
    pub(super) fn hold_packets(&self) -> bool {
        self.0.iter().any(|one| !one.is_overdue)
    }

    /// Stops holding packets, because [`CONNECT_HOLD`] is over. Returns `false` if they still wait, because a CONNECT
    /// waits for a reload.
    pub(super) fn give_up(&mut self) -> bool {
        let is_postponed = self.0.iter().any(|one| one.is_postponed);
        if !is_postponed {
            self.0.iter_mut().for_each(|one| one.is_overdue = true);
        }
        !is_postponed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_wait_until_each_connect_has_ended() {
        let mut connects = Connects::default();
        assert!(!connects.hold_packets());
        connects.request("/", b"40", Box::new(()));
        connects.request("/chat", b"40/chat,", Box::new(()));
        connects.end("/");
        assert!(connects.hold_packets() && connects.has("/chat") && !connects.has("/"));
        assert_eq!(connects.ignored(), [Box::from(&b"40/chat,"[..])]);
        connects.begin("/chat");
        assert!(connects.ignored().is_empty());
        connects.end("/chat");
        assert!(!connects.hold_packets());
    }

    #[test]
    fn packets_wait_for_ever_only_for_a_reload() {
        let mut connects = Connects::default();
        connects.request("/slow", b"40/slow,", Box::new(()));
        connects.request("/", b"40", Box::new(()));
        connects.postpone("/", true);
        assert!(!connects.give_up() && connects.hold_packets());
        connects.postpone("/", false);
        assert!(connects.give_up() && !connects.hold_packets());
        assert!(connects.has("/slow"), "it is still in progress");
        connects.request("/next", b"40/next,", Box::new(()));
        assert!(connects.hold_packets());
    }
}
