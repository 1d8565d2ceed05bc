//! `patchcord check`

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::Map;

use super::{ctl, exit::PROBLEMS, options::PermissionFlags, report, test};
use patchcord::{
    diagnostic::{self, Diagnostic, Severity},
    host::{Host, Options},
    script::Folder,
    testing::Suite,
};

/// Format of the findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text for people.
    Text,
    /// One JSON array of diagnostics.
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchcord check                         the folder `scripts`
  patchcord check chat.rhai               one script
  patchcord check --format json           for editors and build servers
  patchcord check --live                  what a reload would do on the server that runs, and on its clients

Exit codes: 0 nothing is wrong, 1 there are errors (with --strict also warnings), 2 the check cannot run.")]
pub(super) struct CheckOptions {
    /// Folder of scripts, or one script [default: scripts]
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
    /// Ask the running server what a reload would do now: whether its live connections accept it, what follows the
    /// edit, and what is lost. With a PATH, only for the files there. Nothing is switched
    #[arg(long, conflicts_with = "strict")]
    live: bool,
    /// Control socket of that server, as in its `--control` [default: that of the only one]
    #[arg(long, value_name = "PATH", env = "PATCHCORD_CONTROL")]
    control: Option<PathBuf>,
    /// Format of the findings: for people (`text`), or one JSON array (`json`)
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Read the permissions of scripts from this TOML file of `patchcord serve`. The default is `patchcord.toml` in the
    /// current folder, if that file exists; `none` reads no file
    #[arg(long, value_name = "FILE", env = "PATCHCORD_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    permissions: PermissionFlags,
    /// Exit with code 1 for warnings too
    #[arg(long)]
    strict: bool,
}

/// Reports problems of the scripts.
pub(super) fn run(options: &CheckOptions) -> anyhow::Result<ExitCode> {
    if options.live {
        return live(options);
    }
    let path = options.path.as_deref().unwrap_or(Path::new("scripts"));
    options.permissions.check()?;
    let mut host = Options::default();
    host.permissions = options.permissions.for_host();
    host.validate()?;
    let (scripts, found) = check(path, host)?;
    if scripts == 0 {
        bail!("there is no script in `{}`", path.display());
    }
    let count = |severity| found.iter().filter(|d| d.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    match options.format {
        Format::Json => report::document(&found)?,
        Format::Text => text(&found, scripts, errors, warnings),
    }
    let failed = errors > 0 || options.strict && warnings > 0;
    Ok(match failed {
        true => ExitCode::from(PROBLEMS),
        false => ExitCode::SUCCESS,
    })
}

/// Asks the running server for a preview.
fn live(options: &CheckOptions) -> anyhow::Result<ExitCode> {
    let mut arguments = Map::new();
    if let Some(path) = &options.path {
        let found = path.canonicalize();
        let found = found.with_context(|| format!("`{}` cannot be read", path.display()))?;
        arguments.insert(
            "file".to_owned(),
            [found.to_string_lossy()].into_iter().collect(),
        );
    }
    let as_json = matches!(options.format, Format::Json);
    ctl::run_at(options.control.as_deref(), "preview", arguments, as_json)
}

/// Returns the number of scripts, and the problems of scripts and tests; tests have additional functions of their own.
fn check(path: &Path, options: Options) -> anyhow::Result<(usize, Vec<Diagnostic>)> {
    if let (folder, Some(file)) = test::place(path) {
        let mut found = findings(&Folder::new(folder))?;
        found.retain(|problem| {
            problem
                .place
                .as_ref()
                .is_some_and(|place| *place.file == *file)
        });
        return Ok((1, found));
    }
    let host = Host::builder().options(options).scripts(path).build();
    let mut found = host.check()?;
    if path.is_dir() {
        match findings(&Folder::new(path)) {
            // The file that cannot be read is already among the findings.
            Err(_) if !found.is_empty() => {}
            more => found.extend(more?),
        }
    }
    Ok((host.scripts()?.len(), diagnostic::in_order(found)))
}

/// Returns the problems of the tests in a folder.
fn findings(folder: &Folder) -> anyhow::Result<Vec<Diagnostic>> {
    let suite = Suite::load(folder, |_, _| true)?;
    Ok([suite.problems(), suite.warnings()].concat())
}

fn text(found: &[Diagnostic], scripts: usize, errors: usize, warnings: usize) {
    for diagnostic in found {
        report::finding(diagnostic);
    }
    let many = |count: usize, what: &str| match count {
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    };
    report::output(&format!(
        "{} checked: {}, {}",
        many(scripts, "script"),
        many(errors, "error"),
        many(warnings, "warning")
    ));
}
