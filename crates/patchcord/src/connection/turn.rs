//! Script call that runs on this thread: its connection, its draft, and what it has read.

use std::{cell::RefCell, sync::Arc};

use rhai::{Dynamic, Identifier};

use super::{
    Connection, Data, Draft, Namespace,
    journal::WholeCall,
    tape::{self, Effect, KeyUse, MovedSockets, Outside, Read, Tape},
};

/// Script call that runs on this thread. Meanwhile, no other call runs on the same stack.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Turn {
    /// Connection to which the call belongs.
    pub connection: Arc<Connection>,
    /// Draft that receives the call's effects, if the call is a draft.
    pub draft: Option<Arc<Draft>>,
}

/// Context of the running call. This is the only record of the call: a script function finds here everything that it
/// needs to know about its caller.
struct CallContext {
    turn: Turn,
    /// Keys of shared data that the call has read or written, each with the stamp of its state at that time.
    reads: Vec<ReadKey>,
    /// Tape of a call that is recorded.
    recording: Option<Box<Recording>>,
}

/// Tape of a call of `on_connection`, while it runs.
#[derive(Default)]
struct Recording {
    tape: Tape,
    moved: MovedSockets,
}

struct ReadKey {
    data: *const Data,
    key: Identifier,
    state: KeyState,
}

/// State of a key of shared data: its value, and the stamp of its last change.
pub(super) type KeyState = (Option<Arc<Dynamic>>, u64);

thread_local! {
    static CONTEXT: RefCell<Option<CallContext>> = const { RefCell::new(None) };
}

impl Turn {
    /// Creates the turn of an ordinary call of `connection`.
    pub const fn new(connection: Arc<Connection>) -> Self {
        Self {
            connection,
            draft: None,
        }
    }

    /// Creates the turn of a call whose effects go only to `draft`.
    pub const fn draft(connection: Arc<Connection>, draft: Arc<Draft>) -> Self {
        Self {
            connection,
            draft: Some(draft),
        }
    }

    /// Returns the turn of the call that runs on this thread.
    pub fn current() -> Option<Self> {
        CONTEXT.with_borrow(|context| context.as_ref().map(|context| context.turn.clone()))
    }

    /// Returns the draft of the call on this thread, if the call is a draft.
    pub fn running_draft() -> Option<Arc<Draft>> {
        CONTEXT.with_borrow(|context| context.as_ref()?.turn.draft.clone())
    }

    /// Returns `true` if a call runs on this thread.
    pub fn is_running() -> bool {
        CONTEXT.with_borrow(Option::is_some)
    }

    /// Returns the namespace of the call.
    pub fn namespace(&self) -> &Arc<Namespace> {
        self.connection.namespace()
    }

    /// Runs `call` as this turn.
    pub fn run<T>(self, call: impl FnOnce() -> T) -> T {
        let context = CallContext {
            turn: self,
            reads: Vec::new(),
            recording: None,
        };
        let _before = Before(CONTEXT.replace(Some(context)));
        let _writes = WholeCall::begin();
        call()
    }

    /// Runs `call` as this turn, and returns the tape of its outside reads.
    pub fn record<T>(self, call: impl FnOnce() -> T) -> (T, Option<Box<Tape>>) {
        self.run(|| {
            CallContext::with(|context| context.recording = Some(Box::default()));
            let result = call();
            let recording = CallContext::with(|context| context.recording.take()).flatten();
            (
                result,
                recording.and_then(|recording| recording.tape.kept()),
            )
        })
    }

    /// Returns `true` if reads of the running call are recorded, or answered from a tape.
    pub fn is_taped() -> bool {
        CallContext::with(|context| context.recording.is_some() || context.turn.draft.is_some())
            .unwrap_or_default()
    }

    /// Decides how an outside read of the running call is answered.
    pub fn outside(read: Read) -> Outside {
        let decide = |context: &mut CallContext| match (&context.turn.draft, &context.recording) {
            (Some(draft), _) => draft.outside(read),
            (None, Some(_)) => Outside::Recorded,
            (None, None) => Outside::Real,
        };
        CallContext::with(decide).unwrap_or(Outside::Real)
    }

