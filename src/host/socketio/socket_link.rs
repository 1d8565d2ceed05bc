//! Link from scripts to one socket, through the wire or through socketioxide.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use rhai::{Dynamic, Map};
use serde::{Deserialize, Deserializer};
use socketioxide::{
    AckError, SendError as CrateError, SocketError, TransportType,
    adapter::Adapter,
    extract::AckSender,
    handler::{FromMessageParts, Value},
    socket::Socket,
};

use super::{
    socket::{mark, rooms_of, wire},
    stalled,
};
use crate::{
    connection::{Answer, Link, NoAnswer, SendError},
    host::transport::{
        encode,
        request::{Headers, describe, written},
        wire::Wire,
    },
    value::{self, EncodedEvent, Packet, Written},
};

/// One socket of socketioxide.
pub(super) struct SocketLink<A: Adapter> {
    socket: Arc<Socket<A>>,
    /// The host's own connection to the client, if there is one.
    wire: Option<Arc<Wire>>,
    /// Address of a client without a wire.
    peer: Option<SocketAddr>,
    /// `true` while the client is not accepted yet: it may join rooms although socketioxide reports it as disconnected.
    handshaking: bool,
    /// See [`Remote::here`](super::cluster::Remote::here).
    here: Option<Arc<str>>,
}

impl<A: Adapter> std::fmt::Debug for SocketLink<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SocketLink")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

impl<A: Adapter> SocketLink<A> {
    /// Creates the link of a client that is connected.
    pub(super) fn new(
        socket: Arc<Socket<A>>,
        peer: Option<SocketAddr>,
        here: Option<Arc<str>>,
    ) -> Self {
        Self {
            wire: wire(&socket).cloned(),
            socket,
            peer,
            handshaking: false,
            here,
        }
    }

    /// Creates the link of a client that asks to connect.
    pub(super) fn handshaking(
        socket: Arc<Socket<A>>,
        peer: Option<SocketAddr>,
        here: Option<Arc<str>>,
    ) -> Self {
        Self {
            handshaking: true,
            ..Self::new(socket, peer, here)
        }
    }

    fn kill(&self) {
        match &self.wire {
            Some(wire) => wire.kill(),
            None => stalled::part_with(self.socket.clone().into()),
        }
    }

    /// Sends the frames of a packet, or lets socketioxide send it.
    fn send(
        &self,
        packet: &Packet,
        frames: impl FnOnce() -> Bytes,
        by_crate: impl FnOnce() -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        let Some(wire) = &self.wire else {
            return by_crate();
        };
        let handed = self.hand(wire, packet, by_crate);
        handed.unwrap_or_else(|| match wire.send(frames()) {
            true => Ok(()),
            false => Err(SendError::Left),
        })
    }

    /// Lets socketioxide send a packet, unless the host itself writes to the client.
    fn hand<T>(
        &self,
        wire: &Wire,
        packet: &Packet,
        by_crate: impl FnOnce() -> Result<T, SendError>,
    ) -> Option<Result<T, SendError>> {
        if wire.polls() && !wire.hands(packet.size()) {
            return Some(Err(SendError::Left));
        }
        wire.hand(|| mark(&self.socket), by_crate)
    }

    /// Converts an error. Disconnects a client whose queue is full: it does not read, and would miss what is sent now.
    fn error(&self, error: CrateError) -> SendError {
        match error {
            CrateError::Socket(SocketError::Closed) => SendError::Left,
            CrateError::Socket(SocketError::InternalChannelFull) => {
                self.kill();
                SendError::Full(1)
            }
            CrateError::Serialize(error) => SendError::Value(error.to_string()),
        }
    }
}

impl<A: Adapter> Link for SocketLink<A> {
    fn emit(&self, event: &EncodedEvent<'_>) -> Result<(), SendError> {
        let packet = event.packet();
        let by_crate = || {
            let sent = self.socket.emit(event.name(), &Written::event(event));
            sent.map_err(|error| self.error(error))
        };
        let frames = || encode::event(self.socket.ns(), packet);
        self.send(packet, frames, by_crate)
    }

    fn ack(&self, id: i64, args: &Packet) -> Result<(), SendError> {
        let by_crate = || {
            let mut packet = Value::Str(Default::default(), None::<VecDeque<_>>);
            let Ok(sender) = AckSender::from_message_parts(&self.socket, &mut packet, &Some(id));
            let sent = sender.send(&Written::ack(args));
            sent.map_err(|error| self.error(error))
        };
        let frames = || encode::ack(self.socket.ns(), id, args);
        self.send(args, frames, by_crate)
    }

    fn ask(
        &self,
        event: &EncodedEvent<'_>,
        timeout: Option<Duration>,
    ) -> Result<Answer, SendError> {
        let ask = || {
            let socket = self.socket.timeout(timeout.unwrap_or(FOR_EVER));
            socket
                .emit_with_ack::<_, Values>(event.name(), &Written::event(event))
                .map_err(|error| self.error(error))
        };
        let wire = self.wire.as_ref();
        let answer = match wire.and_then(|wire| self.hand(wire, event.packet(), ask)) {
            Some(answer) => answer?,
            None => {
                if let Some(wire) = wire {
                    wire.owes(event.packet().messages());
                }
                ask()?
            }
        };
        Ok(Box::pin(async move {
            match answer.await {
                Ok(Values(values)) => Ok(values),
                Err(AckError::Socket(_)) => Err(NoAnswer::Left),
                Err(_) => Err(NoAnswer::TimedOut),
            }
        }))
    }

    fn disconnect(&self) {
        if self.socket.clone().disconnect().is_err() {
            self.kill();
        }
    }

    fn close(&self) {
        if let Some(wire) = &self.wire {
            wire.close();
        }
    }

    fn is_stalled(&self) -> bool {
        self.wire.as_ref().is_some_and(|wire| wire.is_stalled())
    }

    fn join(&self, rooms: &[String]) {
        if !self.handshaking && !self.socket.connected() {
            return;
        }
        self.socket.join(rooms.to_vec());
        if !self.handshaking && !self.socket.connected() {
            // The client has left meanwhile, and socketioxide has emptied its rooms already.
            self.socket.leave_all();
        }
    }

    fn leave(&self, room: &str) {
        self.socket.leave(room.to_owned());
    }

    fn leave_all(&self) {
        self.socket.leave_all();
        if let Some(here) = &self.here {
            self.socket.join(here.to_string());
        }
    }

    fn rooms(&self) -> Vec<String> {
        rooms_of(&self.socket, self.here.as_deref())
    }

    fn handshake(&self) -> Map {
        let parts = self.socket.req_parts();
        let uri = written(&parts.uri, &parts.extensions);
        match &self.wire {
            Some(wire) => describe(uri, wire.headers(), wire.peer()),
            None => describe(uri, &Headers::of(&parts.headers), self.peer),
        }
    }

    fn transport(&self) -> &'static str {
        match self.socket.transport_type() {
            TransportType::Websocket => "websocket",
            TransportType::Polling => "polling",
        }
    }
}

/// Timeout of an answer without a time limit: socketioxide requires a timeout for every answer.
const FOR_EVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// Arguments of an answer, as socketioxide's parser returns them.
struct Values(Vec<Dynamic>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        value::answer(deserializer).map(Self)
    }
}
