//! Rows of the table: what is measured, the peers, and the limits of the cost.

use serde_json::json;

use super::fleet::Work;
use super::server::Peer;

/// Measurement of one row. Each returns one number for a peer and a round.
#[derive(Debug, Clone)]
pub(crate) enum Measure {
    /// Microseconds of CPU per event received.
    Event(Work),
    /// Microseconds of CPU from the first byte of a client until its `on_connection` has run.
    Connection,
    /// KiB per idle connection to the namespace.
    Memory(&'static str),
    /// Memory 10 s after all clients have left, as a multiple of the memory before they connected.
    GivenBack,
    /// Milliseconds from the start of the process until it listens.
    Start,
}

/// Comparison of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Limit {
    /// The median of patchcord is at most this many times that of a peer, which may be measured with other work.
    Times(Peer, f64),
    /// The median of patchcord exceeds that of a peer by at most this.
    More(Peer, f64),
    /// The median of patchcord is at most this.
    Most(f64),
    /// No limit: only the ratio of the median of patchcord to that of a peer.
    Compared(Peer),
}

impl Limit {
    pub(crate) const fn peer(self) -> Option<Peer> {
        match self {
            Self::Times(peer, _) | Self::More(peer, _) | Self::Compared(peer) => Some(peer),
            Self::Most(_) => None,
        }
    }
}

/// One kind of work, and its targets.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Name of the row on the command line.
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) measure: Measure,
    /// Peer with another measurement, and that measurement.
    pub(crate) instead: Option<(Peer, Measure)>,
    pub(crate) limits: Vec<Limit>,
}

impl Row {
    /// Returns the measurement for a peer.
    pub(crate) fn measure(&self, peer: Peer) -> &Measure {
        match &self.instead {
            Some((other, measure)) if *other == peer => measure,
            _ => &self.measure,
        }
    }

    /// Returns the peers whose figures the row needs.
    pub(crate) fn peers(&self) -> impl Iterator<Item = Peer> {
        let others = self.limits.iter().filter_map(|limit| limit.peer());
        std::iter::once(Peer::Patchcord).chain(others)
    }
}

/// 32 bytes.
const TEXT: &str = "0123456789abcdef0123456789abcdef";

/// Returns work of `clients` that echo, each with `in_flight` events in flight.
pub(crate) fn echo(clients: usize, in_flight: usize) -> Work {
    Work {
        namespace: "/",
        clients,
        senders: clients,
        in_flight,
        event: format!(r#"["echo","{TEXT}"]"#),
    }
}

/// Returns work of one client that sends a message to all of `clients`.
pub(crate) fn broadcast(clients: usize) -> Work {
    Work {
        namespace: "/chat",
        clients,
        senders: 1,
        in_flight: 1,
        event: format!(r#"["say","{TEXT}"]"#),
    }
}

/// Returns work of an event that asks for an ack.
fn acked(namespace: &'static str, event: &str) -> Work {
    Work {
        namespace,
        event: format!(r#"1["{event}"]"#),
        ..echo(50, 4)
    }
}

/// Returns about 10 kB of JSON: 200 fields in 10 objects, of every kind.
fn object() -> String {
    let field = |n: usize| match n % 4 {
        0 => json!(n * 1_000_003),
        1 => json!(format!("the value of field {n}, a text of some length")),
        2 => json!(n as f64 / 7.0),
        _ => json!([n, true, null, "text"]),
    };
    let part = |from: usize| {
        let fields = (from..from + 20).map(|n| (format!("field number {n}"), field(n)));
        serde_json::Value::Object(fields.collect())
    };
    let parts = (0..10).map(|n| (format!("part {n}"), part(n * 20)));
    serde_json::Value::Object(parts.collect()).to_string()
}

/// Returns the rows of the table in the README.
pub(crate) fn all() -> Vec<Row> {
    use Limit::{Compared, More, Most, Times};
    use Peer::{Bare, Bun, Node, Stock};
    let row = |key, title, unit, measure, limits: &[Limit]| Row {
        key,
        title,
        unit,
        measure,
        instead: None,
        limits: limits.to_vec(),
    };
    vec![
        row(
            "echo",
            "echo, 50 clients, 4 in flight, 32 bytes",
            "us",
            Measure::Event(echo(50, 4)),
            &[
                Times(Stock, 0.85),
                Times(Node, 0.40),
                Times(Bun, 1.00),
                Compared(Bare),
            ],
        ),
        row(
            "broadcast",
            "broadcast to 200, per recipient",
            "us",
            Measure::Event(broadcast(200)),
            &[Times(Stock, 0.80), Times(Node, 0.50), Times(Bun, 0.80)],
        ),
        row(
            "one",
            "echo, one client, one in flight",
            "us",
            Measure::Event(echo(1, 1)),
            &[Times(Stock, 1.00), Compared(Bare)],
        ),
        row(
            "object",
            "echo of a JSON object of 10 kB, 200 fields",
            "us",
            Measure::Event(Work {
                event: format!(r#"["echo",{}]"#, object()),
                ..echo(50, 4)
            }),
            &[Times(Node, 0.55)],
        ),
        Row {
            instead: Some((Stock, Measure::Event(acked("/inline", "count")))),
            ..row(
                "count",
                "`count += 1` and an ack; against an inline Rust handler that only acks",
                "us",
                Measure::Event(acked("/chat", "count")),
                &[More(Stock, 1.5)],
            )
        },
        row(
            "connect",
            "connect, handshake, `on_connection`",
            "us",
            Measure::Connection,
            &[Times(Node, 0.60)],
        ),
        Row {
            instead: Some((Stock, Measure::Memory("/"))),
            ..row(
                "memory",
                "memory of an idle connection, 5 handlers, 3 captured variables (socketioxide: one handler)",
                "KiB",
                Measure::Memory("/chat"),
                &[Times(Stock, 0.70), Times(Node, 1.00)],
            )
        },
        row(
            "leave",
            "memory 10 s after 5,000 connections have left, against before they came",
            "x",
            Measure::GivenBack,
            &[Most(1.2)],
        ),
        row(
            "start",
            "start until `listening`",
            "ms",
            Measure::Start,
            &[Most(50.0)],
        ),
    ]
}
