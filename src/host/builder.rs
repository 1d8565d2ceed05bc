//! How a host is made.

use std::{path::PathBuf, sync::Arc, time::Duration};

use rhai::{RhaiNativeFunc, Variant};
use socketioxide::{SocketIo, SocketIoBuilder, TransportType};

use super::{AsyncFunction, Functions, Host, Inner, Listener, OnRebindFailure, Origin, Signature};
use crate::{
    api,
    connection::{Counters, HostEvent},
    script::{self, Folder, Limits, Loader},
};

/// The crate's own packets, such as pings, may wait beside the events that [`Options::max_backlog_packets`] allows.
const OWN_PACKETS: usize = 1 << 10;
/// More do not fit into the crate's queue. It takes its memory only as it fills.
const MAX_QUEUE: usize = 1 << 30;
/// The crate keeps one such buffer for each WebSocket, for as long as it lives. Our stream reads more at once.
const READ_BUFFER: usize = 1 << 8;

/// A way in which packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// HTTP requests that wait for packets.
    Polling,
    /// A WebSocket.
    Websocket,
}

impl Transport {
    /// Its name in a query.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::Websocket => "websocket",
        }
    }
}

/// How a host serves. What the flags of `patchcord serve` say is here.
///
/// ```
/// use patchcord::Options;
/// use patchcord::host::{OnRebindFailure, Transport};
///
/// let mut options = Options::default();
/// options.origins = vec!["https://example.com".parse()?];
/// options.transports = vec![Transport::Websocket];
/// options.on_rebind_failure = OnRebindFailure::Disconnect;
/// let host = patchcord::Host::builder().options(options).build();
/// # Ok::<(), patchcord::host::BadOrigin>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The path of the Socket.IO endpoint, without a slash at its end.
    pub path: String,
    /// From one ping to the next.
    pub ping_interval: Duration,
    /// So long a client has to answer a ping.
    pub ping_timeout: Duration,
    /// So long a client has from the handshake to its first CONNECT.
    pub connect_timeout: Duration,
    /// So long an upgrade from polling to WebSocket may take.
    pub upgrade_timeout: Duration,
    /// The most bytes of one message from a client, whatever the transport.
    pub max_payload: usize,
    /// The most bytes that may wait for a client; one that lets more pile up is cut off.
    pub max_backlog: usize,
    /// The same in packets. It should be more than what one call sends to a client.
    pub max_backlog_packets: usize,
    /// So long [`Host::close`] waits for the scripts, and for clients to take what was sent to them.
    pub drain_timeout: Duration,
    /// The transports that clients may use.
    pub transports: Vec<Transport>,
    /// Pages of these origins may connect, beside those that the server itself serves.
    pub origins: Vec<Origin>,
    /// So many clients may be connected at once.
    pub max_connections: Option<usize>,
    /// So many proxies stand in front of the server: what the outermost of them says in `X-Forwarded-For` and
    /// `X-Forwarded-Host` is believed. 0 believes nobody.
    pub trust_proxy: usize,
    /// Looks at the files at this interval instead of asking the system for changes.
    pub poll: Option<Duration>,
    /// A script whose file is missing keeps serving for so long, and one that fails with a file that is missing or empty
    /// is reported after it: an editor may be in the middle of saving.
    pub missing_grace: Duration,
    /// What becomes of a live connection on which an edit fails.
    pub on_rebind_failure: OnRebindFailure,
    /// Rolls a version back by itself that fails at places where the one before did not: on five connections, and on
    /// one in twenty, within 30 seconds.
    pub rollback_on_errors: bool,
    /// So many events a second each client may send; a burst of as many may come at once. What is more is refused, and
    /// a client that goes on is cut off.
    pub max_events_per_second: Option<usize>,
    /// The most attachments of one packet from a client, each of up to `max_payload` bytes: by default 16 MB together.
    pub max_attachments: usize,
    /// A handler that throws answers the ack of its event with `{ error: text }`.
    pub ack_errors: bool,
    /// The most instances of one dynamic namespace at a time; beyond it new ones are refused.
    pub max_namespaces: usize,
    /// What a script may use up.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            path: "/socket.io".to_owned(),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(45),
            upgrade_timeout: Duration::from_secs(10),
            max_payload: 1_000_000,
            max_backlog: 16 << 20,
            max_backlog_packets: 1 << 17,
            drain_timeout: Duration::from_secs(10),
            transports: vec![Transport::Polling, Transport::Websocket],
            origins: Vec::new(),
            max_connections: None,
            trust_proxy: 0,
            poll: None,
            missing_grace: Duration::from_secs(2),
            on_rebind_failure: OnRebindFailure::Reject,
            rollback_on_errors: false,
            max_events_per_second: None,
            max_attachments: 16,
            ack_errors: false,
            max_namespaces: 10_000,
            limits: Limits::default(),
        }
    }
}

