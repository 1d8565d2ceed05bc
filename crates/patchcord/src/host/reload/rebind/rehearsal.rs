//! Rehearsal of a switch: computes its effects on live connections, on copies.

use std::sync::{Arc, mpsc};

use super::{Candidate, Prepared, Switched};
use crate::{
    connection::{Adopted, Connection, Continuation, Drafts, Work},
    host::dispatch::{adopt, drafts::Fails},
    script::Version,
};

/// Returns the effects that [`switch`](super::switch) would have, and switches nothing. Each connection computes its
/// effects in its turn, so no call of its script runs at the same time.
pub(in crate::host::reload) fn rehearse(batch: Vec<(Candidate, Vec<Prepared>)>) -> Vec<Switched> {
    batch.into_iter().map(rehearse_one).collect()
}

fn rehearse_one((candidate, prepared): (Candidate, Vec<Prepared>)) -> Switched {
    let (report, adopted) = mpsc::channel();
    let (mut failing, mut disconnected) = (Vec::new(), Vec::new());
    for prepared in prepared {
        match prepared.fails {
            Fails::No => {}
            Fails::Still(diagnostic) => failing.push(*diagnostic),
            Fails::Now(diagnostic) => disconnected.push(*diagnostic),
        }
        let connection = prepared.connection;
        let rehearsal = Rehearsal {
            connection: connection.clone(),
            version: prepared.version,
            drafts: prepared.drafts,
            report: report.clone(),
        };
        connection.post(Work::Continuation(Continuation::new(move || {
            rehearsal.run();
        })));
    }
    drop(report);
    Switched {
        candidate,
        adopted: adopted.iter().collect(),
        failing,
        disconnected,
    }
}

/// Rehearsal of one connection. A connection that ends before its rehearsal drops it.
struct Rehearsal {
    connection: Arc<Connection>,
    version: Arc<Version>,
    drafts: Option<Drafts>,
    report: mpsc::Sender<Adopted>,
}

impl Rehearsal {
    fn run(mut self) {
        let drafts = self.drafts.take();
        if let Some(adopted) = adopt::rehearse(&self.connection, &self.version, drafts) {
            // The preview may have stopped waiting for the report.
            let _ = self.report.send(adopted);
        }
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        self.drafts.iter().for_each(Drafts::release);
    }
}
