//! Journal of shared data: which keys have changed since the store saved them, in whole script calls.
//!
//! The store saves at *cuts*. A cut divides the calls that write: calls that began to write before it are saved, later
//! calls are not. No call waits for a cut. Instead, the cut waits for the calls before it to end. Meanwhile, the first
//! later call that changes a key notes the value that the key had (`ChangeLog`), so that the cut has all of the
//! earlier calls and nothing of a later one. If an earlier call uses what a later one has written, no such division
//! exists: the cut is *mixed*, and is made again, with the later calls among the earlier ones.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
    fmt::{self, Debug},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use rhai::{Dynamic, Identifier};

/// Called when everything that was written before is in the store, or with the error of the store.
pub type Flushed = Box<dyn FnOnce(Result<(), Arc<str>>) + Send>;

/// Value of a key, and its deadline in milliseconds since 1970; `None` if the key does not exist.
pub type Saved = Option<(Arc<Dynamic>, Option<i64>)>;

/// Change of a key that the store does not have yet.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DataChange {
    /// Path of the namespace.
    pub namespace: Arc<str>,
    /// The key.
    pub key: Identifier,
    /// State of the key.
    pub state: Saved,
}

/// Shared data whose changes a store saves.
pub trait Journaled: Debug + Send + Sync {
    /// Moves the changes before an epoch to `changes`. Returns `true` if there are later ones.
    fn take_changes(&self, epoch: u64, changes: &mut Vec<DataChange>) -> bool;
}

/// Everything that a store has to save at once.
#[derive(Default)]
#[non_exhaustive]
pub struct Cut {
    /// Changes, at most one for each key.
    pub changes: Vec<DataChange>,
    /// Callbacks that wait for these changes.
    pub flushed: Vec<Flushed>,
    /// Data that the changes belong to. It stays in memory until they are saved.
    pub data: Vec<Arc<dyn Journaled>>,
    /// `true` if this is the last cut.
    pub is_last: bool,
}

impl Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cut")
            .field("changes", &self.changes.len())
            .finish_non_exhaustive()
    }
}

/// Journal of all shared data of a host that a store saves.
#[derive(Debug, Default)]
pub struct Journal {
    state: Mutex<State>,
    /// Signals the thread of the store.
    changed: Condvar,
    /// `true` if an earlier call has used what a later one has written, since the last cut.
    is_mixed: AtomicBool,
    /// `true` while writes are rejected, because the store has failed.
    is_refusing: AtomicBool,
}

#[derive(Default)]
struct State {
    /// Number of cuts so far.
    epoch: u64,
    /// Number of running calls that began to write after the last cut.
    later: usize,
    /// Number of running calls that began to write before it.
    earlier: usize,
    /// Data with changes.
    changed: Vec<Arc<dyn Journaled>>,
    /// Time of the first change since the last cut.
    since: Option<Instant>,
    flushed: Vec<Flushed>,
    is_closing: bool,
}

impl Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("epoch", &self.epoch)
            .field("earlier", &self.earlier)
            .field("later", &self.later)
            .finish_non_exhaustive()
    }
}

thread_local! {
    /// Script call that runs on this thread, if there is one: the journal that it has written to.
    static CALL: RefCell<Option<CallWrites>> = const { RefCell::new(None) };
}

/// Journal that a running call has written to, with the epoch of the call.
#[derive(Debug, Default)]
struct CallWrites(Option<(Arc<Journal>, u64)>);

impl Drop for CallWrites {
    fn drop(&mut self) {
        if let Some((journal, epoch)) = self.0.take() {
            journal.end(epoch);
        }
    }
}

/// Guard of a script call on this thread. When it is dropped, the writes of the call are complete.
#[derive(Debug)]
pub(super) struct WholeCall(Option<CallWrites>);

impl WholeCall {
    /// Begins a call.
    pub(super) fn begin() -> Self {
        Self(CALL.replace(Some(CallWrites::default())))
    }
}

impl Drop for WholeCall {
    fn drop(&mut self) {
        let ended = CALL.replace(self.0.take());
        // Dropped outside the borrow.
        drop(ended);
    }
}

impl Journal {
    /// Makes writes fail from now on, or not.
    pub fn refuse_writes(&self, refuse: bool) {
        self.is_refusing.store(refuse, Ordering::Relaxed);
    }

    /// Returns `true` if writes fail, because the store has failed.
    pub fn refuses_writes(&self) -> bool {
        self.is_refusing.load(Ordering::Relaxed)
    }

    /// Calls `flushed` when the store has everything that was written before, the writes of the running call included.
    pub fn flush(&self, flushed: Flushed) {
        self.state.lock().flushed.push(flushed);
        self.changed.notify_all();
    }

    /// Makes the next cut the last one.
    pub fn close(&self) {
        self.state.lock().is_closing = true;
        self.changed.notify_all();
    }

    /// Waits until something has changed and `delay` has passed since, or a flush is requested, or until `retry`. Then
    /// makes a cut, and waits for the calls before it. For the thread of the store.
    pub fn next_cut(&self, delay: Duration, retry: Option<Instant>) -> Cut {
        let mut state = self.state.lock();
        while !state.is_due(delay) {
            let due = state.since.map(|since| since + delay);
            match due.into_iter().chain(retry).min() {
                Some(due) if due <= Instant::now() => break,
                Some(due) => drop(self.changed.wait_until(&mut state, due)),
                None => self.changed.wait(&mut state),
            }
        }
        loop {
            self.is_mixed.store(false, Ordering::Relaxed);
            state.epoch += 1;
            state.earlier = std::mem::take(&mut state.later);
            let flushed = std::mem::take(&mut state.flushed);
            while state.earlier > 0 {
                self.changed.wait(&mut state);
            }
            if self.is_mixed.load(Ordering::Acquire) {
                let requested = std::mem::replace(&mut state.flushed, flushed);
                state.flushed.extend(requested);
                continue;
            }
            let cut = Cut {
                flushed,
                data: std::mem::take(&mut state.changed),
                is_last: state.is_closing,
                changes: Vec::new(),
            };
            state.since = None;
            let epoch = state.epoch;
            drop(state);
            return self.collect(cut, epoch);
        }
    }

