//! Permissions: what scripts may reach beyond their clients.

use std::{env, fmt, fs, path::PathBuf, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::NetRule;
use crate::script::InvalidOption;

/// Maximum size of a file with the value of a variable, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// Permissions of scripts. By default, scripts reach nothing but their clients.
///
/// ```
/// use patchcord::Options;
///
/// let mut options = Options::default();
/// options.permissions.allow_env = vec!["JWT_SECRET".parse()?, "APP_*".parse()?];
/// # Ok::<(), patchcord::host::BadEnvRule>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct PermissionOptions {
    /// Variables that scripts may read with `env`.
    pub allow_env: Vec<EnvRule>,
    /// Hosts that scripts may reach with `http`.
    pub allow_net: Vec<NetRule>,
    /// Names of the databases that scripts may use with `db`: see [`DatabaseOptions`](super::DatabaseOptions).
    pub allow_db: Vec<String>,
}

impl PermissionOptions {
    pub(super) fn validate(&self) -> Result<(), InvalidOption> {
        for rule in &self.allow_env {
            let read = rule.variables();
            read.map_err(|reason| InvalidOption::new("permissions.allow_env", reason))?;
        }
        if !self.allow_db.is_empty() && !cfg!(feature = "sql") {
            let reason = "this build has no databases: build it with the feature `sql`";
            return Err(InvalidOption::new("permissions.allow_db", reason));
        }
        Ok(())
    }
}

/// Variables that scripts may read with `env`. It is parsed from text:
///
/// | text | variables |
/// |---|---|
/// | `JWT_SECRET` | this variable of the environment |
/// | `APP_*` | all variables of the environment whose names begin with `APP_` |
/// | `JWT_SECRET=@/run/secrets/jwt` | `JWT_SECRET`, with the content of a file, without the line end of its last line |
/// | `API_URL=https://example.com` | `API_URL`, with this value |
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvRule(Rule);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Rule {
    Name(String),
    Prefix(String),
    File(String, PathBuf),
    Value(String, String),
}

/// Error for a text that is not an [`EnvRule`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected the name of a variable, such as `JWT_SECRET`, `APP_*`, `JWT_SECRET=@FILE` or `API_URL=VALUE`"
)]
#[non_exhaustive]
pub struct BadEnvRule;

/// Variable, with its value.
type Variable = (String, Arc<str>);

impl EnvRule {
    /// Returns `true` if the rule allows a variable.
    pub fn allows(&self, variable: &str) -> bool {
        match &self.0 {
            Rule::Prefix(prefix) => variable.starts_with(prefix.as_str()),
            Rule::Name(name) | Rule::File(name, _) | Rule::Value(name, _) => name == variable,
        }
    }

    /// Returns `true` if the rule names a variable that is not set.
    pub fn is_unset(&self) -> bool {
        matches!(&self.0, Rule::Name(name) if env::var_os(name).is_none())
    }

    /// Reads the variables that exist.
    pub(in crate::host) fn variables(&self) -> Result<Vec<Variable>, String> {
        let text = |name: &str, value: std::ffi::OsString| match value.into_string() {
            Ok(value) => Ok((name.to_owned(), value.into())),
            Err(_) => Err(format!("the variable `{name}` is not UTF-8")),
        };
        match &self.0 {
            Rule::Name(name) => {
                let value = env::var_os(name);
                value.into_iter().map(|value| text(name, value)).collect()
            }
            Rule::Prefix(prefix) => env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
                .filter(|(name, _)| name.starts_with(prefix.as_str()))
                .map(|(name, value)| text(&name, value))
                .collect(),
            Rule::File(name, file) => {
                let shown = file.display();
                let problem = |error| format!("cannot read `{shown}`: {error}");
                if fs::metadata(file).map_err(problem)?.len() > MAX_FILE {
                    return Err(format!("`{shown}` is larger than {MAX_FILE} bytes"));
                }
                let value = fs::read_to_string(file).map_err(problem)?;
                let value = value.strip_suffix('\n').unwrap_or(&value);
                let value = value.strip_suffix('\r').unwrap_or(value);
                Ok(vec![(name.clone(), value.into())])
            }
            Rule::Value(name, value) => Ok(vec![(name.clone(), value.as_str().into())]),
        }
    }
}

fn is_name(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !text.is_empty() && text.chars().all(is_letter)
}

impl FromStr for EnvRule {
    type Err = BadEnvRule;

    fn from_str(text: &str) -> Result<Self, BadEnvRule> {
        let rule = match (text.split_once('='), text.strip_suffix('*')) {
            (Some((name, value)), _) if is_name(name) => {
                let name = name.to_owned();
                match value.strip_prefix('@') {
                    Some("") => return Err(BadEnvRule),
                    Some(file) => Rule::File(name, file.into()),
                    None => Rule::Value(name, value.to_owned()),
                }
            }
            (None, Some(prefix)) if is_name(prefix) => Rule::Prefix(prefix.to_owned()),
            (None, None) if is_name(text) => Rule::Name(text.to_owned()),
            _ => return Err(BadEnvRule),
        };
        Ok(Self(rule))
    }
}

impl TryFrom<String> for EnvRule {
    type Error = BadEnvRule;

    fn try_from(text: String) -> Result<Self, BadEnvRule> {
        text.parse()
    }
}

impl From<EnvRule> for String {
    /// Returns the text that the rule was parsed from, including the value of a variable.
    fn from(rule: EnvRule) -> Self {
        match rule.0 {
            Rule::Value(name, value) => format!("{name}={value}"),
            _ => rule.to_string(),
        }
    }
}

/// Shows the rule without the value of a variable.
impl fmt::Display for EnvRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::Name(name) | Rule::Value(name, _) => f.write_str(name),
            Rule::Prefix(prefix) => write!(f, "{prefix}*"),
            Rule::File(name, file) => write!(f, "{name}=@{}", file.display()),
        }
    }
}

impl fmt::Debug for EnvRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnvRule({self})")
    }
}
