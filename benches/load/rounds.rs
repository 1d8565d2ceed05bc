//! Measures rows: every peer once in each round, so that what disturbs the machine disturbs all of them.

use std::{collections::BTreeMap, io, time::Duration};

use super::{
    fleet::{self, Cost, Fleet},
    rows::{Measure, Row},
    server::{Peer, Server},
};

/// Clients of one measurement of connecting.
const CONNECTING: usize = 300;
/// Clients of one measurement of memory.
const IDLE: usize = 2_000;
/// Clients that leave.
const LEAVING: usize = 5_000;
/// What takes new processes and many clients is not repeated more often.
const MAX_REPEATS: usize = 3;
/// So long a server has to come to rest.
const REST: Duration = Duration::from_millis(500);

/// How long is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
}

/// The figures of one row.
pub(crate) struct Figures {
    pub(crate) row: Row,
    /// One figure of each round.
    pub(crate) of: BTreeMap<&'static str, Vec<f64>>,
    /// What the rounds of events were like.
    pub(crate) costs: BTreeMap<&'static str, Vec<Cost>>,
}

/// The servers that run through all rows.
pub(crate) struct Bench {
    servers: Vec<(Peer, Server)>,
}

impl Bench {
    pub(crate) fn start(peers: &[Peer]) -> io::Result<Self> {
        let servers = peers.iter().map(|&peer| Ok((peer, Server::start(peer)?)));
        Ok(Self {
            servers: servers.collect::<io::Result<_>>()?,
        })
    }

    /// Measures a row, for those of its peers that are there.
    pub(crate) async fn row(&self, row: Row, effort: Effort) -> io::Result<Figures> {
        let mut figures = Figures {
            of: BTreeMap::new(),
            costs: BTreeMap::new(),
            row,
        };
        let row = figures.row.clone();
        let mut runs = Vec::new();
        for peer in row.peers() {
            let Some((_, server)) = self.servers.iter().find(|(other, _)| *other == peer) else {
                continue;
            };
            let fleet = match row.measure(peer) {
                Measure::Event(work) => Some(Fleet::connect(server.address, work).await?),
                _ => None,
            };
            runs.push((peer, server, fleet));
        }
        let rounds = match row.measure {
            Measure::Memory(_) | Measure::GivenBack => effort.rounds.min(MAX_REPEATS),
            _ => effort.rounds,
        };
        for _ in 0..rounds {
            for (peer, server, fleet) in &mut runs {
                let figure = match fleet {
                    Some(fleet) => {
                        let cost = fleet.round(server, effort.time).await?;
                        figures.costs.entry(peer.name()).or_default().push(cost);
                        cost.per_event()
                    }
                    None => measure(row.measure(*peer), *peer, server).await?,
                };
                figures.of.entry(peer.name()).or_default().push(figure);
            }
            // Nobody is always the first.
            runs.rotate_left(1);
        }
        Ok(figures)
    }
}

async fn measure(measure: &Measure, peer: Peer, server: &Server) -> io::Result<f64> {
    match measure {
        Measure::Event(_) => unreachable!("measured by a fleet"),
        Measure::Connection => {
            let before = server.cpu()?;
            let clients = fleet::connect(server.address, "/chat", CONNECTING).await?;
            pass(REST).await;
            let used = server.cpu()?.saturating_sub(before);
            drop(clients);
            pass(REST).await;
            Ok(used.as_secs_f64() * 1e6 / CONNECTING as f64)
        }
        Measure::Memory(namespace) => {
            let server = Server::start(peer)?;
            pass(REST).await;
            let before = server.memory()?;
            let clients = fleet::connect(server.address, namespace, IDLE).await?;
            pass(4 * REST).await;
            let used = server.memory()?.saturating_sub(before);
            drop(clients);
            Ok(used as f64 / 1024.0 / IDLE as f64)
        }
        Measure::GivenBack => {
            let server = Server::start(peer)?;
            pass(REST).await;
            let before = server.memory()?;
            drop(fleet::connect(server.address, "/chat", LEAVING).await?);
            pass(Duration::from_secs(10)).await;
            Ok(server.memory()? as f64 / before as f64)
        }
        Measure::Start => Ok(Server::start(peer)?.started_in.as_secs_f64() * 1e3),
    }
}

/// Lets time pass: what is measured is at rest afterwards, and nothing says when.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep_until(tokio::time::Instant::now() + time).await;
}
