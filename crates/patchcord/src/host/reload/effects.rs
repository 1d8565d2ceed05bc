//! Counts the effects of a switch for its report. In: the effect on each connection of a namespace. Out: a [`Reload`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use super::rebind::Switched;
use crate::{
    connection::{Adopted, PresenceEffect},
    diagnostic::Diagnostic,
    event::{Failure, PresentKey, Reload, Room, Silent, StaleCode, Variable},
    script::{self, CarriedState, Outcome, Stale, Version},
};

/// Text for a value that differs between connections.
const VARIOUS: &str = "various";

/// Returns the effects of a switch. `reported` contains the files whose changes are already in the report of the same
/// save. The files of this version are added to it.
pub(super) fn effects(
    switched: Switched,
    before: Option<&Version>,
    reported: &mut BTreeSet<Arc<str>>,
    began: Instant,
) -> Reload {
    let version = &switched.candidate.version;
    let mut reload = Reload {
        milliseconds: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        rebound: switched
            .adopted
            .iter()
            .filter(|one| !one.for_namespace)
            .count(),
        failing: switched.failing.len(),
        disconnected: switched.disconnected.len(),
        failures: failures(switched.failing, switched.disconnected),
        ..Reload::default()
    };
    let mut counts = Counts::default();
    for adopted in switched.adopted {
        reload.added += adopted.changes.added;
        reload.removed += adopted.changes.removed;
        reload.spared += usize::from(adopted.spared);
        reload.untaped += usize::from(adopted.untaped);
        reload.reset += usize::from(adopted.reset);
        counts.add(adopted);
    }
    if let Some(before) = before {
        reload.changed = changed(version, before);
        reload.code = script::changes(before, version);
        if !counts.lost.is_empty() {
            counts.suggest(&script::renamed_variables(before, version));
        }
    }
    let files: BTreeSet<_> = reload
        .code
        .iter()
        .map(|change| change.file.clone())
        .collect();
    reload.reported = files.intersection(reported).cloned().collect();
    reported.extend(files);
    reload.keep_old = counts.closures;
    let stale = counts.stale.into_iter();
    reload.stale = stale
        .map(|(stale, connections)| StaleCode::new(stale, connections))
        .collect();
    let silent = counts.silent.into_iter();
    reload.silent = silent
        .map(|(event, (all, recent))| Silent::new(event, all, recent))
        .collect();
    reload.variables = counts.variables.into_values().collect();
    reload.rooms = counts.rooms.into_values().collect();
    reload.present = counts.present.into_values().collect();
    reload
}

/// Counts of effects over all connections.
#[derive(Default)]
struct Counts {
    stale: BTreeMap<Stale, usize>,
    /// Number of closures that keep an older text.
    closures: usize,
    silent: BTreeMap<String, (usize, usize)>,
    variables: BTreeMap<String, Variable>,
    rooms: BTreeMap<String, Room>,
    present: BTreeMap<String, PresentKey>,
    /// Types of the variables that are captured now; `lost` has those of the lost variables.
    captured: BTreeMap<String, BTreeSet<&'static str>>,
    lost: BTreeMap<String, BTreeSet<&'static str>>,
}

impl Counts {
    fn add(&mut self, adopted: Adopted) {
        for (stale, closures) in adopted.stale {
            self.closures += closures;
            *self.stale.entry(stale).or_default() += 1;
        }
        // A connection with several listeners of an event counts once.
        let mut silent: BTreeMap<String, bool> = BTreeMap::new();
        for silenced in adopted.changes.silenced {
            *silent.entry(silenced.event.to_string()).or_default() |= silenced.is_recent;
        }
        for (event, is_recent) in silent {
            let (all, recent) = self.silent.entry(event).or_default();
            *all += 1;
            *recent += usize::from(is_recent);
        }
        for (room, joined) in adopted.rooms {
            let counts = self.rooms.entry(room).or_insert_with_key(|name| {
                let mut room = Room::default();
                room.name.clone_from(name);
                room
            });
            counts.joined += usize::from(joined);
            counts.left += usize::from(!joined);
        }
        for (key, effect) in adopted.present {
            self.key(key.as_str(), effect);
        }
        self.variables(adopted.carried);
    }

