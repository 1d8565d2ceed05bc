//! State of the presence in a namespace, without its lock.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use rhai::{Dynamic, ImmutableString};
use tokio::{task::AbortHandle, time::Instant};

use crate::{script::Hook, value::weight};

/// Size of an entry without its key and its meta, in bytes.
const ENTRY_BYTES: usize = 128;

/// Position of no socket.
const NOBODY: u64 = 0;

/// Limits on what one socket, and all sockets of a namespace together, may hold.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct PresenceLimits {
    /// Maximum number of keys of one socket.
    pub keys: usize,
    /// Maximum size of all keys and metas of the namespace, in bytes.
    pub bytes: usize,
}

impl PresenceLimits {
    /// No limits, for an edit, which must not fail.
    pub const NONE: Self = Self::new(usize::MAX, usize::MAX);

    /// Creates limits.
    pub const fn new(keys: usize, bytes: usize) -> Self {
        Self { keys, bytes }
    }
}

/// Reason why a socket cannot hold a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotPresent {
    /// The socket holds the maximum number of keys.
    TooManyKeys,
    /// The keys and metas of the namespace would be larger than their maximum.
    NoRoom,
}

/// Change of which the script learns now.
#[derive(Debug)]
#[non_exhaustive]
pub struct PresenceChange {
    /// Key that has come or gone.
    pub key: ImmutableString,
    /// Meta of its first socket, or of the socket that held it last.
    pub meta: Dynamic,
    /// Hook of the change: [`Hook::Present`] or [`Hook::Absent`].
    pub hook: Hook,
}

/// Work that a change of the presence leads to.
#[derive(Debug, Clone, Copy, Default)]
#[must_use]
pub(in crate::connection) struct FollowUp {
    /// `true` if a work item for the hooks must be posted.
    pub(in crate::connection) posts: bool,
    /// `true` if the timer of the grace times must be started.
    pub(in crate::connection) starts_timer: bool,
}

/// Keys of the sockets of a namespace.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) keys: BTreeMap<ImmutableString, Entry>,
    /// Keys of each socket.
    pub(super) held: HashMap<u64, BTreeSet<ImmutableString>>,
    /// Size of all keys and metas.
    pub(super) bytes: usize,
    /// Keys of whose change the script does not know yet, in the order of the changes.
    pub(super) changes: VecDeque<ImmutableString>,
    /// `true` while a work item for the changes is posted.
    pub(super) is_posted: bool,
    /// Keys in their grace time, by its end.
    pub(super) graces: BTreeMap<GraceEnd, ImmutableString>,
    /// Number of grace times that have begun.
    begun: u64,
    /// `true` while the timer of the grace times runs.
    pub(super) is_timed: bool,
    pub(super) timer: Option<AbortHandle>,
    /// `true` once the namespace has ended: no hook is called any more, and no grace time begins.
    pub(super) is_ended: bool,
}

/// End of a grace time, and a number that makes it unique.
pub(super) type GraceEnd = (Instant, u64);

#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Sockets that hold the key, in the order of connecting.
    pub(super) holders: BTreeMap<u64, Meta>,
    /// Socket that held the key last, while no socket holds it.
    pub(super) last: Option<Last>,
    /// `true` if the key is present as far as the script knows.
    pub(super) is_known: bool,
    /// `true` while the key is among the changes.
    pub(super) is_queued: bool,
}

#[derive(Debug)]
pub(super) struct Meta {
    pub(super) value: Dynamic,
    /// Size of the value and of its entry, in bytes.
    pub(super) bytes: usize,
}

#[derive(Debug)]
pub(super) struct Last {
    socket: u64,
    pub(super) meta: Meta,
    /// End of the grace time; `None` once the key is absent.
    pub(super) until: Option<GraceEnd>,
}

impl Meta {
    pub(super) fn new(key: &str, value: Dynamic) -> Self {
        let bytes = ENTRY_BYTES + key.len() + weight(&value);
        Self { value, bytes }
    }
}

impl Entry {
    pub(super) fn is_present(&self) -> bool {
        let is_in_grace = || self.last.as_ref().is_some_and(|last| last.until.is_some());
        !self.holders.is_empty() || is_in_grace()
    }

    /// Returns the metas of the sockets that hold the key, or of the socket that held it last.
    pub(super) fn metas(&self) -> impl Iterator<Item = &Dynamic> {
        let last = self.last.iter().map(|last| &last.meta);
        self.holders.values().chain(last).map(|meta| &meta.value)
    }
}

impl State {
    pub(super) fn check(
        &self,
        socket: u64,
        key: &str,
        meta: &Meta,
        limits: PresenceLimits,
    ) -> Result<(), NotPresent> {
        let held = self.held.get(&socket);
        let is_new = held.is_none_or(|held| !held.contains(key));
        if is_new && held.map_or(0, BTreeSet::len) >= limits.keys {
            return Err(NotPresent::TooManyKeys);
        }
        let entry = self.keys.get(key);
        let before = entry.and_then(|entry| entry.holders.get(&socket));
        let others = self.bytes - before.map_or(0, |meta| meta.bytes);
        match others.saturating_add(meta.bytes) > limits.bytes {
            true => Err(NotPresent::NoRoom),
            false => Ok(()),
        }
    }

