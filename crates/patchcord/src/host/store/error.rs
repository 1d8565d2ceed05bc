//! Error of a store.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Error of a [`Store`](super::Store), as text.
///
/// ```
/// use patchcord::store::StoreError;
///
/// assert_eq!(StoreError::new("the disk is full").to_string(), "the disk is full");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(String);

impl StoreError {
    /// Creates an error.
    pub fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }

    /// Uses a store. A panic counts as an error.
    pub(super) fn of_panic<T>(apply: impl FnOnce() -> Result<T, Self>) -> Result<T, Self> {
        let result = catch_unwind(AssertUnwindSafe(apply));
        result.unwrap_or_else(|_| Err(Self::new("the store panicked")))
    }
}
