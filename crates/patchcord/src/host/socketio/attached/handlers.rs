//! Handlers that socketioxide calls on a `SocketIo` of the application: a socket begins, receives events and ends here.

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use socketioxide::{
    adapter::Adapter,
    handler::{ConnectHandler, DisconnectHandler, MessageHandler, Value},
    socket::{DisconnectReason, Socket},
};

use super::{socket::rooms_of, socket_link::SocketLink, stalled};
use crate::{
    api,
    connection::{Connection, Namespace, Reserved, Work},
    host::{
        namespaces::INVALID_NAMESPACE,
        socketio::context::{Accepted, HostMarker, OTHER_PARSER, ServerContext, reason_text},
        transport::{
            flush,
            rate::{Rate, RateDecision},
        },
    },
};

/// Handler that accepts the clients of a namespace. socketioxide keeps the handler for as long as the `SocketIo` lives.
/// The `SocketIo` may outlive the host, so the handler keeps nothing of the host alive.
#[derive(Clone)]
pub(in crate::host::socketio) struct Connects {
    context: Weak<ServerContext>,
    /// `None` for instances that socketioxide creates: they are found by their paths.
    namespace: Option<Weak<Namespace>>,
    /// Room of the sockets of this process: see [`Remote::here`](super::cluster::Remote::here).
    here: Option<Arc<str>>,
}

impl Connects {
    pub(in crate::host::socketio) fn new(
        context: Weak<ServerContext>,
        namespace: Option<&Arc<Namespace>>,
        here: Option<Arc<str>>,
    ) -> Self {
        Self {
            context,
            namespace: namespace.map(Arc::downgrade),
            here,
        }
    }

    /// Reserves the namespace of a socket, if it is served.
    fn namespace(&self, context: &ServerContext, path: &str) -> Result<Reserved, &'static str> {
        if let Some(namespace) = &self.namespace {
            return Ok(context.served(namespace)?.reserve());
        }
        let namespaces = &context.namespaces;
        let instance = namespaces.ensure(path).ok_or_else(|| {
            // Removes the namespace that socketioxide has created, because it is not served.
            namespaces.delete(path);
            INVALID_NAMESPACE
        })?;
        context.served(&Arc::downgrade(&instance))?;
        Ok(instance)
    }

    /// Accepts or rejects a client. Everything is in place before its CONNECT is answered, because events and a
    /// disconnect may follow at once.
    ///
    /// # Errors
    /// Returns the reason that the client receives.
    async fn accept<A: Adapter>(
        &self,
        socket: &Arc<Socket<A>>,
        auth: Option<&Value>,
    ) -> Result<(), String> {
        let context = self.context.upgrade().ok_or(INVALID_NAMESPACE)?;
        // A handshake may take a long time and must not delay a reload: only its beginning and its end wait at the
        // gate.
        drop(context.pass(|_| {}).await);
        let namespace = self.namespace(&context, socket.ns())?;
        namespace.ready().await;
        let auth = context.auth(auth)?;
        let id = socket.id.to_string();
        let connection = Connection::new(&*id, namespace.clone(), auth, api::now());
        // Joins the room of its own id, by which the application and other processes address the socket.
        socket.join(id);
        if let Some(here) = &self.here {
            socket.join(here.to_string());
        }
        let here = self.here.clone();
        let link = SocketLink::handshaking(socket.clone(), context.peer(socket), here);
        context
            .dispatcher
            .shake(&connection, Arc::new(link))
            .await?;
        let pass = context.pass(|_| {}).await;
        context.still_served(connection.namespace())?;
        connection.enter(Box::new(pass));
        let rate = context.options.clients.max_events_per_second;
        socket.on_fallback::<_, HostMarker>(Messages {
            rate: rate.map(Rate::new),
            connection: connection.clone(),
            context,
        });
        stalled::watch(socket, &connection);
        socket.on_disconnect::<_, HostMarker>(Leaves {
            connection,
            here: self.here.clone(),
        });
        Ok(())
    }

    /// Opens the connection of a client, unless the client has already left.
    fn open<A: Adapter>(&self, socket: &Arc<Socket<A>>) {
        let Some(context) = self.context.upgrade() else {
            return;
        };
        let namespace = match &self.namespace {
            Some(namespace) => namespace.upgrade(),
            None => context.namespaces.find(socket.ns()),
        };
        let id = socket.id.to_string();
        if let Some(connection) = namespace.and_then(|namespace| namespace.connection(&id)) {
            let link = SocketLink::new(socket.clone(), context.peer(socket), self.here.clone());
            connection.open(Arc::new(link));
        }
    }
}