    pub(super) fn add(&mut self, socket: u64, key: &ImmutableString, meta: Meta) {
        let entry = self.keys.entry(key.clone()).or_default();
        self.bytes += meta.bytes;
        let before = entry.holders.insert(socket, meta);
        self.bytes -= before.map_or(0, |meta| meta.bytes);
        if let Some(last) = entry.last.take() {
            self.bytes -= last.meta.bytes;
            last.until.map(|end| self.graces.remove(&end));
        }
        self.held.entry(socket).or_default().insert(key.clone());
    }

    /// Adds a key in its grace time, of which the script knows.
    pub(super) fn expect(&mut self, key: &ImmutableString, meta: Meta, grace: Duration) {
        self.bytes += meta.bytes;
        let until = grace_end(&mut self.begun, grace);
        self.graces.insert(until, key.clone());
        let last = Last {
            socket: NOBODY,
            meta,
            until: Some(until),
        };
        let entry = Entry {
            last: Some(last),
            is_known: true,
            ..Entry::default()
        };
        self.keys.insert(key.clone(), entry);
    }

    /// Removes a key of a socket. Without a grace time, the socket does so on purpose.
    pub(super) fn release(&mut self, socket: u64, key: &str, grace: Option<Duration>) {
        if let Some(held) = self.held.get_mut(&socket) {
            held.remove(key);
            if held.is_empty() {
                self.held.remove(&socket);
            }
        }
        let Some((key, entry)) = self.keys.get_key_value(key) else {
            return;
        };
        let (key, is_last) = (key.clone(), entry.holders.len() == 1);
        let Some(entry) = self.keys.get_mut(&key) else {
            return;
        };
        match entry.holders.remove(&socket) {
            Some(meta) if is_last => {
                let until = grace.map(|grace| grace_end(&mut self.begun, grace));
                self.graces.extend(until.map(|end| (end, key)));
                entry.last = Some(Last {
                    socket,
                    meta,
                    until,
                });
            }
            Some(meta) => self.bytes -= meta.bytes,
            None => {
                let last = entry.last.as_mut().filter(|last| last.socket == socket);
                let end = last.and_then(|last| last.until.take());
                end.map(|end| self.graces.remove(&end));
            }
        }
    }

    /// Queues a key if the script must learn of a change; removes the key if it is absent, and there is nothing to
    /// learn.
    pub(super) fn settle(&mut self, key: &str, hears: &impl Fn(Hook) -> bool) {
        let Some((name, entry)) = self.keys.get_key_value(key) else {
            return;
        };
        // The hook that is due decides.
        if entry.is_queued {
            return;
        }
        let (name, is_present) = (name.clone(), entry.is_present());
        let has_changed = entry.is_known != is_present;
        let is_heard = has_changed && !self.is_ended && hears(hook(is_present));
        if let Some(entry) = self.keys.get_mut(key) {
            match is_heard {
                true => entry.is_queued = true,
                false => entry.is_known = is_present,
            }
        }
        match (is_heard, is_present) {
            (true, _) => self.changes.push_back(name),
            (false, false) => self.remove(key),
            (false, true) => {}
        }
    }

    /// Returns the change of a queued key; `None` if the script knows all about it by now.
    pub(super) fn learn(&mut self, key: ImmutableString) -> Option<PresenceChange> {
        let entry = self.keys.get_mut(&key)?;
        entry.is_queued = false;
        let is_present = entry.is_present();
        let has_changed = entry.is_known != is_present;
        entry.is_known = is_present;
        let meta = entry.metas().next().cloned().unwrap_or_default();
        if !is_present {
            self.remove(&key);
        }
        has_changed.then(|| PresenceChange {
            key,
            meta,
            hook: hook(is_present),
        })
    }

    fn remove(&mut self, key: &str) {
        let entry = self.keys.remove(key);
        let last = entry.and_then(|entry| entry.last);
        self.bytes -= last.map_or(0, |last| last.meta.bytes);
    }

    pub(super) fn follow_up(&mut self) -> FollowUp {
        let posts = !self.changes.is_empty() && !self.is_posted;
        let starts_timer = !self.graces.is_empty() && !self.is_timed;
        self.is_posted |= posts;
        self.is_timed |= starts_timer;
        FollowUp {
            posts,
            starts_timer,
        }
    }

    pub(super) fn stop_timer(&mut self) {
        self.is_timed = false;
        if let Some(timer) = self.timer.take() {
            timer.abort();
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.stop_timer();
    }
}

/// Returns the end of a grace time that begins now. `begun` is the number of grace times that have begun.
fn grace_end(begun: &mut u64, grace: Duration) -> GraceEnd {
    *begun += 1;
    (Instant::now() + grace, *begun)
}

/// Returns the hook of a change.
const fn hook(is_present: bool) -> Hook {
    match is_present {
        true => Hook::Present,
        false => Hook::Absent,
    }
}
