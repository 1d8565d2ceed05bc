//! Work that waits for the turn of its connection.

use std::{
    collections::VecDeque,
    sync::{Arc, mpsc},
};

use parking_lot::{Mutex, MutexGuard};
use rhai::{Dynamic, Identifier};
use tokio::sync::oneshot;

use super::{
    api_call::{ApiCall, ApiFailure},
    phase::{Current, Phase},
    registrations::Adopted,
};
use crate::script::Handler;

/// Maximum number of waiting work items of a busy connection; further events and calls of backends are rejected.
const MAX_WAITING: usize = 1_024;
/// Maximum total size of the waiting events, in bytes as the client sent them; further events are rejected.
const MAX_BYTES: usize = 1 << 20;
/// Maximum number of outgoing events that wait for the `on_any_outgoing` listeners. A single call may send this many.
const MAX_OUTGOING: usize = 1 << 14;
/// Maximum total size of the waiting outgoing events, in bytes.
const MAX_OUTGOING_BYTES: usize = 16 << 20;

/// Work item: one thing to do in a connection's turn.
#[derive(Debug)]
#[non_exhaustive]
pub enum Work {
    /// The client asks to be accepted: runs `on_handshake`, whose answer goes to this reply.
    Handshake(HandshakeReply),
    /// The client is accepted: runs `on_connection`.
    Connect,
    /// The client sent an event.
    Event(Event),
    /// The client has disconnected for this reason.
    Disconnect(&'static str),
    /// An ack may have arrived: the number of the closure that waits for it, and the index of the ack among those that
    /// the closure waits for.
    Answer(u64, usize),
    /// Timers are due.
    Timers,
    /// The timer with this number is due.
    Timer(u32),
    /// Rest of a work item whose calls take long. No edit takes effect between the two parts.
    Continuation(Continuation),
    /// A closure of the connection is due to be called.
    Call(Call),
    /// An event is sent to the client: calls the `on_any_outgoing` listeners.
    Outgoing(Event),
    /// A new version serves: the connection adopts it now, instead of with its next work item.
    Adopt,
    /// A version starts to serve: runs `on_load` in the unit of the namespace. A reload may hold the receiver, to wait
    /// for the end of the call.
    Load(Option<mpsc::Sender<Adopted>>),
    /// A backend calls the namespace: runs `on_api` in the unit of the namespace.
    Api(Box<ApiCall>),
    /// A key has become present or absent: runs `on_present` or `on_absent` in the unit of the namespace.
    Presence,
    /// The host inspects or changes the connection, in the connection's turn.
    Visit(Visit),
}

/// Closure of a connection that is due to be called.
#[derive(Debug)]
#[non_exhaustive]
pub struct Call {
    /// The closure.
    pub handler: Arc<Handler>,
    /// Arguments.
    pub args: Vec<Dynamic>,
    /// Description of the call, for error messages.
    pub what: &'static str,
    /// Number of restarts of the connection at the time of scheduling: see [`Connection::beginnings`].
    ///
    /// [`Connection::beginnings`]: super::Connection::beginnings
    pub of: u32,
}

impl Call {
    /// Creates the call of a closure that the host received after `of` restarts of its connection.
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

/// Callback that runs in the turn of a connection. It is dropped if the connection ends first.
pub struct Visit(Box<dyn FnOnce() + Send>);

impl Visit {
    /// Creates the work item for a callback.
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

/// Rest of a work item.
pub struct Continuation(pub(super) Box<dyn FnOnce() + Send>);

impl Continuation {
    /// Creates work that needs the connection's turn, and nothing else.
    pub fn new(run: impl FnOnce() + Send + 'static) -> Self {
        Self(Box::new(run))
    }

