//! `patchcord ctl`
//!
//! Its commands are those of the table in `src/server/control/commands.rs`.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, anyhow, bail};
use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, Subcommand, ValueEnum,
    error::ErrorKind, value_parser,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    exit::{CANNOT_RUN, PROBLEMS},
    report, values,
};
use patchcord::server::control::{
    Request,
    arguments::{Argument, Form, Kind},
    commands::{self, COMMANDS},
    running, runtime_folder, token_file,
};

/// Format of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text for people.
    Text,
    /// One JSON document.
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchcord ctl preview                   what the files as they are now would change
  patchcord ctl versions                  what serves, since when, on how many connections
  patchcord ctl diff 6 7                  what version 7 has changed
  patchcord ctl rollback                  undoes the last save, in all namespaces
  patchcord ctl stage 10%                 the files as they are serve a tenth of the clients
  patchcord ctl rollback 12               the versions that batch 12 left serve again
  patchcord ctl inspect                   the sockets; `inspect SOCKET` shows the state of one
  patchcord ctl why \"chat message\"        why an event is heard, or is not
  patchcord ctl reset --all score         the variable `score` has its initial value again, on every connection
  patchcord ctl --format json reload      for programs

Exit codes: 0 done, 1 the server has refused it or it has failed, 2 the arguments are wrong or no server answers.")]
pub(super) struct CtlOptions {
    /// Control socket of the server, as in its `--control`. The default is that of the only server that this user runs:
    /// in $XDG_RUNTIME_DIR/patchcord, or in /tmp/patchcord-UID
    #[arg(long, value_name = "PATH", env = "PATCHCORD_CONTROL", global = true)]
    control: Option<PathBuf>,
    /// Control port of the server, as in its `--control-tcp`
    #[arg(long, value_name = "ADDRESS", value_parser = values::address, global = true)]
    control_tcp: Option<String>,
    /// File with the token of that port, if it is not the one in the runtime folder
    #[arg(long, value_name = "FILE", global = true)]
    token_file: Option<PathBuf>,
    /// Format of the answer: for people (`text`), or one JSON document (`json`)
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text, global = true)]
    format: Format,
    #[command(subcommand)]
    request: Option<CtlRequest>,
}

/// Command of the table, with its arguments.
#[derive(Debug)]
struct CtlRequest {
    command: &'static str,
    arguments: Map<String, Value>,
}

impl Subcommand for CtlRequest {
    fn augment_subcommands(command: Command) -> Command {
        let commands = COMMANDS.iter().map(|one| {
            let arguments = one.arguments.iter().map(argument);
            Command::new(one.name).about(one.about).args(arguments)
        });
        command.subcommand_required(true).subcommands(commands)
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        commands::find(name).is_some()
    }
}

