//! Options from a TOML file, read as if its keys had been given as flags.

use std::{ffi::OsString, fs, path::Path};

use anyhow::{Context, anyhow, bail};
use clap::{Arg, ArgMatches, Command, parser::ValueSource};
use toml::de::{DeTable, DeValue};

use super::usage;

/// Flags that are not allowed as keys.
const FLAGS_ONLY: [&str; 5] = ["check-start", "config", "help", "no-watch", "version"];

/// Returns the arguments for the keys of a file. Checks every key, and omits those that a flag or the environment has
/// already set, and those that the command of `set` does not have.
pub(super) fn arguments(
    file: &Path,
    command: &Command,
    set: &ArgMatches,
) -> anyhow::Result<Vec<OsString>> {
    let name = file.display();
    let text = fs::read_to_string(file).with_context(|| format!("cannot read `{name}`"))?;
    let line = |start: usize| 1 + text.bytes().take(start).filter(|b| *b == b'\n').count();
    let table = DeTable::parse(&text).map_err(|e| {
        let at = line(e.span().unwrap_or_default().start);
        anyhow!("{name}:{at}: {}", e.message().replace('\n', ", "))
    })?;
    let mut arguments = Vec::new();
    for (key, value) in table.get_ref() {
        let at = line(key.span().start);
        let (id, given) = option(command, key.get_ref(), value.get_ref())
            .with_context(|| format!("{name}:{at}"))?;
        if set.try_contains_id(&id).is_err() {
            continue;
        }
        let by_default = set
            .value_source(&id)
            .is_none_or(|source| source == ValueSource::DefaultValue);
        if by_default {
            arguments.extend(given);
        }
    }
    Ok(arguments)
}

/// Returns the id of the option that a key names, and the arguments that set it to this value.
fn option(
    command: &Command,
    key: &str,
    value: &DeValue<'_>,
) -> anyhow::Result<(String, Vec<OsString>)> {
    let Some(option) = find(command, key) else {
        bail!("unknown key `{key}`; the keys are the names of the flags, which `--help` lists");
    };
    let values = match value {
        DeValue::Array(values) => values.iter().map(|v| plain(key, v.get_ref())).collect(),
        value => plain(key, value).map(|value| vec![value]),
    };
    let values = values?;
    let arguments: Vec<OsString> = values
        .iter()
        .map(|value| format!("--{key}={value}").into())
        .collect();
    command
        .clone()
        .no_binary_name(true)
        .try_get_matches_from(&arguments)
        .map_err(|error| anyhow!(usage::one_line(&error)))?;
    Ok((option.get_id().to_string(), arguments))
}

fn find<'a>(command: &'a Command, key: &str) -> Option<&'a Arg> {
    command
        .get_arguments()
        .find(|arg| arg.get_long() == Some(key) && !FLAGS_ONLY.contains(&key))
}

fn plain(key: &str, value: &DeValue<'_>) -> anyhow::Result<String> {
    Ok(match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .with_context(|| format!("`{key}` is too large"))?
            .to_string(),
        other => bail!(
            "`{key}` takes a text, a whole number, `true` or `false`, found a value of type {}",
            other.type_str()
        ),
    })
}