impl<A: Adapter> ConnectHandler<A, HostMarker> for Connects {
    /// Runs `on_connection` after the CONNECT was answered, and then handles everything that the client has sent in the
    /// meantime.
    fn call(&self, socket: Arc<Socket<A>>, _: Option<Value>) {
        self.open(&socket);
    }

    fn call_middleware<'a>(
        &'a self,
        socket: Arc<Socket<A>>,
        auth: &'a Option<Value>,
    ) -> Accepted<'a> {
        Box::pin(async move {
            let accepted = self.accept(&socket, auth.as_ref()).await;
            accepted.map_err(|reason| Box::new(reason) as _)
        })
    }
}

struct Messages {
    context: Arc<ServerContext>,
    connection: Arc<Connection>,
    rate: Option<Rate>,
}

impl<A: Adapter> MessageHandler<A, HostMarker> for Messages {
    /// Handles an event, in the order of the packets, in the task that reads them.
    fn call(&self, _: Arc<Socket<A>>, packet: Value, ack: Option<i64>) {
        flush::collect(None, || self.receive(packet, ack));
    }
}

impl Messages {
    fn receive(&self, packet: Value, ack: Option<i64>) {
        let connection = &self.connection;
        // Packets that follow the end of a client are not reported as lost.
        if connection.is_cut() || !self.is_within_rate() {
            return;
        }
        let Value::Str(text, attachments) = packet else {
            return connection.lost("?", OTHER_PARSER);
        };
        let mut attachments = attachments.unwrap_or_default();
        let attachments = attachments.make_contiguous();
        if let Err(error) = self.context.event(connection, &text, attachments, ack) {
            connection.unread(&text, &error);
        }
    }

    /// Returns `true` if the client may send one more event now. Otherwise announces that the event is dropped, or
    /// disconnects the client.
    fn is_within_rate(&self) -> bool {
        let Some(rate) = &self.rate else {
            return true;
        };
        match rate.take(Instant::now()) {
            RateDecision::Passes => return true,
            RateDecision::Refused => {
                let reason = "rate limit exceeded (`max-events-per-second`)";
                self.connection.lost("?", reason);
            }
            RateDecision::Abuse => {
                let reason = "rate limit exceeded repeatedly (`max-events-per-second`)".to_owned();
                stalled::announce(&self.connection, reason);
                self.connection.disconnect(true);
            }
        }
        false
    }
}

struct Leaves {
    connection: Arc<Connection>,
    here: Option<Arc<str>>,
}

impl<A: Adapter> DisconnectHandler<A, HostMarker> for Leaves {
    /// Handles a disconnect. `defer` removes the socket from socketioxide's tables; a panic before it would leave the
    /// socket there.
    fn call_with_defer(
        &self,
        socket: Arc<Socket<A>>,
        reason: DisconnectReason,
        defer: fn(Arc<Socket<A>>),
    ) {
        self.connection.abandon(0);
        let rooms = rooms_of(&socket, self.here.as_deref());
        self.connection.remember_rooms(rooms);
        defer(socket);
        self.connection.post(Work::Disconnect(reason_text(reason)));
    }
}

/// Abandons the connection, because socketioxide may drop a socket whose CONNECT it has not answered.
impl Drop for Leaves {
    fn drop(&mut self) {
        self.connection.abandon(0);
    }
}
