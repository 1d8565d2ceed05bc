//! Whose script call runs on this thread, and whether it is a draft.

use std::{cell::RefCell, sync::Arc};

use super::{Connection, Draft, Namespace, reads};

/// A script call that runs on this thread. While it does, no other runs on the same stack.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Turn {
    /// The connection whose call it is.
    pub connection: Arc<Connection>,
    /// Where the call's effects go when it is a draft.
    pub draft: Option<Arc<Draft>>,
}

thread_local! {
    static TURN: RefCell<Option<Turn>> = const { RefCell::new(None) };
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
        TURN.with_borrow(Clone::clone)
    }

    /// Whether a call runs on this thread.
    pub fn is_running() -> bool {
        TURN.with_borrow(Option::is_some)
    }

    /// The namespace of the call.
    pub fn namespace(&self) -> &Arc<Namespace> {
        self.connection.namespace()
    }

    /// Runs `call` as this turn.
    pub fn run<T>(self, call: impl FnOnce() -> T) -> T {
        reads::forget();
        let _before = Before(TURN.replace(Some(self)));
        call()
    }
}

struct Before(Option<Turn>);

impl Drop for Before {
    fn drop(&mut self) {
        TURN.replace(self.0.take());
    }
}
