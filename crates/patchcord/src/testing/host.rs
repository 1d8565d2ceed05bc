//! Hosts of tests, and the scripts that tests edit.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use rhai::{Dynamic, Map};
use serde::Serialize;

use super::{
    client::TestClient,
    network::{ClientEvent, Network, decode},
    runtime::{Refused, TestRuntime},
};
use crate::{
    connection::Turn,
    event::{Counters, HostEvent, Labels, MetricValue, Reload, ScriptMetric, StagedScript},
    host::{
        Audience, DiffError, Host, HostBuilder, Inspection, NamespaceError, NamespaceHandle,
        Options, Preview, Rebound, Record, Reset, RollbackError, RolledBack, SocketInfo,
        StageError, Staged, SteerError, VersionInfo, Why,
    },
    script::{EngineBuilder, LoadError, Loader, Memory},
};

/// Number of times that other tasks may run in one step of the clock: for the timer that is due, the work that it
/// posts, and the timer that is set again.
const YIELDS: usize = 4;

/// Maximum time that [`TestHost::advance`] passes in steps of 1 ms, at the end of the time that it advances. Before it,
/// the clock goes from one timer to the next.
const STEPPED_MS: u64 = 1_000;

/// Maximum time of a script call in a test.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Returns the initial options of a [`TestHost`]: the defaults, with a longer time limit for calls, so that a test does
/// not fail on a busy machine.
///
/// ```
/// use patchcord::testing::{TestHost, options};
///
/// let mut options = options();
/// options.limits.listeners = 1;
/// let host = TestHost::build([("main.rhai", "fn on_connection(socket) { }")], |b| b.options(options));
/// ```
pub fn options() -> Options {
    let mut options = Options::default();
    options.limits.time = CALL_TIMEOUT;
    options
}

/// In-memory host for tests.
#[derive(Debug)]
pub struct TestHost {
    host: Host,
    scripts: Files,
    events: Arc<Mutex<Vec<HostEvent>>>,
    network: Network,
    connected: AtomicUsize,
    runtime: TestRuntime,
}

impl TestHost {
    /// Creates a host with one script, which serves `/`.
    pub fn new(script: &str) -> Self {
        Self::with([("main.rhai", script)])
    }

