//! Maps a queued work item to script calls.

pub(super) mod adopt;
mod connect;
mod disconnect;
pub(super) mod drafts;
mod event;
mod handshake;
mod slow_pool;
mod steps;

use std::sync::{Arc, Weak};

use rhai::Dynamic;
use tokio_util::task::TaskTracker;

use self::slow_pool::SlowPool;
use crate::{
    api::{self, Socket},
    connection::{Connection, Driver, Namespace, Phase, Turn, Work},
    diagnostic::{Diagnostic, Origin, Place},
    event::{Counters, HostEvent},
    host::{
        announce::Announcer, lifecycle::Lifecycle, namespaces::Namespaces, options::Options,
        transport::flush,
    },
    script::{CallError, Handler, Version},
};

/// Callback for each failed call, with the version whose code failed.
pub(super) type OnFailure = Box<dyn Fn(&Connection, &Arc<Version>, &Diagnostic) + Send + Sync>;

/// Does the work of connections: one item after the other, each as the script calls that it means.
pub(crate) struct Dispatcher {
    me: Weak<Self>,
    options: Arc<Options>,
    announcer: Arc<Announcer>,
    /// Weak, because the namespaces hold the dispatcher in turn.
    namespaces: Weak<Namespaces>,
    /// Work that was handed over to other tasks or threads.
    handed_over: TaskTracker,
    slow: SlowPool,
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

    fn announce(&self, event: HostEvent) {
        self.announcer.announce(event);
    }
}

impl Dispatcher {
    pub(super) fn new(
        options: Arc<Options>,
        announcer: Arc<Announcer>,
        namespaces: &Arc<Namespaces>,
        lifecycle: &Lifecycle,
        on_failure: OnFailure,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            options,
            announcer,
            namespaces: Arc::downgrade(namespaces),
            handed_over: lifecycle.work.clone(),
            slow: SlowPool::default(),
            on_failure,
        })
    }

    /// Does one work item.
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
                    // The reload may have given up waiting for it.
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
            // The variables of the closure are gone: with the client, or because the connection has begun anew.
            Work::Call(_) if connection.phase() == Phase::Left => {}
            Work::Call(call) if call.of != connection.beginnings() => {}
            Work::Call(call) => {
                let handler = adopt::current(connection, call.handler);
                self.call(connection, &handler, call.args, call.what);
            }
            Work::Visit(visit) => visit.run(),
            Work::Outgoing(event) => self.outgoing(connection, event),
            Work::Continuation(_) | Work::Adopt => {}
        }
    }

    /// Calls script code in the connection's turn. A failure is announced, and ends nothing but the call.
    pub(super) fn call(
        &self,
        connection: &Arc<Connection>,
        handler: &Handler,
        args: Vec<Dynamic>,
        call: impl std::fmt::Display,
    ) -> Option<Dynamic> {
        self.try_call(connection, handler, args, call).ok()
    }

    /// Does the same as `call`; its error is what the script threw, if that was meant to be seen.
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
        // What a script throws on purpose is an answer, and no failure of its version.
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
    Turn::of(connection.clone()).run(|| handler.call_on(socket, args))
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
            .hint("this is a fault of the program and not of the script"),
    };
    // Rhai forgets the place of errors that no script can catch; the handler's own place is the nearest one.
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

/// Returns whether a problem is at a `throw`. Functions that scripts call throw too, at the place of the call.
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
