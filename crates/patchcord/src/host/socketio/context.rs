//! Context that the handlers of all sockets share, and their common functions.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use rhai::Dynamic;
use socketioxide::{
    adapter::Adapter,
    handler::Value,
    socket::{DisconnectReason, Socket},
};

use crate::{
    connection::{Connection, Event, Namespace, Work},
    event::{ConnectRefusal, HostEvent},
    host::{
        announce::Announcer,
        dispatch::Dispatcher,
        lifecycle::{Lifecycle, Pass, SHUTTING_DOWN},
        namespaces::{INVALID_NAMESPACE, Namespaces},
        options::Options,
        socketio::recovery::Recovery,
        transport::request,
    },
    value::{self, DecodeError},
};

/// Marker for the handler implementations of the host.
pub(super) enum HostMarker {}

/// Future of a decision on a client; its error is the reason that the client receives.
pub(super) type Accepted<'a> =
    Pin<Box<dyn Future<Output = Result<(), Box<dyn std::fmt::Display + Send>>> + Send + 'a>>;

/// Error message for packets that cannot be read.
pub(super) const OTHER_PARSER: &str = "a parser other than Socket.IO's common one is in use";

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
    /// Limits of recovery; `None` if it is off.
    pub(in crate::host) recovery: Option<Arc<Recovery>>,
}

impl ServerContext {
    /// Returns a namespace if it is served.
    ///
    /// # Errors
    /// Returns the reason that the client receives.
    pub(super) fn served(
        &self,
        namespace: &Weak<Namespace>,
    ) -> Result<Arc<Namespace>, &'static str> {
        let namespace = namespace.upgrade().ok_or(INVALID_NAMESPACE)?;
        match self.namespaces.refusal(&namespace.serving()) {
            Some(reason) => Err(reason),
            None => Ok(namespace),
        }
    }

    /// Checks that a namespace still has its path. A file may have taken the path over during a handshake.
    ///
    /// # Errors
    /// Returns the reason that the client receives. The rejection is announced.
    pub(super) fn still_served(&self, namespace: &Arc<Namespace>) -> Result<(), &'static str> {
        let path = namespace.path();
        let now = self.namespaces.find(path);
        if now.is_some_and(|now| Arc::ptr_eq(&now, namespace)) {
            return Ok(());
        }
        let kind = ConnectRefusal::InvalidNamespace;
        self.announcer
            .announce(HostEvent::connect_refused(path, None, kind));
        Err(INVALID_NAMESPACE)
    }

    /// Returns the address of a client that has no wire. A wire knows the address itself.
    pub(super) fn peer<A: Adapter>(&self, socket: &Socket<A>) -> Option<SocketAddr> {
        let parts = socket.req_parts();
        let proxies = self.options.clients.trust_proxy;
        request::client(&parts.headers, &parts.extensions, proxies)
    }

    /// Decodes the `auth` of a CONNECT.
    ///
    /// # Errors
    /// Returns the reason that the client receives.
    pub(super) fn auth(&self, auth: Option<&Value>) -> Result<Dynamic, String> {
        let problem = match auth {
            None => return Ok(Dynamic::from_map(rhai::Map::new())),
            Some(Value::Bytes(_)) => OTHER_PARSER.to_owned(),
            Some(Value::Str(text, attachments)) => {
                let mut attachments = attachments.clone().unwrap_or_default();
                match value::value(text, attachments.make_contiguous(), &self.decoding) {
                    Ok(auth) => return Ok(auth),
                    Err(error) => error.to_string(),
                }
            }
        };
        Err(format!("the auth of the client cannot be read: {problem}"))
    }

    /// Passes an event of a client to its connection.
    ///
    /// # Errors
    /// Returns the problem if the packet cannot be read.
    pub(super) fn event(
        &self,
        connection: &Arc<Connection>,
        text: &str,
        attachments: &[Bytes],
        ack: Option<i64>,
    ) -> Result<(), DecodeError> {
        let event = value::event(text, attachments, &self.decoding)?;
        let size = text.len() + attachments.iter().map(Bytes::len).sum::<usize>();
        let event = Event::new(&event.name, event.args, ack, size);
        if let Some(refused) = connection.post(Work::Event(event)) {
            let problem = "too many events wait for the socket's handlers";
            connection.lost(&refused.name, problem);
        }
        Ok(())
    }

    /// Waits until the gate is open, and returns a pass to connect. Calls `postponed` with `true` before a wait, and
    /// with `false` after it.
    pub(super) async fn pass(&self, postponed: impl Fn(bool) + Send + Sync) -> Pass {
        if let Some(pass) = self.lifecycle.try_pass() {
            return pass;
        }
        postponed(true);
        let pass = self.lifecycle.pass().await;
        postponed(false);
        pass
    }
}

/// Returns Node's name for the reason of a disconnect.
pub(super) const fn reason_text(reason: DisconnectReason) -> &'static str {
    match reason {
        DisconnectReason::TransportClose => "transport close",
        DisconnectReason::TransportError | DisconnectReason::MultipleHttpPollingError => {
            "transport error"
        }
        DisconnectReason::PacketParsingError => "parse error",
        DisconnectReason::HeartbeatTimeout => "ping timeout",
        DisconnectReason::ClientNSDisconnect => "client namespace disconnect",
        DisconnectReason::ServerNSDisconnect => "server namespace disconnect",
        DisconnectReason::ClosingServer => SHUTTING_DOWN,
    }
}
