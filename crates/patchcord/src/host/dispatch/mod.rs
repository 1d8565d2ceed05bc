//! Maps a queued work item to script calls.

pub(super) mod adopt;
mod api_call;
mod connect;
mod disconnect;
pub(super) mod drafts;
mod event;
mod handover;
mod handshake;
mod keyed_limits;
mod presence;
mod slow_pool;
mod steps;

use std::{
    collections::HashMap,
    sync::{Arc, Weak, mpsc},
    time::Duration,
};

use parking_lot::Mutex;
use rhai::Dynamic;
use tokio::time::Instant;
use tokio_util::task::{TaskTracker, task_tracker::TaskTrackerToken};

use self::{keyed_limits::KeyedLimits, slow_pool::SlowPool};
use crate::{
    api::{self, Socket},
    connection::{Adopted, Clock, Connection, Data, Driver, Namespace, Phase, Turn, Work},
    diagnostic::{Diagnostic, Origin, Place},
    event::{Counters, HostEvent},
    host::{
        announce::Announcer, lifecycle::Lifecycle, namespaces::Namespaces, options::Options,
        scripting::Scripting, store::StoredData, transport::flush,
    },
    script::{CallError, Handler, Version},
};

/// Callback for each failed call, with the version of the code that failed.
pub(super) type OnFailure = Box<dyn Fn(&Connection, &Arc<Version>, &Diagnostic) + Send + Sync>;

/// Connections of a namespace that an earlier process has kept; `None` in place of one that cannot be read.
type Prepared = Vec<Option<Arc<Connection>>>;

/// Runs the work items of connections. Each item becomes script calls.
pub(crate) struct Dispatcher {
    me: Weak<Self>,
    options: Arc<Options>,
    announcer: Arc<Announcer>,
    /// Weak, because the namespaces hold the dispatcher.
    namespaces: Weak<Namespaces>,
    /// Tracker of the work that was handed over to other tasks or threads.
    handed_over: TaskTracker,
    clock: Clock,
    slow: SlowPool,
    keyed_limits: KeyedLimits,
    scripting: Arc<Scripting>,
    stored: Option<Arc<StoredData>>,
    /// Connections that an earlier process has kept, by the paths of their namespaces, and that are not taken in yet.
    prepared: Mutex<HashMap<Arc<str>, Prepared>>,
    on_failure: OnFailure,
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatcher").finish_non_exhaustive()
    }
}

impl Driver for Dispatcher {
    fn run(&self, connection: &Arc<Connection>, work: Work) {
        flush::collect(None, || self.work(connection, work));
    }

    fn later(&self, connection: Arc<Connection>) {
        let handed_over = self.handed_over.token();
        let is_slow = connection.is_slow();
        let work = move || {
            connection.work_off();
            drop(handed_over);
        };
        match is_slow {
            true => self.slow.run(work),
            false => drop(tokio::spawn(async move { work() })),
        }
    }

    fn namespace(&self, path: &str) -> Option<Arc<Namespace>> {
        self.namespaces.upgrade()?.served(path)
    }

    fn unused(&self, path: &str) {
        if let Some(namespaces) = self.namespaces.upgrade() {
            namespaces.forget_later(path);
        }
    }

    fn disconnect_client(&self, id: &str) {
        let namespaces = self.namespaces.upgrade();
        for socket in namespaces.iter().flat_map(|all| all.sockets_of(id)) {
            socket.disconnect(false);
        }
    }

    fn counters(&self) -> &Counters {
        self.announcer.counters()
    }

    fn allow(&self, key: &str, times: u32, period: Duration) -> bool {
        let now = Instant::now().into_std();
        self.keyed_limits.allow(key, times, period, now)
    }

    fn announce(&self, event: HostEvent) {
        self.announcer.announce(event);
    }

