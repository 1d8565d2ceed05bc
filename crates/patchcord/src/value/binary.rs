//! Binary attachments, as scripts see them.
//!
//! A [`Binary`] wraps the bytes that were received. It is cloned and sliced without copying the bytes, and it is sent
//! as an attachment again. Rhai's limits on arrays and blobs do not apply to it. Its script functions are registered in
//! `api`.

use std::fmt;

use bytes::Bytes;
use rhai::{Blob, INT};

/// Immutable binary data, cheap to clone. A function of the application receives an attachment as a value of this type,
/// and sends one by returning such a value.
///
/// ```
/// use patchcord::{testing::TestHost, value::Binary};
///
/// let script = "fn on_connection(socket) { socket.emit(\"size\", size(header())); }";
/// let host = TestHost::build([("main.rhai", script)], |builder| {
///     builder
///         .function("header", || Binary::from(vec![1, 2, 3]))
///         .function("size(data)", |data: Binary| data.len() as i64)
/// });
/// assert_eq!(host.connect("/")?.heard(), ["size [3]"]);
/// # Ok::<(), patchcord::testing::Refused>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Binary(Bytes);

impl Binary {
    /// Returns the bytes. Cloning them is cheap too.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Returns the number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns `true` if there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns at most `len` bytes from index `start`, clamped as in Rhai: a negative `start` counts from the end, and
    /// a `start` past the end or a negative `len` selects nothing. The bytes are shared with this value.
    #[must_use]
    pub fn slice(&self, start: INT, len: INT) -> Self {
        let outside = if start < 0 { 0 } else { self.len() };
        let start = self.offset(start).unwrap_or(outside).min(self.len());
        let len = usize::try_from(len.max(0)).unwrap_or(usize::MAX);
        let end = start.saturating_add(len).min(self.len());
        Self(self.0.slice(start..end))
    }

    /// Returns the byte at `index`, or `None` if there is no such byte. A negative index counts from the end.
    #[must_use]
    pub fn get(&self, index: INT) -> Option<INT> {
        self.0.get(self.offset(index)?).map(|byte| INT::from(*byte))
    }

    /// Returns a copy as a blob, Rhai's own type for binary data.
    #[must_use]
    pub fn to_blob(&self) -> Blob {
        self.0.to_vec()
    }

    fn offset(&self, index: INT) -> Option<usize> {
        let distance = usize::try_from(index.unsigned_abs()).ok()?;
        if index < 0 {
            self.len().checked_sub(distance)
        } else {
            Some(distance)
        }
    }
}

impl fmt::Debug for Binary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Binary({} bytes)", self.len())
    }
}

impl From<Bytes> for Binary {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<Vec<u8>> for Binary {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}
