//! Link from scripts to one socket, through socketioxide.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use rhai::{Dynamic, Map};
use serde::{Deserialize, Deserializer};
use socketioxide::{
    AckError, SendError as CrateError, SocketError, TransportType,
    adapter::Adapter,
    extract::AckSender,
    handler::{FromMessageParts, Value},
    socket::Socket,
};

use super::{socket::rooms_of, stalled};
use crate::{
    connection::{Answer, Link, NoAnswer, SendError},
    host::transport::request::{Headers, describe},
    value::{self, EncodedEvent, Packet, Written},
};

/// Link from scripts to one socket of socketioxide.
pub(super) struct SocketLink<A: Adapter> {
    socket: Arc<Socket<A>>,
    /// Address of the client.
    peer: Option<SocketAddr>,
    /// `true` while the client is not accepted yet: it may join rooms although socketioxide reports it as disconnected.
    handshaking: bool,
    /// Room of the sockets of this process: see [`Remote::here`](super::cluster::Remote::here).
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

    fn abort(&self) {
        stalled::disconnect_stalled(self.socket.clone().into());
    }

    /// Converts an error. Disconnects a client whose queue is full: it does not read, and would miss the data that is
    /// sent now.
    fn error(&self, error: CrateError) -> SendError {
        match error {
            CrateError::Socket(SocketError::Closed) => SendError::Left,
            CrateError::Socket(SocketError::InternalChannelFull) => {
                self.abort();
                SendError::Full(1)
            }
            CrateError::Serialize(error) => SendError::Value(error.to_string()),
        }
    }
}

impl<A: Adapter> Link for SocketLink<A> {
    fn emit(&self, event: &EncodedEvent<'_>) -> Result<(), SendError> {
        let sent = self.socket.emit(event.name(), &Written::event(event));
        sent.map_err(|error| self.error(error))
    }

    fn ack(&self, id: i64, args: &Packet) -> Result<(), SendError> {
        let mut packet = Value::Str(Default::default(), None::<VecDeque<_>>);
        let Ok(sender) = AckSender::from_message_parts(&self.socket, &mut packet, &Some(id));
        let sent = sender.send(&Written::ack(args));
        sent.map_err(|error| self.error(error))
    }

    fn ask(
        &self,
        event: &EncodedEvent<'_>,
        timeout: Option<Duration>,
    ) -> Result<Answer, SendError> {
        let socket = self.socket.timeout(timeout.unwrap_or(FOR_EVER));
        let answer = socket
            .emit_with_ack::<_, Values>(event.name(), &Written::event(event))
            .map_err(|error| self.error(error))?;
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
            self.abort();
        }
    }

    /// Does nothing more, because the official clients close a connection without sockets themselves.
    fn close(&self) {}

    fn is_stalled(&self) -> bool {
        false
    }

    fn join(&self, rooms: &[String]) {
        if !self.handshaking && !self.socket.connected() {
            return;
        }
        self.socket.join(rooms.to_vec());
        if !self.handshaking && !self.socket.connected() {
            // The client has left in the meantime, and socketioxide has already emptied its rooms.
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
        describe(&parts.uri, &Headers::new(&parts.headers), self.peer)
    }

    fn transport(&self) -> &'static str {
        match self.socket.transport_type() {
            TransportType::Websocket => "websocket",
            TransportType::Polling => "polling",
        }
    }
}

/// Timeout of an answer without a time limit, because socketioxide requires a timeout for every answer.
const FOR_EVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// Arguments of an answer, as socketioxide's parser returns them.
struct Values(Vec<Dynamic>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        value::answer(deserializer).map(Self)
    }
}
