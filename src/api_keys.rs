//! File of the keys of the HTTP API, in TOML.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::{Context, anyhow, bail};
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use patchcord::server::{ApiKey, ApiKeys, Operation};

/// Keys of a table `[[key]]`.
const FIELDS: [&str; 6] = [
    "name",
    "key",
    "sha256",
    "namespaces",
    "operations",
    "max-requests-per-second",
];
/// Permissions with which other users can read a file, or change it.
const FOR_OTHERS: u32 = 0o066;

/// File of keys, and the keys in it.
#[derive(Debug)]
pub(super) struct KeysFile<'a> {
    path: &'a Path,
    keys: ApiKeys,
}

impl<'a> KeysFile<'a> {
    /// Reads a file of keys.
    pub(super) fn open(path: &'a Path) -> anyhow::Result<Self> {
        let keys = read(path)?;
        let keys = ApiKeys::new(keys).with_context(|| path.display().to_string())?;
        Ok(Self { path, keys })
    }

    /// Returns the keys, which [`KeysFile::reload`] replaces.
    pub(super) fn keys(&self) -> ApiKeys {
        self.keys.clone()
    }

    /// Reads the file again. If that fails, the keys stay as they were.
    pub(super) fn reload(&self) -> anyhow::Result<()> {
        let replaced = self.keys.replace(read(self.path)?);
        replaced.with_context(|| self.path.display().to_string())
    }

    /// Returns a warning if other users of the machine can read the file, or change it.
    pub(super) fn warning(&self) -> Option<String> {
        let mode = fs::metadata(self.path).ok()?.permissions().mode();
        let path = self.path.display();
        (mode & FOR_OTHERS != 0).then(|| {
            format!("other users of this machine can read or change the API keys in `{path}`: `chmod 600` helps")
        })
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<ApiKey>> {
    let name = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{name}`"))?;
    let line = |start: usize| 1 + text.bytes().take(start).filter(|b| *b == b'\n').count();
    let table = DeTable::parse(&text).map_err(|error| {
        let at = line(error.span().unwrap_or_default().start);
        // The message of the parser may show a part of a key, but the place is enough.
        anyhow!("{name}:{at}: not TOML")
    })?;
    let mut keys = Vec::new();
    for (word, value) in table.get_ref() {
        let at = |start: usize| format!("{name}:{}", line(start));
        if word.get_ref() != "key" {
            bail!(
                "{}: unknown key `{}`; each API key is a table `[[key]]`",
                at(word.span().start),
                word.get_ref()
            );
        }
        for one in tables(value).with_context(|| at(word.span().start))? {
            let fields = one.get_ref().as_table();
            let fields = fields
                .with_context(|| format!("{}: `key` is not a table", at(one.span().start)))?;
            keys.push(
                key(fields).map_err(|(start, error)| {
                    error.context(at(start.unwrap_or(one.span().start)))
                })?,
            );
        }
    }
    Ok(keys)
}

fn tables<'a, 'b>(value: &'a Spanned<DeValue<'b>>) -> anyhow::Result<&'a DeArray<'b>> {
    let array = value.get_ref().as_array();
    array.context("each API key is a table `[[key]]`")
}

/// Error, and the place of the field that it is about.
type FieldError = (Option<usize>, anyhow::Error);

fn wrong(start: usize, text: String) -> FieldError {
    (Some(start), anyhow!(text))
}

/// Returns the key of a table.
fn key(fields: &DeTable<'_>) -> Result<ApiKey, FieldError> {
    let mut words = fields.iter().map(|(word, _)| word);
    if let Some(word) = words.find(|word| !FIELDS.contains(&&**word.get_ref())) {
        let known = FIELDS.join("`, `");
        let text = format!("unknown field `{}`; there are `{known}`", word.get_ref());
        return Err(wrong(word.span().start, text));
    }
    let mut key = named_key(fields)?;
    if let Some(namespaces) = list(fields, "namespaces")? {
        if let Some((path, place)) = namespaces.iter().find(|(path, _)| !path.starts_with('/')) {
            let text = format!("the namespace `{path}` does not begin with `/`");
            return Err(wrong(*place, text));
        }
        let paths = namespaces.into_iter().map(|(path, _)| path.to_owned());
        key.namespaces = Some(paths.collect());
    }
    if let Some(operations) = list(fields, "operations")? {
        let operations = operations.into_iter().map(operation);
        key.operations = Some(operations.collect::<Result<_, _>>()?);
    }
    if let Some(rate) = rate(fields)? {
        key.max_requests_per_second = rate;
    }
    Ok(key)
}

/// Returns the key of a table, without its scopes.
fn named_key(fields: &DeTable<'_>) -> Result<ApiKey, FieldError> {
    let Some((name, place)) = text(fields, "name")? else {
        return Err((None, anyhow!("a key has no `name`")));
    };
    let (made, place) = match (text(fields, "key")?, text(fields, "sha256")?) {
        (Some((key, place)), None) => (ApiKey::new(name, key), place),
        (None, Some((digits, place))) => (ApiKey::from_sha256(name, digits), place),
        _ => {
            let text = format!("the key `{name}` has not exactly one of `key` and `sha256`");
            return Err(wrong(place, text));
        }
    };
    made.map_err(|error| (Some(place), error.into()))
}

/// Returns a string of a table, and its place.
fn text<'a>(fields: &'a DeTable<'_>, field: &str) -> Result<Option<(&'a str, usize)>, FieldError> {
    let Some(value) = fields.get(field) else {
        return Ok(None);
    };
    let start = value.span().start;
    match value.get_ref().as_str() {
        Some(text) => Ok(Some((text, start))),
        None => Err(wrong(start, format!("`{field}` is not a string"))),
    }
}

/// Returns the strings of a list in a table, and their places.
fn list<'a>(
    fields: &'a DeTable<'_>,
    field: &str,
) -> Result<Option<Vec<(&'a str, usize)>>, FieldError> {
    let Some(value) = fields.get(field) else {
        return Ok(None);
    };
    let strings: Option<Vec<_>> = value.get_ref().as_array().and_then(|all| {
        let strings = all.iter();
        let strings = strings.map(|one| Some((one.get_ref().as_str()?, one.span().start)));
        strings.collect()
    });
    let strings = strings.filter(|all| !all.is_empty()).ok_or_else(|| {
        let text = format!("`{field}` is not a list of strings with at least one");
        wrong(value.span().start, text)
    })?;
    Ok(Some(strings))
}

fn operation((word, place): (&str, usize)) -> Result<Operation, FieldError> {
    Operation::named(word).ok_or_else(|| {
        let known = Operation::ALL.map(Operation::name).join("`, `");
        let text = format!("there is no operation `{word}`; there are `{known}`");
        wrong(place, text)
    })
}

fn rate(fields: &DeTable<'_>) -> Result<Option<usize>, FieldError> {
    let Some(value) = fields.get("max-requests-per-second") else {
        return Ok(None);
    };
    let number = value.get_ref().as_integer();
    let number =
        number.and_then(|number| usize::from_str_radix(number.as_str(), number.radix()).ok());
    let number = number.filter(|number| *number > 0).ok_or_else(|| {
        let text = "`max-requests-per-second` is not a whole number, 1 or more".to_owned();
        wrong(value.span().start, text)
    })?;
    Ok(Some(number))
}
