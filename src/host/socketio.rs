//! The handlers that the Socket.IO crate calls: a namespace and its sockets come to life and end here.

use std::{
    collections::HashMap,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, MutexGuard, PoisonError},
    time::Instant,
};

use rhai::Dynamic;
use socketioxide::{
    SocketIo,
    adapter::Adapter,
    handler::{ConnectHandler, DisconnectHandler, MessageHandler, Value},
    socket::{DisconnectReason, Socket},
};
use tokio::sync::OwnedRwLockReadGuard;

use super::{
    INVALID_NAMESPACE, Inner, deaf,
    link::{Broadcasts, SocketLink, rooms_of, wire},
    outbox,
    rate::{Rate, Verdict},
    service,
};
use crate::{
    api,
    connection::{Connection, Event, Namespace, Work},
    value,
};

/// Marks the handler implementations as ours.
pub(super) enum Ours {}

/// What a client hears whose events cannot be read.
const OTHER_PARSER: &str = "a parser other than Socket.IO's common one is in use";

/// The Socket.IO server that namespaces are registered with.
pub(super) trait Server: std::fmt::Debug + Send + Sync {
    /// Serves a namespace, once.
    fn register(&self, host: &Arc<Inner>, namespace: &Arc<Namespace>);

    /// Serves an instance of a dynamic namespace, once.
    fn register_instance(&self, host: &Arc<Inner>, instance: &Arc<Namespace>);

    /// Forgets a namespace that nobody is in.
    fn delete(&self, path: &str);

    /// Ends every connection, as far as they are the host's.
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// The server of [`Host::service`](super::Host::service).
impl Server for SocketIo {
    fn register(&self, host: &Arc<Inner>, namespace: &Arc<Namespace>) {
        // The wire has instances of dynamic ones registered, as they are asked for.
        if !namespace.is_dynamic() {
            self.register_instance(host, namespace);
        }
    }

    fn register_instance(&self, host: &Arc<Inner>, namespace: &Arc<Namespace>) {
        let path = namespace.path();
        namespace.set_link(Arc::new(Broadcasts {
            io: self.clone(),
            path: path.clone(),
            remote: None,
        }));
        let connects = Connects::new(host, Some(namespace), None);
        self.ns::<_, Ours>(path.to_string(), connects);
    }

    fn delete(&self, path: &str) {
        self.delete_ns(path);
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.close())
    }
}

/// Takes the clients of a namespace.
#[derive(Clone)]
pub(super) struct Connects {
    host: Arc<Inner>,
    /// `None` for instances that the crate makes: they are found by their paths.
    namespace: Option<Arc<Namespace>>,
    /// See [`Remote::here`](super::remote::Remote::here).
    here: Option<Arc<str>>,
}

impl Connects {
    pub(super) fn new(
        host: &Arc<Inner>,
        namespace: Option<&Arc<Namespace>>,
        here: Option<Arc<str>>,
    ) -> Self {
        Self {
            host: host.clone(),
            namespace: namespace.cloned(),
            here,
        }
    }

    /// The namespace of a socket, while it is served.
    fn namespace(&self, path: &str) -> Result<Arc<Namespace>, &'static str> {
        let namespace = match &self.namespace {
            Some(namespace) => namespace.clone(),
            None => self.host.ensure(path).ok_or_else(|| {
                // The crate has made it for nothing.
                self.host.delete(path);
                INVALID_NAMESPACE
            })?,
        };
        match self.host.refusal(&namespace.serving()) {
            Some(reason) => Err(reason),
            None => Ok(namespace),
        }
    }

    async fn accept<A: Adapter>(
        &self,
        socket: &Arc<Socket<A>>,
        namespace: Arc<Namespace>,
        auth: Option<&Value>,
    ) -> Result<(), String> {
        namespace.ready().await;
        let auth = self
            .auth(auth)
            .map_err(|problem| format!("the auth of the client cannot be read: {problem}"))?;
        let id = socket.id.to_string();
        wire(socket).inspect(|wire| wire.is_called(&id));
        let connection = Connection::new(&id, namespace, auth, api::now());
        if wire(socket).is_none() {
            // The program and other processes know it by its id, too.
            socket.join(id);
        }
        if let Some(here) = &self.here {
            socket.join(here.to_string());
        }
        let link = SocketLink::handshaking(socket.clone(), self.peer(socket), self.here.clone());
        self.host.shake(&connection, Arc::new(link)).await?;
        connection.hold(Box::new(self.pass(socket).await));
        connection.enter();
        self.host
            .lock_unanswered()
            .insert(address(socket), connection.clone());
        socket.on_fallback::<_, Ours>(Messages {
            host: self.host.clone(),
            connection: connection.clone(),
            rate: self
                .host
                .options
                .max_events_per_second
                .map(|rate| Rate::new(rate, Instant::now())),
        });
        socket.on_disconnect::<_, Ours>(Leaves {
            unanswered: Unanswered {
                host: self.host.clone(),
                socket: address(socket),
            },
            connection: connection.clone(),
            here: self.here.clone(),
        });
        if wire(socket).is_none() {
            deaf::watch(socket, &connection);
        }
        // The answer to the CONNECT.
        wire(socket).inspect(|wire| wire.accepts());
        Ok(())
    }

    /// The address of a client without a wire, which would know it.
    fn peer<A: Adapter>(&self, socket: &Socket<A>) -> Option<SocketAddr> {
        let parts = socket.req_parts();
        let proxies = self.host.options.trust_proxy;
        service::client(&parts.headers, &parts.extensions, proxies)
    }

    fn auth(&self, auth: Option<&Value>) -> Result<Dynamic, String> {
        match auth {
            Some(Value::Str(text, attachments)) => {
                let mut attachments = attachments.clone().unwrap_or_default();
                value::value(text, attachments.make_contiguous(), &self.host.decoding)
                    .map_err(|error| error.to_string())
            }
            Some(Value::Bytes(_)) => Err(OTHER_PARSER.to_owned()),
            None => Ok(Dynamic::from_map(rhai::Map::new())),
        }
    }

    /// The leave to connect, which is given as soon as no reload is being decided.
    async fn pass<A: Adapter>(&self, socket: &Socket<A>) -> OwnedRwLockReadGuard<()> {
        let gate = self.host.gate.clone();
        if let Ok(pass) = gate.clone().try_read_owned() {
            return pass;
        }
        wire(socket).inspect(|wire| wire.postpone(true));
        let pass = gate.read_owned().await;
        wire(socket).inspect(|wire| wire.postpone(false));
        pass
    }
}