    /// Creates a host with several scripts.
    pub fn with<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self::build(files, |builder| builder)
    }

    /// Creates a host with its own functions or options. All scripts are loaded when this function returns.
    pub fn build<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
        build: impl FnOnce(HostBuilder) -> HostBuilder,
    ) -> Self {
        let scripts = Files::over(Arc::new(Memory::default()));
        for (name, text) in files {
            scripts.write(name, text);
        }
        Self::serve(scripts, build)
    }

    /// Creates a host with the scripts from a loader. Edits override these scripts.
    pub(super) fn over(scripts: Arc<dyn Loader>) -> Self {
        let scripts = Files::over(scripts);
        Self::serve(scripts, |builder| builder)
    }

    fn serve(scripts: Files, build: impl FnOnce(HostBuilder) -> HostBuilder) -> Self {
        let events = Arc::<Mutex<Vec<HostEvent>>>::default();
        let heard = events.clone();
        let host = build(Host::builder().options(options()))
            .in_test()
            .loader(scripts.clone())
            .on_event(move |event| {
                heard.lock().push(event.clone());
            })
            .build();
        let network = Network::default();
        let this = Self {
            host: host.clone(),
            runtime: TestRuntime::new(host, network.clone()),
            scripts,
            events,
            network,
            connected: AtomicUsize::new(0),
        };
        // The host announces scripts that do not load.
        let _ = this.runtime.wait_for(this.host.load());
        this
    }

    /// Returns the counters of the host.
    pub fn counters(&self) -> &Counters {
        self.host.counters()
    }

    /// Returns the metrics that scripts count: see [`Host::script_metrics`].
    pub fn script_metrics(&self) -> Vec<ScriptMetric> {
        self.host.script_metrics()
    }

    /// Returns the numbers of one series of a metric that scripts count, if it exists.
    pub(super) fn metric(&self, name: &str, labels: &Labels) -> Option<MetricValue> {
        self.host.services().metrics.value(name, labels)
    }

    /// Connects a client to a namespace.
    ///
    /// # Errors
    /// Fails if the namespace rejects the client.
    pub fn connect(&self, namespace: &str) -> Result<TestClient, Refused> {
        self.connect_as(namespace, ())
    }

    /// Connects a client to a namespace, with `auth` in its handshake.
    ///
    /// # Errors
    /// Fails if the namespace rejects the client.
    pub fn connect_as(&self, namespace: &str, auth: impl Serialize) -> Result<TestClient, Refused> {
        let given = decode(&[auth]).into_iter().next();
        let auth = given.filter(|auth| !auth.is_unit());
        let auth = auth.unwrap_or_else(|| Dynamic::from_map(Map::new()));
        self.connect_with(namespace, Map::from([("auth".into(), auth)]))
    }

    /// Connects a client whose handshake has the `auth` and the `query` from a map.
    pub(super) fn connect_with(
        &self,
        namespace: &str,
        mut with: Map,
    ) -> Result<TestClient, Refused> {
        let id = self.connected.fetch_add(1, Ordering::Relaxed) + 1;
        let nothing = || Dynamic::from_map(Map::new());
        let auth = with.remove("auth").unwrap_or_else(nothing);
        let query = with.remove("query").unwrap_or_else(nothing);
        TestClient::connect(
            &self.host,
            &self.network,
            self.runtime.clone(),
            (namespace, &format!("client{id}")),
            auth,
            query.try_cast::<Map>().unwrap_or_default(),
        )
    }

    /// Returns the `io.data` of a namespace.
    pub(super) fn data(&self, namespace: &str) -> Map {
        self.host.data(namespace)
    }

    /// Returns the current text of a script.
    pub(super) fn script(&self, name: &str) -> Option<String> {
        self.scripts.read(name).ok()
    }

    /// Sets a variable of the environment, as scripts read it with `env`.
    ///
    /// ```
    /// use patchcord::testing::TestHost;
    ///
    /// let script = "fn on_connection(socket) { socket.emit(\"ok\", env(\"TOKEN\") == \"open sesame\"); }";
    /// let host = TestHost::new(script);
    /// host.set_env("TOKEN", "open sesame");
    /// assert_eq!(host.connect("/")?.heard(), ["ok [true]"]);
    /// # Ok::<(), patchcord::testing::Refused>(())
    /// ```
    pub fn set_env(&self, name: &str, value: &str) {
        self.host.services().environment.stand_in(name, value);
    }

    /// Returns the answers to HTTP requests, and the requests that were made.
    #[cfg(feature = "http")]
    pub(super) fn http(&self) -> Result<&crate::host::HttpStandIns, String> {
        let stand_ins = self.host.services().http.stand_ins.as_ref();
        stand_ins.ok_or_else(|| "this host is not one of a test".to_owned())
    }

    /// Sets the answer of statements that contain a text, in place of the databases of the test: an array of maps for
    /// `query`, a number of rows for `execute`, or a map with an `error`.
    ///
    /// ```
    /// use patchcord::testing::TestHost;
    ///
    /// let script = r#"fn on_connection(socket) {
    ///     db::query("select now() as t", |err, rows| socket.emit("rows", err, rows));
    /// }"#;
    /// let host = TestHost::new(script);
    /// host.answer_sql("now()", serde_json::json!([{ "t": "2026-01-01T00:00:00Z" }]));
    /// let ada = host.connect("/")?;
    /// host.advance(1);
    /// assert_eq!(ada.heard(), [r#"rows [null,[{"t":"2026-01-01T00:00:00Z"}]]"#]);
    /// # Ok::<(), patchcord::testing::Refused>(())
    /// ```
    #[cfg(feature = "sql")]
    pub fn answer_sql(&self, part: &str, answer: impl Serialize) {
        let answer = decode(&[answer]).into_iter().next();
        self.set_sql_answer(part, answer.unwrap_or_default());
    }

    #[cfg(feature = "sql")]
    pub(super) fn set_sql_answer(&self, part: &str, answer: Dynamic) {
        self.host.services().databases.stand_in(part, answer);
    }

    /// Returns the statements since the last call, as maps `#{ database, sql, parameters }`.
    #[cfg(feature = "sql")]
    pub(super) fn sql_calls(&self) -> Vec<Map> {
        self.host.services().databases.take_calls()
    }

    /// Creates the engine of a console, whose lines call the services of this host.
    pub(super) fn engine(&self) -> EngineBuilder {
        self.host.services().engine(self.host.options())
    }

    /// Saves a file and reloads.
    pub fn edit(&mut self, name: &str, text: &str) {
        self.edit_all([(name, text)]);
    }

    /// Saves several files and reloads them as one batch.
    pub fn edit_all<'a>(&mut self, files: impl IntoIterator<Item = (&'a str, &'a str)>) {
        for (name, text) in files {
            self.scripts.write(name, text);
        }
        self.reload();
    }

    /// Saves a file and reloads. Returns the report of the namespace that the file serves, or of the first namespace
    /// whose script imports the file.
    pub(super) fn saved(&mut self, name: &str, text: &str) -> Option<Saved> {
        let before = self.events.lock().len();
        self.edit(name, text);
        let events = self.events.lock();
        Saved::new(name, events.iter().skip(before))
    }

    /// Returns the report that saving a file would produce, for the same namespace. Saves nothing.
    pub(super) fn previewed(&self, name: &str, text: &str) -> Option<Saved> {
        let preview = self.preview_texts([(name, text)]);
        Saved::new(
            name,
            preview.events.iter().filter(|_| !preview.is_rejected()),
        )
    }

    /// Reads the changed files.
    pub(super) fn reload(&self) {
        let _ = self.runtime.wait_for(self.host.reload());
    }

    /// Returns the runtime, and a turn in the namespace `/`, or in the first namespace if there is no `/`.
    pub(super) fn turn(&self) -> (TestRuntime, Option<Turn>) {
        (self.runtime.clone(), self.host.turn())
    }

    /// Returns the events of the clients since the last call. They are recorded from the first call on.
    pub(super) fn news(&self) -> Vec<ClientEvent> {
        self.network.news()
    }

    /// Restores the previous version of a namespace: see [`Host::rollback`].
    ///
    /// # Errors
    /// Fails if there is no previous version, or if that version fails on a live connection.
    pub fn rollback(&mut self, namespace: &str) -> Result<u64, RollbackError> {
        self.runtime.wait_for(self.host.rollback(namespace))
    }

    /// Undoes the last batch: see [`Host::roll_back_last`].
    ///
    /// # Errors
    /// Fails if nothing served before the batch, or if a version fails on a live connection.
    pub fn roll_back_last(&mut self) -> Result<RolledBack, RollbackError> {
        self.runtime.wait_for(self.host.roll_back_last())
    }

    /// Restores the versions that served after a batch: see [`Host::roll_back_to`].
    ///
    /// # Errors
    /// Fails if a version is no longer remembered, or if it fails on a live connection.
    pub fn roll_back_to(&mut self, batch: u64) -> Result<RolledBack, RollbackError> {
        self.runtime.wait_for(self.host.roll_back_to(batch))
    }

    /// Returns the records of the versions of a namespace: see [`Host::history`].
    pub fn history(&self, namespace: &str) -> Vec<Record> {
        self.runtime.wait_for(self.host.history(namespace))
    }

    /// Returns all versions: see [`Host::versions`].
    pub fn versions(&self) -> Vec<VersionInfo> {
        self.runtime.wait_for(self.host.versions())
    }

    /// Compares two versions: see [`Host::diff`].
    ///
    /// # Errors
    /// Fails if there is no such version.
    pub fn diff(&self, namespace: &str, a: u64, b: u64) -> Result<String, DiffError> {
        self.runtime.wait_for(self.host.diff(namespace, a, b))
    }

    /// Returns a handle of a namespace: see [`Host::namespace`]. Use it within [`TestHost::on_runtime`].
    pub fn namespace(&self, path: &str) -> Option<NamespaceHandle> {
        self.host.namespace(path)
    }

    /// Runs `act` on the runtime of the host, and then everything that results from it.
    pub fn on_runtime<T>(&self, act: impl FnOnce() -> T) -> T {
        self.runtime.run(act)
    }

    /// Calls `on_api` of a namespace: see [`NamespaceHandle::call`].
    ///
    /// ```
    /// use patchcord::testing::TestHost;
    ///
    /// let host = TestHost::new("fn on_connection(socket) { } fn on_api(request) { request.args.len() }");
    /// assert_eq!(host.call("/", "count", ("a", "b"))?, 2);
    /// # Ok::<(), patchcord::host::NamespaceError>(())
    /// ```
    ///
    /// # Errors
    /// Returns the errors of [`NamespaceHandle::call`], and [`NamespaceError::NotServed`].
    pub fn call(
        &self,
        namespace: &str,
        name: &str,
        args: impl Serialize,
    ) -> Result<serde_json::Value, NamespaceError> {
        let handle = self.host.namespace(namespace);
        let handle = handle.ok_or_else(|| NamespaceError::NotServed(namespace.into()))?;
        self.runtime.wait_at_rest(handle.call(name, args))
    }

    /// Returns the state of a connection: see [`Host::inspect`].
    ///
    /// # Errors
    /// Fails if no such socket is connected.
    pub fn inspect(&self, socket: &str) -> Result<Inspection, SteerError> {
        self.runtime.wait_at_rest(self.host.inspect(socket))
    }

    /// Returns all connected sockets: see [`Host::connected`].
    pub fn connected(&self) -> Vec<SocketInfo> {
        self.host.connected()
    }

    /// Explains why an event has a listener, or has none: see [`Host::why`].
    ///
    /// # Errors
    /// Fails if no such socket is connected.
    pub fn why(&self, event: &str, socket: Option<&str>) -> Result<Why, SteerError> {
        self.runtime.wait_for(self.host.why(event, socket))
    }

    /// Restores the initial values of a connection: see [`Host::reset`].
    ///
    /// # Errors
    /// Fails if there is no such socket or variable, or the initial values are not known.
    pub fn reset(&mut self, socket: &str, variable: Option<&str>) -> Result<Reset, SteerError> {
        self.runtime.wait_at_rest(self.host.reset(socket, variable))
    }

    /// Restores the initial values of all connections: see [`Host::reset_all`].
    ///
    /// # Errors
    /// Fails if no connection has such a variable.
    pub fn reset_all(&mut self, variable: Option<&str>) -> Result<Vec<Reset>, SteerError> {
        self.runtime.wait_at_rest(self.host.reset_all(variable))
    }

    /// Runs `on_connection` again for a connection: see [`Host::rebind`].
    ///
    /// # Errors
    /// Fails if no such socket is connected.
    pub fn rebind(&mut self, socket: &str) -> Result<Rebound, SteerError> {
        self.runtime.wait_at_rest(self.host.rebind(socket))
    }

    /// Returns the report that a save would produce: see [`Host::preview_texts`].
    pub fn preview_texts<'a>(
        &self,
        texts: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Preview {
        self.runtime.wait_for(self.host.preview_texts(texts))
    }

    /// Saves files whose versions serve some clients first: see [`Host::stage`].
    ///
    /// # Errors
    /// Returns the errors of [`Host::stage`].
    pub fn stage<'a>(
        &mut self,
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
        audience: Audience,
    ) -> Result<Staged, StageError> {
        for (name, text) in files {
            self.scripts.write(name, text);
        }
        self.runtime.wait_for(self.host.stage(audience))
    }

    /// Makes the staged versions serve all clients: see [`Host::promote`].
    ///
    /// # Errors
    /// Returns the errors of [`Host::promote`].
    pub fn promote(&mut self) -> Result<u64, StageError> {
        self.runtime.wait_for(self.host.promote())
    }

    /// Abandons the staged versions: see [`Host::abandon`].
    ///
    /// # Errors
    /// Returns the errors of [`Host::abandon`].
    pub fn abandon(&mut self) -> Result<Vec<StagedScript>, StageError> {
        self.runtime.wait_for(self.host.abandon())
    }

    /// Advances the clock of timers, and runs everything that becomes due. The clock of schedules, which `cron` sets,
    /// advances with it; it starts on 1 January 2026 at 00:00 UTC.
    pub fn advance(&self, milliseconds: u64) {
        // The clock advances in steps, so that a repeating timer fires at each of its times.
        let stepped = milliseconds.min(STEPPED_MS);
        self.runtime
            .skip(Duration::from_millis(milliseconds - stepped));
        self.runtime.wait_for(async {
            for _ in 0..stepped {
                tokio::time::advance(Duration::from_millis(1)).await;
                for _ in 0..YIELDS {
                    tokio::task::yield_now().await;
                }
                self.runtime.wait_idle().await;
            }
        });
    }

    /// Advances the clock of schedules to a time, such as `2026-03-29T03:00:00Z`, and runs everything that becomes due.
    ///
    /// ```
    /// use patchcord::testing::TestHost;
    ///
    /// let host = TestHost::new("fn on_connection(socket) { }
    ///     fn on_load() { cron(\"0 3 * * *\", || print(\"cleaned up\")); }");
    /// host.advance_to("2026-01-03T00:00:00Z")?;
    /// assert_eq!(host.log(), ["cleaned up"; 2]);
    /// # Ok::<(), String>(())
    /// ```
    ///
    /// # Errors
    /// Fails if the text is not a time, or the time has passed.
    pub fn advance_to(&self, time: &str) -> Result<(), String> {
        let wanted: jiff::Timestamp = time
            .parse()
            .map_err(|_| format!("`{time}` is not a time such as `2026-03-29T03:00:00Z`"))?;
        let now = self.runtime.run(|| self.host.services().clock.now());
        let missing = wanted.as_millisecond() - now.as_millisecond();
        let missing = u64::try_from(missing)
            .map_err(|_| format!("`{time}` has passed: the clock of this test is at {now}"))?;
        self.advance(missing);
        Ok(())
    }

    /// Runs calls that follow a slow call on the threads for slow calls, as a server does.
    #[cfg(feature = "internals")]
    #[doc(hidden)]
    pub fn separate_slow_calls(self) -> Self {
        self.network.separate_slow_calls();
        self
    }

    /// Returns the events that the host has announced since the last call.
    pub fn events(&self) -> Vec<HostEvent> {
        std::mem::take(&mut self.events.lock())
    }

    /// Returns the lines that scripts have logged since the last call of [`TestHost::events`]. Removes all events, as
    /// that function does.
    pub fn log(&self) -> Vec<String> {
        let logged = self.events().into_iter().filter_map(|event| match event {
            HostEvent::Log { text, .. } => Some(text),
            _ => None,
        });
        logged.collect()
    }

    /// Returns the rendered diagnostics of handlers that failed and saves that were rejected since the last call of
    /// [`TestHost::events`]. Removes all events, as that function does.
    pub fn problems(&self) -> Vec<String> {
        let problems = self.events().into_iter().flat_map(|event| match event {
            HostEvent::HandlerFailed { diagnostic } => vec![diagnostic.to_string()],
            HostEvent::Rejected { diagnostics, .. } => {
                diagnostics.iter().map(ToString::to_string).collect()
            }
            _ => vec![],
        });
        problems.collect()
    }

    /// Ends every connection, as a server does when it shuts down.
    pub fn close(&self) {
        self.runtime.wait_for(self.host.close());
    }
}

