//! Adoption of an edit by a live connection, from the drafts to the connection's next call.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, mpsc},
};

use rhai::{Dynamic, Identifier, ImmutableString};

use super::{
    acks::Acks,
    listeners::Merging,
    registrations::{Adopted, Registered},
    tape::Tape,
};
use crate::script::{
    Handler, Handles, Stale, Swap, Use, Version, captured, is_same_value, release, release_lost,
    stale, stale_in_value,
};

/// Keys of the presence that `on_connection` adds to its socket, each with its meta, and removes (`None`).
pub type Presented = BTreeMap<ImmutableString, Option<Dynamic>>;

/// Result of `on_connection` for a connection.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct DraftResult {
    /// Listeners and timers.
    pub registered: Registered,
    /// Keys of `socket.data` that `on_connection` wrote, or removed (`None`).
    pub data: BTreeMap<Identifier, Option<Dynamic>>,
    /// Rooms that `on_connection` joined (`true`) or left.
    pub rooms: BTreeMap<String, bool>,
    /// Keys of the presence that `on_connection` added, each with its meta, or removed (`None`).
    pub present: Presented,
    /// Tape of the outside reads of `on_connection`.
    pub tape: Option<Box<Tape>>,
    /// `true` if `on_connection` called functions that return what they change, such as `incr`, and that must therefore
    /// be called for real.
    pub draws: bool,
    /// `true` if `on_connection` disconnected its own socket.
    pub disconnects: bool,
    /// Closures that would wait for acks.
    pub asking: Vec<Handler>,
}

impl DraftResult {
    /// Returns all closures, each with its use.
    fn used(&self) -> impl Iterator<Item = (Use<'_>, &Handler)> {
        let asking = self.asking.iter().map(|handler| (Use::Answer, handler));
        self.registered.used().chain(asking)
    }
}

/// Results of the old and of the new `on_connection` for a connection, as drafts.
#[derive(Debug)]
#[non_exhaustive]
pub struct Drafts {
    /// Version of the old code.
    pub from: Arc<Version>,
    /// Result of the old code.
    pub base: DraftResult,
    /// Result of the new code.
    pub new: DraftResult,
}

impl Drafts {
    /// Creates a pair of drafts.
    pub const fn new(from: Arc<Version>, base: DraftResult, new: DraftResult) -> Self {
        Self { from, base, new }
    }

    /// Frees the results of the drafts, if they are not adopted.
    pub fn release(&self) {
        for made in [&self.base, &self.new] {
            made.registered.release();
            release(made.asking.iter());
        }
    }
}

/// Adopts a version: replaces the code of every closure, and merges the registrations in which `on_connection` differs
/// between the two versions. Also returns those results of the drafts that are not registrations.
pub(super) fn adopt(
    (registered, acks): (&mut Registered, &mut Acks),
    (old, new): (&Arc<Version>, &Arc<Version>),
    handles: &Handles,
    drafts: Option<Drafts>,
) -> (Adopted, Option<(DraftResult, DraftResult)>) {
    // Code that would disconnect its client is not applied to a client that stays connected.
    let (drafts, spared) = match drafts {
        Some(drafts) if drafts.new.disconnects && !drafts.base.disconnects => {
            drafts.release();
            (None, true)
        }
        drafts => (drafts, false),
    };
    let handlers = || registered.handlers().chain(acks.handlers());
    let had = variables(handlers(), &new.dropped_since(old));
    let initial = drafts.as_ref();
    let initial = initial.map(|drafts| captured(drafts.base.registered.handlers()));
    let initial = initial.unwrap_or_default();
    let mut swap = Swap::begin((old, new), handles.clone(), handlers());
    if let Some(drafts) = &drafts {
        swap.lend_from(drafts.new.used());
    }
    let (changes, mut gone) = registered.swap(&mut swap);
    let mut adopted = Adopted {
        changes,
        spared,
        ..Adopted::default()
    };
    acks.swap(&mut swap);
    let mut before = swap.take_shed();
    (adopted.stale, adopted.swapped) = swap.end();
    before.extend(gone.iter().cloned());
    let rest = drafts.map(|drafts| {
        let Drafts {
            mut base,
            new: mut made,
            from,
        } = drafts;
        let handlers = base.registered.handlers();
        let mut swap = Swap::begin((&from, new), handles.clone(), handlers);
        swap.lend_copies_from(made.used());
        base.registered.swap(&mut swap);
        let new = std::mem::take(&mut made.registered);
        let merged = registered.merge(&base.registered, new, &before, Merging::Edit);
        adopted.carried = merged.carried;
        adopted.changes.add(merged.changes);
        gone.extend(merged.gone);
        gone.append(&mut base.asking);
        gone.append(&mut made.asking);
        adopted.untaped = made.tape.as_ref().is_some_and(|tape| tape.is_dropped());
        (base, made)
    });
    let handlers = || registered.handlers().chain(acks.handlers());
    if rest.is_some() && !adopted.stale.is_empty() {
        // The merge has given some handlers new closures.
        adopted.stale = stale_now(handlers, new, handles.resolve);
    }
    let lost = lost(had, &initial);
    if !lost.is_empty() {
        adopted.carried.note_lost(lost, captured(handlers()));
    }
    release_lost(gone.iter(), handlers());
    let silenced = &mut adopted.changes.silenced;
    silenced.retain(|silenced| !registered.listeners.has(&silenced.event));
    (adopted, rest)
}

