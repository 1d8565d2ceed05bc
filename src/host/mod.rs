//! Scripts at work on a Socket.IO server.
//!
//! In: scripts from a [`Loader`], an axum [`Router`] to stand in. Out: a router that serves both, and a
//! [`HostEvent`] for everything that happens.
//!
//! What must stay true: a namespace is registered with the Socket.IO crate once, and a reload never registers
//! again; a failed load changes nothing that is served; no script call runs inside another one.

mod attach;
mod backlog;
mod builder;
mod check;
mod cut;
mod deaf;
mod dispatch;
mod dynamic;
mod entries;
mod firing;
mod forwarded;
mod frames;
mod functions;
mod handshake;
mod later;
mod leaving;
mod link;
mod origin;
mod outbox;
mod packet;
mod polling;
mod rate;
mod rebind;
mod reload;
mod remote;
mod request;
mod rollback;
mod scripts;
mod seats;
mod service;
mod session;
mod snapshot;
mod socketio;
mod steps;
mod storm;
mod stream;
mod threads;
mod trace;
mod unpolled;
mod upgrade;
mod watching;
mod wire;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum::Router;
use rhai::Dynamic;
use tokio::sync::{RwLock, watch};

pub use attach::AttachError;
pub use functions::{Functions, Signature};
pub use later::AsyncFunction;

pub use builder::{HostBuilder, Options, Transport};
pub use origin::{BadOrigin, Origin};
pub use rebind::OnRebindFailure;
pub use rollback::RollBackError;
pub use scripts::{Outcome, Record};
pub use watching::Watching;
#[cfg(feature = "cli")]
pub(crate) use wire::clients_gone;

use crate::{
    api,
    connection::{
        Connection, Counters, Driver, HostEvent, Link, Namespace, NamespaceLink, Serving, Turn,
        Work,
    },
    diagnostic::Diagnostic,
    script::{Known, LoadError, Loader},
    value,
};
use reload::{Loaded, Trigger};
use rollback::Failures;
use scripts::Scripts;
use service::HostService;
use socketio::Server;

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
/// let app = host.service(Router::new().route("/health", get(|| async { "ok" })));
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// axum::serve(listener, app).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Host {
    inner: Arc<Inner>,
}

/// What a host, its connections and its wires share.
pub(crate) struct Inner {
    engine: Arc<rhai::Engine>,
    known: Known,
    options: Options,
    decoding: value::Limits,
    loader: Arc<dyn Loader>,
    me: Weak<Self>,
    listeners: Vec<Listener>,
    scripts: Arc<tokio::sync::Mutex<Scripts>>,
    /// Where scripts fail, by the name of the entry file; for rolling back by itself.
    failures: Mutex<HashMap<Arc<str>, Failures>>,
    /// Connections pass while they connect, a reload closes it while it decides.
    gate: Arc<RwLock<()>>,
    counters: Counters,
    closing: AtomicBool,
    /// Work that was handed over to tasks which have not ended.
    handed_over: Arc<AtomicUsize>,
    /// Whoever writes what waits for a client is subscribed.
    draining: watch::Sender<()>,
    threads: threads::ScriptThreads,
    storms: storm::Storms,
    /// With whom namespaces are registered, once there is one.
    io: Mutex<Option<Arc<dyn Server>>>,
    /// Between their acceptance and the answer to their CONNECT, by the addresses of the crate's sockets.
    unanswered: Mutex<HashMap<usize, Arc<Connection>>>,
    namespaces: Mutex<Vec<Arc<Namespace>>>,
}

