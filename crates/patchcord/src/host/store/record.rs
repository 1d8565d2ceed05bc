//! Form in which a store keeps a value: a version, a checksum, the deadline, and the value as MessagePack.

use rhai::Dynamic;

use crate::value;

/// Version of the form, the first byte of each record.
const VERSION: u8 = 1;
/// Size of the version and the checksum, in bytes.
const HEAD: usize = 5;
/// Size of the deadline, in bytes.
const DEADLINE: usize = 8;

/// Value of a key of `io.data`, as a store keeps it.
///
/// ```
/// use patchcord::store::Record;
///
/// let record = Record::decode(&Record::encode(&"Ada".into(), None))?;
/// assert_eq!(record.value.into_string().as_deref(), Ok("Ada"));
/// # Ok::<(), patchcord::store::RecordError>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Record {
    /// The value.
    pub value: Dynamic,
    /// Time at which the key expires, in milliseconds since 1970; `None` if it does not expire.
    pub deadline: Option<i64>,
}

/// Record that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Another version of patchcord has written the record.
    #[error("the record has the version {0}, which this version of patchcord does not know")]
    Version(u8),
    /// The checksum is wrong, or the content is malformed.
    #[error("the record is damaged")]
    Damaged,
}

impl Record {
    /// Returns the record of a value, which must be plain data, and of its deadline.
    pub fn encode(value: &Dynamic, deadline: Option<i64>) -> Vec<u8> {
        let mut record = vec![VERSION, 0, 0, 0, 0];
        record.extend(deadline.unwrap_or(i64::MAX).to_be_bytes());
        value::pack(value, &mut record);
        let checksum = crc32fast::hash(record.get(HEAD..).unwrap_or_default());
        if let Some(place) = record.get_mut(1..HEAD) {
            place.copy_from_slice(&checksum.to_be_bytes());
        }
        record
    }

    /// Returns the value as JSON that [`Record::from_json`] reads back exactly. Blobs, attachments, letters and special
    /// floats, which JSON does not have, are objects such as `{"$blob": "AAE="}`.
    ///
    /// ```
    /// use patchcord::store::Record;
    ///
    /// let json = serde_json::json!({ "name": "Ada", "picture": { "$blob": "AAE=" } });
    /// let record = Record::decode(&Record::from_json(json.clone(), None)?)?;
    /// assert_eq!(record.to_json(), json);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_json(&self) -> serde_json::Value {
        value::to_exact_json(&self.value)
    }

    /// Returns the record of a value that is given as JSON.
    ///
    /// # Errors
    /// Returns the part that cannot be read, such as an integer that is too large.
    pub fn from_json(json: serde_json::Value, deadline: Option<i64>) -> Result<Vec<u8>, String> {
        Ok(Self::encode(&value::from_exact_json(json)?, deadline))
    }

    /// Reads a record.
    ///
    /// # Errors
    /// Fails if the record is damaged, or was written by a version of patchcord that is newer.
    pub fn decode(record: &[u8]) -> Result<Self, RecordError> {
        let Some((head, rest)) = record.split_first_chunk::<HEAD>() else {
            return Err(RecordError::Damaged);
        };
        let [version, checksum @ ..] = *head;
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        if u32::from_be_bytes(checksum) != crc32fast::hash(rest) {
            return Err(RecordError::Damaged);
        }
        let Some((deadline, packed)) = rest.split_first_chunk::<DEADLINE>() else {
            return Err(RecordError::Damaged);
        };
        let deadline = i64::from_be_bytes(*deadline);
        let value = value::unpack(packed).ok_or(RecordError::Damaged)?;
        Ok(Self {
            value,
            deadline: (deadline != i64::MAX).then_some(deadline),
        })
    }
}
