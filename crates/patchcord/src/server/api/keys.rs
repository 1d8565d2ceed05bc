//! All keys of the HTTP API, and what is kept for each of them.

use std::{collections::HashSet, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tokio::time::Instant;

use super::{
    answers::Answers,
    key::{ApiKey, BadApiKey, MAX_KEYS, digest},
};
use crate::host::{Bucket, Refill};

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
            let known = before.iter().find(|known| known.key.name() == key.name());
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
    let (mut names, mut digests) = (HashSet::new(), HashSet::new());
    for key in keys {
        key.check()?;
        if !names.insert(key.name()) || !digests.insert(key.digest) {
            return Err(BadApiKey::Twice(key.name().to_owned()));
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
