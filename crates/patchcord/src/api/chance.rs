//! Time and randomness: values that differ at every call, and are equal in both drafts of an edit.

use std::time::{SystemTime, UNIX_EPOCH};

use rand::{Rng, RngExt};
use rhai::{
    EvalAltResult, FLOAT, INT, ImmutableString, Module, NativeCallContext, Variant,
    combine_with_exported_module, plugin::export_module,
};

use super::{Fallible, outside::Outside, refuse};
use crate::connection::{Frozen, Turn};

/// Characters of a random id. There are 64 of them, so that each stands for six bits.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Length of a random id, in characters: 120 bits, which cannot be guessed.
const ID_LENGTH: usize = 20;

/// Returns the time and the randomness that a pair of drafts sees.
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

/// Draws a value, in a draft from the draft's own source, and otherwise from one that cannot be guessed.
fn draw<T: Variant + Clone>(call: Outside, value: impl FnOnce(&mut dyn Rng) -> T) -> Fallible<T> {
    call.read(|| {
        Ok(match Turn::running_draft() {
            Some(draft) => value(&mut *draft.random()),
            None => value(&mut rand::rng()),
        })
    })
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Returns the time in milliseconds since 1970. In Node it is `Date.now()`.
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

    /// Returns a text of 20 letters, digits, `-` and `_` that cannot be guessed.
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

    /// Returns a random whole number from `low` to `high`, both included.
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

    /// Returns a random number from 0 up to, but not including, 1. In Node it is `Math.random()`.
    ///
    /// ```rhai
    /// if rand_float() < 0.5 { socket.emit("heads"); }
    /// ```
    #[rhai_fn(volatile, return_raw)]
    pub(crate) fn rand_float(context: NativeCallContext<'_>) -> Result<FLOAT, Box<EvalAltResult>> {
        let call = Outside::draw("rand_float", &context, ());
        draw(call, |source| source.random::<FLOAT>())
    }

    /// Returns `true` or `false`, by chance.
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