impl Options {
    /// A builder of a `SocketIo` with the path, times, payloads and transports of these options, and room for what one
    /// call of a script can send: for [`Host::attach`], with an adapter of the program's choice.
    ///
    /// ```
    /// let (layer, io) = patchcord::Options::default().socket_io().build_layer();
    /// ```
    pub fn socket_io(&self) -> SocketIoBuilder {
        let builder = SocketIo::builder();
        let builder = match self.transports.as_slice() {
            [Transport::Polling] => builder.transports([TransportType::Polling]),
            [Transport::Websocket] => builder.transports([TransportType::Websocket]),
            _ => builder,
        };
        builder
            .req_path(self.path.clone())
            .ping_interval(self.ping_interval)
            .ping_timeout(self.ping_timeout)
            .connect_timeout(self.connect_timeout)
            .upgrade_timeout(self.upgrade_timeout)
            .max_payload(self.max_payload as u64)
            .ws_max_message_size(self.max_payload)
            .ws_max_frame_size(self.max_payload)
            .ws_read_buffer_size(READ_BUFFER)
            .max_buffer_size(self.max_backlog_packets.min(MAX_QUEUE) + OWN_PACKETS)
    }
}

/// Makes a [`Host`].
///
/// ```
/// use patchcord::{Host, script::Memory};
///
/// let scripts = Memory::from([("main.rhai", "fn on_connection(socket) { socket.emit(\"sum\", add(1, 2)); }")]);
/// let host = Host::builder().loader(scripts).function("add", |a: i64, b: i64| a + b).build();
/// ```
#[derive(Default)]
pub struct HostBuilder {
    loader: Option<Arc<dyn Loader>>,
    options: Options,
    listeners: Vec<Listener>,
    functions: Functions,
    modules: Vec<(String, Functions)>,
}

