//! Scripts at work on a Socket.IO server.
//!
//! In: scripts from a [`Loader`], an axum [`Router`] to stand in. Out: a router that serves both, and a
//! [`HostEvent`] for everything that happens.
//!
//! What must stay true: a namespace is registered with the Socket.IO crate once, and a reload never registers
//! again; a failed load changes nothing that is served; no script call runs inside another one.

mod announce;
mod builder;
mod dispatch;
mod functions;
mod lifecycle;
mod namespaces;
mod options;
mod origin;
mod reload;
mod scripting;
mod socketio;
mod state;
mod transport;

use std::{collections::BTreeMap, sync::Arc};

use axum::Router;
use rhai::Dynamic;
use socketioxide::{SocketIo, adapter::Adapter};
use socketioxide_core::adapter::DefinedAdapter;
use tokio::time::timeout;

pub use builder::HostBuilder;
pub use functions::{Functions, Signature, async_fn::AsyncFunction};
pub use options::{OnRebindFailure, Options, Transport};
pub use origin::{BadOrigin, Origin};
pub use reload::{
    history::{Outcome, Record},
    rollback::RollBackError,
    watch::Watching,
};
pub use socketio::attach::AttachError;
#[cfg(feature = "cli")]
pub(crate) use transport::wire::clients_gone;

use crate::{
    api,
    connection::{Connection, Link, NamespaceLink, Serving, Turn, Work},
    diagnostic::Diagnostic,
    event::{Counters, HostEvent},
    script::{LoadError, Words},
    watch::WatchError,
};
use namespaces::INVALID_NAMESPACE;
use reload::{Trigger, rollback::RollBack};
use socketio::{
    attach::{has_other_parser, warnings},
    backend::{Owner, SocketIoBackend},
};
use state::HostState;
use transport::{endpoint::Endpoint, service::HostService, wire::WireContext};

/// Scripts that serve Socket.IO namespaces, edited live.
///
/// ```no_run
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, routing::get};
/// use patchcord::Host;
///
/// let host = Host::builder().scripts("scripts").build();
/// host.load().await;
/// let _watching = host.watch()?;
/// let app = host.service(Router::new().route("/health", get(|| async { "ok" })))?;
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// axum::serve(listener, app).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Host {
    state: Arc<HostState>,
}

impl Host {
    /// Begins a host.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// Loads every script for the first time. One that does not load is announced, and its namespace refuses
    /// clients until it is repaired; the others serve. Gives what is wrong with those that do not.
    ///
    /// ```
    /// use patchcord::{Host, script::Memory};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let scripts = [("main.rhai", "fn on_connection(socket) {}"), ("broken.rhai", "fn on_connection(")];
    /// let host = Host::builder().loader(Memory::from(scripts)).build();
    /// let problems = host.load().await;
    /// assert_eq!(problems.len(), 1);
    /// println!("{}", problems[0]); // with file, line and excerpt
    /// assert_eq!(host.namespaces(), ["/".into()]);
    /// # }
    /// ```
    pub async fn load(&self) -> Vec<Diagnostic> {
        self.state.reloader.load(Trigger::Start).await.rejected
    }

    /// Loads the scripts that have changed since the last time, and makes their new versions serve, live
    /// connections included: all of them, or none if one fails. Gives what is wrong then, and nothing if all is well.
    ///
    /// ```no_run
    /// # async fn run(host: patchcord::Host) {
    /// let problems = host.reload().await;
    /// for problem in &problems {
    ///     eprintln!("{problem}");
    /// }
    /// # }
    /// ```
    pub async fn reload(&self) -> Vec<Diagnostic> {
        self.state.reloader.load(Trigger::Asked).await.rejected
    }

    /// Reloads by itself when files change, for as long as the [`Watching`] lives. Scripts that do not come from
    /// disk are not watched.
    ///
    /// ```no_run
    /// # async fn run(host: patchcord::Host) -> Result<(), patchcord::WatchError> {
    /// host.load().await;
    /// let watching = host.watch()?;
    /// // ... serve ...
    /// drop(watching); // no edit takes effect any more
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// When the files cannot be watched.
    pub fn watch(&self) -> Result<Watching, WatchError> {
        self.state.reloader.watch()
    }

