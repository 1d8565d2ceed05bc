//! Runs scripts on a Socket.IO server.
//!
//! In: scripts from a [`Loader`](crate::script::Loader), and an axum [`Router`] or a `SocketIo` of the application.
//! Out: a router or a `SocketIo` that also serves the scripts, and a [`HostEvent`] for everything that happens.
//!
//! Invariants: a namespace is registered with socketioxide once, and a reload never registers it again; a failed load
//! changes nothing that is served; no script call runs inside another one.

#[cfg_attr(
    not(feature = "http"),
    allow(dead_code, reason = "for HTTP requests of scripts")
)]
mod address;
mod allowed_host;
mod announce;
mod bucket;
mod builder;
mod close;
mod dispatch;
mod functions;
mod handle;
mod lifecycle;
mod live;
mod namespaces;
mod options;
mod origin;
mod reload;
mod scripting;
mod services;
mod socketio;
mod state;
mod steer;
pub mod store;
mod transport;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use axum::Router;
use rhai::Dynamic;
use socketioxide::{SocketIo, adapter::Adapter};
use socketioxide_core::adapter::DefinedAdapter;
use tokio::sync::broadcast;

pub(crate) use address::Network;
pub use allowed_host::{AllowedHost, BadHost};
pub(crate) use bucket::{Bucket, Refill};
pub use builder::HostBuilder;
pub use functions::{
    BadSignature, Function, Functions, Signature,
    async_fn::{AsyncContext, AsyncFunction},
};
pub use handle::{NamespaceError, NamespaceHandle, RemoteSocket};
pub use options::{
    BadDatabaseUrl, BadEnvRule, BadNetRule, ClientOptions, DataOptions, DatabaseOptions,
    DatabaseUrl, EnvRule, NetRule, OnRebindFailure, Options, PermissionOptions, ReloadOptions,
    Transport, TransportOptions,
};
pub use origin::{BadOrigin, Origin};
pub use reload::{
    known::Code,
    preview::Preview,
    record::{Outcome, Record},
    report::{LoadReport, ScriptsRejected},
    rollback::{KeptVersion, Restored, RollbackError, RolledBack},
    staging::{Audience, BadAudience, StageError, Staged},
    versions::{DiffError, VersionInfo},
    watch::Watching,
};
#[cfg(feature = "testing")]
pub(crate) use services::metrics::labels as metric_labels;
#[cfg(all(feature = "http", feature = "internals"))]
#[doc(hidden)]
pub use services::tls::encrypt;
pub use socketio::attached::warnings::AttachError;
pub use steer::{
    SteerError,
    inspect::{AckInfo, Inspection, SocketInfo, TimerInfo, Variable},
    listening::ListenerInfo,
    reset::{Rebound, Reset, ResetVariable},
    why::{Answer, Why, WhyAnswer},
};
pub use transport::service::{HostLayer, HostService};
#[cfg(feature = "internals")]
#[doc(hidden)]
pub use transport::wire::clients_disconnected;
pub(crate) use transport::{cors::Cors, host_check::HostCheck};

use crate::{
    api,
    connection::{Connection, Link, NamespaceLink, Serving, Turn},
    diagnostic::Diagnostic,
    event::{Counters, HostEvent, ScriptMetric},
    script::{ApiReference, LoadError, Page},
    watch::WatchError,
};
use namespaces::INVALID_NAMESPACE;
use reload::{
    Trigger,
    rollback::{Goal, Rollback},
};
#[cfg(all(feature = "http", feature = "testing"))]
pub(crate) use services::HttpStandIns;
pub(crate) use services::Services;
use socketio::{
    attached::warnings::{has_other_parser, warnings},
    backend::{Owner, SocketIoBackend},
};
use state::HostState;
use transport::{
    endpoint::Endpoint, sessions::Sessions, stalled_queues::StalledQueues, wire::WireContext,
};

