//! Handlers that socketioxide calls: a namespace and its sockets come to life and end here.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Weak},
    time::Instant,
};

use rhai::Dynamic;
use socketioxide::{
    adapter::Adapter,
    handler::{ConnectHandler, DisconnectHandler, MessageHandler, Value},
    socket::{DisconnectReason, Socket},
};

use super::{
    rate_limit::{Rate, Verdict},
    socket::{rooms_of, wire},
    socket_link::SocketLink,
    stalled,
};
use crate::{
    api,
    connection::{Connection, Event, Namespace, Work},
    host::{
        announce::Announcer,
        dispatch::Dispatcher,
        lifecycle::{Lifecycle, Pass},
        namespaces::{INVALID_NAMESPACE, Namespaces},
        options::Options,
        transport::{
            flush::{self, Flush},
            request,
        },
    },
    value,
};

/// Marker for the handler implementations of the host.
pub(super) enum Ours {}

/// Error message for packets that cannot be read.
const OTHER_PARSER: &str = "a parser other than Socket.IO's common one is in use";

/// Context that the handlers of all sockets share.
#[derive(Debug)]
pub(in crate::host) struct ServerContext {
    pub(in crate::host) options: Arc<Options>,
    pub(in crate::host) announcer: Arc<Announcer>,
    pub(in crate::host) namespaces: Arc<Namespaces>,
    pub(in crate::host) dispatcher: Arc<Dispatcher>,
    pub(in crate::host) lifecycle: Lifecycle,
    /// Limits for decoding a packet.
    pub(in crate::host) decoding: value::Limits,
}

/// Accepts the clients of a namespace. socketioxide keeps this handler as long as the `SocketIo` lives. The `SocketIo`
/// may outlive the host, so the handler holds nothing of the host.
#[derive(Clone)]
pub(super) struct Connects {
    context: Weak<ServerContext>,
    /// `None` for instances that socketioxide creates: they are found by their paths.
    namespace: Option<Weak<Namespace>>,
    /// See [`Remote::here`](super::cluster::Remote::here).
    here: Option<Arc<str>>,
}

impl Connects {
    pub(super) fn new(
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

    /// Returns the namespace of a socket, while it is served.
    fn namespace(
        &self,
        context: &ServerContext,
        path: &str,
    ) -> Result<Arc<Namespace>, &'static str> {
        let namespaces = &context.namespaces;
        let namespace = match &self.namespace {
            Some(namespace) => namespace.upgrade().ok_or(INVALID_NAMESPACE)?,
            None => namespaces.ensure(path).ok_or_else(|| {
                // socketioxide has created it for nothing.
                namespaces.delete(path);
                INVALID_NAMESPACE
            })?,
        };
        match namespaces.refusal(&namespace.serving()) {
            Some(reason) => Err(reason),
            None => Ok(namespace),
        }
    }

    /// Accepts or rejects a client. Everything is in place before its CONNECT is answered, because events and a
    /// disconnect may follow at once.
    ///
    /// # Errors
    /// The reason that the client receives.
    async fn accept<A: Adapter>(
        &self,
        socket: &Arc<Socket<A>>,
        auth: Option<&Value>,
    ) -> Result<(), String> {
        let context = self.context.upgrade().ok_or(INVALID_NAMESPACE)?;
        // A handshake may take long and must not delay a reload: only its beginning and its end wait at the gate.
        drop(context.pass(socket).await);
        let namespace = self.namespace(&context, socket.ns())?;
        namespace.ready().await;
        let auth = context
            .auth(auth)
            .map_err(|problem| format!("the auth of the client cannot be read: {problem}"))?;
        let id = socket.id.to_string();
        wire(socket).inspect(|wire| wire.is_called(&id));
        let connection = Connection::new(&id, namespace, auth, api::now());
        if wire(socket).is_none() {
            // The application and other processes know the socket by its id, too.
            socket.join(id);
        }
        if let Some(here) = &self.here {
            socket.join(here.to_string());
        }
        let here = self.here.clone();
        let link = SocketLink::handshaking(socket.clone(), context.peer(socket), here);
        context
            .dispatcher
            .shake(&connection, Arc::new(link))
            .await?;
        connection.enter(Box::new(context.pass(socket).await));
        let rate = context.options.max_events_per_second;
        socket.on_fallback::<_, Ours>(Messages {
            rate: rate.map(|rate| Rate::new(rate, Instant::now())),
            connection: connection.clone(),
            context,
        });
        if wire(socket).is_none() {
            stalled::watch(socket, &connection);
        }
        socket.on_disconnect::<_, Ours>(Leaves {
            connection,
            here: self.here.clone(),
        });
        wire(socket).inspect(|wire| wire.connect_accepted(socket.ns()));
        Ok(())
    }

    /// Opens the connection of a client, unless the client has left already.
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

impl ServerContext {
    /// Returns the address of a client that has no wire; a wire would know the address.
    fn peer<A: Adapter>(&self, socket: &Socket<A>) -> Option<SocketAddr> {
        let parts = socket.req_parts();
        let proxies = self.options.trust_proxy;
        request::client(&parts.headers, &parts.extensions, proxies)
    }

    fn auth(&self, auth: Option<&Value>) -> Result<Dynamic, String> {
        match auth {
            Some(Value::Str(text, attachments)) => {
                let mut attachments = attachments.clone().unwrap_or_default();
                value::value(text, attachments.make_contiguous(), &self.decoding)
                    .map_err(|error| error.to_string())
            }
            Some(Value::Bytes(_)) => Err(OTHER_PARSER.to_owned()),
            None => Ok(Dynamic::from_map(rhai::Map::new())),
        }
    }