type Listener = Box<dyn Fn(&HostEvent) + Send + Sync>;

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("options", &self.options)
            .field("loader", &self.loader)
            .finish_non_exhaustive()
    }
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
        self.reload_now(Trigger::Start).await.rejected
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
        self.reload_now(Trigger::Asked).await.rejected
    }

    /// The namespaces that scripts serve now, in order.
    pub fn namespaces(&self) -> Vec<Arc<str>> {
        let mut paths: Vec<_> = self
            .inner
            .all()
            .iter()
            .filter(|namespace| namespace.version().is_some())
            .map(|namespace| namespace.path().clone())
            .collect();
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
        self.inner.loader.list()
    }

    /// What happened so far, in numbers.
    ///
    /// ```
    /// let host = patchcord::Host::builder().build();
    /// assert_eq!(host.counters().events.get(), 0);
    /// ```
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
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
        self.inner
            .lock_namespaces()
            .iter()
            .map(|namespace| (namespace.path().clone(), namespace.connections().len()))
            .collect()
    }

    /// How it serves.
    ///
    /// ```
    /// let host = patchcord::Host::builder().build();
    /// assert_eq!(host.options().path, "/socket.io");
    /// ```
    pub fn options(&self) -> &Options {
        &self.inner.options
    }

    /// Announces that the system gives no further connection.
    pub(crate) fn no_connection(&self, problem: &std::io::Error) {
        self.inner.announce(HostEvent::NoConnection {
            problem: problem.to_string(),
        });
    }

    /// An app in which the Socket.IO path belongs to this host, and everything else to `app`.
    ///
    /// The host answers WebSocket handshakes itself, which is what lets it count what waits for a client, cut off
    /// one that does not read, and keep events that arrive together with a CONNECT. A host serves one app: this is
    /// called once.
    pub fn service(&self, app: Router) -> Router {
        let options = &self.inner.options;
        let (engine, io) = options.socket_io().build_with_inner_svc(app.clone());
        *self.inner.lock_io() = Some(Arc::new(io));
        for namespace in self.inner.all() {
            self.inner.register(&namespace);
        }
        let service = HostService::new(engine, self.inner.clone(), app);
        Router::new().fallback_service(service)
    }

    /// Ends every connection. Scripts hear the reason `server shutting down`; this returns when all their calls have
    /// ended and what was sent has left, or after [`Options::drain_timeout`].
    ///
    /// ```no_run
    /// # async fn run(host: patchcord::Host, listener: tokio::net::TcpListener) -> std::io::Result<()> {
    /// let app = host.service(axum::Router::new());
    /// axum::serve(listener, app)
    ///     .with_graceful_shutdown(async move {
    ///         // Without a signal handler it ends now.
    ///         let _ = tokio::signal::ctrl_c().await;
    ///         host.close().await;
    ///     })
    ///     .await
    /// # }
    /// ```
    pub async fn close(&self) {
        self.inner.closing.store(true, Ordering::Release);
        let closed = async {
            // Those who are connecting get as far as `on_connection`, so that every script that heard of a client
            // hears of its end.
            let _gate = self.inner.gate.write().await;
            let namespaces = self.inner.all();
            let mut links = Vec::new();
            for connection in namespaces
                .iter()
                .flat_map(|namespace| namespace.connections())
            {
                links.extend(connection.link());
                connection.post_elsewhere(Work::Disconnect("server shutting down"));
            }
            for namespace in namespaces {
                namespace.emptied().await;
                namespace.end_own();
            }
            self.settled().await;
            let server = self.inner.lock_io().take();
            if let Some(server) = server {
                server.close().await;
            }
            // The crate forgets its namespaces before their sockets, which hold each other then.
            for link in links {
                link.disconnect();
            }
            // Those who read have what was sent to them.
            self.inner.draining.closed().await;
            // The namespaces hold the host, which holds them.
            self.inner.lock_namespaces().clear();
            *self.inner.scripts.lock().await = Scripts::default();
        };
        // What is left after this time is lost with the process.
        let _ = tokio::time::timeout(self.inner.options.drain_timeout, closed).await;
    }

    /// Waits until no work is handed over to other tasks any more.
    pub(crate) async fn settled(&self) {
        while self.inner.handed_over.load(Ordering::Acquire) > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// What the connections of a namespace share now.
    pub(crate) fn data(&self, path: &str) -> rhai::Map {
        let all = self.inner.all();
        let namespace = all.iter().find(|namespace| &**namespace.path() == path);
        namespace.map_or_else(rhai::Map::new, |namespace| namespace.data().to_map())
    }

    /// A turn that is no client's, for whoever stands outside: in the namespace `/`, or the first that is served.
    pub(crate) fn turn(&self) -> Option<Turn> {
        let all = self.inner.all().into_iter();
        let served =
            all.filter(|namespace| namespace.version().is_some() && !namespace.is_dynamic());
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
        // What it gives is looked for below, as for any other namespace.
        drop(self.inner.ensure(path));
        let find =
            |namespace: &Arc<Namespace>| &**namespace.path() == path && !namespace.is_dynamic();
        let namespace = self.inner.all().into_iter().find(find);
        let serving = namespace
            .as_ref()
            .map_or(Serving::Gone, |namespace| namespace.serving());
        match (self.inner.refusal(&serving), namespace) {
            (None, Some(namespace)) => {
                namespace.set_link(network);
                namespace.ready().await;
                let connection = Connection::new(id, namespace, auth, api::now());
                self.inner
                    .shake(&connection, link)
                    .await
                    .map(|()| connection)
            }
            (reason, _) => Err(reason.unwrap_or(INVALID_NAMESPACE).to_owned()),
        }
    }

    async fn reload_now(&self, trigger: Trigger) -> Loaded {
        let inner = self.inner.clone();
        let mut scripts = self.inner.scripts.clone().lock_owned().await;
        let gate = self.inner.gate.clone().write_owned().await;
        let reloaded = tokio::task::spawn_blocking(move || {
            let loaded = inner.reload(&mut scripts, trigger);
            drop(gate);
            loaded
        });
        reloaded.await.unwrap_or_else(|panic| {
            let problem = format!("the reload ended early: {panic}");
            self.inner.unreadable(problem)
        })
    }
}

const INVALID_NAMESPACE: &str = "Invalid namespace";

impl Inner {
    /// What a client hears that a namespace does not take.
    fn refusal(&self, serving: &Serving) -> Option<&'static str> {
        match serving {
            _ if self.closing.load(Ordering::Acquire) => Some("server shutting down"),
            Serving::Version(_) => None,
            Serving::Broken => Some("script failed to load"),
            Serving::Gone => Some(INVALID_NAMESPACE),
        }
    }

    /// Every namespace, and the instances of the dynamic ones.
    fn all(&self) -> Vec<Arc<Namespace>> {
        let mut all = self.lock_namespaces().clone();
        let instances: Vec<_> = all
            .iter()
            .flat_map(|namespace| namespace.instances())
            .collect();
        all.extend(instances);
        all
    }

    fn lock_namespaces(&self) -> MutexGuard<'_, Vec<Arc<Namespace>>> {
        self.namespaces
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_io(&self) -> MutexGuard<'_, Option<Arc<dyn Server>>> {
        self.io.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new namespace, known to the server from now on.
    fn open(self: &Arc<Self>, path: &str, serving: Serving) -> Arc<Namespace> {
        let namespace = Arc::new(Namespace::new(path, serving, self.clone()));
        self.lock_namespaces().push(namespace.clone());
        self.register(&namespace);
        namespace
    }
}
