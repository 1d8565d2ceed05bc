//! Link from scripts to one socket.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rhai::Map;
use socketioxide::{adapter::Adapter, socket::Socket};

use super::{member::Member, members::Members};
use crate::{
    connection::{Answer, Link, SendError},
    host::transport::{encode, request::describe},
    value::{EncodedEvent, Packet},
};

/// Link from scripts to one socket.
pub(super) struct WireLink<A: Adapter> {
    members: Arc<Members>,
    member: Arc<Member>,
    /// The same socket in socketioxide.
    socket: Arc<Socket<A>>,
}

impl<A: Adapter> std::fmt::Debug for WireLink<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WireLink")
            .field("member", &self.member)
            .finish_non_exhaustive()
    }
}

impl<A: Adapter> WireLink<A> {
    pub(super) const fn new(
        members: Arc<Members>,
        member: Arc<Member>,
        socket: Arc<Socket<A>>,
    ) -> Self {
        Self {
            members,
            member,
            socket,
        }
    }

    fn send(&self, frames: Bytes) -> Result<(), SendError> {
        match self.member.wire.send(frames) {
            true => Ok(()),
            false => Err(SendError::Left),
        }
    }
}

impl<A: Adapter> Link for WireLink<A> {
    fn emit(&self, event: &EncodedEvent<'_>) -> Result<(), SendError> {
        if let Some(recovery) = self.members.recovery() {
            self.members.send_logged(recovery, &self.member, event);
            return Ok(());
        }
        self.send(encode::event(self.members.path(), None, event.packet()))
    }

    fn emit_volatile(&self, event: &EncodedEvent<'_>) -> Result<(), SendError> {
        let Some(recovery) = self.members.recovery() else {
            return self.emit(event);
        };
        match self.members.send_unlogged(recovery, &self.member, event) {
            true => Ok(()),
            false => Err(SendError::Left),
        }
    }

    fn ack(&self, id: i64, args: &Packet) -> Result<(), SendError> {
        self.send(encode::ack(self.members.path(), id, args))
    }

    fn ask(
        &self,
        event: &EncodedEvent<'_>,
        timeout: Option<Duration>,
    ) -> Result<Answer, SendError> {
        let (id, answer) = self.member.asks.get_or_init(Arc::default).ask(timeout);
        let frames = encode::event(self.members.path(), Some(id), event.packet());
        self.send(frames).map(|()| answer)
    }

    fn disconnect(&self) {
        let wire = &self.member.wire;
        if !wire.claim_disconnect(self.members.path(), &self.member.id) {
            return;
        }
        if self.socket.clone().disconnect().is_err() {
            wire.abort("transport error");
        }
    }

    fn close(&self) {
        self.member.wire.close();
    }

    fn can_shut_down(&self) -> bool {
        true
    }

    fn shut_down(&self, reason: &'static str) {
        self.member.wire.shut_down(reason);
    }

    fn is_stalled(&self) -> bool {
        self.member.wire.is_busy()
    }

    fn join(&self, rooms: &[String]) {
        self.members.join(&self.member, rooms);
    }

    fn leave(&self, room: &str) {
        self.members.leave_room(&self.member, room);
    }

    fn leave_all(&self) {
        self.members.leave_rooms(&self.member);
    }

    fn rooms(&self) -> Vec<String> {
        self.members.rooms_of(&self.member)
    }

    fn handshake(&self) -> Map {
        let opening = self.member.wire.opening();
        // The text was created from a URI, so it can be parsed.
        let uri = opening.uri.parse().unwrap_or_default();
        describe(&uri, &opening.headers, opening.peer)
    }

    fn transport(&self) -> &'static str {
        match self.member.wire.is_websocket() {
            true => "websocket",
            false => "polling",
        }
    }
}
