//! Instructions per event, counted by callgrind: nearly the same on every run, whatever else the machine does.

use std::{env, error::Error, fs, process::Command};

use super::{
    atomics::Atomics,
    fleet::{Fleet, Work},
    rows,
    server::{Server, peers},
};

/// Number of events that are counted, after the same number that is not.
const EVENTS: u64 = 2_000;

/// Prints the instructions per event in the whole process, from the bytes of the client to the bytes of the answer.
/// Also prints how often the first-level caches of a processor (32 KiB for code, 32 KiB for data) and a second-level
/// cache (1 MiB) would miss: with many clients, these misses are the additional cost of an event. The start and the end
/// of the process do not count, because they are in both of two runs of different length.
pub(crate) async fn count() -> Result<(), Box<dyn Error>> {
    println!(
        "| event | instructions | atomics | misses of code | misses of data | misses of 1 MiB |"
    );
    println!("|---|---|---|---|---|---|");
    let program = fs::canonicalize(env::var("PATCHCORD")?)?
        .display()
        .to_string();
    let atomics = Atomics::of(&program)?;
    let run = |work, events| run(&program, &atomics, work, events);
    let count = Work {
        namespace: "/chat",
        event: r#"1["count"]"#.to_owned(),
        ..rows::echo(1, 1)
    };
    let works = [
        ("echo", rows::echo(1, 1)),
        ("echo of one of 1,000 clients", rows::echo(1_000, 1)),
        ("count, with an ack", count),
        ("broadcast to 1", rows::broadcast(1)),
        ("broadcast to 201", rows::broadcast(201)),
    ];
    for (name, work) in works {
        let (once, twice) = (
            run(work.clone(), EVENTS).await?,
            run(work, 2 * EVENTS).await?,
        );
        let calls = (twice.calls - once.calls) as f64;
        let each = |counted: fn(&Counted) -> u64| {
            let more = counted(&twice).saturating_sub(counted(&once));
            more as f64 / calls
        };
        println!(
            "| {name} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} |",
            each(|counted| counted.instructions),
            each(|counted| counted.atomics),
            each(|counted| counted.code_misses),
            each(|counted| counted.data_misses),
            each(|counted| counted.large_misses),
        );
    }
    Ok(())
}

struct Counted {
    calls: u64,
    instructions: u64,
    atomics: u64,
    code_misses: u64,
    data_misses: u64,
    large_misses: u64,
}

impl Counted {
    /// Reads the output of callgrind: the names of its counters, and the sums.
    fn read(text: &str, calls: u64, atomics: u64) -> Option<Self> {
        let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
        let names = line("events: ")?.split_whitespace();
        let sums = line("totals: ")?.split_whitespace();
        let sums: Vec<(&str, u64)> = names
            .zip(sums)
            .map(|(name, sum)| Some((name, sum.parse().ok()?)))
            .collect::<Option<_>>()?;
        let sum = |wanted: &[&str]| {
            let of = sums.iter().filter(|(name, _)| wanted.contains(name));
            of.map(|(_, sum)| sum).sum()
        };
        Some(Self {
            calls,
            atomics,
            instructions: sum(&["Ir"]),
            code_misses: sum(&["I1mr"]),
            data_misses: sum(&["D1mr", "D1mw"]),
            large_misses: sum(&["ILmr", "DLmr", "DLmw"]),
        })
    }
}

/// Runs the server in callgrind for this many events.
async fn run(
    program: &str,
    atomics: &Atomics,
    work: Work,
    events: u64,
) -> Result<Counted, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("callgrind.out");
    let mut command = Command::new("valgrind");
    command
        .args([
            "--quiet",
            "--tool=callgrind",
            "--dump-instr=yes",
            "--cache-sim=yes",
        ])
        .args(["--I1=32768,8,64", "--D1=32768,8,64", "--LL=1048576,16,64"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .args([program, "serve"])
        .arg(peers("scripts"))
        .args(["--port", "0", "--no-watch"]);
    let server = Server::spawn(command)?;
    let mut fleet = Fleet::connect(server.address, &work).await?;
    let received = events * (work.clients / work.senders) as u64;
    fleet.events(received).await?;
    drop(fleet);
    server.end()?;
    let text = fs::read_to_string(&out)?;
    let executed = atomics.executed(&text, program);
    Ok(Counted::read(&text, events, executed).ok_or("callgrind counted nothing")?)
}