    fn test_hold(&self) -> Option<TaskTrackerToken> {
        self.clock.is_of_test().then(|| self.handed_over.token())
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn data(&self, path: &Arc<str>) -> Arc<Data> {
        match &self.stored {
            Some(stored) => stored.data_of(path, &self.clock),
            None => Arc::new(Data::new(self.clock.clone())),
        }
    }

    fn restore(&self, namespace: &Arc<Namespace>) {
        if let Some(stored) = &self.stored {
            stored.restore(namespace.path(), namespace.data());
            self.expect_present(namespace);
        }
    }

    fn restore_and_load(&self, namespace: Arc<Namespace>, done: Option<mpsc::Sender<Adopted>>) {
        let token = self.handed_over.token();
        tokio::task::spawn_blocking(move || {
            namespace.restore();
            namespace.load(done);
            drop(token);
        });
    }

    fn presence_grace(&self) -> Duration {
        self.options.clients.presence_grace
    }
}

impl Dispatcher {
    pub(super) fn new(
        options: Arc<Options>,
        announcer: Arc<Announcer>,
        namespaces: &Arc<Namespaces>,
        lifecycle: &Lifecycle,
        (scripting, stored): (Arc<Scripting>, Option<Arc<StoredData>>),
        on_failure: OnFailure,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            options,
            announcer,
            namespaces: Arc::downgrade(namespaces),
            handed_over: lifecycle.work.clone(),
            clock: lifecycle.clock.clone(),
            slow: SlowPool::default(),
            keyed_limits: KeyedLimits::default(),
            scripting,
            stored,
            prepared: Mutex::default(),
            on_failure,
        })
    }

    /// Runs one work item. The connection adopts the version that serves first.
    fn work(&self, connection: &Arc<Connection>, work: Work) {
        let work = match work {
            Work::Continuation(rest) => return rest.run(),
            work => work,
        };
        match connection.socket() {
            Some(_) => self.adopt(connection),
            None => self.adopt_unit(connection),
        }
        match work {
            Work::Load(done) => {
                let namespace = connection.namespace();
                namespace.loaded();
                if let (Some(done), Some(adopted)) = (done, namespace.take_adopted()) {
                    // The reload may have stopped waiting for the report.
                    let _ = done.send(adopted);
                }
            }
            Work::Handshake(verdict) => self.handshake(connection, &verdict),
            Work::Connect => self.connect(connection),
            Work::Event(event) => self.event(connection, event),
            Work::Disconnect(reason) => self.disconnect(connection, reason),
            Work::Answer(number, nth) => {
                if let Some((handler, args)) = connection.answered(number, nth) {
                    self.call(connection, &handler, args, "ack");
                }
            }
            Work::Timers => connection.post_due_timers(),
            Work::Timer(number) => {
                if let Some(handler) = connection.fire_timer(number) {
                    self.call(connection, &handler, vec![], "timer");
                }
            }
            // The variables of the closure are gone, because the client has disconnected, or the connection has started
            // over.
            Work::Call(_) if connection.phase() >= Phase::Away => {}
            Work::Call(call) if call.of != connection.beginnings() => {}
            Work::Call(call) => {
                let handler = adopt::current(connection, call.handler);
                self.call(connection, &handler, call.args, call.what);
            }
            Work::Api(call) => self.api(connection, *call),
            Work::Presence => self.presence(connection),
            Work::Visit(visit) => visit.run(),
            Work::Outgoing(event) => self.outgoing(connection, event),
            Work::Continuation(_) | Work::Adopt => {}
        }
    }

    /// Calls script code in the connection's turn. A failure is announced, and ends only the call.
    pub(super) fn call(
        &self,
        connection: &Arc<Connection>,
        handler: &Handler,
        args: Vec<Dynamic>,
        call: impl std::fmt::Display,
    ) -> Option<Dynamic> {
        self.try_call(connection, handler, args, call).ok()
    }

    /// Does the same as [`call`](Self::call).
    ///
    /// # Errors
    /// Returns the text that the script threw on purpose; `None` for any other failure.
    pub(super) fn try_call(
        &self,
        connection: &Arc<Connection>,
        handler: &Handler,
        args: Vec<Dynamic>,
        call: impl std::fmt::Display,
    ) -> Result<Dynamic, Option<String>> {
        run(connection, handler, args).map_err(|error| {
            let reason = error.thrown().and_then(|thrown| api::reason(&thrown));
            self.failed(connection, handler, error, &call);
            reason
        })
    }

    pub(super) fn failed(
        &self,
        connection: &Arc<Connection>,
        handler: &Handler,
        error: CallError,
        call: &dyn std::fmt::Display,
    ) {
        let is_thrown = error.thrown().is_some();
        let diagnostic = diagnose(connection, handler, error, call);
        // A value that a script throws on purpose is an answer, and not a failure of its version.
        let is_answer = is_thrown && is_at_throw(&diagnostic);
        if !is_answer && !handler.is_stale() {
            (self.on_failure)(connection, handler.version(), &diagnostic);
        }
        self.announcer
            .announce(HostEvent::HandlerFailed { diagnostic });
    }
}

/// Calls script code in the connection's turn; `this` is its socket.
fn run(
    connection: &Arc<Connection>,
    handler: &Handler,
    args: Vec<Dynamic>,
) -> Result<Dynamic, CallError> {
    let socket = || {
        connection
            .socket()
            .map(|_| Dynamic::from(Socket(connection.clone())))
    };
    Turn::new(connection.clone()).run(|| handler.call_on(socket, args))
}

/// Returns the diagnostic of a failed call, with the place in the version whose code ran.
pub(in crate::host) fn diagnose(
    connection: &Connection,
    handler: &Handler,
    error: CallError,
    call: &dyn std::fmt::Display,
) -> Diagnostic {
    let version = handler.code();
    let diagnostic = match error {
        CallError::Script(error) => {
            Diagnostic::from_eval(&error, handler.file(), &|file| version.source(file))
        }
        CallError::Panic(text) => Diagnostic::error(format!("a native function panicked: {text}"))
            .hint("this is a bug in the host application, not in the script"),
    };
    // Rhai drops the place of errors that no script can catch. The place of the handler is the nearest known one.
    let place = diagnostic.place.clone().or_else(|| place(handler));
    let origin = Origin::new(
        &**connection.namespace().path(),
        call.to_string(),
        version.number(),
    );
    diagnostic.at(place).from_call(match connection.socket() {
        Some(id) => origin.socket(&**id),
        None => origin,
    })
}

/// Returns `true` if the place of a problem is a `throw`. Errors of native functions are thrown values too, but their
/// place is the call.
fn is_at_throw(diagnostic: &Diagnostic) -> bool {
    let Some(place) = &diagnostic.place else {
        return false;
    };
    let line = place.source.iter().flat_map(|text| text.lines());
    let mut line = line.skip(place.line - 1).take(1);
    line.any(|line| {
        let at: String = line.chars().skip(place.column - 1).collect();
        at.starts_with("throw")
    })
}

/// Returns the place where a handler is defined.
fn place(handler: &Handler) -> Option<Place> {
    let (line, column) = handler.position()?;
    let place = Place::new(handler.file(), line, column);
    Some(match handler.code().source(handler.file()) {
        Some(source) => place.source(source),
        None => place,
    })
}
