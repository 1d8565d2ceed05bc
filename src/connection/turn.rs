//! The script call that runs on this thread: whose it is, whether it is a draft, and what it has read.

use std::{cell::RefCell, sync::Arc};

use rhai::Identifier;

use super::{Connection, Data, Draft, Namespace};

/// A script call that runs on this thread. While it does, no other runs on the same stack.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Turn {
    /// The connection whose call it is.
    pub connection: Arc<Connection>,
    /// Where the call's effects go when it is a draft.
    pub draft: Option<Arc<Draft>>,
}

/// The one place that knows of the call that runs: all that a script function asks of its caller is answered here.
struct CallContext {
    turn: Turn,
    /// The keys of shared data that the call has read or written, each with the stamp of its state then.
    reads: Vec<Read>,
}

struct Read {
    data: *const Data,
    key: Identifier,
    stamp: u64,
}

thread_local! {
    static CONTEXT: RefCell<Option<CallContext>> = const { RefCell::new(None) };
}

impl Turn {
    /// An ordinary call of `connection`.
    pub const fn of(connection: Arc<Connection>) -> Self {
        Self {
            connection,
            draft: None,
        }
    }

    /// A call whose effects go to `draft` only.
    pub const fn draft(connection: Arc<Connection>, draft: Arc<Draft>) -> Self {
        Self {
            connection,
            draft: Some(draft),
        }
    }

    /// The turn of the call that runs on this thread.
    pub fn current() -> Option<Self> {
        CONTEXT.with_borrow(|context| context.as_ref().map(|context| context.turn.clone()))
    }

    /// Whether a call runs on this thread.
    pub fn is_running() -> bool {
        CONTEXT.with_borrow(Option::is_some)
    }

    /// The namespace of the call.
    pub fn namespace(&self) -> &Arc<Namespace> {
        self.connection.namespace()
    }

    /// Runs `call` as this turn.
    pub fn run<T>(self, call: impl FnOnce() -> T) -> T {
        let context = CallContext {
            turn: self,
            reads: Vec::new(),
        };
        let _before = Before(CONTEXT.replace(Some(context)));
        call()
    }

    /// Remembers the state in which the running call has read, or left, a key.
    pub fn remember_read(data: &Arc<Data>, key: &str, stamp: u64) {
        CallContext::with(|context| {
            let reads = &mut context.reads;
            match reads.iter_mut().find(|read| read.is(data, key)) {
                Some(read) => read.stamp = stamp,
                None => reads.push(Read {
                    data: Arc::as_ptr(data),
                    key: key.into(),
                    stamp,
                }),
            }
        });
    }

    /// The state in which the running call has read a key last.
    pub fn last_read(data: &Arc<Data>, key: &str) -> Option<u64> {
        CallContext::with(|context| {
            let read = context.reads.iter().find(|read| read.is(data, key));
            read.map(|read| read.stamp)
        })
        .flatten()
    }

    /// The running call has changed a key without reading it first.
    pub fn forget_read(data: &Arc<Data>, key: &str) {
        CallContext::with(|context| context.reads.retain(|read| !read.is(data, key)));
    }
}

impl CallContext {
    fn with<T>(look: impl FnOnce(&mut Self) -> T) -> Option<T> {
        CONTEXT.with_borrow_mut(|context| context.as_mut().map(look))
    }
}

impl Read {
    fn is(&self, data: &Arc<Data>, key: &str) -> bool {
        std::ptr::eq(self.data, Arc::as_ptr(data)) && self.key == key
    }
}

/// What ran on this thread before, and does so again when this is dropped.
struct Before(Option<CallContext>);

impl Drop for Before {
    fn drop(&mut self) {
        let done = CONTEXT.replace(self.0.take());
        // Outside of the borrow: the last handle of a connection may go with it.
        drop(done);
    }
}
