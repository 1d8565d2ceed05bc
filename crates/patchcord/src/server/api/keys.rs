//! Keys of the HTTP API: who may do what, and how often.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tokio::time::Instant;

use super::{answers::Answers, operation::Operation, pattern};
use crate::{
    diagnostic::is_hidden,
    host::{Bucket, Refill},
};

/// Maximum number of keys. Each request is compared with all of them.
const MAX_KEYS: usize = 1_000;
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
    digest: [u8; 32],
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

    fn check(&self) -> Result<(), BadApiKey> {
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

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}

/// Keys of the HTTP API. A clone refers to the same keys, so [`ApiKeys::replace`] takes effect at once on a server that
/// has been started with them.
#[derive(Debug, Clone)]
pub struct ApiKeys(Arc<ArcSwap<Vec<Arc<Holder>>>>);

/// Key, and what is kept for it.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) key: ApiKey,
    state: Arc<HolderState>,
}

/// State of a key, which a key of the same name takes over.
#[derive(Debug, Default)]
struct HolderState {
    bucket: Mutex<Bucket>,
    answers: Answers,
}

impl PartialEq for ApiKeys {
    fn eq(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.0.load(), other.0.load());
        ours.iter()
            .map(|one| &one.key)
            .eq(theirs.iter().map(|one| &one.key))
    }
}

impl Eq for ApiKeys {}

impl ApiKeys {
    /// Creates the keys of a server.
    ///
    /// # Errors
    /// Returns [`BadApiKey`] if there is no key, or if two keys have the same name.
    pub fn new(keys: impl IntoIterator<Item = ApiKey>) -> Result<Self, BadApiKey> {
        let this = Self(Arc::default());
        this.replace(keys)?;
        Ok(this)
    }

    /// Replaces all keys. Requests that are being handled continue. What is counted and remembered for a key stays with
    /// its name.
    ///
    /// # Errors
    /// Returns the errors of [`ApiKeys::new`]. Then the keys stay as they were.
    pub fn replace(&self, keys: impl IntoIterator<Item = ApiKey>) -> Result<(), BadApiKey> {
        let keys: Vec<_> = keys.into_iter().take(MAX_KEYS + 1).collect();
        check(&keys)?;
        let before = self.0.load();
        let state = |key: &ApiKey| {
            let known = before.iter().find(|known| known.key.name == key.name);
            known.map(|known| known.state.clone()).unwrap_or_default()
        };
        let holders = keys.into_iter().map(|key| {
            let state = state(&key);
            Arc::new(Holder { key, state })
        });
        self.0.store(Arc::new(holders.collect()));
        Ok(())
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.0.load().len()
    }

    /// Returns `true` if there is no key, which is never so.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Finds a key. The time of the search does not reveal how much of a wrong key is right, or which key is the one.
    pub(super) fn find(&self, given: &[u8]) -> Option<Arc<Holder>> {
        let (holders, given) = (self.0.load(), digest(given));
        let mut found = u32::MAX;
        for (index, holder) in holders.iter().enumerate() {
            let is_same: Choice = holder.key.digest.ct_eq(&given);
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            found.conditional_assign(&index, is_same);
        }
        holders.get(usize::try_from(found).ok()?).cloned()
    }
}

fn check(keys: &[ApiKey]) -> Result<(), BadApiKey> {
    match keys.len() {
        0 => return Err(BadApiKey::Empty),
        count if count > MAX_KEYS => return Err(BadApiKey::TooMany),
        _ => {}
    }
    let (mut names, mut digests) = (
        std::collections::HashSet::new(),
        std::collections::HashSet::new(),
    );
    for key in keys {
        key.check()?;
        if !names.insert(&key.name) || !digests.insert(key.digest) {
            return Err(BadApiKey::Twice(key.name.clone()));
        }
    }
    Ok(())
}

impl Holder {
    /// Counts one request against the rate of the key.
    ///
    /// # Errors
    /// Returns the time until the next request.
    pub(super) fn take(&self) -> Result<(), Duration> {
        let (refill, now) = (self.refill(), Instant::now().into_std());
        let mut bucket = self.state.bucket.lock();
        let wait = bucket.wait(refill, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        bucket.take(refill, now);
        Ok(())
    }

    /// Counts further requests against the rate, for the elements of a batch. The next requests wait for them.
    pub(super) fn take_more(&self, count: usize) {
        let now = Instant::now().into_std();
        self.state
            .bucket
            .lock()
            .take_many(count, self.refill(), now);
    }

    fn refill(&self) -> Refill {
        let rate = self.key.max_requests_per_second;
        Refill::new(rate, rate)
    }

    /// Returns the answers that are kept for repeated requests.
    pub(super) fn answers(&self) -> &Answers {
        &self.state.answers
    }
}
