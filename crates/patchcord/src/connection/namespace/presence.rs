//! Presence of the sockets of a namespace: its hooks, and its grace times.
//!
//! The hooks run in the unit of the namespace, one work item each. A namespace whose scripts do not use presence has
//! nothing of it.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use rhai::{Dynamic, ImmutableString, Map};
use tokio::time::sleep_until;

use super::Namespace;
use crate::{
    connection::{
        Connection, NotPresent, Phase, PresenceChange, PresenceLimits, Work, presence::FollowUp,
    },
    script::Hook,
};

/// Minimum time for which a key of an earlier process stays present.
const MIN_RETURN: Duration = Duration::from_secs(1);

impl Namespace {
    /// Makes a socket hold a key, or replaces its meta. Has no effect if the socket is not in the namespace, or is
    /// about to be disconnected.
    ///
    /// # Errors
    /// Fails if a limit would be exceeded. Nothing has changed then.
    pub fn present(
        self: &Arc<Self>,
        socket: &Connection,
        key: ImmutableString,
        meta: Dynamic,
        limits: PresenceLimits,
    ) -> Result<(), NotPresent> {
        let presence = self.presence.get_or_init(Box::default);
        let is_there = || {
            let is_in = (Phase::Accepted..=Phase::Connected).contains(&socket.phase());
            is_in && !socket.is_cut()
        };
        let taken = (key, meta);
        let follow_up =
            presence.present(socket.entered(), taken, limits, is_there, self.hears())?;
        self.follow(follow_up);
        Ok(())
    }

    /// Makes a key present for its grace time, for a socket of an earlier process. The script knows of it.
    pub fn expect_present(self: &Arc<Self>, key: &ImmutableString, meta: &Dynamic) {
        let presence = self.presence.get_or_init(Box::default);
        let grace = self.driver.presence_grace().max(MIN_RETURN);
        self.follow(presence.expect((key, meta), grace));
    }

    /// Removes a key of a socket. If no other socket holds it, it is absent at once, without a grace time.
    pub fn absent(self: &Arc<Self>, socket: &Connection, key: &str) {
        if let Some(presence) = self.presence.get() {
            self.follow(presence.absent(socket.entered(), key, self.hears()));
        }
    }

    /// Removes all keys of a socket that has disconnected, or that starts over. A key that no other socket holds
    /// stays present for the grace time.
    pub(in crate::connection) fn end_presence_of(self: &Arc<Self>, socket: &Connection) {
        if let Some(presence) = self.presence.get() {
            // Nobody hears of it once no script serves the namespace.
            let grace = match self.version() {
                Some(_) => self.driver.presence_grace(),
                None => Duration::ZERO,
            };
            self.follow(presence.leave(socket.entered(), grace, self.hears()));
        }
    }

    /// Ends the presence for good, because the host closes, or another namespace takes the path: no hook is called any
    /// more, and all grace times end.
    pub fn end_presence(&self) {
        self.presence.get_or_init(Box::default).reset(true);
    }

    /// Returns the next change of which the script learns, in the turn of the unit of the namespace. If there is one,
    /// [`Work::Presence`] must be posted again.
    pub fn next_presence_change(&self) -> Option<PresenceChange> {
        let change = self.presence.get()?.next_change();
        if change.is_none() {
            self.check_unused();
        }
        change
    }

    /// Returns the keys that are present, sorted.
    pub fn present_keys(&self) -> Vec<ImmutableString> {
        let presence = self.presence.get();
        presence.map(|presence| presence.keys()).unwrap_or_default()
    }

    /// Returns the keys that are present, each with the meta of one socket.
    pub fn present_metas(&self) -> Map {
        let meta = |key: &ImmutableString| {
            let metas = self.metas(key, |_| Ok::<_, Infallible>(())).ok()?;
            metas.into_iter().next()
        };
        let keys = self.present_keys().into_iter();
        keys.filter_map(|key| Some((key.as_str().into(), meta(&key)?)))
            .collect()
    }

    /// Returns the number of keys that are present in the namespace and in its instances.
    pub fn present_count(&self) -> usize {
        let instances = self.instances();
        let all = instances.iter().map(|one| &**one).chain([self]);
        all.filter_map(|one| one.presence.get())
            .map(|presence| presence.len())
            .sum()
    }

    /// Returns `true` if a key is present.
    pub fn is_present(&self, key: &str) -> bool {
        let presence = self.presence.get();
        presence.is_some_and(|presence| presence.is_present(key))
    }

    /// Returns the metas of the sockets that hold a key. `admit` receives their total size in bytes first.
    ///
    /// # Errors
    /// Fails if `admit` fails.
    pub fn metas<E>(
        &self,
        key: &str,
        admit: impl FnOnce(usize) -> Result<(), E>,
    ) -> Result<Vec<Dynamic>, E> {
        match self.presence.get() {
            Some(presence) => presence.metas(key, admit),
            None => Ok(Vec::new()),
        }
    }

    /// Returns the keys that a socket holds, with its metas.
    pub fn held_by(&self, socket: &Connection) -> BTreeMap<ImmutableString, Dynamic> {
        let presence = self.presence.get();
        let held = presence.map(|presence| presence.held_by(socket.entered()));
        held.unwrap_or_default()
    }

    /// Returns `true` if no key is present, and no hook is due.
    pub(super) fn is_without_presence(&self) -> bool {
        let presence = self.presence.get();
        presence.is_none_or(|presence| presence.is_empty())
    }

    /// Returns whether the script that serves has a hook.
    fn hears(&self) -> impl Fn(Hook) -> bool {
        let version = self.version();
        move |hook| version.as_ref().is_some_and(|version| version.has(hook))
    }

    /// Does what a change of the presence leads to.
    fn follow(self: &Arc<Self>, follow_up: FollowUp) {
        if follow_up.posts {
            self.context_or_init().post_elsewhere(Work::Presence);
            // If the presence has ended meanwhile, this may have created the unit again, which refers to the namespace.
            if self
                .presence
                .get()
                .is_some_and(|presence| presence.is_ended())
            {
                self.close_context();
            }
        }
        if follow_up.starts_timer {
            self.start_grace_timer();
        }
    }

    /// Starts the task that ends the grace times, one after the other, until there is none.
    fn start_grace_timer(self: &Arc<Self>) {
        let namespace = Arc::downgrade(self);
        let next = move || {
            let namespace = namespace.upgrade()?;
            let end = namespace.presence.get()?.next_grace_end()?;
            Some((end, Arc::downgrade(&namespace)))
        };
        let task = tokio::spawn(async move {
            while let Some((end, namespace)) = next() {
                sleep_until(end).await;
                if let Some(namespace) = namespace.upgrade() {
                    namespace.end_graces();
                }
            }
        });
        if let Some(presence) = self.presence.get() {
            presence.set_timer(task.abort_handle());
        }
    }

    fn end_graces(self: &Arc<Self>) {
        if let Some(presence) = self.presence.get() {
            self.follow(presence.end_graces(self.hears()));
            self.check_unused();
        }
    }

    /// Reports an instance that only its presence has kept, once it is over.
    fn check_unused(&self) {
        if !self.params.is_empty() && self.is_empty() && self.is_without_presence() {
            self.driver.unused(&self.path);
        }
    }
}