type Accepted<'a> =
    Pin<Box<dyn Future<Output = Result<(), Box<dyn std::fmt::Display + Send>>> + Send + 'a>>;

impl<A: Adapter> ConnectHandler<A, Ours> for Connects {
    /// The CONNECT was answered: `on_connection`, and then what the client has sent meanwhile.
    fn call(&self, socket: Arc<Socket<A>>, _: Option<Value>) {
        wire(&socket).inspect(|wire| wire.accepted());
        let unanswered = self.host.lock_unanswered().remove(&address(&socket));
        if let Some(connection) = unanswered {
            let link = SocketLink::new(socket.clone(), self.peer(&socket), self.here.clone());
            connection.open(Arc::new(link));
        }
        answered(&socket);
    }

    /// Everything is in place before the CONNECT is answered, for events and a disconnect may follow at once.
    fn call_middleware<'a>(
        &'a self,
        socket: Arc<Socket<A>>,
        auth: &'a Option<Value>,
    ) -> Accepted<'a> {
        Box::pin(async move {
            // A handshake may take long and must not keep a reload waiting: only its ends do.
            drop(self.pass(&socket).await);
            let accepted = match self.namespace(socket.ns()) {
                Err(reason) => Err(reason.to_owned()),
                Ok(namespace) => self.accept(&socket, namespace, auth.as_ref()).await,
            };
            accepted.map_err(|reason| {
                answered(&socket);
                Box::new(reason) as _
            })
        })
    }
}

/// What a socket of the crate is known by while it lives.
fn address<A: Adapter>(socket: &Arc<Socket<A>>) -> usize {
    Arc::as_ptr(socket).addr()
}

/// The connection of a socket leaves its namespace again when the crate closes or drops it before its CONNECT is
/// answered.
struct Unanswered {
    host: Arc<Inner>,
    socket: usize,
}

impl Inner {
    fn lock_unanswered(&self) -> MutexGuard<'_, HashMap<usize, Arc<Connection>>> {
        self.unanswered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unanswered {
    fn abandon(&self) {
        let unanswered = self.host.lock_unanswered().remove(&self.socket);
        if let Some(connection) = unanswered {
            connection.abandon();
        }
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.abandon();
    }
}

fn answered<A: Adapter>(socket: &Socket<A>) {
    if let Some(wire) = wire(socket) {
        wire.connect_answered();
    }
}

struct Messages {
    host: Arc<Inner>,
    connection: Arc<Connection>,
    rate: Option<Rate>,
}

impl<A: Adapter> MessageHandler<A, Ours> for Messages {
    /// Called in the order of the packets, in the task that reads them.
    fn call(&self, socket: Arc<Socket<A>>, packet: Value, ack: Option<i64>) {
        outbox::collect(wire(&socket), || self.receive(&socket, packet, ack));
    }
}

impl Messages {
    fn receive<A: Adapter>(&self, socket: &Socket<A>, packet: Value, ack: Option<i64>) {
        let connection = &self.connection;
        if !self.is_in_time(socket) {
            return;
        }
        let Value::Str(text, attachments) = packet else {
            return connection.lost("?", OTHER_PARSER);
        };
        let mut attachments = attachments.unwrap_or_default();
        match value::event(&text, attachments.make_contiguous(), &self.host.decoding) {
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

    /// Whether the client may send one more event now.
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
                        deaf::announce(&self.connection, reason);
                        self.connection.disconnect(true);
                    }
                }
            }
        }
        false
    }
}

struct Leaves {
    unanswered: Unanswered,
    connection: Arc<Connection>,
    here: Option<Arc<str>>,
}

impl<A: Adapter> DisconnectHandler<A, Ours> for Leaves {
    /// `defer` takes the socket out of the crate's tables; a panic before it would leave it there.
    fn call_with_defer(
        &self,
        socket: Arc<Socket<A>>,
        reason: DisconnectReason,
        defer: fn(Arc<Socket<A>>),
    ) {
        self.unanswered.abandon();
        let rooms = rooms_of(&socket, self.here.as_deref());
        self.connection.remember_rooms(rooms);
        defer(socket);
        self.connection.post(Work::Disconnect(reason_text(reason)));
    }
}

/// Node's word for a reason.
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
