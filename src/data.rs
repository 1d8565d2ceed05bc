//! `patchcord data`

use std::{
    io::{BufRead, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::exit::PROBLEMS;
use patchcord::store::{Record, RedbStore, Store, StoreChange};

/// Number of keys that `restore` writes at once.
const BATCH: usize = 1_000;

#[derive(Debug, Args)]
pub(super) struct StoreFileOptions {
    /// File of `patchcord serve --data`
    file: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the keys with their namespaces
    List {
        /// Only of this namespace, such as `/chat`
        namespace: Option<String>,
    },
    /// Print the value of a key as JSON
    Get {
        /// Namespace, such as `/`
        namespace: String,
        /// Key in `io.data`
        key: String,
    },
    /// Set a key to a value
    Set {
        /// Namespace, such as `/`
        namespace: String,
        /// Key in `io.data`
        key: String,
        /// Value as JSON, such as `42` or `"text"`
        value: String,
    },
    /// Remove a key
    Remove {
        /// Namespace, such as `/`
        namespace: String,
        /// Key in `io.data`
        key: String,
    },
    /// Print everything, one JSON object per line
    Dump,
    /// Read what `dump` has printed from standard input, and set its keys
    Restore,
}

/// Line of a dump.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    namespace: String,
    key: String,
    value: Value,
    /// Time at which the key expires, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<i64>,
}

/// Runs the command.
pub(super) fn run(options: &StoreFileOptions) -> anyhow::Result<ExitCode> {
    let file = options.file.display();
    let store = match &options.action {
        Action::Restore | Action::Set { .. } => RedbStore::open(&options.file),
        _ => RedbStore::open_existing(&options.file),
    };
    let store = store.with_context(|| format!("`{file}` cannot be opened"))?;
    act(&store, &options.action).with_context(|| format!("`{file}`"))
}

fn act(store: &RedbStore, action: &Action) -> anyhow::Result<ExitCode> {
    match action {
        Action::List { namespace } => list(store, namespace.as_deref())?,
        Action::Get { namespace, key } => {
            let Some(line) = lines(store)?.find(|line| is(line, namespace, key)) else {
                return Ok(ExitCode::from(PROBLEMS));
            };
            print(&line?.value)?;
        }
        Action::Set {
            namespace,
            key,
            value,
        } => {
            let value = serde_json::from_str(value).with_context(|| {
                format!("`{value}` is not JSON; a text has quotes: `'\"text\"'`")
            })?;
            let line = Line {
                namespace: namespace.clone(),
                key: key.clone(),
                value,
                expires: None,
            };
            store.write(&[change(line)?])?;
        }
        Action::Remove { namespace, key } => {
            if !lines(store)?.any(|line| is(&line, namespace, key)) {
                return Ok(ExitCode::from(PROBLEMS));
            }
            store.write(&[StoreChange::new(namespace.as_str(), key.as_str(), None)])?;
        }
        Action::Dump => lines(store)?.try_for_each(|line| print(&serde_json::to_value(line?)?))?,
        Action::Restore => restore(store)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn is(line: &anyhow::Result<Line>, namespace: &str, key: &str) -> bool {
    let line = line.as_ref();
    line.is_ok_and(|line| line.namespace == namespace && line.key == key)
}

/// Returns all keys with their values.
fn lines(store: &RedbStore) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Line>>> {
    let read = |change: StoreChange| {
        let record = Record::decode(&change.record.unwrap_or_default());
        let record = record.with_context(|| format!("`{}` of {}", change.key, change.namespace))?;
        Ok(Line {
            namespace: change.namespace.to_string(),
            key: change.key.to_string(),
            value: record.to_json(),
            expires: record.deadline,
        })
    };
    Ok(store.all()?.into_iter().map(read))
}

fn list(store: &RedbStore, namespace: Option<&str>) -> anyhow::Result<()> {
    for change in store.all()? {
        if namespace.is_none_or(|only| only == &*change.namespace) {
            let size = change.record.map_or(0, |record| record.len());
            write(&format!(
                "{}\t{}\t{size} bytes",
                change.namespace, change.key
            ))?;
        }
    }
    Ok(())
}

fn restore(store: &RedbStore) -> anyhow::Result<()> {
    let mut changes = Vec::new();
    for (index, line) in std::io::stdin().lock().lines().enumerate() {
        let number = index + 1;
        let line: Line = serde_json::from_str(&line?)
            .with_context(|| format!("line {number} of the input is no line of `dump`"))?;
        changes.push(change(line).with_context(|| format!("line {number} of the input"))?);
        if changes.len() == BATCH {
            store.write(&std::mem::take(&mut changes))?;
        }
    }
    store.write(&changes)?;
    Ok(())
}

fn change(line: Line) -> anyhow::Result<StoreChange> {
    let record = Record::from_json(line.value, line.expires).map_err(|error| anyhow!(error))?;
    Ok(StoreChange::new(line.namespace, line.key, Some(record)))
}

fn print(json: &Value) -> anyhow::Result<()> {
    write(&json.to_string())
}

fn write(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("standard output is closed")
}
