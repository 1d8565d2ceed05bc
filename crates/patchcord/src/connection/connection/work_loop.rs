//! Work loop of a connection: runs one work item after the other, but not so many in a row that other connections have
//! to wait.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::Connection;
use crate::{
    connection::{Event, Turn, Work, mailbox::Posted},
    script::took_long,
};

/// Maximum number of work items in a row. The rest goes to a new task, so that other connections can use this thread.
const WORK_IN_A_ROW: usize = 64;
/// Maximum total time of work items in a row, for the same reason.
const TIME_IN_A_ROW: Duration = Duration::from_millis(5);

impl Connection {
    /// Posts a work item. It runs immediately on this thread if the connection is idle, its last call was not slow, and
    /// this thread is not in a script call. Otherwise it runs in the turn of the thread that is busy with the
    /// connection, or on a separate task. If the mailbox rejects an event because too much is waiting, returns the
    /// event.
    pub fn post(self: &Arc<Self>, work: Work) -> Option<Event> {
        match self.mailbox.post(work, &self.phase) {
            Posted::Run(work) if Turn::is_running() || self.is_slow() => {
                self.mailbox.post_first(work);
                self.namespace.driver().later(self.clone());
            }
            Posted::Run(work) => self.work(Some(work)),
            Posted::Waits => {}
            Posted::Refused(event) => return Some(event),
        }
        None
    }

    /// Posts a work item that runs on a separate task, or in the turn of the thread that is busy with the connection.
    pub fn post_elsewhere(self: &Arc<Self>, work: Work) {
        if let Posted::Run(work) = self.mailbox.post(work, &self.phase) {
            self.mailbox.post_first(work);
            self.namespace.driver().later(self.clone());
        }
    }

    /// Runs `first` and the work that is queued after it, in the turn that the caller holds.
    pub(super) fn work(self: &Arc<Self>, first: Option<Work>) {
        let mut turn = HandOver {
            connection: self,
            armed: true,
        };
        let mut next = first.or_else(|| self.mailbox.next(&self.phase));
        let mut done = 0;
        let mut started = None;
        while let Some(work) = next {
            self.namespace().driver().run(self, work);
            let took_long = took_long();
            // A work item without a call, such as a timer that another item has already fired, says nothing about the
            // speed of calls.
            if let Some(slow) = took_long.filter(|slow| *slow != self.is_slow()) {
                let separates = || match self.socket() {
                    Some(_) => self.link().is_some_and(|link| link.separates_slow_calls()),
                    None => self
                        .namespace
                        .link()
                        .is_some_and(|link| link.separates_slow_calls()),
                };
                self.slow.store(slow && separates(), Ordering::Relaxed);
            }
            next = self.mailbox.next(&self.phase);
            if let Some(work) = next.take() {
                done += 1;
                let since = *started.get_or_insert_with(Instant::now);
                if took_long == Some(true)
                    || done >= WORK_IN_A_ROW
                    || since.elapsed() > TIME_IN_A_ROW
                {
                    self.mailbox.post_first(work);
                    return;
                }
                next = Some(work);
            }
        }
        turn.armed = false;
    }

    /// Returns `true` if the last call took long: the next calls do not run on threads that serve other connections.
    pub fn is_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }
}

/// Guard that hands the turn to a new task if the work ends before the mailbox is empty, even if it ends in a panic.
struct HandOver<'a> {
    connection: &'a Arc<Connection>,
    armed: bool,
}

impl Drop for HandOver<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.connection
                .namespace()
                .driver()
                .later(self.connection.clone());
        }
    }
}