/// Report of a save for one namespace.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Saved {
    namespace: Arc<str>,
    script: Arc<str>,
    version: u64,
    /// Report of the reload; absent for a new script.
    #[serde(flatten)]
    reload: Option<Reload>,
}

impl Saved {
    /// Returns the report of the namespace that a file serves, or of the first namespace whose script imports the file.
    fn new<'a>(file: &str, events: impl Iterator<Item = &'a HostEvent>) -> Option<Self> {
        let saved: Vec<_> = events.filter_map(Self::of_event).collect();
        let own = saved.iter().position(|saved| *saved.script == *file);
        saved.into_iter().nth(own.unwrap_or_default())
    }

    fn of_event(event: &HostEvent) -> Option<Self> {
        let (namespace, script, version, reload) = match event {
            HostEvent::Loaded {
                namespace,
                script,
                version,
                ..
            } => (namespace, script, version, None),
            HostEvent::Replaced {
                namespace,
                script,
                version,
                reload,
                ..
            } => (namespace, script, version, Some(reload.clone())),
            _ => return None,
        };
        Some(Self {
            namespace: namespace.clone(),
            script: script.clone(),
            version: *version,
            reload,
        })
    }
}

/// Texts that the test has written, which override the scripts from a loader.
#[derive(Debug, Clone)]
struct Files {
    edits: Arc<Mutex<BTreeMap<String, Edit>>>,
    under: Arc<dyn Loader>,
}

/// Text that replaces a script until the loader's text of that script changes.
#[derive(Debug)]
struct Edit {
    text: String,
    over: Option<String>,
}

impl Files {
    fn over(under: Arc<dyn Loader>) -> Self {
        let edits = Arc::default();
        Self { edits, under }
    }

    fn write(&self, name: &str, text: &str) {
        let edit = Edit {
            text: text.to_owned(),
            over: self.under.read(name).ok(),
        };
        self.edits.lock().insert(name.to_owned(), edit);
    }
}

impl Loader for Files {
    fn list(&self) -> Result<Vec<String>, LoadError> {
        let mut names: BTreeSet<_> = self.under.list()?.into_iter().collect();
        names.extend(self.edits.lock().keys().cloned());
        Ok(names.into_iter().collect())
    }

    fn read(&self, name: &str) -> Result<String, LoadError> {
        let below = self.under.read(name);
        match self.edits.lock().get(name) {
            Some(edit) if edit.over.as_ref() == below.as_ref().ok() => Ok(edit.text.clone()),
            _ => below,
        }
    }

    fn namespace(&self, name: &str) -> Option<String> {
        self.under.namespace(name)
    }
}