    /// Adds the changes before a cut. Data that has later changes stays in the list.
    fn collect(&self, mut cut: Cut, epoch: u64) -> Cut {
        for data in &cut.data {
            if data.take_changes(epoch, &mut cut.changes) {
                self.has_changed(data.clone());
            }
        }
        cut
    }

    /// Adds data to the list of data with changes.
    fn has_changed(&self, data: Arc<dyn Journaled>) {
        let mut state = self.state.lock();
        state.changed.push(data);
        if state.since.is_none() {
            state.since = Some(Instant::now());
            self.changed.notify_all();
        }
    }

    /// Returns the epoch of a write on this thread. The running call ends before the next cut is complete.
    fn epoch(self: &Arc<Self>) -> u64 {
        CALL.with_borrow_mut(|call| match call {
            Some(CallWrites(Some((_, epoch)))) => *epoch,
            Some(CallWrites(none)) => {
                let epoch = self.begin();
                *none = Some((self.clone(), epoch));
                epoch
            }
            None => self.state.lock().epoch,
        })
    }

    /// Returns the epoch of the running call, if it has written.
    fn epoch_of_writer() -> Option<u64> {
        CALL.with_borrow(|call| call.as_ref()?.0.as_ref().map(|(_, epoch)| *epoch))
    }

    fn begin(&self) -> u64 {
        let mut state = self.state.lock();
        state.later += 1;
        state.epoch
    }

    fn end(&self, epoch: u64) {
        let mut state = self.state.lock();
        match epoch == state.epoch {
            true => state.later -= 1,
            false => {
                state.earlier -= 1;
                if state.earlier == 0 {
                    self.changed.notify_all();
                }
            }
        }
    }

    fn mix(&self) {
        self.is_mixed.store(true, Ordering::Release);
    }
}

impl State {
    fn is_due(&self, delay: Duration) -> bool {
        let is_old = |since: Instant| since.elapsed() >= delay;
        self.is_closing || !self.flushed.is_empty() || self.since.is_some_and(is_old)
    }
}

/// Log of the changes of one map of shared data since the last cut. It is locked with the map.
#[derive(Debug)]
pub(super) struct ChangeLog {
    pub(super) namespace: Arc<str>,
    pub(super) journal: Arc<Journal>,
    data: Weak<dyn Journaled>,
    /// Epoch of the latest write.
    epoch: u64,
    /// Keys that earlier calls have changed, with the state that they left if a later call has changed it since.
    earlier: HashMap<Identifier, Option<Saved>>,
    /// Keys that calls of the epoch have changed.
    later: HashSet<Identifier>,
    /// `true` if the data is in the journal's list of data with changes.
    is_listed: bool,
}

impl ChangeLog {
    pub(super) fn new(
        namespace: Arc<str>,
        journal: Arc<Journal>,
        data: Weak<dyn Journaled>,
    ) -> Self {
        Self {
            namespace,
            journal,
            data,
            epoch: 0,
            earlier: HashMap::new(),
            later: HashSet::new(),
            is_listed: false,
        }
    }

    /// Notes that the running call is about to change a key, whose state is `state` until then.
    pub(super) fn write(&mut self, key: &str, state: impl FnOnce() -> Saved) {
        let epoch = self.journal.epoch();
        if epoch > self.epoch {
            self.epoch = epoch;
            self.earlier.values_mut().for_each(|state| *state = None);
            let later = self.later.drain().map(|key| (key, None));
            self.earlier.extend(later);
        }
        if epoch < self.epoch {
            match self.later.contains(key) {
                true => self.journal.mix(),
                false => drop(self.earlier.entry(key.into()).or_insert(None)),
            }
        } else if !self.later.contains(key) {
            self.later.insert(key.into());
            if let Some(before @ None) = self.earlier.get_mut(key) {
                *before = Some(state());
            }
        }
        if !self.is_listed
            && let Some(data) = self.data.upgrade()
        {
            self.is_listed = true;
            self.journal.has_changed(data);
        }
    }

    /// Notes that the running call reads a key, or all keys.
    pub(super) fn read(&self, key: Option<&str>) {
        let is_later = match key {
            Some(key) => self.later.contains(key),
            None => !self.later.is_empty(),
        };
        if is_later && Journal::epoch_of_writer().is_some_and(|epoch| epoch < self.epoch) {
            self.journal.mix();
        }
    }

    /// Removes the keys that calls before an epoch have changed, with the states that these calls left. `state` returns
    /// the present state of a key. Returns `true` if later calls have changed keys.
    pub(super) fn take(
        &mut self,
        epoch: u64,
        changes: &mut Vec<DataChange>,
        state: impl Fn(&str) -> Saved,
    ) -> bool {
        if self.epoch < epoch {
            let later = self.later.drain().map(|key| (key, None));
            self.earlier.extend(later);
        }
        changes.extend(self.earlier.drain().map(|(key, left)| DataChange {
            namespace: self.namespace.clone(),
            state: left.unwrap_or_else(|| state(&key)),
            key,
        }));
        self.is_listed = !self.later.is_empty();
        self.is_listed
    }
}
