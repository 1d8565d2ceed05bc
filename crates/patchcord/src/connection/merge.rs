//! Three-way merge of the other effects of `on_connection`, besides listeners and timers: keys of `socket.data`, rooms,
//! and presence.
//!
//! *Base* is what the old code produces, and *new* is what the new code produces. Changes that the connection has made
//! since then are kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rhai::{Dynamic, Identifier, ImmutableString, Map};

use super::{
    Data, Presented,
    pairs::{Past, identity},
    registrations::PresenceEffect,
};
use crate::script::{CarriedState, Merged, merge};

type Written = BTreeMap<Identifier, Option<Dynamic>>;

/// Writes to `live` the keys that the new code writes, unless the connection has changed them. A key that the new code
/// no longer writes gets the value that it had after `on_handshake`. `past` remembers keys that already existed when
/// the code started to write them, and keys that did not exist when the code stopped writing them, so that an edit
/// followed by its undo does not change these keys.
pub(super) fn merge_data(
    (live, at_handshake): (&Arc<Data>, &Map),
    (base, new): (&Written, Written),
    past: &mut Past,
    carried: &mut CarriedState,
) {
    let written: BTreeSet<_> = new.keys().cloned().collect();
    let dropped = base.keys().filter(|key| !new.contains_key(*key));
    let dropped = dropped.map(|key| (key.clone(), at_handshake.get(key).cloned()));
    let dropped: Vec<_> = dropped.collect();
    for (key, new) in new.into_iter().chain(dropped) {
        let (did, does) = (base.contains_key(&key), written.contains(&key));
        let base = match base.get(&key) {
            Some(written) => written.as_ref(),
            None => at_handshake.get(&key),
        };
        let (value, stamp) = live.get(&key);
        let has = value.is_some();
        let merged = merge(base, new.as_ref(), value.as_ref());
        let mut noted = CarriedState::default();
        let value = noted.note(&format!("socket.data.{key}"), (base, new.as_ref()), merged);
        if value.is_some() && did != does && past.forget(|| identity(("key", &*key, !does))) {
            continue;
        }
        past.remember(value.is_none() && did != does && has == does, || {
            identity(("key", &*key, does))
        });
        // If a call of another connection has just changed the key, that change is kept.
        let change = |value: Option<Dynamic>| live.change_if(&key, stamp, value.map(Arc::new));
        if value.is_none_or(|value| change(value).is_ok()) {
            carried.outcomes.append(&mut noted.outcomes);
        }
    }
}

/// Returns the rooms to join (`true`) and to leave, for a connection that is in the rooms `live`. Where the new code
/// differs from the old code, what the new code does is done, and what only the old code did is undone.
pub(super) fn merge_rooms(
    live: impl FnOnce() -> Vec<String>,
    base: &BTreeMap<String, bool>,
    new: &BTreeMap<String, bool>,
) -> Vec<(String, bool)> {
    let mut changes = Vec::new();
    for room in base.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        match (base.get(room), new.get(room)) {
            (old, new) if old == new => {}
            (_, Some(joins)) => changes.push((room.clone(), *joins)),
            // The old code joined or left the room, and the new code does neither: this is undone.
            (old, None) => changes.push((room.clone(), old == Some(&false))),
        }
    }
    if !changes.is_empty() {
        let live: BTreeSet<_> = live().into_iter().collect();
        changes.retain(|(room, joins)| live.contains(room) != *joins);
    }
    changes
}

/// Returns the keys to add, each with its meta, and to remove (`None`), for a socket that holds the keys `live`. Where
/// the new code differs from the old code, a key that only the new code adds is added, one that only the old code added
/// is removed, and the meta of one that both add is merged. `past` has the same purpose as for `socket.data`.
pub(super) fn merge_presence(
    live: &BTreeMap<ImmutableString, Dynamic>,
    (base, new): (&Presented, &Presented),
    past: &mut Past,
) -> Vec<(ImmutableString, Option<Dynamic>, PresenceEffect)> {
    let mut changes = Vec::new();
    let metas = |presented: &Presented, key: &str| presented.get(key).cloned().flatten();
    for key in base.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let (before, after, has) = (metas(base, key), metas(new, key), live.get(key));
        let (did, does) = (before.is_some(), after.is_some());
        if did && does {
            let merged = merge(before.as_ref(), after.as_ref(), has);
            if let (Some(meta), true) = (new_value(merged), has.is_some()) {
                changes.push((key.clone(), Some(meta), PresenceEffect::Replaced));
            }
        } else if did != does && has.is_some() == does {
            past.remember(true, || identity(("present", &**key, does)));
        } else if did != does {
            if past.forget(|| identity(("present", &**key, !does))) {
                continue;
            }
            let effect = match does {
                true => PresenceEffect::Added,
                false => PresenceEffect::Removed,
            };
            changes.push((key.clone(), after, effect));
        } else if !base.contains_key(key) && has.is_some() {
            // The new code removes a key that other code has added.
            changes.push((key.clone(), None, PresenceEffect::Removed));
        }
    }
    changes
}

/// Returns the value that a merge sets; `None` if the connection keeps its own.
fn new_value(merged: Merged) -> Option<Dynamic> {
    match merged {
        Merged::Same | Merged::Kept => None,
        Merged::Followed(value) | Merged::Reset(value) => value,
        Merged::Both(value) => Some(value),
    }
}
