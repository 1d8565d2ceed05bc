//! Error of a store.

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
}