    /// Decides how the running call uses a key of shared data. `draws` is the effect of the call on what others see.
    pub fn key(key: u64, draws: Effect) -> KeyUse {
        let decide = |context: &mut CallContext| match &context.turn.draft {
            Some(draft) => draft.key(key, draws),
            None => KeyUse::Recorded,
        };
        CallContext::with(decide).unwrap_or(KeyUse::Recorded)
    }

    /// Records the result of an outside read.
    pub fn note(read: Read, value: &Dynamic) {
        CallContext::with(
            |context| match (&context.turn.draft, &mut context.recording) {
                (Some(draft), _) => draft.note(read, value),
                (None, Some(recording)) => recording.tape.add(read, value),
                (None, None) => {}
            },
        );
    }

    /// Records the use of a key of shared data, with the previous state of the key.
    pub fn note_key(key: u64, before: tape::Before, effect: Effect) {
        CallContext::with(
            |context| match (&context.turn.draft, &mut context.recording) {
                (Some(draft), _) => draft.note_key(key, before, effect),
                (None, Some(recording)) => recording.tape.add_key(key, before, effect),
                (None, None) => {}
            },
        );
    }

    /// Records that a draft has changed a key of shared data for real, with the previous state of the key.
    pub fn note_real_key(key: u64, before: tape::Before) {
        CallContext::with(|context| {
            if let Some(draft) = &context.turn.draft {
                draft.note_real_key(key, before);
            }
        });
    }

    /// Records that the running call has changed the rooms of a socket, by its address.
    pub fn note_rooms(socket: usize) {
        CallContext::with(
            |context| match (&context.turn.draft, &mut context.recording) {
                (Some(draft), _) => draft.moved().add(socket),
                (None, Some(recording)) => recording.moved.add(socket),
                (None, None) => {}
            },
        );
    }

    /// Returns `true` if the running call has changed the rooms of a socket.
    pub fn has_moved(socket: usize) -> bool {
        CallContext::with(|context| {
            let recording = context.recording.as_ref();
            match &context.turn.draft {
                Some(draft) => draft.moved().has(socket),
                None => recording.is_some_and(|recording| recording.moved.has(socket)),
            }
        })
        .unwrap_or_default()
    }

    /// Records the state in which the running call has read, or left, a key.
    pub fn remember_read(data: &Arc<Data>, key: &str, state: KeyState) {
        CallContext::with(|context| {
            let reads = &mut context.reads;
            match reads.iter_mut().find(|read| read.is(data, key)) {
                Some(read) => read.state = state,
                None => reads.push(ReadKey {
                    data: Arc::as_ptr(data),
                    key: key.into(),
                    state,
                }),
            }
        });
    }

    /// Returns the state in which the running call has last read a key.
    pub fn last_read(data: &Arc<Data>, key: &str) -> Option<KeyState> {
        CallContext::with(|context| {
            let read = context.reads.iter().find(|read| read.is(data, key));
            read.map(|read| read.state.clone())
        })
        .flatten()
    }

    /// Forgets a key, because the running call has changed it without reading it first.
    pub fn forget_read(data: &Arc<Data>, key: &str) {
        CallContext::with(|context| context.reads.retain(|read| !read.is(data, key)));
    }
}

impl CallContext {
    fn with<T>(look: impl FnOnce(&mut Self) -> T) -> Option<T> {
        CONTEXT.with_borrow_mut(|context| context.as_mut().map(look))
    }
}

impl ReadKey {
    fn is(&self, data: &Arc<Data>, key: &str) -> bool {
        std::ptr::eq(self.data, Arc::as_ptr(data)) && self.key == key
    }
}

/// Previous context of this thread, which is restored when this value is dropped.
struct Before(Option<CallContext>);

impl Drop for Before {
    fn drop(&mut self) {
        let done = CONTEXT.replace(self.0.take());
        // Dropped outside the borrow, because the last handle of a connection may be dropped with it.
        drop(done);
    }
}
