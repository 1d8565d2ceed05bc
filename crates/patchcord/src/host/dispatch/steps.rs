//! Runs work that consists of several script calls, one after the other.
//!
//! Each call may use its full time limit. After a slow call, the remaining steps are queued as a separate work item,
//! which runs on the pool for slow calls, where it delays no connection without slow calls. No other work of this
//! connection runs in between.

use std::sync::Arc;

use rhai::StaticVec;

use super::Dispatcher;
use crate::{
    connection::Connection,
    script::{Handler, has_taken_long},
};

/// Step of the work, which makes at most one script call and returns the next step.
pub(super) struct Step<T>(pub(super) fn(&Dispatcher, &Arc<Connection>, &mut T) -> Next<T>);

/// Next step; `None` when all work is done.
pub(super) type Next<T> = Option<Step<T>>;

/// Handlers that are still to be called.
pub(super) type Handlers = <StaticVec<Arc<Handler>> as IntoIterator>::IntoIter;

impl Dispatcher {
    /// Runs the steps of `work`, beginning with `first`.
    pub(super) fn run_steps<T: Send + 'static>(
        &self,
        connection: &Arc<Connection>,
        mut work: T,
        first: Step<T>,
    ) {
        let mut step = first;
        while let Some(next) = (step.0)(self, connection, &mut work) {
            step = next;
            if has_taken_long()
                && let Some(host) = self.me.upgrade()
            {
                let same = connection.clone();
                return connection.defer(move || host.run_steps(&same, work, step));
            }
        }
    }
}
