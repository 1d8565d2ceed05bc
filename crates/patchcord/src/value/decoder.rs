//! The state of one decoding: limits, attachments, and why it was refused.
//!
//! The visitors of the grammar ask the [`Decoder`] before they accept a value. What exceeds a limit is refused as soon
//! as it does, nothing is allocated on the word of the input, and a string, array or map that was accepted is within
//! [`Limits`].

use std::{borrow::Cow, cell::Cell};

use bytes::Bytes;
use rhai::{Dynamic, INT, Map};
use serde::de::{DeserializeSeed, Error};

use crate::value::{Binary, MAX_DEPTH, NUM, PLACEHOLDER};

/// How large a decoded value may be. A limit of 0 allows nothing but empty ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of one string, also of a key or an event name.
    pub max_string: usize,
    /// Elements of one array, and arguments of one packet.
    pub max_array: usize,
    /// Entries of one map.
    pub max_map: usize,
    /// Arrays and maps one inside the other, the arguments themselves not counted; at most [`MAX_DEPTH`].
    pub max_depth: usize,
    /// Elements and entries of all arrays and maps together.
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

/// Why a payload was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The text is not JSON, or something follows it.
    #[error("malformed JSON at line {line}, column {column}")]
    Malformed {
        /// The line, from 1.
        line: usize,
        /// The column in bytes, from 1.
        column: usize,
        /// What the JSON reader says.
        #[source]
        source: serde_json::Error,
    },
    /// The payload is JSON, but not an array.
    #[error("the payload is not an array")]
    NotAnArray,
    /// An event without any element.
    #[error("the event has no name")]
    NameMissing,
    /// An event whose first element is neither a string nor a number.
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
    /// Arrays and maps have too much in them together.
    #[error("arrays and maps of more than {limit} values together")]
    TooManyValues {
        /// The limit.
        limit: usize,
    },
    /// Arrays and maps are nested too deep.
    #[error("nested more than {limit} levels deep")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The place of an attachment does not say which.
    #[error("placeholder whose `num` is not a whole number")]
    PlaceholderNum,
    /// The place of an attachment that did not come.
    #[error("placeholder for attachment {num} in a packet with {count}")]
    NoAttachment {
        /// The attachment asked for, counted from 0.
        num: INT,
        /// How many came.
        count: usize,
    },
}

impl DecodeError {
    /// Returns `true` if the payload is not what it claims to be, whatever the limits. Half of a pair of surrogates is
    /// JSON, which JavaScript clients send; it is only no text.
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

/// A decoded event.
#[derive(Debug)]
#[non_exhaustive]
pub struct Event<'t> {
    /// Its name, borrowed from the text unless it had to be unescaped.
    pub name: Cow<'t, str>,
    /// Its arguments.
    pub args: Vec<Dynamic>,
}

/// What is the same for all values of one text.
pub(super) struct Decoder<'a> {
    attachments: &'a [Bytes],
    pub(super) limits: Limits,
    values: Cell<usize>,
    /// What it means when the reader reports well-formed data as wrong: its own errors are text only.
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

    /// One more element or entry.
    pub(super) fn count_value<E: Error>(&self) -> Result<(), E> {
        let (limit, values) = (self.limits.max_values, self.values.get() + 1);
        self.values.set(values);
        match values > limit {
            true => Err(self.refuse(DecodeError::TooManyValues { limit })),
            false => Ok(()),
        }
    }

    /// The attachment that a map stands for, if it stands for one. The two keys are in the map's order.
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
