//! The program `patchcord`: see `patchcord --help`. Each command has a file.

mod allocator;
mod api_keys;
mod check;
mod ctl;
#[cfg(feature = "store")]
mod data;
mod emit;
mod exit;
mod file;
mod inherited;
mod junit;
mod manual;
mod new;
mod options;
mod preset;
mod repl;
mod report;
mod restart;
mod serve;
mod service_manager;
mod test;
mod types;
mod usage;
mod values;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::anyhow;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use check::CheckOptions;
use ctl::CtlOptions;
#[cfg(feature = "store")]
use data::StoreFileOptions;
use emit::EmitOptions;
use exit::CANNOT_RUN;
use manual::{CompletionsOptions, ManOptions};
use new::NewOptions;
use options::ServeOptions;
use repl::ReplOptions;
use test::TestOptions;
use types::TypesOptions;

use patchcord::set_memory_meter;

/// Scripts for Socket.IO connections, edited live.
#[derive(Debug, Parser)]
#[command(
    name = "patchcord",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  patchcord new my-chat                   a folder to begin with
  patchcord                               the same as `patchcord serve scripts`
  patchcord bot.rhai --port 8080          one script, with an option of `patchcord serve`
  patchcord check && patchcord test       before a deployment"
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeOptions,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve a folder of scripts, or one script, and reload them when they are saved.
    #[command(after_help = "\
Examples:
  patchcord serve                         the folder `scripts`, at http://127.0.0.1:3000
  patchcord serve bot.rhai --port 8080    one script, as `/`
  patchcord serve --preset chat           a script that comes with the program
  patchcord serve --config server.toml --host 0.0.0.0
  patchcord serve --origin https://example.com --metrics

Exit codes: 0 ended by a signal, 1 a script does not load and --strict is given, 2 it cannot serve.")]
    Serve(Box<ServeOptions>),
    /// Report problems of scripts without running them.
    Check(CheckOptions),
    /// Run the tests of scripts, `*_test.rhai`, with simulated clients.
    Test(TestOptions),
    /// Try out scripts, line by line, with simulated clients.
    Repl(ReplOptions),
    /// Control a running server: preview, reload, compare versions, stage, roll back, pause.
    Ctl(CtlOptions),
    /// Send an event to the clients of a running server, through its HTTP API.
    Emit(EmitOptions),
    /// Read and change a file of `patchcord serve --data` while no server uses it.
    #[cfg(feature = "store")]
    #[command(after_help = "\
Examples:
  patchcord data state.redb list
  patchcord data state.redb get /chat history
  patchcord data state.redb set / topic '\"Rhai\"'
  patchcord data state.redb dump > backup.jsonl
  patchcord data new.redb restore < backup.jsonl

Exit codes: 0 done, 1 there is no such key, 2 the file or the input cannot be used.")]
    Data(StoreFileOptions),
    /// Write a new folder to begin with: script, test, page, options.
    New(NewOptions),
    /// List the built-in scripts.
    #[command(after_help = "\
Examples:
  patchcord preset                        lists them
  patchcord serve --preset echo           runs one
  patchcord new my-echo --preset echo     begins with one")]
    Preset,
    /// Write definitions for editors: everything that a script can call.
    Types(TypesOptions),
    /// Write completions of this command line for a shell.
    Completions(CompletionsOptions),
    /// Write the manual page, or a folder with a page for each command.
    Man(ManOptions),
}

fn main() -> ExitCode {
    let allocator = allocator::prepare();
    if let Some(allocator) = allocator {
        // This is the first and only meter of the process.
        let _ = set_memory_meter(allocator.net_allocated);
    }
    match parse(std::env::args_os().collect()).and_then(|cli| {
        match cli.command.unwrap_or(Command::Serve(Box::new(cli.serve))) {
            Command::Serve(options) => serve::run(&options, &command(), allocator),
            Command::Check(options) => check::run(&options),
            Command::Test(options) => test::run(&options),
            Command::Repl(options) => repl::run(&options),
            Command::Ctl(options) => ctl::run(&options),
            Command::Emit(options) => emit::run(&options),
            #[cfg(feature = "store")]
            Command::Data(options) => data::run(&options),
            Command::New(options) => new::run(&options),
            Command::Preset => Ok(new::list()),
            Command::Types(options) => types::run(&options),
            Command::Completions(options) => Ok(manual::completions(&options, Cli::command())),
            Command::Man(options) => manual::man(&options, command()),
        }
    }) {
        Ok(code) => code,
        Err(error) => {
            report::error(&error);
            ExitCode::from(CANNOT_RUN)
        }
    }
}

/// Returns the command line. Without a subcommand it serves: it accepts the options of `serve`, which only `serve
/// --help` lists.
fn command() -> clap::Command {
    Cli::command().mut_args(|arg| {
        let is_option = !arg.is_positional();
        arg.hide(is_option)
    })
}

/// File of options that is read if no other file is named.
const OPTIONS: &str = "patchcord.toml";

/// Parses the arguments, together with the environment and the file of options. The keys of the file become arguments
/// themselves, unless a flag or the environment sets them.
fn parse(mut arguments: Vec<OsString>) -> anyhow::Result<Cli> {
    let mut options = ServeOptions::augment_args(clap::Command::new("patchcord"));
    options.build();
    let refuse = |error: clap::Error| match error.use_stderr() {
        true => anyhow!(usage::with_source(&error, &options)),
        false => error.exit(),
    };
    let command = command();
    let mut matches = command
        .clone()
        .try_get_matches_from(&arguments)
        .map_err(refuse)?;
    let (set, place) = match matches.subcommand() {
        Some(("serve", serve)) => (serve, 2),
        Some(("check", check)) => (check, 2),
        None => (&matches, 1),
        Some(_) => return Cli::from_arg_matches(&matches).map_err(refuse),
    };
    let named = set.get_one::<PathBuf>("config").map(PathBuf::as_path);
    let found = || Some(Path::new(OPTIONS)).filter(|file| file.is_file());
    if let Some(file) = named
        .or_else(found)
        .filter(|file| *file != Path::new("none"))
    {
        let mut more = file::arguments(file, &options, set)?;
        if named.is_none() && set.try_contains_id("port").is_ok() {
            more.push(format!("--config={OPTIONS}").into());
        }
        arguments.splice(place..place, more);
        matches = command.try_get_matches_from(arguments).map_err(refuse)?;
    }
    Cli::from_arg_matches(&matches).map_err(refuse)
}
