//! Applies a new version to live connections: drafts, the vote, and the switch.

mod rehearsal;

pub(super) use rehearsal::rehearse;

use std::{
    collections::HashSet,
    num::NonZero,
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Instant,
};

use tokio::runtime::Handle;

use crate::{
    connection::{Adopted, Adoption, Connection, Drafts, Namespace, Phase, Serving, Work},
    diagnostic::Diagnostic,
    host::{
        dispatch::drafts::{self, Drafted, Fails},
        options::OnRebindFailure,
    },
    script::Version,
};

/// Version that is to serve a namespace, with the namespace.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) namespace: Arc<Namespace>,
    pub(super) version: Arc<Version>,
}

/// Live connection that is prepared to adopt a candidate.
#[derive(Debug)]
pub(super) struct Prepared {
    connection: Arc<Connection>,
    version: Arc<Version>,
    /// Drafts of both versions; `None` if the edit does not change what `on_connection` itself does.
    drafts: Option<Drafts>,
    fails: Fails,
}

/// Candidate that serves, with the effects on its connections.
pub(super) struct Switched {
    pub(super) candidate: Candidate,
    pub(super) adopted: Vec<Adopted>,
    /// Problems of connections on which `on_connection` fails, as it did before; one for each connection.
    pub(super) failing: Vec<Diagnostic>,
    /// Problems because of which other connections were disconnected; one for each connection.
    pub(super) disconnected: Vec<Diagnostic>,
}

/// Minimum number of connections that one thread drafts.
const MIN_DRAFTS_PER_THREAD: usize = 32;

/// Prepares all live connections of a candidate's namespace. Runs drafts if `on_connection` itself has changed.
///
/// # Errors
/// Returns diagnostics if the new draft fails on connections where the old one does not, and `on_failure` therefore
/// rejects the version.
pub(super) fn draft(
    candidate: &Candidate,
    on_failure: OnRebindFailure,
) -> Result<Vec<Prepared>, Vec<Diagnostic>> {
    draft_on(&connected(candidate), &candidate.version, on_failure)
}

/// Does the same as [`draft`] for these connections.
pub(super) fn draft_on(
    connections: &[Arc<Connection>],
    version: &Arc<Version>,
    on_failure: OnRebindFailure,
) -> Result<Vec<Prepared>, Vec<Diagnostic>> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let size = connections
        .len()
        .div_ceil(threads)
        .max(MIN_DRAFTS_PER_THREAD);
    let prepare_all = |connections: &[Arc<Connection>]| -> Vec<_> {
        let connections = connections.iter().cloned();
        connections
            .map(|connection| prepare(connection, version))
            .collect()
    };
    let runtime = Handle::current();
    let prepared = thread::scope(|scope| {
        let (first, rest) = connections.split_at(size.min(connections.len()));
        let others: Vec<_> = rest
            .chunks(size)
            .map(|connections| {
                scope.spawn(|| {
                    let _runtime = runtime.enter();
                    prepare_all(connections)
                })
            })
            .collect();
        let mut prepared = prepare_all(first);
        for other in others {
            match other.join() {
                Ok(others) => prepared.extend(others),
                Err(panic) => resume_unwind(panic),
            }
        }
        prepared
    });
    accept(prepared, on_failure)
}

/// Prepares the connections that are not among the `known` ones, but not beyond the time `until`.
///
/// # Errors
/// Returns the same diagnostics as [`draft`].
pub(super) fn draft_newcomers(
    candidate: &Candidate,
    known: &[Prepared],
    on_failure: OnRebindFailure,
    until: Instant,
) -> Result<Vec<Prepared>, Vec<Diagnostic>> {
    let known: HashSet<_> = known
        .iter()
        .map(|prepared| Arc::as_ptr(&prepared.connection))
        .collect();
    let connections = connected(candidate).into_iter();
    let newcomers = connections.filter(|connection| !known.contains(&Arc::as_ptr(connection)));
    let prepared = newcomers
        .take_while(|_| Instant::now() < until)
        .map(|connection| prepare(connection, &candidate.version));
    accept(prepared.collect(), on_failure)
}

/// Returns the connections that are to adopt a candidate, without those that have a staged version, because they keep
/// it.
fn connected(candidate: &Candidate) -> Vec<Arc<Connection>> {
    let mut connections = candidate.namespace.connections();
    connections.retain(|one| one.phase() == Phase::Connected && !one.is_staged());
    connections
}

/// Returns the prepared connections, or diagnostics if drafts fail and `on_failure` therefore rejects the version.
fn accept(
    prepared: Vec<Prepared>,
    on_failure: OnRebindFailure,
) -> Result<Vec<Prepared>, Vec<Diagnostic>> {
    if on_failure == OnRebindFailure::Reject {
        let failing = failing(&prepared);
        if !failing.is_empty() {
            prepared.iter().for_each(Prepared::release);
            return Err(failing);
        }
    }
    Ok(prepared)
}

fn prepare(connection: Arc<Connection>, version: &Arc<Version>) -> Prepared {
    let old = connection.version();
    let old = old.filter(|old| drafts::are_needed(old, version));
    let drafted = old.map(|old| drafts::pair(&connection, (&old, version)));
    let (drafts, fails) = match drafted {
        Some(Drafted { drafts, fails }) => (Some(drafts), fails),
        None => (None, Fails::No),
    };
    Prepared {
        connection,
        version: version.clone(),
        drafts,
        fails,
    }
}

