//! Instructions of an event, as callgrind counts them: nearly the same on every run, whatever else the machine does.

use std::{env, error::Error, fs, process::Command};

use super::{
    fleet::{Fleet, Work},
    rows,
    server::{Server, peers},
};

/// Events that are counted, after as many that are not.
const EVENTS: u64 = 2_000;

/// Prints the instructions per event in the whole process, from the bytes of its client to the bytes of the answer. What
/// the start and the end of the process take is in two runs of different length, and does not count.
pub(crate) async fn count() -> Result<(), Box<dyn Error>> {
    println!("| event | instructions |\n|---|---|");
    let count = Work {
        namespace: "/chat",
        event: r#"1["count"]"#.to_owned(),
        ..rows::echo(1, 1)
    };
    let works = [
        ("echo", rows::echo(1, 1)),
        ("count, with an ack", count),
        ("broadcast to 1", rows::broadcast(1)),
        ("broadcast to 201", rows::broadcast(201)),
    ];
    for (name, work) in works {
        let (once, twice) = (run(&work, EVENTS).await?, run(&work, 2 * EVENTS).await?);
        let each =
            (twice.instructions - once.instructions) as f64 / (twice.calls - once.calls) as f64;
        println!("| {name} | {each:.0} |");
    }
    Ok(())
}

struct Counted {
    calls: u64,
    instructions: u64,
}

/// Runs the server within callgrind for so many events.
async fn run(work: &Work, events: u64) -> Result<Counted, Box<dyn Error>> {
    let program = env::var("PATCHCORD")?;
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("callgrind.out");
    let mut command = Command::new("valgrind");
    command
        .args(["--quiet", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .args([&program, "serve"])
        .arg(peers("scripts"))
        .args(["--port", "0", "--no-watch"]);
    let server = Server::spawn(command)?;
    let mut fleet = Fleet::connect(server.address, work).await?;
    let received = events * work.clients as u64;
    fleet.events(received).await?;
    drop(fleet);
    server.end()?;
    let text = fs::read_to_string(&out)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(Counted {
        calls: events,
        instructions: total.ok_or("callgrind counted nothing")?.trim().parse()?,
    })
}
