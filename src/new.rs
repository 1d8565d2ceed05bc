//! `patchcord new` and `patchcord preset`

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::{Args, builder::PossibleValuesParser};

use super::report;
use crate::preset::{PRESETS, Preset};
use patchcord::host::Host;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  patchcord new my-chat                   a chat, in the folder `my-chat`
  patchcord new board --preset whiteboard")]
pub(super) struct NewOptions {
    /// Folder to write; it is created, and may exist if it is empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Script to begin with; `patchcord preset` lists them
    #[arg(long, value_name = "NAME", default_value = "chat", value_parser = names())]
    preset: String,
}

/// Returns the names of presets as the possible values of an option.
pub(super) fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(PRESETS.map(|preset| preset.name))
}

/// Returns the preset that an option names.
pub(super) fn preset(name: &str) -> anyhow::Result<Preset> {
    Preset::named(name).with_context(|| format!("there is no preset `{name}`"))
}

/// Writes a folder that `patchcord` can serve as it is.
pub(super) fn run(options: &NewOptions) -> anyhow::Result<ExitCode> {
    let (folder, preset) = (&options.folder, preset(&options.preset)?);
    let shown = folder.display();
    let is_used = fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if is_used || folder.is_file() {
        bail!("`{shown}` exists, and nothing is overwritten");
    }
    let mut files = preset.files();
    files.push((
        "types/patchcord.d.rhai",
        Host::builder().build().definitions(),
    ));
    for (name, text) in files {
        write(&folder.join(name), &text)?;
    }
    report::output(&format!(
        "{shown}: {} as `scripts/main.rhai`\n\n    cd {shown}\n    patchcord serve",
        preset.name
    ));
    Ok(ExitCode::SUCCESS)
}

/// Writes a file, and creates its folder.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || format!("`{}` cannot be written", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(failed)?;
    }
    fs::write(path, text).with_context(failed)
}

/// Lists the presets.
pub(super) fn list() -> ExitCode {
    for preset in PRESETS {
        report::output(&format!("{:<12}{}", preset.name, preset.about()));
    }
    report::output(
        "\n`patchcord serve --preset NAME` runs one, `patchcord new DIR --preset NAME` begins with one",
    );
    ExitCode::SUCCESS
}
