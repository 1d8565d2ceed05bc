//! The handlers that the Socket.IO crate calls: a namespace and its sockets come to life and end here.

use std::{pin::Pin, sync::Arc, time::Instant};

use tokio::sync::OwnedRwLockReadGuard;

use socketioxide::{
    SocketIo,
    adapter::LocalAdapter,
    handler::{ConnectHandler, DisconnectHandler, MessageHandler, Value},
    socket::{DisconnectReason, Socket},
};

use super::{
    Inner,
    link::{Broadcasts, SocketLink, wire},
    outbox,
    rate::{Rate, Verdict},
};
use rhai::Dynamic;

use crate::{
    api,
    connection::{Connection, Event, HostEvent, Namespace, Work},
    value,
};

/// Marks the handler implementations as ours.
pub(super) enum Ours {}

/// Serves a namespace on `io`, once.
pub(super) fn register(io: &SocketIo, host: &Arc<Inner>, namespace: &Arc<Namespace>) {
    let path = namespace.path();
    namespace.set_link(Arc::new(Broadcasts {
        io: io.clone(),
        path: path.clone(),
    }));
    io.ns::<_, Ours>(
        path.to_string(),
        Connects {
            host: host.clone(),
            namespace: namespace.clone(),
        },
    );
}

#[derive(Clone)]
struct Connects {
    host: Arc<Inner>,
    namespace: Arc<Namespace>,
}

impl Connects {
    async fn accept(&self, socket: &Arc<Socket>, auth: Option<&Value>) -> Result<(), String> {
        self.namespace.ready().await;
        let auth = self
            .auth(auth)
            .map_err(|error| format!("the auth of the client cannot be read: {error}"))?;
        let id = socket.id.to_string();
        wire(socket).inspect(|wire| wire.is_called(&id));
        let connection = Connection::new(&id, self.namespace.clone(), auth, api::now());
        socket.join(id);
        self.host
            .shake(
                &connection,
                Arc::new(SocketLink::handshaking(socket.clone())),
            )
            .await?;
        connection.hold(Box::new(self.pass(socket).await));
        socket.on_fallback::<_, Ours>(Messages {
            host: self.host.clone(),
            connection: connection.clone(),
            rate: self
                .host
                .options
                .max_events_per_second
                .map(|rate| Rate::new(rate, Instant::now())),
        });
        socket.on_disconnect::<_, Ours>(Leaves(connection.clone()));
        connection.enter();
        socket
            .extensions
            .insert(Waiting(Arc::new(Unanswered(connection))));
        // The answer to the CONNECT.
        wire(socket).inspect(|wire| wire.owes(1));
        Ok(())
    }

    fn auth(&self, auth: Option<&Value>) -> Result<Dynamic, value::DecodeError> {
        match auth {
            Some(Value::Str(text, attachments)) => {
                let mut attachments = attachments.clone().unwrap_or_default();
                value::value(text, attachments.make_contiguous(), &self.host.decoding)
            }
            _ => Ok(Dynamic::from_map(rhai::Map::new())),
        }
    }

    /// The leave to connect, which is given as soon as no reload is being decided.
    async fn pass(&self, socket: &Socket) -> OwnedRwLockReadGuard<()> {
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

impl ConnectHandler<LocalAdapter, Ours> for Connects {
    /// The CONNECT was answered: `on_connection`, and then what the client has sent meanwhile.
    fn call(&self, socket: Arc<Socket>, _: Option<Value>) {
        let waiting = socket.extensions.remove::<Waiting>();
        if let Some(Waiting(waiting)) = waiting {
            waiting.0.open(Arc::new(SocketLink::new(socket.clone())));
        }
        answered(&socket);
    }

    /// Everything is in place before the CONNECT is answered, for events and a disconnect may follow at once.
    fn call_middleware<'a>(&'a self, socket: Arc<Socket>, auth: &'a Option<Value>) -> Accepted<'a> {
        Box::pin(async move {
            // A handshake may take long and must not keep a reload waiting: only its ends do.
            drop(self.pass(&socket).await);
            let accepted = match self.host.refusal(&self.namespace.serving()) {
                Some(reason) => Err(reason.to_owned()),
                None => self.accept(&socket, auth.as_ref()).await,
            };
            accepted.map_err(|reason| {
                answered(&socket);
                Box::new(reason) as _
            })
        })
    }
}

/// A connection between its acceptance and the answer to its CONNECT.
#[derive(Clone)]
struct Waiting(Arc<Unanswered>);

/// It leaves its namespace again when the crate drops it without an answer.
struct Unanswered(Arc<Connection>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

fn answered(socket: &Socket) {
    if let Some(wire) = wire(socket) {
        wire.connect_answered();
    }
}

struct Messages {
    host: Arc<Inner>,
    connection: Arc<Connection>,
    rate: Option<Rate>,
}

impl MessageHandler<LocalAdapter, Ours> for Messages {
    /// Called in the order of the packets, in the task that reads them.
    fn call(&self, socket: Arc<Socket>, packet: Value, ack: Option<i64>) {
        outbox::collect(wire(&socket), || self.receive(&socket, packet, ack));
    }
}

impl Messages {
    fn receive(&self, socket: &Socket, packet: Value, ack: Option<i64>) {
        let connection = &self.connection;
        if !self.is_in_time(socket) {
            return;
        }
        let Value::Str(text, attachments) = packet else {
            self.lost(
                "?",
                "a parser other than Socket.IO's common one is in use".to_owned(),
            );
            return;
        };
        let mut attachments = attachments.unwrap_or_default();
        match value::event(&text, attachments.make_contiguous(), &self.host.decoding) {
            Ok(event) => {
                let size = text.len() + attachments.iter().map(bytes::Bytes::len).sum::<usize>();
                let event = Event::new(&event.name, event.args, ack, size);
                if let Some(refused) = connection.post(Work::Event(event)) {
                    self.lost(
                        &refused.name,
                        "too many events wait for the socket's handlers".to_owned(),
                    );
                }
            }
            Err(error) => self.lost("?", format!("the packet cannot be read: {error}")),
        }
    }

    /// Whether the client may send one more event now.
    fn is_in_time(&self, socket: &Socket) -> bool {
        let Some(rate) = &self.rate else {
            return true;
        };
        match rate.take(Instant::now()) {
            Verdict::Passes => return true,
            Verdict::Refused(None) => {}
            Verdict::Refused(Some(count)) => {
                self.lost(
                    "?",
                    format!("{count} events beyond `max-events-per-second`"),
                );
            }
            Verdict::Abuse => match wire(socket) {
                Some(wire) => wire.cut_off("it goes on beyond `max-events-per-second`".to_owned()),
                None => self.connection.disconnect(true),
            },
        }
        false
    }

    fn lost(&self, event: &str, reason: String) {
        let namespace = self.connection.namespace();
        namespace.driver().announce(HostEvent::Lost {
            namespace: namespace.path().clone(),
            socket: Some(self.connection.id().to_string()),
            event: event.to_owned(),
            reason,
        });
    }
}

struct Leaves(Arc<Connection>);

impl DisconnectHandler<LocalAdapter, Ours> for Leaves {
    /// `defer` takes the socket out of the crate's tables; a panic before it would leave it there.
    fn call_with_defer(
        &self,
        socket: Arc<Socket>,
        reason: DisconnectReason,
        defer: fn(Arc<Socket>),
    ) {
        socket.extensions.remove::<Waiting>();
        self.0
            .set_last_rooms(Some(socket.rooms().into_iter().map(Into::into).collect()));
        defer(socket);
        self.0.post(Work::Disconnect(reason_text(reason)));
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