/// Host of scripts that serve Socket.IO namespaces and can be edited while clients are connected.
///
/// A clone is another handle of the same host. The host is freed when its last handle and its last service are dropped.
///
/// ```no_run
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// use axum::{Router, routing::get};
/// use patchcord::Host;
///
/// let host = Host::builder().scripts("scripts").build();
/// host.load().await.unwrap();
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
    /// Returns a builder of a host with the default options, which serves the folder `scripts`.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// Loads all scripts, for the first time. [`Host::reload`] loads later changes.
    ///
    /// The host announces each script that does not load. The namespace of such a script rejects clients until the
    /// script is repaired; all other scripts serve. An application that wants to serve anyway ignores the error.
    ///
    /// # Errors
    /// Returns [`ScriptsRejected`] with the problems of the scripts that do not load.
    ///
    /// ```
    /// use patchcord::{Host, script::Memory};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let scripts = [("main.rhai", "fn on_connection(socket) {}"), ("broken.rhai", "fn on_connection(")];
    /// let host = Host::builder().loader(Memory::from(scripts)).build();
    /// let rejected = host.load().await.unwrap_err();
    /// assert_eq!(rejected.diagnostics.len(), 1);
    /// println!("{rejected}"); // with file, line and excerpt
    /// assert_eq!(host.namespaces(), ["/".into()]);
    /// # }
    /// ```
    pub async fn load(&self) -> Result<LoadReport, ScriptsRejected> {
        self.inherit().await;
        self.state
            .reloader
            .load(Trigger::Requested)
            .await
            .into_result()
    }

    /// Loads the scripts that have changed since the last load, and makes their new versions serve, on live connections
    /// too. Either all of them take effect or, if one of them fails, none does. A new script takes effect, or fails,
    /// independently of all others.
    ///
    /// # Errors
    /// Returns [`ScriptsRejected`] with the problems of the rejected scripts. While versions are staged
    /// ([`Host::stage`]), a reload is rejected.
    ///
    /// ```no_run
    /// # async fn run(host: patchcord::Host) {
    /// match host.reload().await {
    ///     Ok(report) => println!("{} events", report.events.len()),
    ///     Err(rejected) => eprintln!("{rejected}"),
    /// }
    /// # }
    /// ```
    pub async fn reload(&self) -> Result<LoadReport, ScriptsRejected> {
        self.state
            .reloader
            .load(Trigger::Requested)
            .await
            .into_result()
    }

    /// Does the same as [`Host::reload`], and also returns the number of the batch that took effect.
    pub(crate) async fn look(&self) -> (Option<u64>, Vec<Diagnostic>) {
        let loaded = self.state.reloader.load(Trigger::Requested).await;
        (loaded.batch, loaded.rejected)
    }

    /// Does the same as [`Host::resume`], and also returns the number of the batch that took effect. Returns `None` if
    /// the host was not paused.
    pub(crate) async fn reload_and_resume(&self) -> Option<(Option<u64>, Vec<Diagnostic>)> {
        let loaded = self.state.reloader.resume().await?;
        Some((loaded.batch, loaded.rejected))
    }

    /// Reloads automatically when files change, until the returned [`Watching`] is dropped. Scripts that do not come
    /// from disk are watched only if their loader announces changes
    /// ([`Loader::changes`](crate::script::Loader::changes)). Call this method on a Tokio runtime.
    ///
    /// ```no_run
    /// # async fn run(host: patchcord::Host) -> Result<(), patchcord::WatchError> {
    /// host.load().await.unwrap();
    /// let watching = host.watch()?;
    /// // ... serve ...
    /// drop(watching); // no edit takes effect any more
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`WatchError`] if the files cannot be watched.
    pub fn watch(&self) -> Result<Watching, WatchError> {
        self.state.reloader.watch()
    }

    /// Restores the version that served a namespace before the current one, on live connections too. Returns its
    /// number. The connections adopt it as they adopt an edit: all of them, or none. Each further call goes back one
    /// more version. The host keeps at most eight earlier versions, or more with [`ReloadOptions::history`]. A version
    /// that was rolled back is not tried again until its files change.
    ///
    /// The whole batch is undone: every other namespace whose version took effect together with this one is restored as
    /// well. A namespace that was saved again since then keeps its later version, and a namespace that did not serve
    /// before the batch keeps its first version. [`HostEvent::KeptByRollback`] reports both.
    ///
    /// # Errors
    /// Returns [`RollbackError`] if there is no earlier version, or if it fails on a live connection. In both cases,
    /// nothing has changed.
    ///
    /// ```no_run
    /// # async fn undo(host: patchcord::Host) -> Result<(), Box<dyn std::error::Error>> {
    /// let version = host.rollback("/chat").await?;
    /// println!("version {version} serves again");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn rollback(&self, namespace: &str) -> Result<u64, RollbackError> {
        let rolled_back = self.roll_back_batch_of(namespace).await?;
        let mut restored = rolled_back.restored.iter();
        let restored = restored.find(|restored| &*restored.namespace == namespace);
        Ok(restored.map_or(0, |restored| restored.version))
    }

    /// Does the same as [`Host::rollback`], and returns the effects on all namespaces.
    pub(crate) async fn roll_back_batch_of(
        &self,
        namespace: &str,
    ) -> Result<RolledBack, RollbackError> {
        let what = Rollback::asked(Goal::Namespace(namespace.to_owned()));
        self.state.reloader.rollback(what).await
    }

    /// Undoes the last batch that is in effect, as [`Host::rollback`] of one of its namespaces does. Returns the
    /// versions that serve again, and those that stay.
    ///
    /// # Errors
    /// Returns [`RollbackError`] if nothing served before the batch, or if an earlier version fails on a live
    /// connection. In both cases, nothing has changed.
    pub async fn roll_back_last(&self) -> Result<RolledBack, RollbackError> {
        let what = Rollback::asked(Goal::Last);
        self.state.reloader.rollback(what).await
    }

    /// Restores the versions that served right after the batch with the number `batch`, in all namespaces. The batch
    /// may be an edit or a rollback. This method can go back several batches at once, or forward again to a batch that
    /// was rolled back. A namespace that did not serve at that time keeps its version.
    ///
    /// ```
    /// use patchcord::{Host, script::Memory};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let scripts = Memory::from([("main.rhai", "fn on_connection(socket) { }")]);
    /// let host = Host::builder().loader(scripts).build();
    /// host.load().await.unwrap(); // batch 1
    /// let error = host.roll_back_to(1).await.unwrap_err();
    /// assert_eq!(error.to_string(), "batch 1 is already serving");
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`RollbackError`] if the host has forgotten the batch or a version of it, if nothing would change, or if
    /// a version fails on a live connection. In all of these cases, nothing has changed.
    pub async fn roll_back_to(&self, batch: u64) -> Result<RolledBack, RollbackError> {
        let what = Rollback::asked(Goal::Batch(batch));
        self.state.reloader.rollback(what).await
    }

    /// Returns the last attempts to make versions serve a namespace, the latest one last: at most 32, or 128 with
    /// [`ReloadOptions::history`]. The list is empty for a namespace that has never had a script.
    pub async fn history(&self, namespace: &str) -> Vec<Record> {
        self.state.reloader.history(namespace).await
    }

    /// Returns the last attempts to make versions serve in all namespaces, the latest one last: each with its batch,
    /// its files, its outcome, and the number of connections that have the version now.
    ///
    /// ```
    /// use patchcord::{Host, script::Memory};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let scripts = Memory::from([("main.rhai", "fn on_connection(socket) { }")]);
    /// let host = Host::builder().loader(scripts).build();
    /// host.load().await.unwrap();
    /// let versions = host.versions().await;
    /// assert_eq!((versions[0].record.number, versions[0].serves), (1, true));
    /// # }
    /// ```
    pub async fn versions(&self) -> Vec<VersionInfo> {
        self.state.reloader.versions().await
    }

    /// Returns the differences between the texts of two versions of a namespace, from version `a` to version `b`, in
    /// unified diff format, file by file. The result is empty if the texts are equal.
    ///
    /// ```no_run
    /// # async fn run(host: patchcord::Host) -> Result<(), Box<dyn std::error::Error>> {
    /// println!("{}", host.diff("/chat", 1, 2).await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`DiffError`] if one of the versions has never served, or if the host has forgotten it.
    pub async fn diff(&self, namespace: &str, a: u64, b: u64) -> Result<String, DiffError> {
        self.state.reloader.diff(namespace, a, b).await
    }

    /// Pauses automatic reloads: saves wait until [`Host::resume`], and take effect only then. [`Host::reload`] and
    /// rollbacks still work. Returns `false` if the host is already paused.
    ///
    /// ```no_run
    /// # async fn run(host: patchcord::Host) {
    /// host.pause().await;
    /// // ... change many files ...
    /// let report = host.resume().await;
    /// # }
    /// ```
    pub async fn pause(&self) -> bool {
        self.state.reloader.pause().await
    }

    /// Ends a [`Host::pause`]: loads all saves since then together, and from then on saves take effect at once again.
    /// Does nothing if the host is not paused.
    ///
    /// # Errors
    /// Returns [`ScriptsRejected`], as [`Host::reload`] does.
    pub async fn resume(&self) -> Result<LoadReport, ScriptsRejected> {
        let loaded = self.state.reloader.resume().await;
        loaded.unwrap_or_default().into_result()
    }

    /// Checks the scripts without serving them. Returns errors, which would make a load reject a script, and warnings
    /// about probable mistakes, ordered by file and line. The check reads every file, including those that no script
    /// imports. It changes nothing that serves.
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
    /// Returns [`LoadError`] if the loader cannot list the scripts.
    pub fn check(&self) -> Result<Vec<Diagnostic>, LoadError> {
        reload::check::check(&self.state.reloader.scripting)
    }

    /// Returns definitions of everything that scripts of this host can call, including the functions of the
    /// application, for the Rhai language server (`.d.rhai`).
    ///
    /// ```
    /// let host = patchcord::Host::builder().function("twice(n)", |n: i64| n * 2).build();
    /// assert!(host.definitions().contains("fn twice(n: int) -> int;"));
    /// ```
    pub fn definitions(&self) -> String {
        self.words().definitions()
    }

    /// Returns the reference of everything that scripts of this host can call, in Markdown: every hook and function
    /// that has a comment, one page after the other.
    pub fn reference(&self) -> String {
        self.words().reference()
    }

    /// Returns one page of [`Host::reference`], without its title.
    ///
    /// ```
    /// use patchcord::{Host, script::Page};
    ///
    /// let page = Host::builder().build().reference_page(Page::Strings);
    /// assert!(page.contains("### `text.repeat(times)`"));
    /// ```
    pub fn reference_page(&self, page: Page) -> String {
        self.words().page(page)
    }

    fn words(&self) -> ApiReference {
        ApiReference::new(&self.state.reloader.scripting.engine, api::VOCABULARY)
    }

    /// Returns the paths of the namespaces that scripts serve now, sorted: patterns of dynamic namespaces, such as
    /// `/room/{id}`, and their instances.
    pub fn namespaces(&self) -> Vec<Arc<str>> {
        let all = self.state.namespaces.all_paths();
        let served = all.iter().filter(|namespace| namespace.version().is_some());
        let mut paths: Vec<_> = served.map(|namespace| namespace.path().clone()).collect();
        paths.sort_unstable();
        paths
    }

    /// Returns the names of all script files that the loader lists, including modules, whether they serve or not.
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
    /// Returns [`LoadError`] if the loader cannot list the scripts.
    pub fn scripts(&self) -> Result<Vec<String>, LoadError> {
        self.state.reloader.scripting.loader.list()
    }

    /// Subscribes to all events that the host announces from now on. The receiver is meant for a task of the
    /// application; a slow task delays nothing in the host. At most 1,024 events wait for a receiver. A receiver that
    /// falls further behind misses the oldest events, and its next `recv` returns the number of missed events as an
    /// error. Code that must not miss an event uses [`HostBuilder::on_event`].
    ///
    /// ```
    /// use patchcord::{Host, HostEvent, script::Memory};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let host = Host::builder().loader(Memory::from([("main.rhai", "fn on_connection(socket) {}")])).build();
    /// let mut events = host.subscribe();
    /// host.load().await.unwrap();
    /// assert_eq!(events.recv().await.unwrap().kind(), "loaded");
    /// # }
    /// ```
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<HostEvent>> {
        self.state.announcer.subscribe()
    }

    /// Returns the counters of the events since the host was built.
    ///
    /// ```
    /// let host = patchcord::Host::builder().build();
    /// assert_eq!(host.counters().events_received.get(), 0);
    /// ```
    pub fn counters(&self) -> &Counters {
        self.state.announcer.counters()
    }

    /// Returns the number of sockets that are connected now, by namespace. Sockets of an instance count for its dynamic
    /// namespace, so that clients cannot make the result large.
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

    /// Returns the number of keys of `socket.present` that are present now, by namespace. Keys of an instance count for
    /// its dynamic namespace.
    ///
    /// ```
    /// # async fn run(host: patchcord::Host) {
    /// for (namespace, keys) in host.present_keys() {
    ///     println!("{namespace}: {keys} online");
    /// }
    /// # }
    /// ```
    pub fn present_keys(&self) -> BTreeMap<Arc<str>, usize> {
        let roots = self.state.namespaces.roots();
        let keys = roots
            .iter()
            .map(|namespace| (namespace.path().clone(), namespace.present_count()));
        keys.collect()
    }

    /// Returns the options of the host.
    ///
    /// ```
    /// let host = patchcord::Host::builder().build();
    /// assert_eq!(host.options().transport.path, "/socket.io");
    /// ```
    pub fn options(&self) -> &Options {
        &self.state.options
    }

    fn announce(&self, event: HostEvent) {
        self.state.announcer.announce(event);
    }

    /// Announces that the server temporarily cannot accept connections.
    pub(crate) fn accept_failed(&self, problem: &std::io::Error) {
        self.announce(HostEvent::AcceptFailed {
            error: problem.to_string(),
        });
    }

    /// Announces that the server rejects the connection of a client.
    pub(crate) fn refused(&self, peer: SocketAddr, reason: &str) {
        self.announce(HostEvent::RequestRejected {
            peer: Some(peer),
            reason: reason.to_owned(),
            count: 1,
        });
    }

    /// Announces that a connection is closed because its client does not read a response.
    pub(crate) fn response_unread(&self, peer: SocketAddr) {
        self.announce(HostEvent::ResponseUnread {
            peer: Some(peer),
            count: 1,
        });
    }

    /// Announces that a client has requested the bundle of the official client, and the bundle is missing.
    pub(crate) fn bundle_missing(&self, path: String) {
        self.announce(HostEvent::BundleMissing { path });
    }

    /// Returns an app in which this host handles the Socket.IO path, [`TransportOptions::path`], and `app` handles all
    /// other paths.
    ///
    /// The host speaks Engine.IO itself, for polling and WebSocket. So it can count the bytes that wait for a client,
    /// disconnect a client that does not read, keep events that arrive together with a CONNECT, and end sessions as
    /// Node does. A host serves one app, so call this method once. Scripts may be loaded before or after.
    ///
    /// # Errors
    /// Returns [`AttachError::ServesAlready`] if this method or [`Host::attach`] was called before, or the host is
    /// closed.
    pub fn service(&self, app: Router) -> Result<Router, AttachError> {
        self.service_for(app, self.allowed_hosts_check())
    }

    /// Returns a tower layer that does the same as [`Host::service`] for the service that it wraps: an axum app, or any
    /// other infallible HTTP service.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use patchcord::{Host, script::Memory};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), patchcord::AttachError> {
    /// let host = Host::builder().loader(Memory::from([("main.rhai", "fn on_connection(socket) {}")])).build();
    /// let app: Router = Router::new().route("/", get(|| async { "home" })).layer(host.layer()?);
    /// # drop(app);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`AttachError::ServesAlready`], as [`Host::service`] does. Clone the layer to use it more than once.
    pub fn layer(&self) -> Result<HostLayer, AttachError> {
        let hosts = self.allowed_hosts_check();
        Ok(HostLayer::new(self.http_service(Router::new(), hosts)?))
    }

    /// Returns a router with only the Socket.IO path, to [merge](Router::merge) into an app. The app answers all other
    /// paths without the host, so [`ClientOptions::allowed_hosts`] protects only the Socket.IO path.
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use patchcord::{Host, script::Memory};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), patchcord::AttachError> {
    /// let host = Host::builder().loader(Memory::from([("main.rhai", "fn on_connection(socket) {}")])).build();
    /// let app: Router = Router::new().route("/", get(|| async { "home" })).merge(host.router()?);
    /// # drop(app);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`AttachError::ServesAlready`], as [`Host::service`] does.
    pub fn router(&self) -> Result<Router, AttachError> {
        let path = self.options().transport.path.clone();
        let service = self.http_service(Router::new(), self.allowed_hosts_check())?;
        let with_slash = format!("{path}/");
        let router = Router::new().route_service(&path, service.clone());
        Ok(router.route_service(&with_slash, service))
    }

    /// Does the same as [`Host::service`], but answers only requests that the check `hosts` accepts.
    pub(crate) fn service_for(
        &self,
        app: Router,
        hosts: Option<Arc<HostCheck>>,
    ) -> Result<Router, AttachError> {
        let service = self.http_service(app, hosts)?;
        Ok(Router::new().fallback_service(service))
    }

    /// Registers the host's own Socket.IO server, which is possible only once. Returns the service that handles the
    /// Socket.IO path, and passes all other requests to `app`.
    fn http_service(
        &self,
        app: Router,
        hosts: Option<Arc<HostCheck>>,
    ) -> Result<HostService, AttachError> {
        let state = &self.state;
        let (engine, io) = state
            .options
            .socket_io_of_host()
            .build_with_inner_svc(Router::new());
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
            sessions: Sessions::default(),
            stalled: StalledQueues::new(state.options.transport.max_backlog_total),
        };
        let endpoint = Endpoint::new(engine, Arc::new(context));
        let cors = state.cors.clone();
        Ok(HostService::new(endpoint, app, cors, hosts, state.clone()))
    }

    /// Returns the check of the `Host` header that the options require; `None` if every name is allowed.
    fn allowed_hosts_check(&self) -> Option<Arc<HostCheck>> {
        let allowed = self.options().clients.allowed_hosts.clone()?;
        Some(self.host_check(allowed))
    }

    /// Returns a check of the `Host` header of requests against the allowed names.
    pub(crate) fn host_check(&self, allowed: Vec<AllowedHost>) -> Arc<HostCheck> {
        let behind_proxy = self.options().clients.trust_proxy > 0;
        let announcer = self.state.announcer.clone();
        Arc::new(HostCheck::new(allowed, behind_proxy, announcer))
    }

    /// Returns the check that decides which pages may use this host.
    pub(crate) fn cors(&self) -> Arc<Cors> {
        self.state.cors.clone()
    }

    /// Returns `true` if clients can connect: a script serves, and the host is not closing.
    pub(crate) fn is_ready(&self) -> bool {
        let is_closing = self.state.lifecycle.closing.is_cancelled();
        !is_closing && !self.namespaces().is_empty()
    }

    /// Serves the scripts on a `SocketIo` of the application, with any adapter, alongside the application's own
    /// namespaces. Call this method once, on a Tokio runtime.
    ///
    /// Handlers, handshakes, rooms, acks, timers, limits and live editing work as with [`Host::service`]. But the host
    /// does not control the transport here. [`HostEvent::AttachWarning`] reports at once which guarantees do not hold
    /// for this `SocketIo` and these options. The differences are:
    ///
    /// | | [`Host::service`] | `Host::attach` |
    /// |---|---|---|
    /// | a client that does not read | is disconnected when [`TransportOptions::max_backlog`] bytes wait for it | is disconnected when as many packets wait as the `max_buffer_size` of the `SocketIo` allows, of any size; the connection ends with the next heartbeat |
    /// | `socket.disconnect(true)` | closes the connection | removes the client from every namespace of the host; the official clients then close by themselves |
    /// | events in the same write as a CONNECT | are kept | end the connection, as in socketioxide |
    /// | `volatile` | is skipped while anything waits to be sent to the client, or a polling client does not poll | is an ordinary `emit` |
    /// | `fetch_sockets` and `socket.rooms` | are in the order of connecting and joining | are in no order |
    /// | `io.rooms` | is in the order of creation | is sorted by name |
    /// | the answer to a CONNECT | is sent after `on_connection` has run | is sent before |
    /// | event names with escapes, unreadable packets, abandoned upgrades, aborted polls, the first ping | are handled as in Node | are handled as in socketioxide |
    /// | the first clients of `room/{id}.rhai` | are in one namespace | can fail to reach each other if they connect in the same instant |
    /// | path, ping, payloads, transports, origins, allowed hosts, attachments | [`Options`] | those of the `SocketIo` and of its layers; [`Options::socket_io`] returns a builder with the same values |
    /// | [`ClientOptions::max_connections`] and the limits per address and second, [`TransportOptions::write_timeout`], [`TransportOptions::max_backlog_total`], [`ClientOptions::max_namespaces_per_client`] | the host's | the application's |
    /// | [`ClientOptions::recovery`] | the host's | the application's, if socketioxide has it |
    /// | [`ClientOptions::max_events_per_second`] | covers all packets of a client | covers the events of each socket |
    /// | `socket.id` | is public, 20 letters and digits, different in each namespace | is the Engine.IO session id: do not show it to other clients |
    /// | `socket.handshake.address` | the peer's | the same, if the app has axum's `ConnectInfo<SocketAddr>` |
    ///
    /// With an adapter that reaches other processes, `emit` reaches their clients too, unless it goes through `local`.
    /// `io.sockets`, `fetch_sockets`, `sockets_join` and similar functions, acks of broadcasts, `volatile` broadcasts
    /// and `io.data` cover this process only. Namespaces accept clients as soon as the adapter is ready.
    ///
    /// The host serves as long as the application keeps a [`Host`]: when the last handle is dropped, new clients are
    /// rejected.
    ///
    /// A namespace that the application registered earlier stays the application's, and the host announces this. A
    /// namespace that the application registers later would replace that of a script, so the application must not
    /// register the path of a script. [`Host::close`] closes only the namespaces of the host.
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
    /// let scripts =
    ///     Memory::from([("chat.rhai", "fn on_connection(socket) { socket.emit(\"hello\", \"from a script\"); }")]);
    /// let host = Host::builder().loader(scripts).build();
    /// host.load().await.unwrap();
    /// host.attach(&io)?;
    /// // `layer.layer(...)` and not `Router::layer`, which would begin a new engine for each connection.
    /// use tower::Layer;
    /// let app: Router = Router::new().fallback_service(layer.layer(Router::new()));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`AttachError`] if the host already serves or is closed, or if the parser of the `SocketIo` is not the
    /// common one.
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
            self.announce(HostEvent::AttachWarning { error: problem });
        }
        state.namespaces.register_all();
        Ok(())
    }

    /// Opens the store of `io.data`, if there is one. The host does this itself when it loads scripts, and goes on
    /// without the store if it fails. An application that must not do so calls this method first.
    ///
    /// # Errors
    /// Fails if the store cannot be read.
    pub async fn open_store(&self) -> Result<(), store::StoreError> {
        match self.state.stored.clone() {
            None => Ok(()),
            Some(stored) => {
                let opened = tokio::task::spawn_blocking(move || stored.open()).await;
                opened.unwrap_or_else(|error| Err(store::StoreError::new(error)))
            }
        }
    }

    /// Waits until all work that was handed over to other tasks has ended.
    pub(crate) async fn wait_idle(&self) {
        self.state.lifecycle.work.wait().await;
    }

    /// Returns the metrics that scripts count with `metrics::incr`, `metrics::gauge` and `metrics::time`, sorted by
    /// their names.
    ///
    /// ```
    /// use patchcord::{event::MetricValue, testing::TestHost};
    ///
    /// let host = TestHost::new("fn on_connection(socket) { metrics::incr(\"visits\"); }");
    /// let _ada = host.connect("/")?;
    /// // An application calls `Host::script_metrics`.
    /// let metrics = host.script_metrics();
    /// assert_eq!(metrics[0].name, "visits");
    /// assert_eq!(metrics[0].series[0].value, MetricValue::Counter(1));
    /// # Ok::<(), patchcord::testing::Refused>(())
    /// ```
    pub fn script_metrics(&self) -> Vec<ScriptMetric> {
        self.state.services.metrics.all()
    }

    /// Returns the services that scripts call.
    #[cfg(feature = "testing")]
    pub(crate) fn services(&self) -> &Arc<Services> {
        &self.state.services
    }

    /// Returns a copy of the data that the connections of a namespace share now.
    pub(crate) fn data(&self, path: &str) -> rhai::Map {
        let namespace = self.state.namespaces.find(path);
        namespace.map_or_else(rhai::Map::new, |namespace| namespace.data().to_map(""))
    }

    /// Returns a call context without a client, for the REPL and for tests. It belongs to the served namespace whose
    /// path sorts first, such as `/`. Returns `None` if no namespace is served.
    pub(crate) fn turn(&self) -> Option<Turn> {
        let all = self.state.namespaces.all().into_iter();
        let served = all.filter(|namespace| namespace.version().is_some());
        let first = served.min_by_key(|namespace| namespace.path().clone())?;
        Some(Turn::new(Connection::new("", first, Dynamic::UNIT, 0)))
    }

    /// Connects an in-memory client with the socket id `id` to a namespace.
    ///
    /// # Errors
    /// Returns the reason why the client is rejected.
    pub(crate) async fn connect_in_memory(
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
        let connection = Connection::new(id, namespace.clone(), auth, api::now());
        self.state.dispatcher.shake(&connection, link).await?;
        Ok(connection)
    }
}
