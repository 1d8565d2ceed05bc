//! Conversion of values between scripts and packets. Values are converted only here.
//!
//! In: the JSON text of a packet with its attachments. Out: Rhai's `Dynamic` values. And the other way round.
//!
//! | JSON / JavaScript | Rhai | back to JSON |
//! |---|---|---|
//! | `null` | `()` | `null` |
//! | `true`, `false` | `bool` | the same |
//! | integer in the range of `i64` | `i64` | the same |
//! | any other number | `f64` | an integer as `3`, `-0` as `0`, NaN and infinities as `null`, like `JSON.stringify` |
//! | string | string | the same; a `char` as a string |
//! | array | array | the same |
//! | object | map | the same, keys sorted; of duplicate keys, the last one wins |
//! | `Buffer`, `ArrayBuffer` (an attachment) | [`Binary`] | an attachment, also from a `blob` |
//! | - | closure, timestamp, any other type | rejected, with its location |
//!
//! Invariants:
//! * A round trip changes nothing: a decoded value is sent as equal JSON, or is rejected.
//! * A value without a row in this table is rejected, and never replaced with something else.
//! * Neither input nor a value that contains itself can exhaust the stack, hang or panic. Shared variables are read
//!   through, and a variable that is locked or poisoned is rejected.
//! * An attachment is copied only if it comes from a `blob`, becomes a `blob`, or is sent through [`Written`].

mod binary;
mod compare;
mod decode;
mod decoder;
mod encode;
mod encoded;
mod escape;
mod exact_json;
mod packed;
mod plain;
mod secret;
mod visit;
mod walk;
mod weight;
mod written;

#[cfg(test)]
mod tests;

pub use binary::Binary;
#[doc(hidden)]
pub use compare::same;
pub(crate) use compare::{register_content, register_type};
#[doc(hidden)]
pub use decode::{answer, args, event, event_name, value};
#[doc(hidden)]
pub use decoder::{DecodeError, Event, Limits};
#[cfg(test)]
pub(crate) use encode::ENCODED;
#[doc(hidden)]
pub use encode::{EncodeError, Packet, to_json, to_packet};
#[doc(hidden)]
pub use encoded::EncodedEvent;
#[doc(hidden)]
pub use exact_json::{from_exact_json, to_exact_json};
#[doc(hidden)]
pub use packed::{pack, unpack};
pub(crate) use packed::{packed_value, unpacked_value};
#[doc(hidden)]
pub use plain::{NotPlain, plain};
pub(crate) use secret::HIDDEN;
pub use secret::Secret;
pub(crate) use walk::is_leaf;
#[doc(hidden)]
pub use walk::{MAX_DEPTH, Refusal};
#[doc(hidden)]
pub use weight::weight;
#[doc(hidden)]
pub use written::Written;

/// Key that marks an object as the placeholder of an attachment.
const PLACEHOLDER: &str = "_placeholder";
/// Key of the number of the attachment in a placeholder.
const NUM: &str = "num";
