//! Pairs of registrations: matches the listeners and timers of a draft with those of another draft and those of a live
//! connection.
//!
//! A registration is identified by its group, which is its code with its event, and by its number in the group. If the
//! text has changed, numbers alone are not reliable, so registrations with the same variables and delays are paired
//! first.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
};

use super::Period;
use crate::script::{Handler, is_same_value};

/// Registration of a draft.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) group: String,
    pub(super) handler: &'a Handler,
    /// Period of a timer.
    pub(super) period: Option<&'a Period>,
}

impl Entry<'_> {
    fn is_like(&self, other: &Self) -> bool {
        let theirs = other.handler.captured();
        let is_same = |(name, value): &(_, _)| {
            let other = theirs.iter().find(|(other, _)| other == name);
            other.is_some_and(|(_, other)| is_same_value(value, other))
        };
        self.period == other.period && self.handler.captured().iter().all(is_same)
    }
}

/// Returns the key of each registration: its group, and its number in the group. Those of `on_connection` (`true`) are
/// numbered first.
pub(super) fn numbered(entries: impl Iterator<Item = (String, bool)>) -> Vec<String> {
    let entries: Vec<_> = entries.collect();
    let mut seen = HashMap::new();
    let mut keys = vec![String::new(); entries.len()];
    for is_first in [true, false] {
        for ((group, of_connection), key) in entries.iter().zip(&mut keys) {
            if *of_connection == is_first {
                let nth: &mut usize = seen.entry(group).or_default();
                *nth += 1;
                *key = format!("{group} {nth}");
            }
        }
    }
    keys
}

/// Returns the keys of the registrations of a new draft: each gets the key of its counterpart in *base*, or a unique
/// key.
pub(super) fn paired<'a>(
    base: impl Iterator<Item = Entry<'a>>,
    new: impl Iterator<Item = Entry<'a>>,
) -> Vec<String> {
    let (base, new): (Vec<_>, Vec<_>) = (base.collect(), new.collect());
    let mut groups: HashMap<&str, Vec<usize>> = HashMap::new();
    for (nth, entry) in new.iter().enumerate() {
        groups.entry(&entry.group).or_default().push(nth);
    }
    let mut keys = vec![String::new(); new.len()];
    for (group, members) in groups {
        let base: Vec<_> = base.iter().filter(|entry| entry.group == group).collect();
        let pairs = pairs(
            &base,
            &members
                .iter()
                .filter_map(|nth| new.get(*nth))
                .collect::<Vec<_>>(),
        );
        for (place, (nth, pair)) in members.into_iter().zip(pairs).enumerate() {
            if let Some(key) = keys.get_mut(nth) {
                *key = match pair {
                    Some(pair) => format!("{group} {}", pair + 1),
                    None if base.is_empty() => format!("{group} {}", place + 1),
                    None => format!("{group} new {}", place + 1),
                };
            }
        }
    }
    keys
}

/// Pairs the registrations of a group: first those with the same variables and delay, then those that are between the
/// same pairs.
fn pairs(base: &[&Entry<'_>], new: &[&Entry<'_>]) -> Vec<Option<usize>> {
    if base.len() == 1 && new.len() == 1 {
        return vec![Some(0)];
    }
    let mut free: Vec<_> = (0..base.len()).collect();
    let mut pairs: Vec<Option<usize>> = new
        .iter()
        .map(|entry| {
            let alike = |nth: &usize| base.get(*nth).is_some_and(|base| base.is_like(entry));
            let place = free.iter().position(alike)?;
            Some(free.remove(place))
        })
        .collect();
    for nth in 0..pairs.len() {
        if pairs.get(nth).is_some_and(Option::is_none) {
            let (before, after) = pairs.split_at(nth);
            let from = before
                .iter()
                .rev()
                .find_map(|pair| *pair)
                .map_or(0, |at| at + 1);
            let to = after.iter().find_map(|pair| *pair).unwrap_or(base.len());
            let between = free.iter().position(|at| (from..to).contains(at));
            let pair = between.map(|place| free.remove(place));
            if let Some(place) = pairs.get_mut(nth) {
                *place = pair;
            }
        }
    }
    pairs
}

/// Registrations that had already fired or been removed when an edit removed their code, and the state of the client's
/// rooms and keys. If the edit is undone, these states are restored, so nothing that is over starts again.
#[derive(Debug, Clone, Default)]
pub(super) struct Past(Option<Box<Identities>>);

#[derive(Debug, Clone, Default)]
struct Identities(VecDeque<u64>);

/// Maximum number of identities that are remembered.
const MAX_PAST: usize = 256;

impl Past {
    /// Remembers an identity, if what it identifies is over.
    pub(super) fn remember(&mut self, is_over: bool, identity: impl FnOnce() -> u64) {
        if is_over {
            let Identities(past) = &mut **self.0.get_or_insert_default();
            past.push_back(identity());
            if past.len() > MAX_PAST {
                past.pop_front();
            }
        }
    }

    /// Forgets an identity. Returns `true` if it was remembered: what it identifies then comes back in the remembered
    /// state.
    pub(super) fn forget(&mut self, identity: impl FnOnce() -> u64) -> bool {
        let Some(Identities(past)) = self.0.as_deref_mut() else {
            return false;
        };
        let identity = identity();
        let found = past.iter().position(|past| *past == identity);
        found.and_then(|nth| past.remove(nth)).is_some()
    }
}

/// Returns the hash under which something is remembered.
pub(super) fn identity(of: impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(of)
}
