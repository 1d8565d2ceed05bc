//! Handlers that socketioxide calls for the sockets of the host's own service: a socket begins and ends here.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use socketioxide::{
    adapter::Adapter,
    handler::{ConnectHandler, DisconnectHandler, Value},
    socket::{DisconnectReason, Socket},
};

use super::{link::WireLink, member::Member, members::Members};
use crate::{
    api,
    connection::{Connection, Namespace, Phase, Work},
    host::{
        namespaces::INVALID_NAMESPACE,
        socketio::{
            context::{Accepted, HostMarker, ServerContext, reason_text},
            recovery::{Claim, NamespaceRecovery, Return, Rooms},
        },
        transport::{
            sockets::Receiver,
            wire::{Greeting, Hold, Wire},
        },
    },
    value,
};

/// Handler that accepts the clients of a namespace. socketioxide keeps the handler for as long as the `SocketIo` lives.
/// The `SocketIo` may outlive the host, so the handler keeps nothing of the host alive.
#[derive(Clone)]
pub(in crate::host::socketio) struct Connects {
    context: Weak<ServerContext>,
    namespace: Weak<Namespace>,
    members: Arc<Members>,
}

/// Accepted client whose CONNECT socketioxide has not answered yet.
struct Entering {
    connection: Arc<Connection>,
    member: Arc<Member>,
    /// Claim on the connection, if the client has come back to it.
    claim: Option<Claim>,
}

impl Connects {
    pub(in crate::host::socketio) fn new(
        context: Weak<ServerContext>,
        namespace: &Arc<Namespace>,
        members: Arc<Members>,
    ) -> Self {
        Self {
            context,
            namespace: Arc::downgrade(namespace),
            members,
        }
    }

    /// Accepts or rejects a client. Everything is in place before its CONNECT is answered, because events and a
    /// disconnect may follow at once.
    ///
    /// # Errors
    /// Returns the reason that the client receives.
    async fn accept<A: Adapter>(
        &self,
        socket: &Arc<Socket<A>>,
        wire: &Arc<Wire>,
        auth: Option<&Value>,
    ) -> Result<(), String> {
        let path = self.members.path();
        wire.connect_begun(path);
        let postponed = |is_postponed| wire.connect_postponed(path, is_postponed);
        let context = self.context.upgrade().ok_or(INVALID_NAMESPACE)?;
        // A handshake may take a long time and must not delay a reload: only its beginning and its end wait at the
        // gate.
        drop(context.pass(postponed).await);
        let namespace = context.served(&self.namespace)?;
        namespace.ready().await;
        let entering = self.expect(&context, namespace, wire, auth).await?;
        let Entering {
            connection,
            member,
            claim,
        } = &entering;
        let leaves = Leaves {
            connection: connection.clone(),
            nth_return: connection.returns(),
            member: member.clone(),
            members: self.members.clone(),
        };
        if claim.is_none() || context.options.clients.recovery_handshake {
            let link = WireLink::new(self.members.clone(), member.clone(), socket.clone());
            let link = Arc::new(link);
            context.dispatcher.shake(connection, link).await?;
        }
        let pass = Box::new(context.pass(postponed).await);
        context.still_served(connection.namespace())?;
        match claim {
            Some(claim) => connection.enter_again(pass, claim.was_in_own_room()),
            None => connection.enter(pass),
        }
        socket.on_disconnect::<_, HostMarker>(leaves);
        wire.connect_accepted(path, Box::new(entering));
        Ok(())
    }

