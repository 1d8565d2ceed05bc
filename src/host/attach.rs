//! Scripts on a `SocketIo` of the program's own, beside namespaces that are written in Rust.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use socketioxide::{NsInsertError, SocketIo, SocketIoConfig, adapter::Adapter};
use socketioxide_core::adapter::{DefinedAdapter, Spawnable};

use super::{
    Host, Inner, Options,
    link::Broadcasts,
    remote::{self, Remote},
    socketio::{Connects, Ours, Server},
};
use crate::connection::{Driver, HostEvent, Namespace};

/// One call of a script may send a client so many packets, with the limits that a host begins with.
const ENOUGH: usize = 10_000;

/// Why a host could not be attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The host serves already: [`Host::service`] or [`Host::attach`] was called before.
    #[error("the host serves already; a host has one server")]
    ServesAlready,
    /// The `SocketIo` has another parser than Socket.IO's common one.
    #[error("scripts need the common parser of Socket.IO, and this `SocketIo` has another one")]
    OtherParser,
}

impl Host {
    /// Serves the scripts on a `SocketIo` of the program's own, with any adapter, beside the namespaces that the program
    /// has on it. It is called once, on a Tokio runtime.
    ///
    /// Handlers, handshakes, rooms, acks, timers, limits and live editing are as with [`Host::service`]. But the host has
    /// no hand in the transport here. What does not hold is told at once as [`HostEvent::AttachWarning`]:
    ///
    /// | | [`Host::service`] | `Host::attach` |
    /// |---|---|---|
    /// | a client that does not read | is cut off when [`Options::max_backlog`] bytes wait for it | is cut off when as many packets wait as the `max_buffer_size` of the `SocketIo` allows, of any size; the connection ends with the next heartbeat |
    /// | `socket.disconnect(true)` | closes the connection | takes the client out of every namespace of the host; the official clients then close by themselves |
    /// | events in the same write as a CONNECT | are kept | end the connection, as the crate does it |
    /// | `volatile` | is skipped while packets wait for the client | is an ordinary `emit` |
    /// | the first clients of `room/{id}.rhai` | are in one namespace | can miss each other if they come in the same instant |
    /// | path, ping, payloads, transports, origins, attachments | [`Options`] | those of the `SocketIo` and of its layers; [`Options::socket_io`] begins one with the same |
    /// | [`Options::max_connections`], memory of idle clients | the host's | the program's |
    /// | `socket.handshake.address` | the peer's | the same, if the app has axum's `ConnectInfo<SocketAddr>` |
    ///
    /// With an adapter that reaches other processes, `emit` reaches their clients too, unless it goes through `local`.
    /// `io.sockets`, `fetch_sockets`, `sockets_join` and the like, acks of broadcasts, `volatile` broadcasts and `io.data`
    /// are this process's. Namespaces take clients as soon as the adapter is ready.
    ///
    /// A namespace that the program has already stays the program's, which is announced; one that it registers later takes
    /// the place of the script's, and must not. [`Host::close`] ends the host's namespaces only.
    ///
    /// ```
    /// use axum::Router;
    /// use patchcord::{Host, Options, script::Memory, socketioxide::extract::SocketRef};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), patchcord::AttachError> {
    /// let (layer, io) = Options::default().socket_io().build_layer();
    /// io.ns("/admin", async |socket: SocketRef| drop(socket.emit("hello", "from Rust")));
    ///
    /// let scripts = Memory::from([("chat.rhai", "fn on_connection(socket) { socket.emit(\"hello\", \"from a script\"); }")]);
    /// let host = Host::builder().loader(scripts).build();
    /// host.load().await;
    /// host.attach(&io)?;
    /// // `layer.layer(...)` and not `Router::layer`, which would begin a new engine for each connection.
    /// use tower::Layer;
    /// let app: Router = Router::new().fallback_service(layer.layer(Router::new()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the host serves already, or the parser of the `SocketIo` is not the common one.
    pub fn attach<A: Adapter + DefinedAdapter>(&self, io: &SocketIo<A>) -> Result<(), AttachError> {
        let inner = &self.inner;
        if has_other_parser(io.config()) {
            return Err(AttachError::OtherParser);
        }
        let mut server = inner.lock_io();
        if server.is_some() {
            return Err(AttachError::ServesAlready);
        }
        *server = Some(Arc::new(Attached {
            io: io.clone(),
            served: Mutex::default(),
        }));
        drop(server);
        for problem in warnings(io.config(), &inner.options) {
            inner.announce(HostEvent::AttachWarning { problem });
        }
        for namespace in inner.all() {
            inner.register(&namespace);
        }
        Ok(())
    }
}

/// The crate shows its parser in this way only. If it no longer does, the first event still tells.
fn has_other_parser(config: &SocketIoConfig) -> bool {
    let config = format!("{config:?}");
    config.contains("parser: ") && !config.contains("parser: Common")
}

