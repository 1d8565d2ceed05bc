//! Presence in a namespace: keys, such as ids of users, that its sockets hold ("who is online").
//!
//! In: a socket adds or removes a key, or disconnects. Out: the keys that are present, and the changes of which
//! the script does not know yet, one after the other.
//!
//! A key is present while a socket holds it, and for a grace time after its last socket has disconnected, because the
//! client may come back. A change is decided at the moment when its hook is called: from what the script knows of the
//! key, and from whether the key is present then. So the hooks of a key always alternate, and a key that flips many
//! times before its hook runs is one entry in the queue, or none.
//!
//! All entries belong to sockets of this process. Processes that know each other's entries would show the union.

mod state;

use std::{collections::BTreeMap, time::Duration};

use parking_lot::Mutex;
use rhai::{Dynamic, ImmutableString};
use tokio::{task::AbortHandle, time::Instant};

pub(super) use self::state::FollowUp;
use self::state::{Entry, Meta, State};
pub use self::state::{NotPresent, PresenceChange, PresenceLimits};
use crate::{script::Hook, value::weight};

/// Keys that the sockets of a namespace hold. Sockets are identified by their [position](super::Connection::entered).
#[derive(Debug, Default)]
pub(super) struct Presence(Mutex<State>);

impl Presence {
    /// Makes a socket hold a key, or replaces its meta, if `is_there` returns `true`. `hears` tells whether the script
    /// has a hook.
    ///
    /// # Errors
    /// Fails if a limit would be exceeded. Nothing has changed then.
    pub(super) fn present(
        &self,
        socket: u64,
        (key, value): (ImmutableString, Dynamic),
        limits: PresenceLimits,
        is_there: impl FnOnce() -> bool,
        hears: impl Fn(Hook) -> bool,
    ) -> Result<FollowUp, NotPresent> {
        let mut state = self.0.lock();
        // A socket closes before it leaves: what it adds while this lock is held is still removed.
        if !is_there() {
            return Ok(FollowUp::default());
        }
        let meta = Meta::new(&key, value);
        state.check(socket, &key, &meta, limits)?;
        state.add(socket, &key, meta);
        state.settle(&key, &hears);
        Ok(state.follow_up())
    }

    /// Makes a key present for its grace time, for a socket that an earlier process had. The script knows of it.
    pub(super) fn expect(
        &self,
        (key, value): (&ImmutableString, &Dynamic),
        grace: Duration,
    ) -> FollowUp {
        let mut state = self.0.lock();
        let is_new = !state.keys.contains_key(key);
        if is_new && !state.is_ended {
            state.expect(key, Meta::new(key, value.clone()), grace);
        }
        state.follow_up()
    }

    /// Removes a key of a socket, on purpose: if it is the last one, the key is absent at once, even if the socket
    /// has disconnected and the grace time of the key runs.
    pub(super) fn absent(&self, socket: u64, key: &str, hears: impl Fn(Hook) -> bool) -> FollowUp {
        let mut state = self.0.lock();
        state.release(socket, key, None);
        state.settle(key, &hears);
        state.follow_up()
    }

    /// Removes all keys of a socket that has disconnected. A key that no other socket holds stays present for the
    /// grace time.
    pub(super) fn leave(
        &self,
        socket: u64,
        grace: Duration,
        hears: impl Fn(Hook) -> bool,
    ) -> FollowUp {
        let mut state = self.0.lock();
        let grace = (!grace.is_zero() && !state.is_ended).then_some(grace);
        for key in state.held.remove(&socket).unwrap_or_default() {
            state.release(socket, &key, grace);
            state.settle(&key, &hears);
        }
        state.follow_up()
    }

    /// Ends the grace times that are over.
    pub(super) fn end_graces(&self, hears: impl Fn(Hook) -> bool) -> FollowUp {
        let now = Instant::now();
        let mut state = self.0.lock();
        while let Some(due) = state.graces.first_entry().filter(|due| due.key().0 <= now) {
            let key = due.remove();
            if let Some(entry) = state.keys.get_mut(&key)
                && let Some(last) = &mut entry.last
            {
                last.until = None;
            }
            state.settle(&key, &hears);
        }
        state.follow_up()
    }

