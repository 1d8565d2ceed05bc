//! Growth of the cost with the number of connections, beside the peers that show which part of it is due to the
//! machine.

use std::{fs, io, time::Duration};

use super::{
    fleet::{self, Fleet},
    rounds::{Effort, pass},
    rows,
    server::{Peer, Server, peers},
    stats::median,
};

/// Numbers of connections.
const SIZES: [usize; 4] = [10, 100, 1_000, 5_000];

/// Cost at one number of connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Growth {
    pub(crate) connections: usize,
    /// Microseconds of CPU per event, while all clients work with one event in flight.
    pub(crate) echo: f64,
    /// Microseconds of CPU per event of a stock server.
    pub(crate) stock_echo: f64,
    /// Microseconds of CPU per event of a bare read and write.
    pub(crate) bare_echo: f64,
    /// Microseconds of CPU per recipient of a broadcast to all.
    pub(crate) broadcast: f64,
    /// Microseconds of CPU per recipient of a broadcast by a stock server.
    pub(crate) stock_broadcast: f64,
    /// Microseconds of CPU per connection of a reload.
    pub(crate) reload: f64,
}

/// Measures every size.
pub(crate) async fn measure(effort: Effort) -> io::Result<Vec<Growth>> {
    let peers = [Peer::Patchcord, Peer::Stock, Peer::Bare];
    let echoes = in_turns(&peers, |size| rows::echo(size, 1), effort).await?;
    let broadcasts = in_turns(&peers[..2], rows::broadcast, effort).await?;
    let mut all = Vec::new();
    for (at, connections) in SIZES.into_iter().enumerate() {
        all.push(Growth {
            connections,
            echo: echoes[0][at],
            stock_echo: echoes[1][at],
            bare_echo: echoes[2][at],
            broadcast: broadcasts[0][at],
            stock_broadcast: broadcasts[1][at],
            reload: reload(connections, effort.rounds).await?,
        });
    }
    Ok(all)
}

/// Returns the microseconds of CPU per event, for each peer and each size. All servers have their clients at the same
/// time, and each round measures every size of every peer once, so that a disturbance of the machine affects all of
/// them.
async fn in_turns(
    peers: &[Peer],
    work: fn(usize) -> fleet::Work,
    effort: Effort,
) -> io::Result<Vec<Vec<f64>>> {
    let mut sides = Vec::new();
    for &peer in peers {
        for size in SIZES {
            let server = Server::start(peer)?;
            let fleet = Fleet::connect(server.address, &work(size)).await?;
            sides.push((server, fleet, Vec::new()));
        }
    }
    for _ in 0..effort.rounds {
        for (server, fleet, figures) in &mut sides {
            figures.push(fleet.round(server, effort.time).await?.per_event());
        }
    }
    let medians: Vec<_> = sides
        .iter()
        .map(|(_, _, figures)| median(figures))
        .collect();
    Ok(medians.chunks(SIZES.len()).map(<[f64]>::to_vec).collect())
}

async fn reload(connections: usize, rounds: usize) -> io::Result<f64> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("chat.rhai");
    let text = fs::read_to_string(peers("scripts/chat.rhai"))?;
    fs::write(&script, &text)?;
    let server = Server::edited(folder.path())?;
    let _clients = fleet::connect(server.address, "/chat", connections).await?;
    pass(Duration::from_millis(500)).await;
    let mut figures = Vec::new();
    for round in 0..rounds {
        let before = server.cpu()?;
        fs::write(&script, format!("{text}// {round}\n"))?;
        // The watcher collects changes for a moment, and then the reload takes its time.
        pass(Duration::from_millis(500)).await;
        let mut used = server.cpu()?;
        loop {
            pass(Duration::from_millis(200)).await;
            let now = server.cpu()?;
            if now.saturating_sub(used) < Duration::from_millis(1) {
                break;
            }
            used = now;
        }
        figures.push(used.saturating_sub(before).as_secs_f64() * 1e6 / connections as f64);
    }
    Ok(median(&figures))
}