/// What does not hold on a `SocketIo` of this configuration.
fn warnings(config: &SocketIoConfig, options: &Options) -> Vec<String> {
    let engine = &config.engine_config;
    let mut warnings = Vec::new();
    if engine.max_buffer_size < ENOUGH {
        warnings.push(format!(
            "`max_buffer_size` of the `SocketIo` is {}: a client is cut off when a call sends it more packets than that; \
             a call may send {ENOUGH} and more",
            engine.max_buffer_size
        ));
    }
    let max_payload = options.max_payload;
    let payloads = [
        ("max_payload", engine.max_payload),
        ("ws_max_message_size", engine.ws_max_message_size as u64),
    ];
    for (name, size) in payloads {
        if size > max_payload as u64 {
            warnings.push(format!(
                "`{name}` of the `SocketIo` is {size}: `Options::max_payload`, {max_payload}, does not hold"
            ));
        }
    }
    let default = Options::default();
    let ignored = [
        ("path", options.path != engine.req_path),
        ("origins", options.origins != default.origins),
        ("max_connections", options.max_connections.is_some()),
        ("max_backlog", options.max_backlog != default.max_backlog),
        (
            "max_backlog_packets",
            options.max_backlog_packets != default.max_backlog_packets,
        ),
        (
            "max_attachments",
            options.max_attachments != default.max_attachments,
        ),
    ];
    for (name, _) in ignored.iter().filter(|(_, is_set)| *is_set) {
        warnings.push(format!(
            "`Options::{name}` has no effect on a `SocketIo` of the program's own"
        ));
    }
    warnings
}

/// The namespaces of a host on a `SocketIo` that is not its own.
struct Attached<A: Adapter> {
    io: SocketIo<A>,
    /// Paths and patterns that belong to the host.
    served: Mutex<BTreeSet<String>>,
}

impl<A: Adapter> std::fmt::Debug for Attached<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attached").finish_non_exhaustive()
    }
}

impl<A: Adapter> Attached<A> {
    fn served(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Connects a namespace of the host to the crate's.
    fn link(&self, host: &Arc<Inner>, namespace: &Namespace) {
        self.served().insert(namespace.path().to_string());
        namespace.set_link(Arc::new(Broadcasts {
            io: self.io.clone(),
            path: namespace.path().clone(),
            remote: Remote::start(&self.io, namespace.path(), &Arc::downgrade(host)),
        }));
    }

    /// Has the crate make the instances of a dynamic namespace: nobody sees a CONNECT before it does. A pattern cannot be
    /// taken back, so each shape is registered once, whatever its parameters are called.
    fn pattern(&self, host: &Arc<Inner>, pattern: &str) -> Result<(), NsInsertError> {
        if !self.served().insert(shape(pattern)) {
            return Ok(());
        }
        let connects = Connects::new(host, None, remote::room(&self.io));
        self.io.dyn_ns::<_, Ours>(pattern, connects)
    }
}

/// A pattern without the names of its parameters.
fn shape(pattern: &str) -> String {
    let parts = pattern.split('/').map(|part| match part.starts_with('{') {
        true => "{}",
        false => part,
    });
    parts.collect::<Vec<_>>().join("/")
}

impl<A: Adapter + DefinedAdapter> Server for Attached<A> {
    fn register(&self, host: &Arc<Inner>, namespace: &Arc<Namespace>) {
        let path = namespace.path();
        let problem = if namespace.is_dynamic() {
            let registered = self.pattern(host, path);
            registered.err().map(|error| error.to_string())
        } else if self.served().contains(&**path) {
            None
        } else if self.io.of(&**path).is_some() {
            Some("the `SocketIo` has a namespace of this name already".to_owned())
        } else {
            self.link(host, namespace);
            let connects = Connects::new(host, Some(namespace), remote::room(&self.io));
            self.io.ns::<_, Ours>(path.to_string(), connects).spawn();
            None
        };
        if let Some(problem) = problem {
            host.announce(HostEvent::AttachWarning {
                problem: format!("no script serves `{path}`: {problem}"),
            });
        }
    }

    fn register_instance(&self, host: &Arc<Inner>, instance: &Arc<Namespace>) {
        self.link(host, instance);
    }

    fn delete(&self, path: &str) {
        self.served().remove(path);
        self.io.delete_ns(path);
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let served = std::mem::take(&mut *self.served());
        for path in served {
            for socket in self.io.of(&path).into_iter().flat_map(|all| all.sockets()) {
                // One that takes nothing more is closed by the heartbeat.
                let _ = socket.disconnect();
            }
            // For clients of the legacy protocol the crate cannot do without this one.
            if path != "/" {
                self.io.delete_ns(path);
            }
        }
        Box::pin(std::future::ready(()))
    }
}
