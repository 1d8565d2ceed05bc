//! One piece of work to the script calls it means.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};

use rhai::Dynamic;

use super::{Inner, firing::Firing, outbox, trace::trace};
use crate::{
    api::{self, Socket},
    connection::{
        ANY, Connection, Counters, Driver, Event, HostEvent, MIDDLEWARE, Namespace, OUTGOING,
        Phase, Turn, Work,
    },
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
            Work::Outgoing(event) => {
                self.each(
                    connection,
                    OUTGOING,
                    &event.name,
                    &event.args,
                    None,
                    "`on_any_outgoing` listener",
                );
            }
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

    fn event(&self, connection: &Arc<Connection>, event: Event) {
        if !connection.is_connected() {
            return;
        }
        self.counters.events.add();
        if api::is_reserved(&event.name) {
            connection.disconnect(true);
            return;
        }
        let Event {
            name, args, ack, ..
        } = event;
        let Some(args) = self.checked(connection, &name, args) else {
            return;
        };
        let ack = ack.map(|id| api::ack(connection.clone(), id));
        self.each(
            connection,
            ANY,
            &name,
            &args,
            ack.as_ref(),
            "`on_any` listener",
        );
        let handlers = connection.fire(&name);
        if handlers.is_empty() && !connection.hears(ANY) {
            self.counters.unheard.add();
        }
        self.fire(connection, Firing::new(name, args, ack, handlers));
    }

    /// Calls the listeners that take the name of an event and an array of its arguments.
    fn each(
        &self,
        connection: &Arc<Connection>,
        which: &str,
        name: &str,
        args: &[Dynamic],
        ack: Option<&api::Ack>,
        what: &str,
    ) {
        for handler in connection.fire(which) {
            let mut args = args.to_vec();
            args.extend(ack.map(|ack| ack.clone().into_closure()));
            let args = vec![name.into(), args.into()];
            self.call(
                connection,
                &handler,
                args,
                format_args!("{what} for `{name}`"),
            );
        }
    }

    /// The arguments of an event after the socket's middlewares; `None` when one of them threw.
    fn checked(
        &self,
        connection: &Arc<Connection>,
        name: &str,
        args: Vec<Dynamic>,
    ) -> Option<Vec<Dynamic>> {
        let mut args = args;
        for handler in connection.fire(MIDDLEWARE) {
            let given = vec![name.into(), args.clone().into()];
            match Turn::of(connection.clone()).run(|| handler.call(given)) {
                Ok(value) => args = value.into_array().unwrap_or(args),
                Err(error) => {
                    self.dropped(connection, &handler, name, error);
                    return None;
                }
            }
        }
        Some(args)
    }

    /// An event that a middleware refused: the `error` listeners hear what it threw; a fault of the script itself is
    /// announced, and so is what nobody listens to.
    fn dropped(
        &self,
        connection: &Arc<Connection>,
        handler: &Handler,
        name: &str,
        error: CallError,
    ) {
        let listeners = connection.fire("error");
        match error.thrown().filter(|_| !listeners.is_empty()) {
            None => self.failed(
                connection,
                handler,
                error,
                &format_args!("middleware for `{name}`"),
            ),
            Some(thrown) => {
                for listener in listeners {
                    self.call(
                        connection,
                        &listener,
                        vec![thrown.clone()],
                        "`error` handler",
                    );
                }
            }
        }
    }

    /// Answers with what a handler returned.
    pub(super) fn answer(
        &self,
        connection: &Arc<Connection>,
        handler: &Handler,
        ack: &api::Ack,
        value: Dynamic,
        call: &dyn std::fmt::Display,
    ) {
        let args = if value.is_unit() || api::is_own(&value) {
            Ok(vec![])
        } else {
            api::as_value(value).map(|value| vec![value])
        };
        if let Err(error) = args.and_then(|args| ack.answer(&args)) {
            self.failed(connection, handler, CallError::Script(error), call);
        }
    }

    fn disconnect(&self, connection: &Arc<Connection>, reason: &'static str) {
        let entered = connection.phase() == Phase::Connected;
        connection.close();
        if entered {
            self.counters.left.add();
            self.left(connection, reason);
        }
        connection.leave();
    }

    /// What scripts hear of an end, in Node's order.
    fn left(&self, connection: &Arc<Connection>, reason: &'static str) {
        for (handler, args) in connection.unanswered() {
            self.call(connection, &handler, args, "ack");
        }
        for handler in connection.fire("disconnecting") {
            self.call(
                connection,
                &handler,
                vec![reason.into()],
                "`disconnecting` handler",
            );
        }
        // From here on nobody finds it any more, and it is in no room.
        connection.namespace().leave(connection);
        connection.set_last_rooms(Some(Vec::new()));
        for handler in connection.fire("disconnect") {
            self.call(
                connection,
                &handler,
                vec![reason.into()],
                "`disconnect` handler",
            );
        }
        if let Some(hook) = connection
            .version()
            .and_then(|version| version.hook(Hook::Disconnect))
        {
            let socket = Dynamic::from(Socket(connection.clone()));
            self.call(
                connection,
                &hook,
                vec![socket, reason.into()],
                "`on_disconnect`",
            );
        }
    }

    /// Calls script code in the connection's turn; a failure is announced and ends nothing but the call.
    fn call(
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

    fn failed(
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
