//! Measures patchcord and its peers with the same clients. See `benches/run --help`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a program for developers"
)]

mod atomics;
mod bare;
mod client;
mod fleet;
mod growth;
mod instructions;
mod rounds;
mod rows;
mod server;
mod stats;
mod stock;
mod table;

use std::{error::Error, path::PathBuf, time::Duration};

use rounds::{Bench, Effort};
use rows::{Measure, Row};
use server::Peer;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        // One thread per core, as users start their servers.
        ["serve", name] => Ok(many_threads()?.block_on(async {
            match name == Peer::Stock.name() {
                true => stock::serve().await,
                false => bare::serve(r#"42["echo","0123456789abcdef0123456789abcdef"]"#).await,
            }
        })?),
        ["drive", address, key, events] => {
            one_thread()?.block_on(drive(address, key, events.parse()?))
        }
        ["instructions"] => one_thread()?.block_on(instructions::count()),
        _ => {
            let asked = Asked::read(&args)?;
            one_thread()?.block_on(measure(asked))
        }
    }
}

fn one_thread() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

fn many_threads() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

/// Options of the command line.
struct Asked {
    effort: Effort,
    rows: Vec<Row>,
    growth: bool,
    json: Option<PathBuf>,
    readme: Option<PathBuf>,
}

impl Asked {
    fn read(args: &[&str]) -> Result<Self, Box<dyn Error>> {
        let mut asked = Self {
            effort: Effort {
                rounds: 9,
                time: Duration::from_secs(1),
            },
            rows: vec![],
            growth: false,
            json: None,
            readme: None,
        };
        let mut args = args.iter().copied();
        while let Some(option) = args.next() {
            let mut value = || args.next().ok_or(format!("`{option}` needs a value"));
            match option {
                "--rounds" => asked.effort.rounds = value()?.parse()?,
                "--seconds" => asked.effort.time = Duration::from_secs_f64(value()?.parse()?),
                "--row" => asked.rows.push(row(value()?)?),
                "--growth" => asked.growth = true,
                "--json" => asked.json = Some(value()?.into()),
                "--readme" => asked.readme = Some(value()?.into()),
                other => {
                    return Err(
                        format!("unknown argument `{other}`; see benches/run --help").into(),
                    );
                }
            }
        }
        if asked.rows.is_empty() && !asked.growth {
            (asked.rows, asked.growth) = (rows::all(), true);
        }
        Ok(asked)
    }
}

fn row(key: &str) -> Result<Row, String> {
    let rows = rows::all();
    let keys: Vec<_> = rows.iter().map(|row| row.key).collect();
    let unknown = format!("no row `{key}`; there are {}", keys.join(", "));
    rows.into_iter().find(|row| row.key == key).ok_or(unknown)
}

/// Drives a running server with the work of a row, for a profiler.
async fn drive(address: &str, key: &str, events: u64) -> Result<(), Box<dyn Error>> {
    let Measure::Event(work) = row(key)?.measure else {
        return Err(format!("`{key}` is no row of events").into());
    };
    let mut fleet = fleet::Fleet::connect(address.parse()?, &work).await?;
    Ok(fleet.events(events).await?)
}

async fn measure(asked: Asked) -> Result<(), Box<dyn Error>> {
    let mut peers = Vec::new();
    for peer in Peer::ALL {
        match peer.missing() {
            Some(why) => eprintln!("{} is left out: {why}", peer.name()),
            None => peers.push(peer),
        }
    }
    let bench = Bench::start(&peers)?;
    let mut all = Vec::new();
    for row in asked.rows {
        eprintln!("measuring: {}", row.title);
        all.push(bench.row(row, asked.effort).await?);
    }
    drop(bench);
    let growth = match asked.growth {
        true => growth::measure(asked.effort).await?,
        false => vec![],
    };
    let mut tables = table::markdown(&all);
    if !growth.is_empty() {
        tables = format!("{tables}\n{}", table::growth(&growth));
    }
    println!("{tables}\n{}", table::generator(&all));
    if let Some(file) = asked.json {
        let json = table::json(&all, &growth);
        std::fs::write(file, serde_json::to_string_pretty(&json)?)?;
    }
    if let Some(file) = asked.readme {
        table::write_into(&file, &tables)?;
    }
    Ok(())
}