    /// Returns the connection that is kept for a client that comes back, or a new one.
    ///
    /// # Errors
    /// Returns the reason that the client receives.
    async fn expect(
        &self,
        context: &ServerContext,
        namespace: Arc<Namespace>,
        wire: &Arc<Wire>,
        auth: Option<&Value>,
    ) -> Result<Entering, String> {
        let mut auth = context.auth(auth)?;
        if let (Some(host), Some(recovery)) = (&context.recovery, self.members.recovery()) {
            host.start_sweeping();
            let dispatcher = context.dispatcher.clone();
            let unpack = move |namespace: &Arc<Namespace>, packed: &[_], versions: &_| {
                dispatcher.unpack_connections(namespace, packed, versions)
            };
            recovery.take_in(&namespace, unpack).await;
            let claim = match Return::take(&mut auth) {
                Some(asked) => recovery.claim(&asked, wire).await,
                None => None,
            };
            if let Some(mut claim) = claim
                && let Some(begun) = claim.begin(wire, auth.clone(), api::now())
            {
                let (connection, identity) = begun;
                let wire = wire.clone();
                let member = self.members.expect_again(connection.id(), identity, wire);
                return Ok(Entering {
                    connection,
                    member,
                    claim: Some(claim),
                });
            }
        }
        let member = self.members.expect(wire.clone());
        let (client, id) = (wire.client(), member.id.clone());
        Ok(Entering {
            connection: Connection::of_client(client, id, namespace, auth, api::now()),
            member,
            claim: None,
        })
    }

    /// Answers the CONNECT of a client, and runs `on_connection`, unless the client has already left.
    fn open<A: Adapter>(&self, socket: &Arc<Socket<A>>, wire: &Arc<Wire>) {
        let path = self.members.path();
        let accepted = wire.take_accepted(path);
        let entering = accepted.and_then(|accepted| accepted.downcast::<Entering>().ok());
        let (Some(entering), Some(context)) = (entering, self.context.upgrade()) else {
            return;
        };
        let Entering {
            connection,
            member,
            mut claim,
        } = *entering;
        let inbound = Inbound {
            context,
            connection: connection.clone(),
            member: member.clone(),
        };
        let is_returning = claim.is_some();
        let mut is_open = false;
        if let Some(hold) = self.answer(wire, &member, Arc::new(inbound), claim.as_mut()) {
            connection.hold_until_begun(Box::new(hold));
            let link = WireLink::new(self.members.clone(), member.clone(), socket.clone());
            is_open = connection.open(Arc::new(link));
            if is_returning && !is_open {
                connection.close();
                connection.leave();
            }
        }
        // socketioxide may have ended the socket in the meantime, before it was in any list.
        if connection.phase() == Phase::Closed || is_returning && !is_open {
            self.members.leave(&member);
            wire.end_socket(path, &member.id);
            connection.end_pass();
            if let (Some(recovery), Some(identity)) = (self.members.recovery(), &member.identity) {
                recovery.forget(identity);
            }
        }
    }

    /// Answers a CONNECT, and makes its socket present. Returns `None` if the client has left.
    fn answer(
        &self,
        wire: &Arc<Wire>,
        member: &Arc<Member>,
        inbound: Arc<Inbound>,
        claim: Option<&mut Claim>,
    ) -> Option<Hold> {
        let in_own_room = claim.as_ref().is_none_or(|claim| claim.was_in_own_room());
        let open = |greeting: Greeting<'_>, rooms: Option<&Rooms>| {
            let hold = wire.open_socket(self.members.path(), inbound, greeting)?;
            self.members.enter(member);
            rooms.inspect(|rooms| self.members.join_again(member, rooms, in_own_room));
            Some(hold)
        };
        match (self.members.recovery(), &member.identity) {
            (Some(recovery), Some(identity)) => recovery.open(identity, wire, claim, open),
            _ => open(Greeting::default(), None),
        }
    }
}

impl<A: Adapter> ConnectHandler<A, HostMarker> for Connects {
    /// Runs `on_connection` after the CONNECT was accepted, and then handles everything that the client has sent in the
    /// meantime.
    fn call(&self, socket: Arc<Socket<A>>, _: Option<Value>) {
        if let Some(wire) = wire(&socket) {
            self.open(&socket, wire);
            wire.connect_ended(socket.ns());
        }
    }

    fn call_middleware<'a>(
        &'a self,
        socket: Arc<Socket<A>>,
        auth: &'a Option<Value>,
    ) -> Accepted<'a> {
        Box::pin(async move {
            let wire = wire(&socket).ok_or_else(|| Box::new(INVALID_NAMESPACE) as _)?;
            let accepted = self.accept(&socket, wire, auth.as_ref()).await;
            let context = self.context.upgrade();
            if accepted.is_err() && context.is_none_or(|one| one.namespaces.is_closing()) {
                wire.refuse_connects();
            }
            accepted.map_err(|reason| Box::new(reason) as _)
        })
    }
}

