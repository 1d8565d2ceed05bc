//! `patchcord test`

use std::{
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;
use tokio::runtime::Builder;

use super::{exit::PROBLEMS, junit, report};
use patchcord::{
    diagnostic::Diagnostic,
    script::Folder,
    testing::{Outcome, Suite},
    watch::{WatchOptions, Watcher},
};

/// Format of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text for people.
    Text,
    /// One JSON object: the result of each test, and why some tests cannot be run.
    Json,
    /// JUnit's XML, for build servers.
    Junit,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A file `chat_test.rhai` beside the scripts has functions `test_...`:

  fn test_greets() {
      let ada = connect(\"/chat\");
      ada.expect(\"welcome\", \"Hello! Welcome to the server.\");
  }

Examples:
  patchcord test                          every test of the folder `scripts`
  patchcord test scripts --filter greets  those with `greets` in their name
  patchcord test scripts/chat_test.rhai   those of one file
  patchcord test --watch                  again at each save
  patchcord test --format junit > tests.xml

Exit codes: 0 all tests pass, 1 some do not, 2 they cannot run.")]
pub(super) struct TestOptions {
    /// Folder of scripts, or one test file
    #[arg(value_name = "PATH", default_value = "scripts")]
    path: PathBuf,
    /// Run only tests with this text in `file::name`
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    filter: String,
    /// Run the tests again when a file changes
    #[arg(long)]
    watch: bool,
    /// Format of the results: for people (`text`), one JSON object (`json`), or JUnit's XML (`junit`)
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Runs the tests of scripts.
pub(super) fn run(options: &TestOptions) -> anyhow::Result<ExitCode> {
    let path = &options.path;
    let (folder, file) = place(path);
    if file.is_none() && !path.is_dir() {
        bail!(
            "`{}` is no folder, and no file of tests `..._test.rhai`",
            path.display()
        );
    }
    let wanted = |of: &str, name: &str| {
        file.as_deref().is_none_or(|file| file == of)
            && format!("{of}::{name}").contains(&options.filter)
    };
    if !options.watch {
        return once(&folder, &wanted, options.format);
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (_watcher, mut batches) = Watcher::start(&folder, WatchOptions::default())
            .context("the scripts cannot be watched")?;
        loop {
            if let Err(error) = once(&folder, &wanted, options.format) {
                report::error(&error);
            }
            if batches.next().await.is_none() {
                return Ok(ExitCode::SUCCESS);
            }
        }
    })
}

/// Returns the folder of the scripts and, if `path` is a test file, its name.
pub(super) fn place(path: &Path) -> (PathBuf, Option<String>) {
    let name = path.file_name().and_then(|name| name.to_str());
    match (name, path.parent()) {
        (Some(name), Some(folder)) if path.is_file() && name.ends_with("_test.rhai") => {
            (Path::new(".").join(folder), Some(name.to_owned()))
        }
        _ => (path.to_owned(), None),
    }
}

/// Filter of tests, by file and name.
type Wanted<'a> = &'a dyn Fn(&str, &str) -> bool;

#[derive(Serialize)]
struct Report<'a> {
    tests: &'a [Outcome],
    problems: &'a [Diagnostic],
}

fn once(folder: &Path, wanted: Wanted<'_>, format: Format) -> anyhow::Result<ExitCode> {
    let suite = Suite::load(&Folder::new(folder), wanted)?;
    if suite.is_empty() && suite.problems().is_empty() {
        bail!(
            "there is no test in `{}`: a test is a function `test_...` in a file `..._test.rhai`",
            folder.display()
        );
    }
    let (done, many) = (AtomicUsize::new(0), suite.len());
    let shows = format == Format::Text && io::stderr().is_terminal();
    let outcomes = suite.run(|outcome| {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if shows {
            let _ = write!(
                io::stderr().lock(),
                "\r\x1b[K{done}/{many} {}",
                outcome.name
            );
        }
    });
    if shows {
        let _ = write!(io::stderr().lock(), "\r\x1b[K");
    }
    let failed = outcomes.iter().filter(|outcome| !outcome.passed()).count();
    match format {
        Format::Json => report::document(&Report {
            tests: &outcomes,
            problems: suite.problems(),
        })?,
        Format::Junit => report::output(&junit::report(&outcomes, suite.problems())?),
        Format::Text => {
            suite.problems().iter().for_each(report::finding);
            text(&outcomes, failed);
        }
    }
    Ok(match failed > 0 || !suite.problems().is_empty() {
        true => ExitCode::from(PROBLEMS),
        false => ExitCode::SUCCESS,
    })
}

fn text(outcomes: &[Outcome], failed: usize) {
    for outcome in outcomes {
        let result = if outcome.passed() { "ok" } else { "FAILED" };
        report::line(&format!("{}::{} {result}", outcome.file, outcome.name));
    }
    for outcome in outcomes.iter().filter(|outcome| !outcome.passed()) {
        report::output("");
        report::line(&format!("{}::{}", outcome.file, outcome.name));
        for problem in &outcome.problems {
            report::finding(problem);
        }
        for line in &outcome.log {
            report::line(&format!("log: {line}"));
        }
    }
    report::output(&format!(
        "\n{} passed, {failed} failed",
        outcomes.len() - failed
    ));
}
