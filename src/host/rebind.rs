//! A new version on live connections: drafts, the vote, and the switch.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
    mpsc,
};

use rhai::Dynamic;

use super::{Inner, dispatch::diagnose};
use crate::{
    api::{self, Socket},
    connection::{
        Adopted, Adoption, Connection, Draft, Frozen, Namespace, Phase, Registered, Serving, Turn,
        Work,
    },
    diagnostic::Diagnostic,
    script::{CallError, Handler, Hook, Version},
};

/// A version that is to serve a namespace.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) namespace: Arc<Namespace>,
    pub(super) version: Arc<Version>,
}

/// What the drafts of one live connection made.
#[derive(Debug)]
pub(super) struct Prepared {
    connection: Arc<Connection>,
    version: Arc<Version>,
    base: Registered,
    new: Registered,
}

/// Drafts the candidate on every live connection of its namespace.
///
/// # Errors
/// The failure of the first connection whose new draft fails where its old one does not.
pub(super) fn draft(candidate: &Candidate) -> Result<Vec<Prepared>, Box<Diagnostic>> {
    let mut prepared: Vec<Prepared> = Vec::new();
    for connection in candidate.namespace.connections() {
        if connection.phase() != Phase::Connected {
            continue;
        }
        match prepare(&connection, &candidate.version) {
            Ok(drafts) => prepared.push(drafts),
            Err(diagnostic) => {
                prepared.iter().for_each(Prepared::release);
                return Err(diagnostic);
            }
        }
    }
    Ok(prepared)
}

fn prepare(
    connection: &Arc<Connection>,
    version: &Arc<Version>,
) -> Result<Prepared, Box<Diagnostic>> {
    let old = connection.version();
    let frozen = api::freeze();
    let (base, base_result) = old
        .as_ref()
        .map_or_else(Default::default, |old| run(connection, old, frozen));
    let (mut new, mut result) = run(connection, version, frozen);
    if timed_out(&result) {
        // The machine may have been busy; a second time it is the script.
        new.release();
        (new, result) = run(connection, version, frozen);
    }
    match (base_result, result) {
        (None, Some((handler, error))) => {
            base.release();
            new.release();
            let call = &"`on_connection`, as a draft for a live connection";
            Err(Box::new(diagnose(connection, &handler, error, call)))
        }
        _ => Ok(Prepared {
            connection: connection.clone(),
            version: version.clone(),
            base,
            new,
        }),
    }
}

type Failure = Option<(Handler, CallError)>;

fn run(
    connection: &Arc<Connection>,
    version: &Arc<Version>,
    frozen: Frozen,
) -> (Registered, Failure) {
    let draft = Arc::new(Draft::new(frozen));
    let Some(hook) = version.hook(Hook::Connection) else {
        return Default::default();
    };
    let socket = Dynamic::from(Socket(connection.clone()));
    let result = Turn::draft(connection.clone(), draft.clone()).run(|| hook.call(vec![socket]));
    let registered = std::mem::take(&mut *draft.registered());
    (registered, result.err().map(|error| (hook, error)))
}

fn timed_out(result: &Failure) -> bool {
    result.as_ref().is_some_and(|(_, error)| error.is_time())
}

/// Makes every candidate serve at once, on live connections too, and waits until these have taken it over.
/// Gives what became of the connections of each candidate, in order.
pub(super) fn switch(batch: Vec<(Candidate, Vec<Prepared>)>) -> Vec<(Candidate, Vec<Adopted>)> {
    let up = Arc::new(AtomicBool::new(false));
    let mut waiting = Vec::new();
    for (candidate, prepared) in batch {
        let (report, adopted) = mpsc::channel();
        let connections: Vec<_> = prepared.into_iter().map(|p| p.hand_over(&report)).collect();
        candidate
            .namespace
            .prepare(Serving::Version(candidate.version.clone()), up.clone());
        waiting.push((candidate, connections, adopted));
    }
    up.store(true, Ordering::Release);
    waiting
        .into_iter()
        .map(|(candidate, connections, adopted)| {
            candidate.namespace.settle();
            for connection in connections {
                connection.post(Work::Adopt);
            }
            (candidate, adopted.iter().collect())
        })
        .collect()
}

impl Prepared {
    /// The version is rejected: what the drafts made is freed.
    pub(super) fn release(&self) {
        self.base.release();
        self.new.release();
    }

    fn hand_over(self, report: &mpsc::Sender<Adopted>) -> Arc<Connection> {
        let adoption = Adoption::new(self.version, self.base, self.new, report.clone());
        self.connection.prepare(adoption);
        self.connection
    }
}

impl Inner {
    /// Takes a namespace out of service: its clients are disconnected, new ones are refused.
    pub(super) fn retire(namespace: &Namespace) {
        namespace.prepare(Serving::Gone, Arc::new(AtomicBool::new(true)));
        namespace.settle();
        for connection in namespace.connections() {
            connection.disconnect(false);
        }
    }
}