/// Returns a diagnostic for each distinct problem of the drafts that fail now and did not fail before, with the number
/// of connections.
fn failing(prepared: &[Prepared]) -> Vec<Diagnostic> {
    let mut reasons: Vec<(&Diagnostic, usize)> = Vec::new();
    for prepared in prepared {
        let Fails::Now(diagnostic) = &prepared.fails else {
            continue;
        };
        let is_same = |(known, _): &&mut (&Diagnostic, usize)| {
            known.message == diagnostic.message && known.place == diagnostic.place
        };
        match reasons.iter_mut().find(is_same) {
            Some((_, count)) => *count += 1,
            None => reasons.push((diagnostic, 1)),
        }
    }
    reasons.sort_by_key(|(diagnostic, _)| {
        let place = diagnostic.place.as_ref();
        place.map(|place| (place.file.clone(), place.line, place.column))
    });
    let all = prepared.len();
    let reasons = reasons.into_iter();
    reasons
        .map(|(diagnostic, count)| {
            let count = format!("it fails on {count} of {all} connections");
            diagnostic.clone().hint(count)
        })
        .collect()
}

/// Candidate whose connections wait for the switch.
struct Waiting {
    candidate: Candidate,
    connections: Vec<(Arc<Connection>, Fails)>,
    /// Effects on what `on_load` has registered.
    units: Vec<Adopted>,
    adopted: mpsc::Receiver<Adopted>,
}

/// Makes all candidates serve at the same moment, on live connections too, and waits until the connections have adopted
/// them.
pub(super) fn switch(batch: Vec<(Candidate, Vec<Prepared>)>) -> Vec<Switched> {
    let up = Arc::new(AtomicBool::new(false));
    let mut waiting = Vec::new();
    for (candidate, prepared) in batch {
        let (report, adopted) = mpsc::channel();
        let connections = prepared.into_iter().map(|p| p.hand_over(&report)).collect();
        candidate
            .namespace
            .prepare(Serving::Version(candidate.version.clone()), up.clone());
        waiting.push(Waiting {
            candidate,
            connections,
            units: Vec::new(),
            adopted,
        });
    }
    up.store(true, Ordering::Release);
    load(&mut waiting);
    waiting.into_iter().map(Waiting::adopt).collect()
}

/// Calls `flip`, which makes the versions serve these connections, and lets the connections adopt the versions. Waits
/// until they have.
pub(super) fn adopt(batch: Vec<(Candidate, Vec<Prepared>)>, flip: impl FnOnce()) -> Vec<Switched> {
    let waiting = batch.into_iter().map(|(candidate, prepared)| {
        let (report, adopted) = mpsc::channel();
        let connections = prepared.into_iter().map(|p| p.hand_over(&report)).collect();
        Waiting {
            candidate,
            connections,
            units: Vec::new(),
            adopted,
        }
    });
    let waiting: Vec<_> = waiting.collect();
    flip();
    waiting.into_iter().map(Waiting::adopt).collect()
}

impl Waiting {
    fn adopt(self) -> Switched {
        self.candidate.namespace.settle();
        let (mut failing, mut disconnected) = (Vec::new(), Vec::new());
        for (connection, fails) in self.connections {
            connection.post(Work::Adopt);
            match fails {
                Fails::No => {}
                Fails::Still(diagnostic) => failing.push(*diagnostic),
                Fails::Now(diagnostic) => {
                    connection.disconnect(false);
                    disconnected.push(*diagnostic);
                }
            }
        }
        Switched {
            candidate: self.candidate,
            adopted: self.units.into_iter().chain(self.adopted).collect(),
            failing,
            disconnected,
        }
    }
}

/// Calls `on_load` in all namespaces and instances, and waits for all of them, because live connections adopt a version
/// only after `on_load`.
fn load(waiting: &mut [Waiting]) {
    // `on_load` of one namespace may use the data of another one.
    let namespaces = waiting.iter().map(|one| &one.candidate.namespace);
    namespaces
        .filter(|namespace| !namespace.is_dynamic())
        .for_each(|namespace| namespace.restore());
    let begin = |waiting: &Waiting| {
        let (done, loaded) = mpsc::channel();
        let namespace = &waiting.candidate.namespace;
        match namespace.is_dynamic() {
            true => namespace
                .instances()
                .iter()
                .for_each(|instance| instance.load(Some(done.clone()))),
            false => namespace.load(Some(done)),
        }
        loaded
    };
    let begun: Vec<_> = waiting.iter().map(begin).collect();
    for (waiting, loaded) in waiting.iter_mut().zip(begun) {
        waiting.units = loaded.iter().collect();
    }
}

impl Prepared {
    /// Frees what the drafts have registered, because the version is rejected.
    pub(super) fn release(&self) {
        self.drafts.iter().for_each(Drafts::release);
    }

    fn hand_over(self, report: &mpsc::Sender<Adopted>) -> (Arc<Connection>, Fails) {
        let adoption = Adoption::new(self.version, self.drafts, report.clone());
        self.connection.prepare(adoption);
        if matches!(self.fails, Fails::Now(_)) {
            // From here on, the host handles no events of this client.
            self.connection.cut();
        }
        (self.connection, self.fails)
    }
}

/// Retires a namespace: it disconnects its clients, and rejects new ones.
pub(super) fn retire(namespace: &Namespace) {
    namespace.prepare(Serving::Gone, Arc::new(AtomicBool::new(true)));
    namespace.settle();
    namespace.close_context();
    namespace.instances().iter().for_each(|i| i.close_context());
    for connection in namespace.connections() {
        connection.disconnect(false);
    }
}
