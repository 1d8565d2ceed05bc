//! Applies a new version to live connections: drafts, the vote, and the switch.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
    mpsc,
};

use rhai::Dynamic;

use crate::{
    api::{self, Socket},
    connection::{
        Adopted, Adoption, Connection, Draft, Frozen, Made, Namespace, Phase, Serving, Turn, Work,
    },
    diagnostic::Diagnostic,
    host::{dispatch::diagnose, options::OnRebindFailure},
    script::{CallError, Handler, Hook, Version},
};

/// Version that is to serve a namespace.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) namespace: Arc<Namespace>,
    pub(super) version: Arc<Version>,
}

/// Drafts of one live connection, with their results.
#[derive(Debug)]
pub(super) struct Prepared {
    connection: Arc<Connection>,
    version: Arc<Version>,
    base: Made,
    new: Made,
    fails: Fails,
}

/// Failure of `on_connection` on a connection.
#[derive(Debug)]
enum Fails {
    No,
    /// It fails, as it did in the version before.
    Still,
    /// It fails only in the new version.
    Now(Box<Diagnostic>),
}

/// Candidate that serves, with the effects on its connections.
pub(super) struct Switched {
    pub(super) candidate: Candidate,
    pub(super) adopted: Vec<Adopted>,
    /// Number of connections whose `on_connection` fails as before.
    pub(super) failing: usize,
    /// Reasons for which other connections were disconnected.
    pub(super) disconnected: Vec<Diagnostic>,
}

/// Drafts the candidate on every live connection of its namespace.
///
/// # Errors
/// The diagnostic of the first connection whose new draft fails where its old one does not, if that rejects the
/// version.
pub(super) fn draft(
    candidate: &Candidate,
    on_failure: OnRebindFailure,
) -> Result<Vec<Prepared>, Box<Diagnostic>> {
    let mut prepared: Vec<Prepared> = Vec::new();
    for connection in candidate.namespace.connections() {
        if connection.phase() != Phase::Connected {
            continue;
        }
        let drafts = prepare(&connection, &candidate.version);
        match (drafts.fails, on_failure) {
            (Fails::Now(diagnostic), OnRebindFailure::Reject) => {
                drafts.base.registered.release();
                drafts.new.registered.release();
                prepared.iter().for_each(Prepared::release);
                return Err(diagnostic);
            }
            (fails, _) => prepared.push(Prepared { fails, ..drafts }),
        }
    }
    Ok(prepared)
}

fn prepare(connection: &Arc<Connection>, version: &Arc<Version>) -> Prepared {
    let old = connection.version();
    let frozen = api::freeze();
    let (base, base_result) = old
        .as_ref()
        .map_or_else(Default::default, |old| run(connection, old, frozen));
    let (mut new, mut result) = run(connection, version, frozen);
    if timed_out(&result) {
        // The machine may have been busy; a second timeout is the script's fault.
        new.registered.release();
        (new, result) = run(connection, version, frozen);
    }
    let fails = match (base_result, result) {
        (_, None) => Fails::No,
        (Some(_), Some(_)) => Fails::Still,
        (None, Some((handler, error))) => {
            let call = &"`on_connection`, as a draft for a live connection";
            Fails::Now(Box::new(diagnose(connection, &handler, error, call)))
        }
    };
    Prepared {
        connection: connection.clone(),
        version: version.clone(),
        base,
        new,
        fails,
    }
}

type Failure = Option<(Handler, CallError)>;

fn run(connection: &Arc<Connection>, version: &Arc<Version>, frozen: Frozen) -> (Made, Failure) {
    let draft = Arc::new(Draft::new(frozen));
    let Some(hook) = Handler::of_hook(version, Hook::Connection) else {
        return Default::default();
    };
    let socket = Dynamic::from(Socket(connection.clone()));
    let result = Turn::draft(connection.clone(), draft.clone()).run(|| hook.call(vec![socket]));
    let made = draft.made(connection.data());
    (made, result.err().map(|error| (hook, error)))
}

fn timed_out(result: &Failure) -> bool {
    result.as_ref().is_some_and(|(_, error)| error.is_time())
}

/// Connections of a candidate that wait for the flag.
struct Waiting {
    candidate: Candidate,
    connections: Vec<(Arc<Connection>, Fails)>,
    adopted: mpsc::Receiver<Adopted>,
}

/// Makes every candidate serve at once, on live connections too, and waits until these have adopted it.
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
            adopted,
        });
    }
    up.store(true, Ordering::Release);
    load(waiting.iter().map(|waiting| &waiting.candidate.namespace));
    waiting.into_iter().map(Waiting::adopt).collect()
}

impl Waiting {
    fn adopt(self) -> Switched {
        self.candidate.namespace.settle();
        let (mut failing, mut disconnected) = (0, Vec::new());
        for (connection, fails) in self.connections {
            connection.post(Work::Adopt);
            match fails {
                Fails::No => {}
                Fails::Still => failing += 1,
                Fails::Now(diagnostic) => {
                    connection.disconnect(false);
                    disconnected.push(*diagnostic);
                }
            }
        }
        Switched {
            candidate: self.candidate,
            adopted: self.adopted.iter().collect(),
            failing,
            disconnected,
        }
    }
}

/// Calls `on_load` in every namespace and instance, and waits for all of them, because live connections come after it.
fn load<'a>(namespaces: impl Iterator<Item = &'a Arc<Namespace>>) {
    let (done, loaded) = mpsc::channel();
    for namespace in namespaces {
        match namespace.is_dynamic() {
            true => namespace
                .instances()
                .iter()
                .for_each(|instance| instance.load(Some(done.clone()))),
            false => namespace.load(Some(done.clone())),
        }
    }
    drop(done);
    while loaded.recv().is_ok() {}
}

impl Prepared {
    /// Frees what the drafts made, because the version is rejected.
    pub(super) fn release(&self) {
        self.base.registered.release();
        self.new.registered.release();
    }

    fn hand_over(self, report: &mpsc::Sender<Adopted>) -> (Arc<Connection>, Fails) {
        let adoption = Adoption::new(self.version, self.base, self.new, report.clone());
        self.connection.prepare(adoption);
        if matches!(self.fails, Fails::Now(_)) {
            // From here on, the host handles none of its events.
            self.connection.cut();
        }
        (self.connection, self.fails)
    }
}

/// Takes a namespace out of service: disconnects its clients, and lets it reject new ones.
pub(super) fn retire(namespace: &Namespace) {
    namespace.prepare(Serving::Gone, Arc::new(AtomicBool::new(true)));
    namespace.settle();
    namespace.end_own();
    namespace.instances().iter().for_each(|i| i.end_own());
    for connection in namespace.connections() {
        connection.disconnect(false);
    }
}