    /// Runs the work.
    pub fn run(self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Continuation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Continuation").finish_non_exhaustive()
    }
}

/// Event from a client, or to a client.
#[derive(Debug)]
#[non_exhaustive]
pub struct Event {
    /// Name of the event.
    pub name: Identifier,
    /// Arguments.
    pub args: Vec<Dynamic>,
    /// Id of the ack, if the client asked for one.
    pub ack: Option<i64>,
    /// Size on the wire, in bytes.
    pub size: usize,
}

impl Event {
    /// Creates an event from its decoded parts.
    pub fn new(name: &str, args: Vec<Dynamic>, ack: Option<i64>, size: usize) -> Self {
        Self {
            name: name.into(),
            args,
            ack,
            size,
        }
    }
}

/// Reply of `on_handshake`: the client is accepted, or rejected with a reason. Only the first reply counts. If all
/// copies are dropped without a reply, the client is rejected.
#[derive(Debug, Clone)]
pub struct HandshakeReply(Arc<Mutex<Option<Answer>>>);

type Answer = oneshot::Sender<Result<(), String>>;

impl HandshakeReply {
    /// Creates a reply, and the receiver that waits for it.
    pub fn new() -> (Self, oneshot::Receiver<Result<(), String>>) {
        let (answer, verdict) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(answer)))), verdict)
    }

    /// Accepts the client, or rejects it with a reason.
    pub fn give(&self, verdict: Result<(), String>) {
        if let Some(answer) = self.0.lock().take() {
            // The client may have disconnected, and the receiver may be dropped.
            let _ = answer.send(verdict);
        }
    }
}

/// Outcome of posting a work item.
pub(super) enum Posted {
    /// The connection was idle and is now busy with this work: the caller must run it.
    Run(Work),
    /// The work is queued. The thread that is busy with the connection will run it.
    Waits,
    /// The event is rejected, because too much work is waiting already.
    Refused(Event),
}

/// Queue of a connection's work items. Events and the disconnect wait until the CONNECT is answered.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    busy: bool,
    waiting: VecDeque<Work>,
    bytes: usize,
    /// Number of waiting work items that are [`Work::Outgoing`].
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
            // Nothing happens on a connection whose client is away.
            work if phase.get() == Phase::Away && !may_run(&work, phase) => Posted::Waits,
            Work::Event(event) if inner.is_full() => Posted::Refused(event),
            Work::Outgoing(event) if inner.is_full_of_outgoing() => Posted::Refused(event),
            Work::Api(call) if inner.is_full() => {
                call.answer(Err(ApiFailure::Busy));
                Posted::Waits
            }
            work => {
                inner.count(&work);
                inner.waiting.push_back(work);
                Posted::Waits
            }
        }
    }

    /// Calls `prepare` and queues `on_connection` before all other work, if `is_answered` returns `true`. Returns
    /// `true` if the caller has to run the work, because the connection was idle.
    pub(super) fn open(&self, is_answered: impl FnOnce() -> bool, prepare: impl FnOnce()) -> bool {
        // No event may be posted between the phase change and this work item.
        let mut inner = self.lock();
        if !is_answered() {
            return false;
        }
        prepare();
        inner.waiting.push_front(Work::Connect);
        !std::mem::replace(&mut inner.busy, true)
    }

    /// Queues a work item before all others.
    pub(super) fn post_first(&self, work: Work) {
        let mut inner = self.lock();
        inner.count(&work);
        inner.waiting.push_front(work);
    }

    /// Returns the next work item for the thread that is busy with the connection. `None` means that no work may run,
    /// and that the connection is now idle.
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
    /// Marks the connection as idle. Frees the queue if it is empty, so that the queue of an idle connection uses no
    /// memory.
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

/// Returns `true` if `work` may run in this phase.
fn may_run(work: &Work, phase: &Current) -> bool {
    match phase.get() {
        Phase::Away => matches!(
            work,
            Work::Handshake(_) | Work::Disconnect(_) | Work::Continuation(_)
        ),
        _ if phase.takes_events() => true,
        _ => !matches!(work, Work::Event(_) | Work::Disconnect(_) | Work::Visit(_)),
    }
}
