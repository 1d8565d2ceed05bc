//! One piece of work to the script calls it means.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};

use rhai::Dynamic;

use super::{Inner, outbox, trace::trace};
use crate::{
    api::{self, Socket},
    connection::{Connection, Counters, Driver, HostEvent, Namespace, Phase, Turn, Work},
    diagnostic::{Diagnostic, Origin, Place},
    script::{CallError, Handler, Hook},
};

impl Driver for Inner {
    fn run(&self, connection: &Arc<Connection>, work: Work) {
        outbox::collect(None, || self.work(connection, work));
    }

    fn later(&self, connection: Arc<Connection>) {
        let handed_over = HandedOver::new(&self.handed_over);
        let is_slow = connection.is_slow();
        let work = move || {
            connection.work_off();
            drop(handed_over);
        };
        match is_slow {
            true => self.threads.run(work),
            false => drop(tokio::spawn(async move { work() })),
        }
    }

    fn namespace(&self, path: &str) -> Option<Arc<Namespace>> {
        let served = |namespace: &Arc<Namespace>| {
            &**namespace.path() == path && !namespace.is_dynamic() && namespace.version().is_some()
        };
        self.all().into_iter().find(served)
    }

    fn unused(&self, path: &str) {
        if let Some(host) = self.me.upgrade() {
            host.forget_later(path);
        }
    }

    fn disconnect_client(&self, id: &str) {
        for namespace in self.all() {
            if let Some(connection) = namespace.connection(id) {
                connection.disconnect(false);
            }
        }
    }

    fn counters(&self) -> &Counters {
        &self.counters
    }

    fn announce(&self, event: HostEvent) {
        self.counters.announced(&event);
        self.announce_sparingly(&event);
    }
}

/// Counts work that waits for its task.
pub(super) struct HandedOver(Arc<AtomicUsize>);

impl HandedOver {
    pub(super) fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count.clone())
    }
}

impl Drop for HandedOver {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Inner {
    /// Has everybody hear of an event who wants to.
    pub(super) fn tell(&self, event: &HostEvent) {
        if self.listeners.is_empty() {
            trace(event);
        }
        for listener in &self.listeners {
            // A listener that panics must not leave a connection half connected.
            let _ = catch_unwind(AssertUnwindSafe(|| listener(event)));
        }
    }

    /// One piece of work.
    fn work(&self, connection: &Arc<Connection>, work: Work) {
        let work = match work {
            Work::Rest(rest) => return rest.run(),
            work => work,
        };
        if connection.adopt() {
            self.reloaded(connection);
        }
        match work {
            Work::Load(done) => self.load(connection, done),
            _ if connection.is_outdated() => {}
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
            // Its variables are gone with the client.
            Work::Call(..) if connection.phase() == Phase::Left => {}
            Work::Call(handler, args, what) => drop(self.call(connection, &handler, args, what)),
            Work::Outgoing(event) => self.outgoing(connection, event),
            Work::Rest(_) | Work::Adopt => {}
        }
    }

    fn connect(&self, connection: &Arc<Connection>) {
        let version = connection.namespace().version();
        if let Some(version) = version.filter(|_| connection.begin()) {
            let hook = version.hook(Hook::Connection);
            let socket = Dynamic::from(Socket(connection.clone()));
            connection.connect(version, || {
                if let Some(hook) = hook {
                    self.call(connection, &hook, vec![socket], "`on_connection`");
                }
            });
        }
        connection.end_pass();
    }

    /// The first call of a new version on a live connection.
    fn reloaded(&self, connection: &Arc<Connection>) {
        let version = connection.version();
        if let Some(hook) = version.and_then(|version| version.hook(Hook::Reload)) {
            let socket = Dynamic::from(Socket(connection.clone()));
            self.call(connection, &hook, vec![socket], "`on_reload`");
        }
    }

    /// The first call of a new version in its namespace.
    fn load(&self, own: &Arc<Connection>, done: Option<mpsc::Sender<()>>) {
        if let Some(hook) = own.start().and_then(|version| version.hook(Hook::Load)) {
            self.call(own, &hook, vec![], "`on_load`");
        }
        own.namespace().loaded();
        drop(done);
    }

    /// Calls script code in the connection's turn; a failure is announced and ends nothing but the call.
    pub(super) fn call(
        &self,
        connection: &Arc<Connection>,
        handler: &Handler,
        args: Vec<Dynamic>,
        call: impl std::fmt::Display,
    ) -> Option<Dynamic> {
        self.try_call(connection, handler, args, call).ok()
    }

    /// The same; what the script threw, if it was meant to be seen, is its error.
    pub(super) fn try_call(
        &self,
        connection: &Arc<Connection>,
        handler: &Handler,
        args: Vec<Dynamic>,
        call: impl std::fmt::Display,
    ) -> Result<Dynamic, Option<String>> {
        Turn::of(connection.clone())
            .run(|| handler.call(args))
            .map_err(|error| {
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
        let diagnostic = diagnose(connection, handler, error, call);
        self.count_failure(connection, handler.version(), &diagnostic);
        self.announce(HostEvent::HandlerFailed { diagnostic });
    }
}

/// What went wrong in a call, with the place in the version whose code it was.
pub(super) fn diagnose(
    connection: &Connection,
    handler: &Handler,
    error: CallError,
    call: &dyn std::fmt::Display,
) -> Diagnostic {
    let version = handler.version();
    let diagnostic = match error {
        CallError::Script(error) => {
            Diagnostic::from_eval(&error, handler.file(), &|file| version.source(file))
        }
        CallError::Panic(text) => Diagnostic::error(format!("a native function panicked: {text}"))
            .hint("this is a fault of the program and not of the script"),
    };
    // Rhai forgets the place of what no script can catch; the handler's own is the nearest there is.
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

/// Where a handler stands.
fn place(handler: &Handler) -> Option<Place> {
    let (line, column) = handler.position()?;
    let place = Place::new(handler.file(), line, column);
    Some(match handler.version().source(handler.file()) {
        Some(source) => place.source(source),
        None => place,
    })
}