    /// Waits until no reload is being decided, and returns the pass to connect.
    async fn pass<A: Adapter>(&self, socket: &Socket<A>) -> Pass {
        if let Some(pass) = self.lifecycle.try_pass() {
            return pass;
        }
        wire(socket).inspect(|wire| wire.connect_postponed(socket.ns(), true));
        let pass = self.lifecycle.pass().await;
        wire(socket).inspect(|wire| wire.connect_postponed(socket.ns(), false));
        pass
    }
}

type Accepted<'a> =
    Pin<Box<dyn Future<Output = Result<(), Box<dyn std::fmt::Display + Send>>> + Send + 'a>>;

impl<A: Adapter> ConnectHandler<A, Ours> for Connects {
    /// Runs after the CONNECT was answered: `on_connection` first, and then what the client has sent meanwhile.
    fn call(&self, socket: Arc<Socket<A>>, _: Option<Value>) {
        wire(&socket).inspect(|wire| wire.connect_answered(socket.ns()));
        self.open(&socket);
        wire(&socket).inspect(|wire| wire.connect_ended(socket.ns()));
    }

    fn call_middleware<'a>(
        &'a self,
        socket: Arc<Socket<A>>,
        auth: &'a Option<Value>,
    ) -> Accepted<'a> {
        Box::pin(async move {
            self.accept(&socket, auth.as_ref()).await.map_err(|reason| {
                wire(&socket).inspect(|wire| wire.connect_ended(socket.ns()));
                Box::new(reason) as _
            })
        })
    }
}

struct Messages {
    context: Arc<ServerContext>,
    connection: Arc<Connection>,
    rate: Option<Rate>,
}

impl<A: Adapter> MessageHandler<A, Ours> for Messages {
    /// Runs in the order of the packets, in the task that reads them.
    fn call(&self, socket: Arc<Socket<A>>, packet: Value, ack: Option<i64>) {
        let reader = wire(&socket).map(|wire| &**wire as &dyn Flush);
        flush::collect(reader, || self.receive(&socket, packet, ack));
    }
}

impl Messages {
    fn receive<A: Adapter>(&self, socket: &Socket<A>, packet: Value, ack: Option<i64>) {
        let connection = &self.connection;
        // Packets that follow the end of a client are no loss to report.
        if connection.is_cut() || !self.is_in_time(socket) {
            return;
        }
        let Value::Str(text, attachments) = packet else {
            return connection.lost("?", OTHER_PARSER);
        };
        let mut attachments = attachments.unwrap_or_default();
        match value::event(&text, attachments.make_contiguous(), &self.context.decoding) {
            Ok(event) => {
                let size = text.len() + attachments.iter().map(bytes::Bytes::len).sum::<usize>();
                let event = Event::new(&event.name, event.args, ack, size);
                if let Some(refused) = connection.post(Work::Event(event)) {
                    connection.lost(
                        &refused.name,
                        "too many events wait for the socket's handlers",
                    );
                }
            }
            Err(error) => connection.lost("?", format!("the packet cannot be read: {error}")),
        }
    }

    /// Returns whether the client may send one more event now.
    fn is_in_time<A: Adapter>(&self, socket: &Socket<A>) -> bool {
        let Some(rate) = &self.rate else {
            return true;
        };
        match rate.take(Instant::now()) {
            Verdict::Passes => return true,
            Verdict::Refused => {
                let reason = "the client sends more than `max-events-per-second`";
                self.connection.lost("?", reason);
            }
            Verdict::Abuse => {
                let reason = "it goes on beyond `max-events-per-second`".to_owned();
                match wire(socket) {
                    Some(wire) => wire.cut_off(reason),
                    None => {
                        stalled::announce(&self.connection, reason);
                        self.connection.disconnect(true);
                    }
                }
            }
        }
        false
    }
}

struct Leaves {
    connection: Arc<Connection>,
    here: Option<Arc<str>>,
}

impl<A: Adapter> DisconnectHandler<A, Ours> for Leaves {
    /// Handles a disconnect. `defer` removes the socket from socketioxide's tables; a panic before it would leave the
    /// socket there.
    fn call_with_defer(
        &self,
        socket: Arc<Socket<A>>,
        reason: DisconnectReason,
        defer: fn(Arc<Socket<A>>),
    ) {
        self.connection.abandon();
        let rooms = rooms_of(&socket, self.here.as_deref());
        self.connection.remember_rooms(rooms);
        defer(socket);
        self.connection.post(Work::Disconnect(reason_text(reason)));
    }
}

/// Abandons the connection, because socketioxide may drop a socket whose CONNECT it has not answered.
impl Drop for Leaves {
    fn drop(&mut self) {
        self.connection.abandon();
    }
}

/// Returns Node's name for a reason.
const fn reason_text(reason: DisconnectReason) -> &'static str {
    match reason {
        DisconnectReason::TransportClose => "transport close",
        DisconnectReason::TransportError | DisconnectReason::MultipleHttpPollingError => {
            "transport error"
        }
        DisconnectReason::PacketParsingError => "parse error",
        DisconnectReason::HeartbeatTimeout => "ping timeout",
        DisconnectReason::ClientNSDisconnect => "client namespace disconnect",
        DisconnectReason::ServerNSDisconnect => "server namespace disconnect",
        DisconnectReason::ClosingServer => "server shutting down",
    }
}
