//! The way from scripts to the wire, through the Socket.IO crate.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use rhai::{Dynamic, Map};
use serde::{Deserialize, Deserializer};
use socketioxide::{
    AckError, SendError as CrateError, SocketError, SocketIo, TransportType,
    adapter::Adapter,
    extract::{AckSender, SocketRef},
    handler::{FromMessageParts, Value},
    socket::{Sid, Socket},
};

use super::{
    deaf, frames, packet,
    remote::Remote,
    request::{Headers, describe},
    wire::Wire,
};
use crate::{
    connection::{Answer, Link, Named, NamespaceLink, NoAnswer, SendError},
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
    /// See [`Remote::here`].
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
            None => deaf::part_with(self.socket.clone().into()),
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
            || packet::event(self.socket.ns(), event, args),
            || self.outcome(self.socket.emit(event, &Args(args)), event, args),
        )
    }

    fn ack(&self, id: i64, args: &[Dynamic]) -> Result<(), SendError> {
        self.send(
            || packet::ack(self.socket.ns(), id, args),
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
        let bytes = || Ok(packet::event(self.socket.ns(), event, args)?.len());
        let wire = self.wire.as_ref();
        let answer = match wire.and_then(|wire| self.hand(wire, bytes, ask)) {
            Some(answer) => answer?,
            None => {
                if let Some(wire) = wire {
                    wire.owes(packet::count(event, args)?);
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
        match &self.wire {
            Some(wire) => describe(&parts.uri, wire.headers(), wire.peer()),
            None => describe(&parts.uri, &Headers::of(&parts.headers), self.peer),
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

/// The rooms of a socket that scripts know of.
pub(super) fn rooms_of<A: Adapter>(socket: &Socket<A>, here: Option<&str>) -> Vec<String> {
    let rooms = socket.rooms().into_iter();
    rooms
        .filter(|room| Some(&**room) != here)
        .map(Into::into)
        .collect()
}

/// What the host knows of the socket's connection, if it came through the host's own service.
pub(super) fn wire<A: Adapter>(socket: &Socket<A>) -> Option<&Arc<Wire>> {
    socket.req_parts().extensions.get()
}

/// Hands the mark to the crate, if it takes it.
fn mark<A: Adapter>(socket: &Socket<A>) -> bool {
    socket.emit(frames::MARK, &Args(&[])).is_ok()
}

/// One namespace of the crate.
pub(super) struct Broadcasts<A: Adapter> {
    pub(super) io: SocketIo<A>,
    pub(super) path: Arc<str>,
    /// The way to the sockets of other processes, if the adapter has one.
    pub(super) remote: Option<Remote>,
}

impl<A: Adapter> std::fmt::Debug for Broadcasts<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broadcasts")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl<A: Adapter> Broadcasts<A> {
    fn sockets(&self, named: &Named<'_>) -> Vec<SocketRef<A>> {
        let Some(all) = self.io.of(&*self.path) else {
            return Vec::new();
        };
        let target = named.target;
        let left_out = sids(&named.except);
        let own: Vec<_> = sids(&named.ids)
            .into_iter()
            .filter_map(|id| all.get_socket(id))
            .filter(|socket| !is_in(socket, &target.except))
            .collect();
        let mut sockets = all
            .to(target.rooms.clone())
            .except(target.except.clone())
            .sockets();
        if !own.is_empty() {
            let found: HashSet<_> = sockets.iter().map(|socket| socket.id).collect();
            sockets.extend(own.into_iter().filter(|socket| !found.contains(&socket.id)));
        }
        sockets.retain(|socket| !left_out.contains(&socket.id));
        sockets
    }
}

impl<A: Adapter> NamespaceLink for Broadcasts<A> {
    fn emit(&self, named: &Named<'_>, event: &str, args: &[Dynamic]) -> Result<(), SendError> {
        let frames = packet::event(&self.path, event, args)?;
        let mut full = 0;
        for socket in self.sockets(named) {
            let by_crate = || socket.emit(event, &Args(args));
            let wire = wire(&socket);
            if !wire.is_some_and(|wire| wire.is_direct()) && deaf::is_parted_with(&socket) {
                continue;
            }
            let sent = match wire {
                None => by_crate(),
                Some(wire) if wire.polls() && !wire.hands(frames.len()) => continue,
                Some(wire) => wire.hand(|| mark(&socket), by_crate).unwrap_or_else(|| {
                    // One that has left or is cut off hears no more.
                    wire.send(frames.clone());
                    Ok(())
                }),
            };
            if is_full(&sent) {
                full += 1;
                deaf::part_with(socket);
            }
        }
        if let Some(remote) = self.remote.as_ref().filter(|_| !named.target.local) {
            remote.emit(named.target, event, args)?;
        }
        match full {
            0 => Ok(()),
            full => Err(SendError::Full(full)),
        }
    }

    fn ids(&self, named: &Named<'_>) -> Vec<String> {
        self.sockets(named)
            .into_iter()
            .map(|socket| socket.id.to_string())
            .collect()
    }

    fn rooms(&self) -> Vec<String> {
        let here = self.remote.as_ref().map(|remote| &**remote.here());
        let rooms = self
            .io
            .of(&*self.path)
            .and_then(|sockets| at_once(sockets.local().rooms()));
        rooms
            .and_then(Result::ok)
            .unwrap_or_default()
            .into_iter()
            .filter(|room| Some(&**room) != here)
            .map(Into::into)
            .collect()
    }
}

fn sids(ids: &[&str]) -> BTreeSet<Sid> {
    ids.iter().filter_map(|id| id.parse().ok()).collect()
}

fn is_in<A: Adapter>(socket: &Socket<A>, rooms: &[String]) -> bool {
    !rooms.is_empty()
        && socket
            .rooms()
            .iter()
            .any(|room| rooms.iter().any(|one| one == room))
}

/// Nothing of this process has to be waited for.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn is_full(result: &Result<(), CrateError>) -> bool {
    matches!(
        result,
        Err(CrateError::Socket(SocketError::InternalChannelFull))
    )
}

/// The crate wraps what our encoding says into its own words, so it is asked again.
fn refused(event: &str, args: &[Dynamic], error: &dyn std::error::Error) -> SendError {
    SendError::Value(match to_packet(Some(event), args) {
        Err(ours) => ours.to_string(),
        Ok(_) => error.to_string(),
    })
}