/// Returns the closures that keep an older text, in handlers and in their variables, each with its count.
fn stale_now<'a, H: Iterator<Item = &'a Handler>>(
    handlers: impl Fn() -> H,
    version: &Arc<Version>,
    resolve: fn(&str) -> Option<Dynamic>,
) -> BTreeMap<Stale, usize> {
    let has = |name: &str| resolve(name).is_some();
    let own = handlers().filter_map(|handler| stale(handler, &has));
    let variables = captured(handlers()).into_iter();
    let inner = variables.flat_map(|(_, value)| stale_in_value(&value, version, &has));
    let mut counts = BTreeMap::new();
    for one in own.chain(inner) {
        *counts.entry(one).or_default() += 1;
    }
    counts
}

/// Returns the captured variables with these names.
fn variables<'a>(
    handlers: impl Iterator<Item = &'a Handler>,
    names: &BTreeSet<ImmutableString>,
) -> Vec<Named> {
    if names.is_empty() {
        return Vec::new();
    }
    let mut variables = captured(handlers);
    variables.retain(|(name, _)| names.contains(name));
    variables
}

/// Returns the variables whose values differ from their initial values, or whose initial values are not known, with
/// both values.
fn lost(had: Vec<Named>, initial: &[Named]) -> Vec<(ImmutableString, Option<&Dynamic>, Dynamic)> {
    let lost = had.into_iter().filter_map(|(name, value)| {
        let initial = initial.iter().find(|(initial, _)| *initial == name);
        let initial = initial.map(|(_, initial)| initial);
        let is_own = initial.is_none_or(|initial| !is_same_value(initial, &value));
        is_own.then_some((name, initial, value))
    });
    lost.collect()
}

type Named = (ImmutableString, Dynamic);

/// Version that a connection adopts at the start of its first call of this version.
#[derive(Debug)]
#[non_exhaustive]
pub struct Adoption {
    /// New version.
    pub version: Arc<Version>,
    /// Drafts, if `on_connection` itself has changed.
    pub drafts: Option<Drafts>,
    /// Channel to the reload that waits for the outcome.
    pub report: mpsc::Sender<Adopted>,
}

impl Adoption {
    /// Creates the adoption of a version.
    pub const fn new(
        version: Arc<Version>,
        drafts: Option<Drafts>,
        report: mpsc::Sender<Adopted>,
    ) -> Self {
        Self {
            version,
            drafts,
            report,
        }
    }

    /// Frees the results of the drafts, if they are not adopted.
    pub fn release(&self) {
        self.drafts.iter().for_each(Drafts::release);
    }
}
