//! Key of the HTTP API: who may do what, and how often.

use std::fmt;

use sha2::{Digest, Sha256};

use super::{operation::Operation, pattern};
use crate::diagnostic::is_hidden;

/// Maximum number of keys. Each request is compared with all of them.
pub(super) const MAX_KEYS: usize = 1_000;
/// Maximum length of the name of a key, in bytes.
const MAX_NAME: usize = 64;
/// Minimum length of a key, in bytes. Shorter ones could be guessed.
const MIN_KEY: usize = 16;
/// Maximum number of requests per second, if a key sets none.
const DEFAULT_RATE: usize = 100;

/// Key of the HTTP API, with its scopes. Only the hash of the key is kept.
///
/// ```
/// use patchcord::server::{ApiKey, ApiKeys, Operation};
///
/// let mut key = ApiKey::new("orders", "c2VjcmV0IG9mIG9yZGVycw")?;
/// key.namespaces = Some(vec!["/orders".to_owned(), "/room/*".to_owned()]);
/// key.operations = Some(vec![Operation::Emit, Operation::Count]);
/// let keys = ApiKeys::new([key])?;
/// # Ok::<(), patchcord::server::BadApiKey>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiKey {
    name: String,
    pub(super) digest: [u8; 32],
    /// Namespaces that the key may use; `None` means all. In a path, `*` stands for one or more characters other than
    /// `/`, as in `/room/*`.
    pub namespaces: Option<Vec<String>>,
    /// Operations that the key may use; `None` means all.
    pub operations: Option<Vec<Operation>>,
    /// Maximum number of requests per second; 100 by default. Each element of a batch counts.
    pub max_requests_per_second: usize,
}

/// Reason why an API key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadApiKey {
    /// The name is empty, too long, or has control characters.
    #[error("the name of a key has 1 to {MAX_NAME} bytes, and no control characters")]
    Name,
    /// The key could be guessed.
    #[error(
        "the key `{0}` is shorter than {MIN_KEY} bytes: `openssl rand -hex 32` makes a good one"
    )]
    TooShort(String),
    /// The key has characters that an HTTP header cannot carry.
    #[error("the key `{0}` has other characters than the visible ones of ASCII")]
    Characters(String),
    /// The hash of the key is not SHA-256 in hexadecimal digits.
    #[error("`sha256` of the key `{0}` is not 64 hexadecimal digits")]
    Digest(String),
    /// A namespace of the key is not a path.
    #[error("the namespace `{namespace}` of the key `{key}` does not begin with `/`")]
    Namespace {
        /// Name of the key.
        key: String,
        /// The namespace.
        namespace: String,
    },
    /// The key may make no requests.
    #[error("`max-requests-per-second` of the key `{0}` is 0")]
    Rate(String),
    /// Two keys have the same name, or are the same.
    #[error("two keys have the name `{0}`, or are the same")]
    Twice(String),
    /// There is no key.
    #[error("there is no key")]
    Empty,
    /// There are too many keys.
    #[error("there are more than {MAX_KEYS} keys")]
    TooMany,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("name", &self.name)
            .field("namespaces", &self.namespaces)
            .field("operations", &self.operations)
            .field("max_requests_per_second", &self.max_requests_per_second)
            .finish_non_exhaustive()
    }
}

impl ApiKey {
    /// Creates a key that may use everything. `name` is shown in logs, and to scripts as `request.key`.
    ///
    /// # Errors
    /// Returns [`BadApiKey`] if the key is too short, or if the key or its name has characters that it cannot have.
    pub fn new(name: impl Into<String>, key: &str) -> Result<Self, BadApiKey> {
        let name = name.into();
        if key.len() < MIN_KEY {
            return Err(BadApiKey::TooShort(name));
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadApiKey::Characters(name));
        }
        Self::of_digest(name, digest(key.as_bytes()))
    }

    /// Creates a key that may use everything, from the SHA-256 of the key in hexadecimal digits, as
    /// `printf %s "$KEY" | sha256sum` prints it.
    ///
    /// # Errors
    /// Returns [`BadApiKey`] if the text is not such a hash, or if the name has characters that it cannot have.
    pub fn from_sha256(name: impl Into<String>, digits: &str) -> Result<Self, BadApiKey> {
        let name = name.into();
        let digest = data_encoding::HEXLOWER_PERMISSIVE.decode(digits.as_bytes());
        let digest = digest.ok().and_then(|digest| digest.try_into().ok());
        match digest {
            Some(digest) => Self::of_digest(name, digest),
            None => Err(BadApiKey::Digest(name)),
        }
    }

    fn of_digest(name: String, digest: [u8; 32]) -> Result<Self, BadApiKey> {
        if name.is_empty() || name.len() > MAX_NAME || name.contains(is_hidden) {
            return Err(BadApiKey::Name);
        }
        Ok(Self {
            name,
            digest,
            namespaces: None,
            operations: None,
            max_requests_per_second: DEFAULT_RATE,
        })
    }

    /// Returns the name of the key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns `true` if the key may use an operation.
    pub(super) fn allows(&self, operation: Operation) -> bool {
        let operations = self.operations.as_ref();
        operations.is_none_or(|operations| operations.contains(&operation))
    }

    /// Returns `true` if the key may use a namespace.
    pub(super) fn allows_namespace(&self, path: &str) -> bool {
        let namespaces = self.namespaces.as_ref();
        namespaces.is_none_or(|all| all.iter().any(|one| pattern::matches(one, path)))
    }

    /// Checks the scopes.
    ///
    /// # Errors
    /// Returns the first problem.
    pub(super) fn check(&self) -> Result<(), BadApiKey> {
        let mut namespaces = self.namespaces.iter().flatten();
        if let Some(namespace) = namespaces.find(|path| !path.starts_with('/')) {
            return Err(BadApiKey::Namespace {
                key: self.name.clone(),
                namespace: namespace.clone(),
            });
        }
        match self.max_requests_per_second {
            0 => Err(BadApiKey::Rate(self.name.clone())),
            _ => Ok(()),
        }
    }
}

/// Returns the SHA-256 of a key.
pub(super) fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}