    /// Returns the next end of a grace time. If there is none, the timer ends.
    pub(super) fn next_grace_end(&self) -> Option<Instant> {
        let mut state = self.0.lock();
        let next = state.graces.first_key_value().map(|((end, _), _)| *end);
        if next.is_none() {
            (state.is_timed, state.timer) = (false, None);
        }
        next
    }

    /// Stores the timer of the grace times.
    pub(super) fn set_timer(&self, timer: AbortHandle) {
        let mut state = self.0.lock();
        match state.is_timed {
            true => state.timer = Some(timer),
            false => timer.abort(),
        }
    }

    /// Returns the next change of which the script does not know. The script knows it from now on. If there is none, a
    /// work item must be posted for the next one.
    pub(super) fn next_change(&self) -> Option<PresenceChange> {
        let mut state = self.0.lock();
        while let Some(key) = state.changes.pop_front() {
            if let Some(change) = state.learn(key) {
                return Some(change);
            }
        }
        state.is_posted = false;
        None
    }

    /// Forgets what the script would still learn, and the keys in their grace time. With `for_good`, the script learns
    /// nothing any more.
    pub(super) fn reset(&self, for_good: bool) {
        let mut state = self.0.lock();
        state.is_ended |= for_good;
        state.stop_timer();
        state.graces.clear();
        state.changes.clear();
        state.is_posted = false;
        let mut freed = 0;
        state.keys.retain(|_, entry| {
            let last = entry.last.take();
            freed += last.map_or(0, |last| last.meta.bytes);
            let is_held = !entry.holders.is_empty();
            (entry.is_queued, entry.is_known) = (false, is_held);
            is_held
        });
        state.bytes -= freed;
    }

    /// Returns `true` if the presence has ended for good.
    pub(super) fn is_ended(&self) -> bool {
        self.0.lock().is_ended
    }

    /// Returns `true` if no key is present, and the script knows of all changes.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().keys.is_empty()
    }

    /// Returns the keys that are present, sorted.
    pub(super) fn keys(&self) -> Vec<ImmutableString> {
        let state = self.0.lock();
        let present = state.keys.iter().filter(|(_, entry)| entry.is_present());
        present.map(|(key, _)| key.clone()).collect()
    }

    /// Returns the number of keys that are present.
    pub(super) fn len(&self) -> usize {
        let state = self.0.lock();
        let present = state.keys.values().filter(|entry| entry.is_present());
        present.count()
    }

    /// Returns `true` if a key is present.
    pub(super) fn is_present(&self, key: &str) -> bool {
        let state = self.0.lock();
        state.keys.get(key).is_some_and(Entry::is_present)
    }

    /// Returns the metas of the sockets that hold a key, in the order of connecting; in its grace time, that of the
    /// socket that held it last. `admit` receives their total size first.
    ///
    /// # Errors
    /// Fails if `admit` fails.
    pub(super) fn metas<E>(
        &self,
        key: &str,
        admit: impl FnOnce(usize) -> Result<(), E>,
    ) -> Result<Vec<Dynamic>, E> {
        let state = self.0.lock();
        let entry = state.keys.get(key).filter(|entry| entry.is_present());
        let metas = || entry.into_iter().flat_map(Entry::metas);
        admit(metas().map(weight).sum())?;
        Ok(metas().cloned().collect())
    }

    /// Returns the keys that a socket holds, with its metas.
    pub(super) fn held_by(&self, socket: u64) -> BTreeMap<ImmutableString, Dynamic> {
        let state = self.0.lock();
        let keys = state.held.get(&socket).into_iter().flatten();
        keys.filter_map(|key| {
            let meta = state.keys.get(key)?.holders.get(&socket)?;
            Some((key.clone(), meta.value.clone()))
        })
        .collect()
    }
}