/// Receiver of the packets of a socket.
struct Inbound {
    context: Arc<ServerContext>,
    connection: Arc<Connection>,
    member: Arc<Member>,
}

impl Receiver for Inbound {
    fn id(&self) -> &str {
        &self.member.id
    }

    fn event(&self, text: &str, attachments: &[Bytes], ack: Option<i64>) -> Result<(), String> {
        // Packets that follow the end of a client are not reported as lost.
        if self.connection.is_cut() {
            return Ok(());
        }
        let received = self.context.event(&self.connection, text, attachments, ack);
        match received {
            Err(error) if error.is_malformed() => Err(error.to_string()),
            Err(error) => {
                self.connection.unread(text, &error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn answer(&self, id: i64, text: &str, attachments: &[Bytes]) -> Result<bool, String> {
        let args = value::args(text, attachments, &self.context.decoding);
        let args = args.map_err(|error| error.to_string())?;
        let Some(answer) = self.member.asks.get().and_then(|asks| asks.take(id)) else {
            return Ok(false);
        };
        // An error is ignored, because the script may have stopped waiting for the answer.
        let _ = answer.send(args);
        Ok(true)
    }

    fn dropped(&self, reason: &str) {
        self.connection.lost("?", reason);
    }

    fn disconnect(&self) {
        self.connection.disconnect(false);
    }
}

struct Leaves {
    connection: Arc<Connection>,
    /// Number of times that the client had come back when it connected.
    nth_return: u32,
    member: Arc<Member>,
    members: Arc<Members>,
}

impl<A: Adapter> DisconnectHandler<A, HostMarker> for Leaves {
    /// Handles a disconnect. `defer` removes the socket from socketioxide's tables.
    fn call_with_defer(
        &self,
        socket: Arc<Socket<A>>,
        reason: DisconnectReason,
        defer: fn(Arc<Socket<A>>),
    ) {
        let is_abandoned = self.connection.abandon(self.nth_return);
        let Member { wire, id, asks, .. } = &*self.member;
        wire.end_socket(self.members.path(), id);
        // Further acks that scripts ask for end at once, because the client has left.
        asks.get_or_init(Arc::default).close();
        let ended_by_host = match reason {
            DisconnectReason::ClientNSDisconnect
            | DisconnectReason::ServerNSDisconnect
            | DisconnectReason::ClosingServer => None,
            _ => self.member.wire.reason(),
        };
        defer(socket);
        let reason = ended_by_host.unwrap_or(reason_text(reason));
        let rooms = self.members.rooms_of(&self.member);
        match self.member.identity.as_ref().zip(self.members.recovery()) {
            Some((identity, recovery)) if !is_abandoned && self.may_return(recovery, reason) => {
                recovery.leave(identity, &self.connection, || {
                    let positions = Members::positions_of(&self.member);
                    self.members.leave(&self.member);
                    positions
                });
            }
            Some((identity, recovery)) if !is_abandoned => {
                self.members.leave(&self.member);
                recovery.forget(identity);
            }
            _ => self.members.leave(&self.member),
        }
        if !is_abandoned {
            self.connection.remember_rooms(rooms);
            self.connection.post(Work::Disconnect(reason));
        }
    }
}

impl Leaves {
    /// Returns `true` if the client may come back after a disconnect for this reason.
    fn may_return(&self, recovery: &NamespaceRecovery, reason: &str) -> bool {
        let is_live = matches!(self.connection.phase(), Phase::Answered | Phase::Connected);
        is_live && !self.connection.is_cut() && recovery.is_recoverable(reason)
    }
}

/// Abandons the connection, because socketioxide may drop a socket whose CONNECT it has not answered.
impl Drop for Leaves {
    fn drop(&mut self) {
        self.connection.abandon(self.nth_return);
        self.members.leave(&self.member);
    }
}

/// Returns the wire of the socket's client.
fn wire<A: Adapter>(socket: &Socket<A>) -> Option<&Arc<Wire>> {
    socket.req_parts().extensions.get()
}
