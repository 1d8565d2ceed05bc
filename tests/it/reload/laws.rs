//! Laws of live editing, over random scripts: an edit changes nothing for any client beyond what was edited; and code
//! follows the edit.
//!
//! Two hosts run the same script and see the same clients and events; one of them sees saves, too. A run that fails
//! prints its script and what happened; `LAWS_SEED=7 cargo test --test it laws` runs that one again, and
//! `LAWS_RUNS=10000` more of them.

use std::{
    env,
    sync::{
        Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};

pub(crate) mod generator;
mod numbers;
pub(crate) mod saves;
pub(crate) mod twins;

use generator::Program;
use numbers::replace_numbers;
use saves::{EDIT, change_a_tag, change_nothing, with_line};
use twins::{Twins, same};

const RUNS: u64 = 200;
/// Steps before the first save, and between saves.
const STEPS: usize = 10;
const SAVES: usize = 2;
/// Number of runs in all of which a script must differ to count.
const TRIES: usize = 3;

pub(crate) fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Runs a test for each seed, on all cores, and reports the number of failures and the first one.
pub(crate) fn for_each_seed(test: impl Fn(u64) -> Result<(), String> + Sync) {
    let seeds = match number("LAWS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LAWS_RUNS").unwrap_or(RUNS),
    };
    let (count, next) = (seeds.end - seeds.start, AtomicU64::new(seeds.start));
    let work = || {
        let mine = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let mine = mine.take_while(|seed| seeds.contains(seed));
        mine.filter_map(|seed| test(seed).err().map(|problem| (seed, problem)))
            .collect::<Vec<_>>()
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut failed: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let failed = workers.into_iter().map(|worker| worker.join().unwrap());
        failed.flatten().collect()
    });
    failed.sort();
    if let Some((seed, problem)) = failed.first() {
        let all: Vec<_> = failed.iter().map(|(seed, _)| seed).collect();
        panic!(
            "{} of {count} scripts differ: LAWS_SEED={all:?}\nLAWS_SEED={seed}\n{problem}",
            failed.len()
        );
    }
}

/// Describes a failure.
fn reported(program: &Program, twins: &Twins, problem: &str) -> String {
    let files = program
        .texts()
        .map(|(name, text)| format!("--- {name}\n{text}"));
    format!(
        "{problem}\nafter: {}\n{}",
        twins.story(),
        files.collect::<String>()
    )
}

/// Kind of save: changes the program, lets one of the twins receive it, and returns a description.
type Save<'a> = &'a dyn Fn(&mut Program, &mut Twins, &mut StdRng) -> String;

/// Runs one script: clients connect and act, files are saved, and clients act again.
///
/// A script without real randomness does the same in each run. A difference that does not occur in another run comes
/// from a busy machine: slow calls run on other threads, in another order.
fn live(seed: u64, save: Save<'_>) -> Result<(), String> {
    let program = Program::generate(seed);
    let tries = if program.is_random { 1 } else { TRIES };
    (0..tries)
        .try_fold(String::new(), |_, _| run(program.clone(), seed, save).err())
        .map_or(Ok(()), Err)
}

fn run(mut program: Program, seed: u64, save: Save<'_>) -> Result<(), String> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut twins = Twins::new(&program);
    let problems = twins.problems();
    assert!(
        problems.is_empty(),
        "LAWS_SEED={seed}\n{}",
        reported(&program, &twins, &problems.join("\n"))
    );
    let live = if program.is_random { alone } else { compared };
    live(&mut program, &mut twins, &mut random, save)
        .map_err(|problem| reported(&program, &twins, &problem))?;
    let (alive, story) = (
        twins.alive(),
        reported(&program, &twins, "something is not freed"),
    );
    drop(twins);
    match is_freed(&alive) {
        true => Ok(()),
        false => Err(story),
    }
}

/// Waits until nothing of the hosts is left, because threads may still be at work. Returns `false` if that does not
/// come.
fn is_freed(alive: &Weak<()>) -> bool {
    let until = Instant::now() + Duration::from_secs(20);
    while alive.strong_count() > 0 && Instant::now() < until {
        thread::yield_now();
    }
    alive.strong_count() == 0
}

