//! State of decoding one payload: limits, attachments, and the reason for a rejection.
//!
//! The visitors of the grammar ask the [`Decoder`] before they accept a value. Input is rejected as soon as it exceeds
//! a limit (a map at its end, because duplicate keys count once), and nothing is allocated based on a size that the
//! input only claims. A string, array or map that was accepted is within [`Limits`].

use std::{borrow::Cow, cell::Cell};

use bytes::Bytes;
use rhai::{Dynamic, INT, Map};
use serde::de::{DeserializeSeed, Error};

use crate::value::{Binary, MAX_DEPTH, NUM, PLACEHOLDER};

/// Maximum sizes of a decoded value. A limit of 0 allows only empty values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Maximum length of a string, a key or an event name, in bytes.
    pub max_string: usize,
    /// Maximum number of elements in an array, and of arguments in a packet.
    pub max_array: usize,
    /// Maximum number of entries in a map.
    pub max_map: usize,
    /// Maximum nesting depth of arrays and maps, not counting the list of arguments itself; at most [`MAX_DEPTH`].
    pub max_depth: usize,
    /// Maximum number of elements and entries in all arrays and maps together.
    pub max_values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_string: 1024 * 1024,
            max_array: 10_000,
            max_map: 10_000,
            max_depth: 64,
            max_values: usize::MAX,
        }
    }
}

/// Reason why a payload was rejected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The text is not JSON, or has something after the JSON.
    #[error("malformed JSON at line {line}, column {column}")]
    Malformed {
        /// Line, counted from 1.
        line: usize,
        /// Column in bytes, counted from 1.
        column: usize,
        /// Error of the JSON parser.
        #[source]
        source: serde_json::Error,
    },
    /// The payload is JSON, but not an array.
    #[error("the payload is not an array")]
    NotAnArray,
    /// The event has no elements.
    #[error("the event has no name")]
    NameMissing,
    /// The first element of the event is neither a string nor a number.
    #[error("the event name is neither a string nor a number")]
    NameNotString,
    /// A string, a key or an event name is too long.
    #[error("string of more than {limit} bytes")]
    StringTooLong {
        /// The limit.
        limit: usize,
    },
    /// An array, or the list of arguments, is too long.
    #[error("array of more than {limit} elements")]
    ArrayTooLong {
        /// The limit.
        limit: usize,
    },
    /// A map has too many entries.
    #[error("map of more than {limit} entries")]
    MapTooLarge {
        /// The limit.
        limit: usize,
    },
    /// All arrays and maps together have too many values.
    #[error("arrays and maps of more than {limit} values together")]
    TooManyValues {
        /// The limit.
        limit: usize,
    },
    /// Arrays and maps are nested too deeply.
    #[error("nested more than {limit} levels deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The placeholder of an attachment has no valid number.
    #[error("placeholder whose `num` is not an integer")]
    PlaceholderNum,
    /// The placeholder refers to an attachment that did not arrive.
    #[error("placeholder for attachment {num} in a packet with {count}")]
    NoAttachment {
        /// Number of the attachment, counted from 0.
        num: INT,
        /// Number of attachments that arrived.
        count: usize,
    },
}

impl DecodeError {
    /// Returns `true` if the payload is invalid, whatever the limits are. A lone surrogate does not count as malformed:
    /// it is valid JSON, and JavaScript clients send it, but it is not valid Unicode text.
    pub fn is_malformed(&self) -> bool {
        if let Self::Malformed { source, .. } = self {
            let problem = source.to_string();
            return !problem.contains("surrogate") && !problem.contains("hex escape");
        }
        matches!(
            self,
            Self::NotAnArray
                | Self::NameMissing
                | Self::NameNotString
                | Self::PlaceholderNum
                | Self::NoAttachment { .. }
        )
    }
}

/// Decoded event.
#[derive(Debug)]
#[non_exhaustive]
pub struct Event<'t> {
    /// Name, borrowed from the text unless it had to be unescaped.
    pub name: Cow<'t, str>,
    /// Arguments.
    pub args: Vec<Dynamic>,
}

/// Decoding state that all values of one text share.
pub(super) struct Decoder<'a> {
    attachments: &'a [Bytes],
    pub(super) limits: Limits,
    values: Cell<usize>,
    /// Error to report if the parser rejects well-formed data, because the parser's own errors are only text.
    pub(super) fault: Cell<Option<DecodeError>>,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(attachments: &'a [Bytes], limits: &Limits) -> Self {
        let max_depth = limits.max_depth.min(MAX_DEPTH);
        Self {
            attachments,
            limits: Limits {
                max_depth,
                ..*limits
            },
            values: Cell::new(0),
            fault: Cell::new(None),
        }
    }

    pub(super) fn read<'t, S: DeserializeSeed<'t>>(
        &self,
        text: &'t str,
        seed: S,
    ) -> Result<S::Value, DecodeError> {
        let mut json = serde_json::Deserializer::from_str(text);
        seed.deserialize(&mut json)
            .and_then(|value| json.end().map(|()| value))
            .map_err(|error| self.explain(error))
    }

    #[cold]
    fn explain(&self, source: serde_json::Error) -> DecodeError {
        match self.fault.take() {
            Some(fault) if source.is_data() => fault,
            _ => DecodeError::Malformed {
                line: source.line(),
                column: source.column(),
                source,
            },
        }
    }

    #[cold]
    pub(super) fn refuse<E: Error>(&self, fault: DecodeError) -> E {
        self.fault.set(Some(fault));
        E::custom("")
    }

    pub(super) fn check_string<E: Error>(&self, text: &str) -> Result<(), E> {
        let limit = self.limits.max_string;
        if text.len() > limit {
            return Err(self.refuse(DecodeError::StringTooLong { limit }));
        }
        Ok(())
    }

    /// Counts one more element or entry.
    pub(super) fn count_value<E: Error>(&self) -> Result<(), E> {
        let (limit, values) = (self.limits.max_values, self.values.get() + 1);
        self.values.set(values);
        match values > limit {
            true => Err(self.refuse(DecodeError::TooManyValues { limit })),
            false => Ok(()),
        }
    }

    /// Returns the attachment to which a map refers, if the map is a placeholder. The two keys are in the map's order.
    pub(super) fn attachment<E: Error>(&self, map: &Map) -> Result<Option<Binary>, E> {
        if self.attachments.is_empty() {
            return Ok(None);
        }
        let (2, Some((first, marker)), Some((second, num))) =
            (map.len(), map.first_key_value(), map.last_key_value())
        else {
            return Ok(None);
        };
        if first != PLACEHOLDER || second != NUM || !marker.as_bool().unwrap_or(false) {
            return Ok(None);
        }
        let Ok(num) = num.as_int() else {
            return Err(self.refuse(DecodeError::PlaceholderNum));
        };
        let attachment = usize::try_from(num)
            .ok()
            .and_then(|index| self.attachments.get(index));
        match attachment {
            Some(bytes) => Ok(Some(bytes.clone().into())),
            None => Err(self.refuse(DecodeError::NoAttachment {
                num,
                count: self.attachments.len(),
            })),
        }
    }
}
