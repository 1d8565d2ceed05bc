//! Measurement of rows: every peer once in each round, so that a disturbance of the machine affects all of them.

use std::{collections::BTreeMap, io, time::Duration};

use super::{
    fleet::{self, Cost, Fleet},
    rows::{Measure, Row},
    server::{Peer, Server},
};

/// Number of clients in a measurement of connecting.
const CONNECTING: usize = 300;
/// Number of clients in a measurement of memory.
const IDLE: usize = 2_000;
/// Number of clients that leave.
const LEAVING: usize = 5_000;
/// Maximum number of rounds of measurements that need new processes and many clients.
const MAX_REPEATS: usize = 3;
/// Time in which a server comes to rest.
const REST: Duration = Duration::from_millis(500);

/// Duration of the measurements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    pub(crate) time: Duration,
}

/// Figures of one row.
pub(crate) struct Figures {
    pub(crate) row: Row,
    /// One figure per round.
    pub(crate) of: BTreeMap<&'static str, Vec<f64>>,
    /// Costs of the rounds of events.
    pub(crate) costs: BTreeMap<&'static str, Vec<Cost>>,
}

/// Servers that run during all rows.
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

    /// Measures a row, for those of its peers that are installed.
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
            // The next round begins with another peer, so that none is always the first.
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

/// Lets time pass until the server is at rest, because nothing reports that.
pub(crate) async fn pass(time: Duration) {
    tokio::time::sleep_until(tokio::time::Instant::now() + time).await;
}
