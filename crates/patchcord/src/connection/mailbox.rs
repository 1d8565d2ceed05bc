//! Work that waits for its connection's turn.

use std::{
    collections::VecDeque,
    sync::{Arc, mpsc},
};

use parking_lot::{Mutex, MutexGuard};
use rhai::{Dynamic, Identifier};
use tokio::sync::oneshot;

use super::{phase::Current, registrations::Adopted};
use crate::script::Handler;

/// So much may wait for a busy connection; an event beyond it is refused.
const MAX_WAITING: usize = 1_024;
/// The same in bytes of what the client sent.
const MAX_BYTES: usize = 1 << 20;
/// So much of what is sent may wait for its `on_any_outgoing` listeners: one call may send as much.
const MAX_OUTGOING: usize = 1 << 14;
/// The same in bytes.
const MAX_OUTGOING_BYTES: usize = 16 << 20;

/// One thing to do in a connection's turn.
#[derive(Debug)]
#[non_exhaustive]
pub enum Work {
    /// The client asks to be accepted: `on_handshake`, which gives its answer there.
    Handshake(HandshakeReply),
    /// The client is accepted: `on_connection`.
    Connect,
    /// The client sent an event.
    Event(Event),
    /// The client has left, for this reason.
    Disconnect(&'static str),
    /// An answer may be there: the number of the closure that waits for it, and which of its answers.
    Answer(u64, usize),
    /// Timers are due.
    Timers,
    /// This one is.
    Timer(u32),
    /// The rest of work whose calls take long; no edit comes between.
    Continuation(Continuation),
    /// A closure of the connection is due.
    Call(Call),
    /// Something is sent to the client whose `on_any_outgoing` listeners want to hear of it.
    Outgoing(Event),
    /// A new version serves: take it now rather than with the next work.
    Adopt,
    /// A version begins to serve: the namespace's own call of `on_load`. Whoever waits for its end has the other end.
    Load(Option<mpsc::Sender<Adopted>>),
    /// The host looks at the connection, or changes it, in its turn.
    Visit(Visit),
}

/// Closure of a connection that is due.
#[derive(Debug)]
#[non_exhaustive]
pub struct Call {
    /// The closure.
    pub handler: Arc<Handler>,
    /// Its arguments.
    pub args: Vec<Dynamic>,
    /// Description of the call, for its errors.
    pub what: &'static str,
    /// Number of times that the connection had begun anew when it was scheduled: see [`Connection::beginnings`].
    ///
    /// [`Connection::beginnings`]: super::Connection::beginnings
    pub of: u32,
}

impl Call {
    /// Creates the call of a closure that was given to the host after so many beginnings of its connection.
    pub const fn new(
        handler: Arc<Handler>,
        args: Vec<Dynamic>,
        what: &'static str,
        of: u32,
    ) -> Self {
        Self {
            handler,
            args,
            what,
            of,
        }
    }
}

/// Callback that runs in the turn of a connection. It is dropped if the connection ends before.
pub struct Visit(Box<dyn FnOnce() + Send>);

impl Visit {
    /// Creates the work of a callback.
    pub fn new(visit: impl FnOnce() + Send + 'static) -> Self {
        Self(Box::new(visit))
    }

    /// Runs the callback.
    pub fn run(self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Visit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visit").finish_non_exhaustive()
    }
}

/// What is left to do of a piece of work.
pub struct Continuation(pub(super) Box<dyn FnOnce() + Send>);

impl Continuation {
    /// Creates work that needs the connection's turn, and nothing else.
    pub fn new(run: impl FnOnce() + Send + 'static) -> Self {
        Self(Box::new(run))
    }

    /// Does it.
    pub fn run(self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Continuation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Continuation").finish_non_exhaustive()
    }
}

/// An event that a client sent, or is sent.
#[derive(Debug)]
#[non_exhaustive]
pub struct Event {
    /// Its name.
    pub name: Identifier,
    /// Its arguments.
    pub args: Vec<Dynamic>,
    /// The id to answer to, if the client asked for an acknowledgement.
    pub ack: Option<i64>,
    /// Bytes it has on the wire.
    pub size: usize,
}

impl Event {
    /// An event as it was decoded.
    pub fn new(name: &str, args: Vec<Dynamic>, ack: Option<i64>, size: usize) -> Self {
        Self {
            name: name.into(),
            args,
            ack,
            size,
        }
    }
}

/// Where `on_handshake` says whether a client is accepted, or the reason why not. The first answer counts; without one the
/// client is refused.
#[derive(Debug, Clone)]
pub struct HandshakeReply(Arc<Mutex<Option<Answer>>>);

type Answer = oneshot::Sender<Result<(), String>>;

impl HandshakeReply {
    /// A verdict, and where it is awaited.
    pub fn new() -> (Self, oneshot::Receiver<Result<(), String>>) {
        let (answer, verdict) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(answer)))), verdict)
    }

    /// Accepts the client, or refuses it for a reason.
    pub fn give(&self, verdict: Result<(), String>) {
        if let Some(answer) = self.0.lock().take() {
            // The client may be gone, and nobody waits.
            let _ = answer.send(verdict);
        }
    }
}

