//! Time and randomness: values that differ in every call, but are the same in both drafts of an edit.

use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use rand::{Rng, RngExt};
use rhai::{
    EvalAltResult, FLOAT, INT, ImmutableString, Module, NativeCallContext, Variant,
    combine_with_exported_module, plugin::export_module,
};

use uuid::Builder;

use super::{Fallible, outside::Outside, refuse};
use crate::connection::{Frozen, Turn};

/// Characters of a random id. There are 64 of them, so that each encodes six bits.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Length of a random id, in characters. It has 120 random bits, and cannot be guessed.
const ID_LENGTH: usize = 20;

/// Returns the time and the random seed for a pair of drafts.
pub(crate) fn freeze() -> Frozen {
    Frozen::new(now(), rand::rng().random())
}

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "chance", functions);
}

/// Returns the time in milliseconds since 1970.
pub(crate) fn now() -> INT {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    INT::try_from(since.as_millis()).unwrap_or(INT::MAX)
}

/// Draws a random value: in a draft from the draft's own generator, and otherwise from an unpredictable one.
fn draw<T: Variant + Clone>(call: Outside, value: impl FnOnce(&mut dyn Rng) -> T) -> Fallible<T> {
    call.read(|| {
        Ok(match Turn::running_draft() {
            Some(draft) => value(&mut *draft.random()),
            None => value(&mut rand::rng()),
        })
    })
}

/// Milliseconds since 1970, and the random part of an id of version 7.
type TimedId = (u64, [u8; 10]);

/// Last id of version 7 of this process.
static LAST: Mutex<TimedId> = Mutex::new((0, [0; 10]));

/// Bits of the second half of an id that are random, but for the first one, which leaves room for the sum.
const COUNTED: u64 = (1 << 61) - 1;

/// Returns the next id after `last`: in the same millisecond, or after the clock was set back, the last id plus a random
/// number (RFC 9562, section 6.2, method 2).
fn in_order(last: &mut TimedId, (mut ms, mut random): TimedId) -> TimedId {
    let second_half = |random: &[u8; 10]| {
        let half = random.last_chunk().copied().map(u64::from_be_bytes);
        half.unwrap_or_default()
    };
    let (before, drawn) = (second_half(&last.1), second_half(&random) & COUNTED);
    let mut half = drawn;
    if ms <= last.0 {
        (ms, random) = *last;
        half = before + 1 + (drawn & u64::from(u32::MAX));
    }
    if let Some(place) = random.last_chunk_mut() {
        *place = half.to_be_bytes();
    }
    *last = (ms, random);
    *last
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Returns the current time, in milliseconds since 1970 (the Unix epoch). The equivalent in Node is `Date.now()`.
    ///
    /// ```rhai
    /// let since = now_ms();
    /// socket.on("how long", || now_ms() - since);
    /// ```
    #[rhai_fn(volatile, return_raw)]
    pub(crate) fn now_ms(context: NativeCallContext<'_>) -> Result<INT, Box<EvalAltResult>> {
        Outside::call("now_ms", &context, ()).read(|| {
            let draft = Turn::running_draft();
            Ok(draft.map_or_else(now, |draft| draft.now()))
        })
    }

    /// Returns a random string of 20 letters, digits, `-` and `_`, which cannot be guessed.
    ///
    /// ```rhai
    /// socket.data.token = random_id();
    /// ```
    #[rhai_fn(volatile, return_raw)]
    pub(crate) fn random_id(
        context: NativeCallContext<'_>,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        draw(Outside::draw("random_id", &context, ()), |source| {
            let letter = |_| {
                LETTERS
                    .get(source.random_range(0..LETTERS.len()))
                    .copied()
                    .map_or('-', char::from)
            };
            let id: String = (0..ID_LENGTH).map(letter).collect();
            ImmutableString::from(id)
        })
    }

    /// Returns a random UUID (version 4 of RFC 9562), which cannot be guessed. The equivalent in Node is
    /// `crypto.randomUUID()`.
    ///
    /// ```rhai
    /// socket.on("create", |title| #{ id: uuid(), title: title });
    /// ```
    #[rhai_fn(volatile, return_raw)]
    pub(crate) fn uuid(
        context: NativeCallContext<'_>,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        draw(Outside::draw("uuid", &context, ()), |source| {
            let id = Builder::from_random_bytes(source.random()).into_uuid();
            ImmutableString::from(id.to_string())
        })
    }

    /// Returns a UUID that starts with the current time (version 7 of RFC 9562). Each id of a process sorts after the
    /// ones before it. Everyone who sees the id can tell when it was created, so use `uuid` for what must not be
    /// guessed.
    ///
    /// ```rhai
    /// io.data.push("messages", #{ id: uuid_v7(), text: "hi" }, 100);
    /// ```
    #[rhai_fn(volatile, return_raw)]
    pub(crate) fn uuid_v7(
        context: NativeCallContext<'_>,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        let ms = Turn::running_draft().map_or_else(now, |draft| draft.now());
        draw(Outside::draw("uuid_v7", &context, ()), |source| {
            let drawn = (ms.unsigned_abs(), source.random());
            let (ms, random) = match Turn::running_draft() {
                Some(_) => drawn,
                None => in_order(&mut LAST.lock(), drawn),
            };
            let id = Builder::from_unix_timestamp_millis(ms, &random);
            ImmutableString::from(id.into_uuid().to_string())
        })
    }

    /// Returns a random integer from `low` to `high`, inclusive.
    ///
    /// ```rhai
    /// socket.on("roll", || rand(1, 6));
    /// ```
    #[rhai_fn(volatile, return_raw)]
    pub(crate) fn rand(
        context: NativeCallContext<'_>,
        low: INT,
        high: INT,
    ) -> Result<INT, Box<EvalAltResult>> {
        let call = Outside::draw("rand", &context, (low, high));
        match low <= high {
            true => draw(call, |source| source.random_range(low..=high)),
            false => refuse(format!(
                "`rand` takes the lower number first, and got {low} and {high}"
            )),
        }
    }

    /// Returns a random float from 0 up to, but not including, 1. The equivalent in Node is `Math.random()`.
    ///
    /// ```rhai
    /// if rand_float() < 0.5 { socket.emit("heads"); }
    /// ```
    #[rhai_fn(volatile, return_raw)]
    pub(crate) fn rand_float(context: NativeCallContext<'_>) -> Result<FLOAT, Box<EvalAltResult>> {
        let call = Outside::draw("rand_float", &context, ());
        draw(call, |source| source.random::<FLOAT>())
    }

    /// Returns `true` or `false` at random.
    ///
    /// ```rhai
    /// socket.on("toss", || if rand_bool() { "heads" } else { "tails" });
    /// ```
    #[rhai_fn(volatile, return_raw)]
    pub(crate) fn rand_bool(context: NativeCallContext<'_>) -> Result<bool, Box<EvalAltResult>> {
        let call = Outside::draw("rand_bool", &context, ());
        draw(call, |source| source.random::<bool>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_version_7_are_in_order_whatever_the_clock_and_the_random_numbers_are() {
        let mut last = (0, [0; 10]);
        let text = |(ms, random): TimedId| {
            Builder::from_unix_timestamp_millis(ms, &random)
                .into_uuid()
                .to_string()
        };
        let mut ids = Vec::new();
        for (n, ms) in [5, 5, 5, 6, 4, 6, 7, 7].into_iter().enumerate() {
            for random in [[0xff; 10], [0; 10], [0xff; 10], [n as u8; 10]] {
                ids.push(text(in_order(&mut last, (ms, random))));
            }
        }
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:#?}");
    }
}
