//! Results of the measurements, as text, as JSON, and in a Markdown file.

use std::{fmt::Write, fs, io, path::Path};

use serde_json::{Value, json};

use super::{
    growth::Growth,
    rounds::Figures,
    rows::Limit,
    server::Peer,
    stats::{median, spread},
};

const BEGIN: &str = "<!-- benches/run writes this table -->\n";
const END: &str = "<!-- end of the table -->\n";

/// Line of the table.
struct Line {
    work: &'static str,
    against: &'static str,
    target: String,
    result: f64,
    /// Middle half of the rounds.
    spread: (f64, f64),
    ours: f64,
    theirs: Option<f64>,
    unit: &'static str,
    holds: bool,
}

fn lines(figures: &Figures) -> Vec<Line> {
    let row = &figures.row;
    let Some(ours) = figures.of.get(Peer::Patchcord.name()) else {
        return vec![];
    };
    let line = |limit: &Limit| {
        let theirs = match limit.peer() {
            Some(peer) => Some(figures.of.get(peer.name())?),
            None => None,
        };
        let pairs = |of: fn(f64, f64) -> f64| {
            let theirs = theirs.map_or(&[][..], |figures| figures);
            spread(
                &ours
                    .iter()
                    .zip(theirs)
                    .map(|(a, b)| of(*a, *b))
                    .collect::<Vec<_>>(),
            )
        };
        let own = median(ours);
        let other = theirs.map(|figures| median(figures));
        let (target, result, middle, holds) = match (*limit, other) {
            (Limit::Times(_, most), Some(other)) => {
                let ratio = own / other;
                (
                    format!("{most:.2}"),
                    ratio,
                    pairs(|a, b| a / b),
                    ratio <= most,
                )
            }
            (Limit::More(_, most), Some(other)) => {
                let more = own - other;
                (
                    format!("+ {most:.1} {}", row.unit),
                    more,
                    pairs(|a, b| a - b),
                    more <= most,
                )
            }
            (Limit::Compared(_), Some(other)) => {
                (String::new(), own / other, pairs(|a, b| a / b), true)
            }
            (Limit::Most(most), _) => (
                format!("{most} {}", row.unit),
                own,
                spread(ours),
                own <= most,
            ),
            _ => return None,
        };
        Some(Line {
            work: row.title,
            against: limit.peer().map_or("", Peer::name),
            target,
            result,
            spread: middle,
            ours: own,
            theirs: other,
            unit: row.unit,
            holds,
        })
    };
    row.limits.iter().filter_map(line).collect()
}

/// Returns the table in Markdown.
pub(crate) fn markdown(all: &[Figures]) -> String {
    let mut text = String::from(
        "| work | against | at most | measured (middle half of the rounds) | patchcord | peer |\n|---|---|---|---|---|---|\n",
    );
    let mut before = "";
    for line in all.iter().flat_map(lines) {
        let work = if line.work == before {
            "the same"
        } else {
            line.work
        };
        before = line.work;
        let peer = line
            .theirs
            .map_or_else(String::new, |figure| format!("{figure:.1} {}", line.unit));
        let miss = if line.holds { "" } else { " **above**" };
        let _ = writeln!(
            text,
            "| {work} | {} | {} | {:.2} ({:.2} to {:.2}){miss} | {:.1} {} | {peer} |",
            line.against,
            line.target,
            line.result,
            line.spread.0,
            line.spread.1,
            line.ours,
            line.unit,
        );
    }
    text
}

/// Returns the growth of the cost in Markdown.
pub(crate) fn growth(all: &[Growth]) -> String {
    let mut text = String::from(
        "| connections | CPU per event | socketioxide | read+write | CPU per recipient of a broadcast | socketioxide | CPU per connection of a reload |\n|---|---|---|---|---|---|---|\n",
    );
    for size in all {
        let _ = writeln!(
            text,
            "| {} | {:.1} us | {:.1} us | {:.1} us | {:.1} us | {:.1} us | {:.0} us |",
            size.connections,
            size.echo,
            size.stock_echo,
            size.bare_echo,
            size.broadcast,
            size.stock_broadcast,
            size.reload
        );
    }
    if let [first, .., last] = all {
        let times = |of: fn(&Growth) -> f64| of(last) / of(first);
        let _ = writeln!(
            text,
            "| times the first row | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | |",
            times(|size| size.echo),
            times(|size| size.stock_echo),
            times(|size| size.bare_echo),
            times(|size| size.broadcast),
            times(|size| size.stock_broadcast),
        );
    }
    text
}

/// Returns the cost of the load generator itself: it does not limit a server that answers fewer events than the bare
/// one.
pub(crate) fn generator(all: &[Figures]) -> String {
    let mut text = String::from(
        "| work | server | events per second | CPU of the server, cores | CPU of the clients, cores |\n|---|---|---|---|---|\n",
    );
    for figures in all {
        for (peer, costs) in &figures.costs {
            let of = |what: fn(&super::fleet::Cost) -> f64| {
                median(
                    &costs
                        .iter()
                        .map(|cost| what(cost) / cost.time.as_secs_f64())
                        .collect::<Vec<_>>(),
                )
            };
            let _ = writeln!(
                text,
                "| {} | {peer} | {:.0} | {:.2} | {:.2} |",
                figures.row.title,
                of(|cost| cost.events as f64),
                of(|cost| cost.server.as_secs_f64()),
                of(|cost| cost.clients.as_secs_f64()),
            );
        }
    }
    text
}

/// Returns all results.
pub(crate) fn json(all: &[Figures], growth: &[Growth]) -> Value {
    let row = |figures: &Figures| {
        let targets: Vec<_> = lines(figures)
            .into_iter()
            .map(|line| {
                json!({
                    "against": line.against, "at most": line.target, "measured": line.result,
                    "middle half": [line.spread.0, line.spread.1], "holds": line.holds,
                })
            })
            .collect();
        json!({
            "row": figures.row.key, "work": figures.row.title, "unit": figures.row.unit,
            "figures": figures.of, "targets": targets,
        })
    };
    let size = |size: &Growth| {
        json!({
            "connections": size.connections,
            "us per event": { "patchcord": size.echo, "socketioxide": size.stock_echo, "read+write": size.bare_echo },
            "us per recipient": { "patchcord": size.broadcast, "socketioxide": size.stock_broadcast },
            "us per connection of a reload": size.reload,
        })
    };
    json!({
        "rows": all.iter().map(row).collect::<Vec<_>>(),
        "growth": growth.iter().map(size).collect::<Vec<_>>(),
    })
}

/// Writes a table into a Markdown file, between its markers.
pub(crate) fn write_into(file: &Path, table: &str) -> io::Result<()> {
    let text = fs::read_to_string(file)?;
    let parts = text
        .split_once(BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = parts else {
        return Err(io::Error::other(format!(
            "{} has no markers for the table",
            file.display()
        )));
    };
    fs::write(file, format!("{before}{BEGIN}{table}{END}{after}"))
}
