//! `patchcord completions` and `patchcord man`, generated from the flags.

use std::{io, path::PathBuf, process::ExitCode};

use clap::{Args, Command};
use clap_complete::{Shell, generate};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use super::{new, report};

/// Source of the pages, in their footer.
const SOURCE: &str = concat!("patchcord ", env!("CARGO_PKG_VERSION"));

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchcord completions bash > ~/.local/share/bash-completion/completions/patchcord
  patchcord completions zsh > \"${fpath[1]}/_patchcord\"
  patchcord completions fish > ~/.config/fish/completions/patchcord.fish
  patchcord completions powershell >> $PROFILE")]
pub(super) struct CompletionsOptions {
    /// Shell to write completions for
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchcord man | man -l -                the page of `patchcord`, as a page
  patchcord man ~/.local/share/man/man1   a page for each command")]
pub(super) struct ManOptions {
    /// Folder to write a page for each command into; by default, the page of `patchcord` is written to the standard
    /// output
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Writes the completions of `command` for a shell.
pub(super) fn completions(options: &CompletionsOptions, mut command: Command) -> ExitCode {
    let mut text = Vec::new();
    generate(options.shell, &mut command, "patchcord", &mut text);
    report::output(String::from_utf8_lossy(&text).trim_end());
    ExitCode::SUCCESS
}

/// Writes the manual of `command`.
pub(super) fn man(options: &ManOptions, command: Command) -> anyhow::Result<ExitCode> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let Some(folder) = &options.folder else {
        report::output(page(&command)?.1.trim_end());
        return Ok(ExitCode::SUCCESS);
    };
    for command in std::iter::once(&command).chain(command.get_subcommands()) {
        let (name, text) = page(command)?;
        let file = folder.join(name);
        new::write(&file, &text)?;
        report::output(&format!("{} written", file.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the file name of a command's page, and its text.
fn page(command: &Command) -> io::Result<(String, String)> {
    let man = Man::new(command.clone()).source(SOURCE);
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    more(command).to_writer(&mut text)?;
    Ok((
        man.get_filename(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

/// Returns the text that follows the options in `--help`, as sections of a page.
fn more(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let help = command.get_after_help().map(ToString::to_string);
    let help = help.unwrap_or_default();
    let (examples, codes) = match help.split_once("\n\nExit codes: ") {
        Some((examples, codes)) => (examples, Some(codes)),
        None => (help.as_str(), None),
    };
    // `nf` turns off filling, so that each example keeps its line.
    roff.control("SH", ["EXAMPLES"]).control("nf", []);
    for line in examples.lines().filter(|line| *line != "Examples:") {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    if let Some(codes) = codes {
        roff.control("SH", ["EXIT STATUS"]).text([roman(codes)]);
    }
    roff
}