/// What became of work that was posted.
pub(super) enum Posted {
    /// The connection is idle and is now busy with this: the caller runs it.
    Run(Work),
    /// Whoever is busy will run it.
    Waits,
    /// Too much waits already.
    Refused(Event),
}

/// Queue of a connection's work. Events and the disconnect wait until the CONNECT is answered.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    busy: bool,
    waiting: VecDeque<Work>,
    bytes: usize,
    /// How much of what waits is [`Work::Outgoing`].
    outgoing: usize,
    outgoing_bytes: usize,
}

impl Mailbox {
    pub(super) fn post(&self, work: Work, phase: &Current) -> Posted {
        let mut inner = self.lock();
        if !inner.busy && may_run(&work, phase) {
            inner.busy = true;
            return Posted::Run(work);
        }
        match work {
            Work::Event(event) if inner.is_full() => Posted::Refused(event),
            Work::Outgoing(event) if inner.is_full_of_outgoing() => Posted::Refused(event),
            work => {
                inner.count(&work);
                inner.waiting.push_back(work);
                Posted::Waits
            }
        }
    }

    /// Begins with `on_connection`, if `is_answered` says so, after `prepare`; `true` if the caller is to work it off.
    pub(super) fn open(&self, is_answered: impl FnOnce() -> bool, prepare: impl FnOnce()) -> bool {
        // Nobody may post an event between the phase and the work.
        let mut inner = self.lock();
        if !is_answered() {
            return false;
        }
        prepare();
        inner.waiting.push_front(Work::Connect);
        !std::mem::replace(&mut inner.busy, true)
    }

    /// Puts work before everything that waits.
    pub(super) fn post_first(&self, work: Work) {
        let mut inner = self.lock();
        inner.count(&work);
        inner.waiting.push_front(work);
    }

    /// The next work for whoever is busy; `None` when nothing waits and the connection is idle from now on.
    pub(super) fn next(&self, phase: &Current) -> Option<Work> {
        let mut inner = self.lock();
        let next = inner.waiting.iter().position(|work| may_run(work, phase));
        let work = next.and_then(|next| inner.waiting.remove(next));
        match &work {
            Some(work) => inner.discount(work),
            None => inner.rest(),
        }
        work
    }

    pub(super) fn clear(&self) {
        let mut inner = self.lock();
        inner.waiting = VecDeque::new();
        (inner.bytes, inner.outgoing, inner.outgoing_bytes) = (0, 0, 0);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock()
    }
}

impl Inner {
    /// Nothing runs any more; the queue of an idle connection takes no memory.
    fn rest(&mut self) {
        self.busy = false;
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
    }

    fn is_full(&self) -> bool {
        self.waiting.len() - self.outgoing >= MAX_WAITING || self.bytes >= MAX_BYTES
    }

    const fn is_full_of_outgoing(&self) -> bool {
        self.outgoing >= MAX_OUTGOING || self.outgoing_bytes >= MAX_OUTGOING_BYTES
    }

    const fn count(&mut self, work: &Work) {
        match work {
            Work::Event(event) => self.bytes += event.size,
            Work::Outgoing(event) => {
                self.outgoing += 1;
                self.outgoing_bytes += event.size;
            }
            _ => {}
        }
    }

    const fn discount(&mut self, work: &Work) {
        match work {
            Work::Event(event) => self.bytes -= event.size,
            Work::Outgoing(event) => {
                self.outgoing -= 1;
                self.outgoing_bytes -= event.size;
            }
            _ => {}
        }
    }
}

/// Returns `true` if work in this phase may run.
fn may_run(work: &Work, phase: &Current) -> bool {
    phase.takes_events() || !matches!(work, Work::Event(_) | Work::Disconnect(_) | Work::Visit(_))
}