impl FromArgMatches for CtlRequest {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let named = matches.subcommand();
        let found = named.and_then(|(name, matches)| Some((commands::find(name)?, matches)));
        let Some((command, matches)) = found else {
            return Err(Error::raw(
                ErrorKind::MissingSubcommand,
                "a command is needed",
            ));
        };
        let arguments = command.arguments.iter();
        let given = arguments.filter_map(|one| Some((one.name.to_owned(), given(one, matches)?)));
        Ok(Self {
            command: command.name,
            arguments: given.collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Returns an argument of the table as one of the command line.
fn argument(argument: &Argument) -> Arg {
    let arg = Arg::new(argument.name).help(argument.about);
    let arg = match argument.kind {
        Kind::Number => arg.value_parser(value_parser!(u64).range(1..)),
        Kind::Text => arg,
    };
    let arg = arg.value_name(argument.value);
    match argument.form {
        Form::Required => arg.required(true),
        Form::Optional => arg,
        Form::Many => arg.action(ArgAction::Append).num_args(0..),
        Form::Flag => arg.long(argument.name),
        Form::Switch => Arg::new(argument.name)
            .help(argument.about)
            .long(argument.name)
            .action(ArgAction::SetTrue),
    }
}

/// Returns the value of an argument, if it is given.
fn given(argument: &Argument, matches: &ArgMatches) -> Option<Value> {
    let name = argument.name;
    match (argument.form, argument.kind) {
        (Form::Switch, _) => matches.get_flag(name).then_some(Value::Bool(true)),
        (Form::Many, Kind::Number) => Some(matches.get_many::<u64>(name)?.copied().collect()),
        (Form::Many, Kind::Text) => Some(matches.get_many::<String>(name)?.cloned().collect()),
        (_, Kind::Number) => matches.get_one::<u64>(name).copied().map(Value::from),
        (_, Kind::Text) => matches.get_one::<String>(name).cloned().map(Value::from),
    }
}

/// Answer of the server.
#[derive(Debug, Deserialize)]
struct Answer {
    ok: bool,
    kind: Option<String>,
    error: Option<String>,
    hint: Option<String>,
    #[serde(default)]
    result: Value,
    #[serde(default)]
    text: String,
}

/// Sends a command to a server, and writes the answer.
pub(super) fn run(options: &CtlOptions) -> anyhow::Result<ExitCode> {
    let Some(wanted) = &options.request else {
        bail!("a command is needed; `patchcord ctl --help` lists them");
    };
    let mut request = Request {
        command: wanted.command.to_owned(),
        arguments: wanted.arguments.clone(),
        ..Request::default()
    };
    let answer = match &options.control_tcp {
        Some(address) => {
            request.token = Some(token(options, address)?);
            let stream = TcpStream::connect(address);
            ask(stream.with_context(|| nobody(address))?, &request)
        }
        None => ask_at(options.control.as_deref(), &request),
    };
    show(&answer?, options.format == Format::Json)
}

/// Sends a command to the server at a control socket, or to the only one that runs, and writes the answer.
pub(super) fn run_at(
    control: Option<&Path>,
    command: &str,
    arguments: Map<String, Value>,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let request = Request {
        command: command.to_owned(),
        arguments,
        ..Request::default()
    };
    show(&ask_at(control, &request)?, as_json)
}

fn ask_at(control: Option<&Path>, request: &Request) -> anyhow::Result<String> {
    let path = match control {
        Some(path) => path.to_owned(),
        None => only(&running())?,
    };
    let stream = UnixStream::connect(&path);
    ask(stream.with_context(|| nobody(path.display()))?, request)
}

/// Writes the answer of a server.
fn show(answer: &str, as_json: bool) -> anyhow::Result<ExitCode> {
    let answer: Answer = serde_json::from_str(answer).context("the answer cannot be read")?;
    match as_json {
        true if answer.ok || !answer.result.is_null() => report::document(&answer.result)?,
        false if !answer.text.is_empty() => report::lines(&answer.text),
        _ => {}
    }
    if answer.ok {
        return Ok(ExitCode::SUCCESS);
    }
    report::error(&anyhow!(answer.error.unwrap_or_default()));
    if let Some(hint) = answer.hint {
        report::hint(&hint);
    }
    let is_usage = answer.kind.as_deref() == Some("usage");
    Ok(ExitCode::from(if is_usage { CANNOT_RUN } else { PROBLEMS }))
}

fn nobody(place: impl std::fmt::Display) -> String {
    format!("no server answers at `{place}`")
}

/// Returns the socket of the only server that runs.
fn only(running: &[PathBuf]) -> anyhow::Result<PathBuf> {
    match running {
        [one] => Ok(one.clone()),
        [] => bail!(
            "no server of this user runs, or none has its control socket in `{}`; `--control PATH` names another one",
            runtime_folder().display()
        ),
        several => {
            let names: Vec<_> = several
                .iter()
                .map(|path| format!("`{}`", path.display()))
                .collect();
            bail!(
                "several servers run; choose one with `--control`: {}",
                names.join(", ")
            )
        }
    }
}

/// Returns the token of a port.
fn token(options: &CtlOptions, address: &str) -> anyhow::Result<String> {
    let port = address
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    let default = || token_file(port.unwrap_or_default());
    let path = options.token_file.clone().unwrap_or_else(default);
    let text =
        read(&path).with_context(|| format!("the token `{}` cannot be read", path.display()))?;
    Ok(text.trim().to_owned())
}

fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
}

/// Sends one line, and returns the one that comes back.
fn ask(stream: impl Read + Write, request: &Request) -> anyhow::Result<String> {
    exchange(stream, request).context("the server has not answered")
}

fn exchange(mut stream: impl Read + Write, request: &Request) -> anyhow::Result<String> {
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    match answer.is_empty() {
        true => bail!("the connection has ended"),
        false => Ok(answer),
    }
}