    fn key(&mut self, key: &str, effect: PresenceEffect) {
        let counts = self
            .present
            .entry(key.to_owned())
            .or_insert_with_key(|key| {
                let mut present = PresentKey::default();
                present.key.clone_from(key);
                present
            });
        let count = match effect {
            PresenceEffect::Added => &mut counts.added,
            PresenceEffect::Removed => &mut counts.removed,
            PresenceEffect::Replaced => &mut counts.replaced,
        };
        *count += 1;
    }

    fn variables(&mut self, carried: CarriedState) {
        for ((name, outcome), (from, to)) in carried.outcomes {
            let variable = match self.variables.get_mut(&name) {
                Some(variable) => {
                    agree(&mut variable.from, from.as_ref());
                    // A lost variable has no new value.
                    if outcome != Outcome::Lost {
                        agree(&mut variable.to, to.as_ref());
                    }
                    variable
                }
                None => {
                    let mut variable = Variable::default();
                    variable.name.clone_from(&name);
                    (variable.from, variable.to) = (from, to);
                    self.variables.entry(name).or_insert(variable)
                }
            };
            let count = match outcome {
                Outcome::Followed => &mut variable.followed,
                Outcome::Kept => &mut variable.kept,
                Outcome::Merged => &mut variable.merged,
                Outcome::Reset => &mut variable.reset,
                Outcome::Lost => &mut variable.lost,
            };
            *count += 1;
        }
        for (name, of_type) in carried.captured {
            self.captured.entry(name).or_default().insert(of_type);
        }
        for (name, types) in carried.lost_types {
            self.lost.entry(name).or_default().extend(types);
        }
    }

    /// Finds lost variables that the edit has probably renamed, and records the new name. `names` has, for each removed
    /// variable, the new variables of the same function.
    fn suggest(&mut self, names: &BTreeMap<String, BTreeSet<String>>) {
        for (name, types) in &self.lost {
            let fresh = names.get(name).into_iter().flatten();
            let mut alike = fresh.filter(|fresh| {
                let fresh = self.captured.get(*fresh);
                fresh.is_some_and(|fresh| !fresh.is_disjoint(types))
            });
            if let (Some(only), None) = (alike.next(), alike.next())
                && let Some(variable) = self.variables.get_mut(name)
            {
                variable.renamed = Some(only.clone());
            }
        }
    }
}

/// Adds the value of another connection: if the values differ, the result is [`VARIOUS`].
fn agree(known: &mut Option<String>, value: Option<&String>) {
    if known.as_ref() != value {
        *known = Some(VARIOUS.to_owned());
    }
}

/// Counts failures by their problems.
fn failures(still: Vec<Diagnostic>, now: Vec<Diagnostic>) -> Vec<Failure> {
    let mut failures: Vec<Failure> = Vec::new();
    let still = still.into_iter().map(|diagnostic| (diagnostic, false));
    for (diagnostic, disconnected) in
        still.chain(now.into_iter().map(|diagnostic| (diagnostic, true)))
    {
        let mut known = failures.iter_mut();
        let same = known.find(|known| {
            let one = (
                known.disconnected,
                &known.diagnostic.message,
                &known.diagnostic.place,
            );
            one == (disconnected, &diagnostic.message, &diagnostic.place)
        });
        match same {
            Some(known) => known.connections += 1,
            None => failures.push(Failure::new(diagnostic, disconnected)),
        }
    }
    failures.sort_by(|a, b| {
        let (one, other) = (&a.diagnostic.message, &b.diagnostic.message);
        (a.disconnected, b.connections, one).cmp(&(b.disconnected, a.connections, other))
    });
    failures
}

/// Returns the names of the files that differ between two versions, sorted.
fn changed(version: &Version, before: &Version) -> Vec<Arc<str>> {
    let only = |one: &Version, other: &Version| -> Vec<_> {
        let files = one.files().iter();
        let files = files.filter(|file| !other.files().contains(file));
        files.map(|file| file.name.clone()).collect()
    };
    let names = only(version, before).into_iter();
    let names: BTreeSet<_> = names.chain(only(before, version)).collect();
    names.into_iter().collect()
}