    /// Puts the version of a namespace back that served before, on live connections too, and gives its number. They are
    /// re-bound as by an edit: all of them, or none. Called again it goes one version further back; at most eight are
    /// kept. What was rolled back is not tried again before its files change.
    ///
    /// # Errors
    /// When there is no such version, or it fails on a live connection; nothing has changed then.
    ///
    /// ```no_run
    /// # async fn undo(host: patchcord::Host) -> Result<(), Box<dyn std::error::Error>> {
    /// let version = host.roll_back("/chat").await?;
    /// println!("version {version} serves again");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn roll_back(&self, namespace: &str) -> Result<u64, RollBackError> {
        let what = RollBack::asked(namespace);
        self.state.reloader.roll_back(what).await
    }

    /// The last attempts to have versions serve a namespace, the latest at the end; at most 32. Empty for a namespace
    /// that no script ever had.
    pub async fn history(&self, namespace: &str) -> Vec<Record> {
        self.state.reloader.history(namespace).await
    }

    /// What is wrong with the scripts: what a load would refuse (errors), and what is probably not meant (warnings), in
    /// the order of files and lines. Every file is looked at, those included that no script imports. Nothing is served,
    /// and what serves is not touched.
    ///
    /// ```
    /// use patchcord::{Host, script::Memory};
    ///
    /// let scripts = Memory::from([("main.rhai", "fn on_connection(socket) { socket.emti(\"hello\"); }")]);
    /// let problems = Host::builder().loader(scripts).build().check()?;
    /// assert_eq!(problems[0].message, "unknown function `emti` on `socket`");
    /// # Ok::<(), patchcord::script::LoadError>(())
    /// ```
    ///
    /// # Errors
    /// When the place of the scripts cannot be read.
    pub fn check(&self) -> Result<Vec<Diagnostic>, LoadError> {
        reload::check::check(&self.state.reloader.scripting)
    }

    /// What scripts of this host can call, its own functions included, as definitions for the Rhai language server
    /// (`.d.rhai`).
    ///
    /// ```
    /// let host = patchcord::Host::builder().function("twice(n)", |n: i64| n * 2).build();
    /// assert!(host.definitions().contains("fn twice(n: int) -> int;"));
    /// ```
    pub fn definitions(&self) -> String {
        self.words().definitions()
    }

    /// The same as a page to read, in Markdown: every hook and word that has a comment.
    pub fn reference(&self) -> String {
        self.words().reference()
    }

    fn words(&self) -> Words {
        Words::of(&self.state.reloader.scripting.engine, api::VOCABULARY)
    }

    /// The namespaces that scripts serve now, in order.
    pub fn namespaces(&self) -> Vec<Arc<str>> {
        let all = self.state.namespaces.all_paths();
        let served = all.iter().filter(|namespace| namespace.version().is_some());
        let mut paths: Vec<_> = served.map(|namespace| namespace.path().clone()).collect();
        paths.sort_unstable();
        paths
    }

    /// The names of all scripts there are, modules included, whether they serve or not.
    ///
    /// ```
    /// use patchcord::{Host, script::Memory};
    ///
    /// let files = [("chat.rhai", "fn on_connection(socket) { }"), ("lib/names.rhai", "fn name() { \"Ada\" }")];
    /// let host = Host::builder().loader(Memory::from(files)).build();
    /// assert_eq!(host.scripts()?, ["chat.rhai", "lib/names.rhai"]);
    /// # Ok::<(), patchcord::script::LoadError>(())
    /// ```
    ///
    /// # Errors
    /// When the place of the scripts cannot be read.
    pub fn scripts(&self) -> Result<Vec<String>, LoadError> {
        self.state.reloader.scripting.loader.list()
    }

    /// What happened so far, in numbers.
    ///
    /// ```
    /// let host = patchcord::Host::builder().build();
    /// assert_eq!(host.counters().events.get(), 0);
    /// ```
    pub fn counters(&self) -> &Counters {
        self.state.announcer.counters()
    }

    /// How many sockets are connected now, by namespace; instances of a dynamic one count for it, so that clients cannot
    /// make the list long.
    ///
    /// ```
    /// # async fn run(host: patchcord::Host) {
    /// for (namespace, sockets) in host.sockets() {
    ///     println!("{namespace}: {sockets}");
    /// }
    /// # }
    /// ```
    pub fn sockets(&self) -> BTreeMap<Arc<str>, usize> {
        let roots = self.state.namespaces.roots();
        let sockets = roots
            .iter()
            .map(|namespace| (namespace.path().clone(), namespace.connections().len()));
        sockets.collect()
    }

    /// How it serves.
    ///
    /// ```
    /// let host = patchcord::Host::builder().build();
    /// assert_eq!(host.options().path, "/socket.io");
    /// ```
    pub fn options(&self) -> &Options {
        &self.state.options
    }

    fn announce(&self, event: HostEvent) {
        self.state.announcer.announce(event);
    }

    /// Announces that the system gives no further connection.
    pub(crate) fn no_connection(&self, problem: &std::io::Error) {
        self.announce(HostEvent::NoConnection {
            problem: problem.to_string(),
        });
    }

    /// An app in which the Socket.IO path belongs to this host, and everything else to `app`.
    ///
    /// The host answers WebSocket handshakes itself, which is what lets it count what waits for a client, cut off
    /// one that does not read, and keep events that arrive together with a CONNECT. A host serves one app: this is
    /// called once.
    ///
    /// # Errors
    /// When the host serves already: this or [`Host::attach`] was called before.
    pub fn service(&self, app: Router) -> Result<Router, AttachError> {
        let state = &self.state;
        let (engine, io) = state.options.socket_io().build_with_inner_svc(app.clone());
        let backend = SocketIoBackend::new(io, Owner::Host, &state.server);
        if !state.namespaces.take_backend(backend) {
            return Err(AttachError::ServesAlready);
        }
        state.namespaces.register_all();
        let context = WireContext {
            options: state.options.clone(),
            announcer: state.announcer.clone(),
            namespaces: Arc::downgrade(&state.namespaces),
            writes: state.lifecycle.writes.clone(),
        };
        let endpoint = Endpoint::new(engine, Arc::new(context));
        let service = HostService::new(endpoint, app, self.state.clone());
        Ok(Router::new().fallback_service(service))
    }

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
    /// The host serves for as long as the program keeps it: when the last [`Host`] is dropped, new clients are refused.
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
        if has_other_parser(io.config()) {
            return Err(AttachError::OtherParser);
        }
        let state = &self.state;
        let backend = SocketIoBackend::new(io.clone(), Owner::Program, &state.server);
        if !state.namespaces.take_backend(backend) {
            return Err(AttachError::ServesAlready);
        }
        for problem in warnings(io.config(), &state.options) {
            self.announce(HostEvent::AttachWarning { problem });
        }
        state.namespaces.register_all();
        Ok(())
    }

    /// Ends every connection. Scripts hear the reason `server shutting down`; this returns when all their calls have
    /// ended and what was sent has left, or after [`Options::drain_timeout`].
    ///
    /// ```no_run
    /// # async fn run(host: patchcord::Host, listener: tokio::net::TcpListener) -> Result<(), Box<dyn std::error::Error>> {
    /// let app = host.service(axum::Router::new())?;
    /// axum::serve(listener, app)
    ///     .with_graceful_shutdown(async move {
    ///         // Without a signal handler it ends now.
    ///         let _ = tokio::signal::ctrl_c().await;
    ///         host.close().await;
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn close(&self) {
        let state = &self.state;
        state.lifecycle.closing.cancel();
        let closed = async {
            // A reload that runs is decided first. Those who are connecting get as far as `on_connection`, so that every
            // script that heard of a client hears of its end.
            let permit = state.reloader.permit().await;
            let namespaces = state.namespaces.all();
            let mut links = Vec::new();
            for connection in namespaces.iter().flat_map(|one| one.connections()) {
                links.extend(connection.link());
                connection.post_elsewhere(Work::Disconnect("server shutting down"));
            }
            for namespace in namespaces {
                namespace.emptied().await;
                namespace.end_own();
            }
            self.settled().await;
            state.namespaces.close().await;
            // The crate forgets its namespaces before their sockets, which hold each other then.
            for link in links {
                link.disconnect();
            }
            // Those who read have what was sent to them.
            state.lifecycle.writes.wait().await;
            state.namespaces.clear();
            permit.forget();
        };
        // What is left after this time is lost with the process.
        let _ = timeout(state.options.drain_timeout, closed).await;
    }

    /// Waits until no work is handed over to other tasks any more.
    pub(crate) async fn settled(&self) {
        self.state.lifecycle.work.wait().await;
    }

    /// What the connections of a namespace share now.
    pub(crate) fn data(&self, path: &str) -> rhai::Map {
        let namespace = self.state.namespaces.find(path);
        namespace.map_or_else(rhai::Map::new, |namespace| namespace.data().to_map())
    }

    /// A turn that is no client's, for whoever stands outside: in the namespace `/`, or the first that is served.
    pub(crate) fn turn(&self) -> Option<Turn> {
        let all = self.state.namespaces.all().into_iter();
        let served = all.filter(|namespace| namespace.version().is_some());
        let first = served.min_by_key(|namespace| namespace.path().clone())?;
        Some(Turn::of(Connection::new("", first, Dynamic::UNIT, 0)))
    }

    /// A connection to a namespace that is in no server's hands, or why it is refused.
    pub(crate) async fn admit(
        &self,
        path: &str,
        id: &str,
        auth: Dynamic,
        link: Arc<dyn Link>,
        network: Arc<dyn NamespaceLink>,
    ) -> Result<Arc<Connection>, String> {
        let namespaces = &self.state.namespaces;
        let namespace = namespaces.ensure(path);
        let serving = namespace
            .as_ref()
            .map_or(Serving::Gone, |namespace| namespace.serving());
        let (None, Some(namespace)) = (namespaces.refusal(&serving), namespace) else {
            let reason = namespaces.refusal(&serving);
            return Err(reason.unwrap_or(INVALID_NAMESPACE).to_owned());
        };
        namespace.set_link(network);
        namespace.ready().await;
        let connection = Connection::new(id, namespace, auth, api::now());
        self.state.dispatcher.shake(&connection, link).await?;
        Ok(connection)
    }
}