/// Compares with the other host, which shows what would have happened without the save.
fn compared(
    program: &mut Program,
    twins: &mut Twins,
    random: &mut StdRng,
    save: Save<'_>,
) -> Result<(), String> {
    for _ in 0..4 {
        twins.connect()?;
    }
    for _ in 0..SAVES {
        for _ in 0..STEPS {
            twins.step(program, random)?;
        }
        let what = save(program, twins, random);
        twins.note(format!("SAVED: {what}"));
        twins.silent()?;
        twins.observe(random);
        twins.compare()?;
    }
    for _ in 0..STEPS {
        twins.step(program, random)?;
    }
    Ok(())
}

/// Compares what is visible before a save with what is visible after it, for a script with real randomness.
fn alone(
    program: &mut Program,
    twins: &mut Twins,
    random: &mut StdRng,
    save: Save<'_>,
) -> Result<(), String> {
    for _ in 0..SAVES {
        for _ in 0..STEPS {
            // The two hosts may differ by chance.
            let _ = twins.step(program, random);
        }
        twins.seen(program);
        let before = twins.seen(program);
        let what = save(program, twins, random);
        twins.note(format!("SAVED: {what}"));
        twins.silent()?;
        same("what can be seen", &twins.seen(program), &before)?;
    }
    Ok(())
}

#[test]
fn a_save_that_changes_nothing_changes_nothing_for_anyone() {
    for_each_seed(|seed| {
        live(seed, &|program, twins, random| {
            change_nothing(program, twins, random).to_owned()
        })
    });
}

#[test]
fn a_literal_that_is_edited_changes_the_answers_of_its_closure_and_nothing_else() {
    for_each_seed(
        |seed| match seed % 2 == 0 && !Program::generate(seed).is_random {
            true => live(seed, &change_a_tag),
            false => Ok(()),
        },
    );
}

#[test]
fn a_preview_changes_nothing_for_anyone() {
    for_each_seed(|seed| {
        live(seed, &|program, twins, random| {
            let tag = program.tags[random.random_range(0..program.tags.len())];
            let edited = program.texts().map(|(name, text)| {
                let text = replace_numbers(text, |n| (n == tag).then_some(tag + EDIT));
                let more =
                    "socket.on(\"extra\", || 0); socket.join(\"extra\"); socket.data.extra = 1;";
                match name {
                    "main.rhai" => (name, with_line(&text, program.entry_line(), more)),
                    _ => (name, text),
                }
            });
            let edited: Vec<_> = edited.collect();
            let texts = edited.iter().map(|(name, text)| (*name, text.as_str()));
            let preview = twins.edited.preview_texts(texts);
            format!("preview of {} events", preview.events.len())
        })
    });
}

/// Control: hosts of which neither receives a save do the same.
#[test]
fn hosts_without_a_save_do_the_same() {
    for_each_seed(|seed| match seed % 8 {
        0 => live(seed, &|_, _, _| "nothing".to_owned()),
        _ => Ok(()),
    });
}

/// The scripts are useful: they are valid, and most of what they do works.
#[test]
fn generated_scripts_are_valid_and_do_much() {
    let (mut answered, mut asked) = (0, 0);
    for seed in 0..40 {
        let program = Program::generate(seed);
        let twins = Twins::new(&program);
        assert_eq!(
            twins.problems(),
            [] as [&str; 0],
            "LAWS_SEED={seed}\n{}",
            reported(&program, &twins, "")
        );
        let host = &twins.edited;
        let Ok(client) = host.connect("/") else {
            continue;
        };
        let mut random = StdRng::seed_from_u64(seed);
        for event in &program.events {
            asked += 1;
            answered += usize::from(client.ask(event, [random.random_range(0..3)]).is_some());
        }
    }
    assert!(
        answered * 4 > asked,
        "{answered} of {asked} events are answered"
    );
}
