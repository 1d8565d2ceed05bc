//! Databases that scripts may use with `db`.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use serde::{Deserialize, Serialize};

#[cfg(feature = "sql")]
use super::postgres_url::PostgresServer;
use crate::script::{InvalidOption, option_value};

/// Maximum size of a file with a URL, in bytes.
const MAX_FILE: u64 = 64 << 10;
/// Maximum length of the name of a database, in bytes.
const MAX_NAME: usize = 64;

/// Databases of scripts, and the limits of each call. By default, there is no database.
///
/// A database is usable once [`PermissionOptions::allow_db`](super::PermissionOptions::allow_db) names it too.
///
/// ```
/// use patchcord::Options;
///
/// let mut options = Options::default();
/// options.databases.urls = vec!["main=sqlite:chat.db".parse()?];
/// options.permissions.allow_db = vec!["main".to_owned()];
/// # Ok::<(), patchcord::host::BadDatabaseUrl>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct DatabaseOptions {
    /// Databases, each with its name. By default none.
    pub urls: Vec<DatabaseUrl>,
    /// Maximum number of connections to each database. They are opened when they are needed. By default 8.
    pub pool: usize,
    /// Maximum time of a call, including the wait for a connection. By default 5 seconds.
    #[serde(with = "option_value::time")]
    pub timeout: Duration,
    /// Maximum number of rows of a result. By default 1,000.
    pub max_rows: usize,
    /// Maximum size of a result in bytes. By default 4 MiB.
    pub max_bytes: usize,
}

impl Default for DatabaseOptions {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            pool: 8,
            timeout: Duration::from_secs(5),
            max_rows: 1_000,
            max_bytes: 4 << 20,
        }
    }
}

impl DatabaseOptions {
    pub(super) fn validate(&self) -> Result<(), InvalidOption> {
        InvalidOption::check_times(&[("databases.timeout", self.timeout)])?;
        InvalidOption::check_numbers(&[
            ("databases.pool", self.pool),
            ("databases.max_rows", self.max_rows),
            ("databases.max_bytes", self.max_bytes),
        ])?;
        let invalid = |reason| InvalidOption::new("databases.urls", reason);
        if !self.urls.is_empty() && !cfg!(feature = "sql") {
            let reason = "this build has no databases: build it with the feature `sql`";
            return Err(invalid(reason.to_owned()));
        }
        for (index, url) in self.urls.iter().enumerate() {
            let name = &url.name;
            if self
                .urls
                .iter()
                .take(index)
                .any(|other| other.name == *name)
            {
                return Err(invalid(format!("two databases have the name `{name}`")));
            }
            url.location()
                .and_then(|location| location.validate())
                .map_err(|reason| invalid(format!("`{name}`: {reason}")))?;
        }
        Ok(())
    }
}

/// Name and URL of a database. It is parsed from text:
///
/// | text | database |
/// |---|---|
/// | `main=sqlite:chat.db` | the file `chat.db`, which is created if it does not exist; its folder must exist |
/// | `main=sqlite::memory:` | a database in memory, which is empty at the start |
/// | `main=postgres://user:password@localhost/chat` | a database of a PostgreSQL server |
/// | `main=@/run/secrets/database` | the database whose URL is in a file |
///
/// Only the conversion to `String` contains the password; the formats `Display` and `Debug` do not.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatabaseUrl {
    name: Arc<str>,
    url: Url,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Url {
    Here(String),
    File(PathBuf),
}

/// Error for a text that is not a [`DatabaseUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected the name and the URL of a database, such as `main=sqlite:FILE`, `main=postgres://USER@HOST/NAME` or \
     `main=@FILE` with the URL in a file"
)]
#[non_exhaustive]
pub struct BadDatabaseUrl;

/// Place of a database.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::host) enum Location {
    /// Database in memory.
    Memory,
    /// File of SQLite.
    File(PathBuf),
    /// URL of a PostgreSQL server, with the password.
    Postgres(String),
}

impl Location {
    fn new(url: &str) -> Option<Self> {
        let is_postgres = url.starts_with("postgres://") || url.starts_with("postgresql://");
        match url.strip_prefix("sqlite:") {
            Some(":memory:") => Some(Self::Memory),
            Some("") => None,
            Some(file) => Some(Self::File(file.strip_prefix("//").unwrap_or(file).into())),
            None => is_postgres.then(|| Self::Postgres(url.to_owned())),
        }
    }

    fn validate(&self) -> Result<(), String> {
        match self {
            Self::Memory => Ok(()),
            Self::File(file) => {
                let folder = file.parent().filter(|folder| *folder != Path::new(""));
                match folder {
                    Some(folder) if !folder.is_dir() => {
                        Err(format!("there is no folder `{}`", folder.display()))
                    }
                    _ => Ok(()),
                }
            }
            #[cfg(feature = "sql")]
            Self::Postgres(url) => PostgresServer::new(url).and_then(|server| server.validate()),
            #[cfg(not(feature = "sql"))]
            Self::Postgres(_) => Ok(()),
        }
    }
}

impl DatabaseUrl {
    /// Returns the name of the database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the place of the database, which may be in a file.
    pub(in crate::host) fn location(&self) -> Result<Location, String> {
        let (text, of) = match &self.url {
            Url::Here(text) => (text.clone(), String::new()),
            Url::File(file) => {
                let shown = file.display();
                let problem = |error| format!("cannot read `{shown}`: {error}");
                if fs::metadata(file).map_err(problem)?.len() > MAX_FILE {
                    return Err(format!("`{shown}` is larger than {MAX_FILE} bytes"));
                }
                let text = fs::read_to_string(file).map_err(problem)?;
                (text.trim().to_owned(), format!("`{shown}`: "))
            }
        };
        Location::new(&text).ok_or_else(|| {
            format!("{of}expected a URL such as `sqlite:FILE` or `postgres://USER@HOST/NAME`")
        })
    }
}

fn is_name(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    !text.is_empty() && text.len() <= MAX_NAME && text.chars().all(is_letter)
}

impl FromStr for DatabaseUrl {
    type Err = BadDatabaseUrl;

    fn from_str(text: &str) -> Result<Self, BadDatabaseUrl> {
        let (name, url) = text.split_once('=').ok_or(BadDatabaseUrl)?;
        let url = match url.strip_prefix('@') {
            Some("") => return Err(BadDatabaseUrl),
            Some(file) => Url::File(file.into()),
            None if Location::new(url).is_none() => return Err(BadDatabaseUrl),
            None => Url::Here(url.to_owned()),
        };
        let name = Some(name).filter(|name| is_name(name));
        let name = name.ok_or(BadDatabaseUrl)?.into();
        Ok(Self { name, url })
    }
}

impl TryFrom<String> for DatabaseUrl {
    type Error = BadDatabaseUrl;

    fn try_from(text: String) -> Result<Self, BadDatabaseUrl> {
        text.parse()
    }
}

impl From<DatabaseUrl> for String {
    /// Returns the text that the URL was parsed from, including the password.
    fn from(url: DatabaseUrl) -> Self {
        match &url.url {
            Url::Here(text) => format!("{}={text}", url.name),
            Url::File(_) => url.to_string(),
        }
    }
}

/// Shows the name and the kind of the database, without the user, the password and the host.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.url {
            Url::File(file) => write!(f, "{name}=@{}", file.display()),
            Url::Here(url) if url.starts_with("sqlite:") => write!(f, "{name}={url}"),
            Url::Here(_) => write!(f, "{name}=postgres://..."),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}
