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

fn key(fields: &DeTable<'_>) -> Result<ApiKey, FieldError> {
    let wrong = |start: usize, text: String| (Some(start), anyhow!(text));
    if let Some((word, _)) = fields
        .iter()
        .find(|(word, _)| !FIELDS.contains(&&**word.get_ref()))
    {
        let known = FIELDS.join("`, `");
        let text = format!("unknown field `{}`; there are `{known}`", word.get_ref());
        return Err(wrong(word.span().start, text));
    }
    let text = |field: &str| match fields.get(field) {
        None => Ok(None),
        Some(value) => match value.get_ref().as_str() {
            Some(text) => Ok(Some((text, value.span().start))),
            None => Err(wrong(
                value.span().start,
                format!("`{field}` is not a string"),
            )),
        },
    };
    let Some((name, named)) = text("name")? else {
        return Err((None, anyhow!("a key has no `name`")));
    };
    let made = match (text("key")?, text("sha256")?) {
        (Some((key, place)), None) => (ApiKey::new(name, key), place),
        (None, Some((digits, place))) => (ApiKey::from_sha256(name, digits), place),
        _ => {
            let text = format!("the key `{name}` has not exactly one of `key` and `sha256`");
            return Err(wrong(named, text));
        }
    };
    let mut key = made.0.map_err(|error| (Some(made.1), error.into()))?;
    let list = |field: &str| -> Result<Option<Vec<(&str, usize)>>, FieldError> {
        let Some(value) = fields.get(field) else {
            return Ok(None);
        };
        let strings = value.get_ref().as_array().and_then(|all| {
            let all = all.iter();
            all.map(|one| Some((one.get_ref().as_str()?, one.span().start)))
                .collect()
        });
        let strings: Option<Vec<_>> = strings;
        let strings = strings.filter(|all| !all.is_empty());
        let text = format!("`{field}` is not a list of strings with at least one");
        strings
            .map(Some)
            .ok_or_else(|| wrong(value.span().start, text))
    };
    if let Some(namespaces) = list("namespaces")? {
        if let Some((path, place)) = namespaces.iter().find(|(path, _)| !path.starts_with('/')) {
            return Err(wrong(
                *place,
                format!("the namespace `{path}` does not begin with `/`"),
            ));
        }
        let paths = namespaces.into_iter().map(|(path, _)| path.to_owned());
        key.namespaces = Some(paths.collect());
    }
    if let Some(operations) = list("operations")? {
        let operations = operations.into_iter().map(|(word, place)| {
            Operation::named(word).ok_or_else(|| {
                let known = Operation::ALL.map(Operation::name).join("`, `");
                wrong(
                    place,
                    format!("there is no operation `{word}`; there are `{known}`"),
                )
            })
        });
        key.operations = Some(operations.collect::<Result<_, _>>()?);
    }
    if let Some(value) = fields.get("max-requests-per-second") {
        let number = value.get_ref().as_integer();
        let number =
            number.and_then(|number| usize::from_str_radix(number.as_str(), number.radix()).ok());
        let number = number.filter(|number| *number > 0).ok_or_else(|| {
            let text = "`max-requests-per-second` is not a whole number, 1 or more".to_owned();
            wrong(value.span().start, text)
        })?;
        key.max_requests_per_second = number;
    }
    Ok(key)
}
