//! `patchcord types`

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{new, report};
use patchcord::host::Host;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchcord types                         writes types/patchcord.d.rhai
  patchcord types editor                  into the folder `editor`
  patchcord types -                       to the standard output")]
pub(super) struct TypesOptions {
    /// Folder to write `patchcord.d.rhai` into, or `-` for the standard output
    #[arg(value_name = "PATH", default_value = "types")]
    path: PathBuf,
}

/// Writes the definitions for editors.
pub(super) fn run(options: &TypesOptions) -> anyhow::Result<ExitCode> {
    let text = Host::builder().build().definitions();
    if options.path.as_os_str() == "-" {
        report::output(text.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    let file = options.path.join("patchcord.d.rhai");
    new::write(&file, &text)?;
    report::output(&format!("{} written", file.display()));
    Ok(ExitCode::SUCCESS)
}
