//! Work of many calls, one after the other.
//!
//! Each may run to its deadline: after one that takes long the rest is a piece of work of its own, which goes where it
//! holds up nobody else. Nothing else of the connection comes between.

use std::sync::Arc;

use rhai::StaticVec;

use super::Dispatcher;
use crate::{
    connection::Connection,
    script::{Handler, has_taken_long},
};

/// A step of some work: it makes one call at most, and says what is next.
pub(super) struct Step<T>(pub(super) fn(&Dispatcher, &Arc<Connection>, &mut T) -> Next<T>);

/// The next step; `None` when all is done.
pub(super) type Next<T> = Option<Step<T>>;

/// Handlers that are still to be called.
pub(super) type Handlers = <StaticVec<Arc<Handler>> as IntoIterator>::IntoIter;

impl Dispatcher {
    /// Does work from this step on.
    pub(super) fn go_through<T: Send + 'static>(
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
                return connection.go_on(move || host.go_through(&same, work, step));
            }
        }
    }
}