impl std::fmt::Debug for HostBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostBuilder")
            .field("loader", &self.loader)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl HostBuilder {
    /// Serves the scripts of a folder, or one file as `/`. The default is the folder `scripts`.
    #[must_use]
    pub fn scripts(self, target: impl Into<PathBuf>) -> Self {
        self.loader(Folder::new(target))
    }

    /// Serves scripts from anywhere else: [`Memory`](crate::script::Memory), or a [`Loader`] of the program's own.
    #[must_use]
    pub fn loader(mut self, loader: impl Loader + 'static) -> Self {
        self.loader = Some(Arc::new(loader));
        self
    }

    /// Serves in this way.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Calls `listener` with everything the host announces, on the thread where it happens: it must not wait.
    /// Without any listener the announcements go to [`tracing`].
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use patchcord::{Host, HostEvent};
    ///
    /// let (failures, failed) = mpsc::channel();
    /// let host = Host::builder()
    ///     .on_event(move |event| {
    ///         if let HostEvent::HandlerFailed { diagnostic } = event {
    ///             // Nobody may be there to hear of it.
    ///             let _ = failures.send(diagnostic.clone());
    ///         }
    ///     })
    ///     .build();
    /// ```
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(&HostEvent) + Send + Sync + 'static) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    /// Has the memory of script calls measured, for the limit [`call_memory`](Limits::call_memory): `meter` gives what the
    /// present thread has allocated, less what it has freed. It is asked often and must be cheap.
    ///
    /// A process has one allocator, so this holds for all of its hosts, and the first meter stays.
    ///
    /// ```
    /// # #[cfg(all(feature = "jemalloc", unix))] {
    /// use patchcord::Host;
    /// use tikv_jemalloc_ctl::thread::{ThreadLocal, allocatedp, deallocatedp};
    ///
    /// #[global_allocator]
    /// static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
    ///
    /// thread_local! {
    ///     static COUNTERS: Option<(ThreadLocal<u64>, ThreadLocal<u64>)> =
    ///         allocatedp::read().ok().zip(deallocatedp::read().ok());
    /// }
    ///
    /// fn net() -> u64 {
    ///     COUNTERS.with(|counters| counters.map_or(0, |(taken, freed)| taken.get().wrapping_sub(freed.get())))
    /// }
    ///
    /// let host = Host::builder().memory_meter(net).build();
    /// # }
    /// ```
    #[must_use]
    pub fn memory_meter(self, meter: fn() -> u64) -> Self {
        script::measure_by(meter);
        self
    }

    /// Gives scripts a function that changes nothing: drafts of a reload call it too. It runs in the script's call
    /// and must not block. Its first parameter may be a `&mut` of a type of the program's own: then it is a method of
    /// that type, and a property if it is called `get$name`.
    ///
    /// ```
    /// use patchcord::testing::TestHost;
    ///
    /// let script = "fn on_connection(socket) { socket.on(\"add\", |a, b| add(a, b)); }";
    /// let host = TestHost::build([("main.rhai", script)], |builder| {
    ///     builder.function("add(a, b)", |a: i64, b: i64| a + b)
    /// });
    /// assert_eq!(host.connect("/")?.ask("add", (1, 2)).as_deref(), Some("[3]"));
    /// # Ok::<(), patchcord::testing::Refused>(())
    /// ```
    #[must_use]
    pub fn function<A: 'static, const N: usize, const X: bool, R, const F: bool, FUNC>(
        mut self,
        signature: impl Into<Signature>,
        function: FUNC,
    ) -> Self
    where
        R: Variant + Clone,
        FUNC: RhaiNativeFunc<A, N, X, R, F> + Send + Sync + 'static,
    {
        self.functions = self.functions.function(signature, function);
        self
    }

    /// Gives scripts a function that changes something outside: a reload, which runs `on_connection` once more as a
    /// draft, skips it there and goes on with `()`. It runs in the script's call and must not block.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
    /// use patchcord::testing::TestHost;
    ///
    /// static VISITS: AtomicI64 = AtomicI64::new(0);
    ///
    /// let script = "fn on_connection(socket) { save_visit(); }";
    /// let mut host = TestHost::build([("main.rhai", script)], |builder| {
    ///     builder.effect("save_visit", || { VISITS.fetch_add(1, Relaxed); })
    /// });
    /// let _ada = host.connect("/")?;
    /// host.edit("main.rhai", "fn on_connection(socket) { save_visit(); socket.join(\"here\"); }");
    /// assert_eq!(VISITS.load(Relaxed), 1, "an edit is no visit");
    /// # Ok::<(), patchcord::testing::Refused>(())
    /// ```
    #[must_use]
    pub fn effect<A: 'static, const N: usize, const X: bool, R, const F: bool, FUNC>(
        mut self,
        signature: impl Into<Signature>,
        function: FUNC,
    ) -> Self
    where
        R: Variant + Clone,
        FUNC: RhaiNativeFunc<A, N, X, R, F> + Send + Sync + 'static,
    {
        self.functions = self.functions.effect(signature, function);
        self
    }

    /// Gives scripts a function that waits, for a database or another service. In scripts it takes a closure as its last
    /// argument, which is called in the turn of the connection that gave it, with an error or with `()` and the value,
    /// unless that client has left meanwhile. A reload, which runs `on_connection` once more as a draft, skips it.
    ///
    /// ```
    /// # use patchcord::Host;
    /// let host = Host::builder()
    ///     .async_function("find_user(id)", |id: i64| async move { Ok::<_, String>(format!("user {id}")) })
    ///     .build();
    /// // In a script: find_user(7, |err, user| { socket.emit("user", user); });
    /// ```
    #[must_use]
    pub fn async_function<Args: 'static>(
        mut self,
        signature: impl Into<Signature>,
        function: impl AsyncFunction<Args>,
    ) -> Self {
        self.functions = self.functions.async_function(signature, function);
        self
    }

    /// Gives scripts functions under a name of their own: `db::find_user(7, ...)`.
    ///
    /// See [`Functions`] for an example.
    #[must_use]
    pub fn module(mut self, name: impl Into<String>, functions: Functions) -> Self {
        self.modules.push((name.into(), functions));
        self
    }

    /// The host. It serves nothing yet: see [`Host::load`] and [`Host::service`].
    pub fn build(self) -> Host {
        let limits = &self.options.limits;
        let mut engine = api::engine(limits).functions(self.functions.into_module());
        for (name, functions) in self.modules {
            engine = engine.module(&name, functions.into_module());
        }
        let (engine, known) = engine.build();
        let decoding = limits.decoding();
        let loader = self
            .loader
            .unwrap_or_else(|| Arc::new(Folder::new("scripts")));
        Host {
            inner: Arc::new_cyclic(|me| Inner {
                me: me.clone(),
                engine: Arc::new(engine),
                known,
                options: self.options,
                decoding,
                loader,
                listeners: self.listeners,
                scripts: Arc::default(),
                failures: std::sync::Mutex::default(),
                gate: Arc::default(),
                counters: Counters::default(),
                closing: false.into(),
                handed_over: Arc::default(),
                draining: tokio::sync::watch::Sender::default(),
                threads: super::threads::ScriptThreads::default(),
                storms: super::storm::Storms::default(),
                io: std::sync::Mutex::default(),
                unanswered: std::sync::Mutex::default(),
                namespaces: std::sync::Mutex::default(),
            }),
        }
    }
}
