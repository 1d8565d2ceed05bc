//! The way from scripts to one socket: the wire, or the Socket.IO crate.

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
    value::{self, Args, to_packet},
};

/// One socket of the crate.
pub(super) struct SocketLink<A: Adapter> {
    socket: Arc<Socket<A>>,
    /// The host's own connection to the client, if it has one.
    wire: Option<Arc<Wire>>,
    /// The address of a client without a wire.
    peer: Option<SocketAddr>,
    /// The client is not accepted yet: it may join rooms although the crate calls it disconnected.
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
    /// A client that is connected.
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

    /// A client that asks to be.
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

    /// Sends the frames of a packet, or has the crate send it.
    fn send(
        &self,
        frames: impl Fn() -> Result<Bytes, SendError>,
        by_crate: impl FnOnce() -> Result<(), SendError>,
    ) -> Result<(), SendError> {
        let Some(wire) = &self.wire else {
            return by_crate();
        };
        let handed = self.hand(wire, || Ok(frames()?.len()), by_crate);
        handed.unwrap_or_else(|| match wire.send(frames()?) {
            true => Ok(()),
            false => Err(SendError::Left),
        })
    }

    /// Has the crate send something of so many bytes, unless the host writes to the client.
    fn hand<T>(
        &self,
        wire: &Wire,
        bytes: impl FnOnce() -> Result<usize, SendError>,
        by_crate: impl FnOnce() -> Result<T, SendError>,
    ) -> Option<Result<T, SendError>> {
        if wire.polls() {
            match bytes() {
                Ok(bytes) if !wire.hands(bytes) => return Some(Err(SendError::Left)),
                Ok(_) => {}
                Err(error) => return Some(Err(error)),
            }
        }
        wire.hand(|| mark(&self.socket), by_crate)
    }

    fn outcome(
        &self,
        result: Result<(), CrateError>,
        event: &str,
        args: &[Dynamic],
    ) -> Result<(), SendError> {
        result.map_err(|error| self.error(error, event, args))
    }

    /// A client whose queue is full does not read: it is cut off, for it would miss what comes now.
    fn error(&self, error: CrateError, event: &str, args: &[Dynamic]) -> SendError {
        match error {
            CrateError::Socket(SocketError::Closed) => SendError::Left,
            CrateError::Socket(SocketError::InternalChannelFull) => {
                self.kill();
                SendError::Full(1)
            }
            CrateError::Serialize(error) => refused(event, args, &error),
        }
    }
}

impl<A: Adapter> Link for SocketLink<A> {
    fn emit(&self, event: &str, args: &[Dynamic]) -> Result<(), SendError> {
        self.send(
            || encode::event(self.socket.ns(), event, args),
            || self.outcome(self.socket.emit(event, &Args(args)), event, args),
        )
    }

    fn ack(&self, id: i64, args: &[Dynamic]) -> Result<(), SendError> {
        self.send(
            || encode::ack(self.socket.ns(), id, args),
            || {
                let mut packet = Value::Str(Default::default(), None::<VecDeque<_>>);
                let Ok(sender) =
                    AckSender::from_message_parts(&self.socket, &mut packet, &Some(id));
                self.outcome(sender.send(&Args(args)), "ack", args)
            },
        )
    }

    fn ask(
        &self,
        event: &str,
        args: &[Dynamic],
        timeout: Option<Duration>,
    ) -> Result<Answer, SendError> {
        let ask = || {
            let socket = self.socket.timeout(timeout.unwrap_or(FOR_EVER));
            socket
                .emit_with_ack::<_, Values>(event, &Args(args))
                .map_err(|error| self.error(error, event, args))
        };
        let bytes = || Ok(encode::event(self.socket.ns(), event, args)?.len());
        let wire = self.wire.as_ref();
        let answer = match wire.and_then(|wire| self.hand(wire, bytes, ask)) {
            Some(answer) => answer?,
            None => {
                if let Some(wire) = wire {
                    wire.owes(encode::count(event, args)?);
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
            // It left meanwhile, and the crate has emptied its rooms already.
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

/// The crate wants a time for every answer.
const FOR_EVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// The arguments of an answer, as the crate's parser gives them.
struct Values(Vec<Dynamic>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        value::answer(deserializer).map(Self)
    }
}

/// The crate wraps what our encoding says into its own words, so it is asked again.
fn refused(event: &str, args: &[Dynamic], error: &dyn std::error::Error) -> SendError {
    SendError::Value(match to_packet(Some(event), args) {
        Err(ours) => ours.to_string(),
        Ok(_) => error.to_string(),
    })
}
