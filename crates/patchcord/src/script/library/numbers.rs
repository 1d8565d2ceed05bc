//! Functions on numbers. A client sends 2.0 as 2, so every function on floats also exists for integers.

use rhai::{
    Dynamic, Engine, EvalAltResult, FLOAT, INT, ImmutableString, Module,
    combine_with_exported_module, plugin::export_module,
};

use super::order::{compare, number};
use crate::{diagnostic::type_word, script::budget::produce};

pub(super) fn register(engine: &mut Engine, module: &mut Module) {
    of_floats(engine);
    combine_with_exported_module!(module, "numbers", functions);
}

type OfOne = fn(FLOAT) -> FLOAT;
type OfTwo = fn(FLOAT, FLOAT) -> FLOAT;

/// Registers, for integers, the functions that Rhai has only for floats.
#[expect(
    clippy::cast_precision_loss,
    reason = "functions of floats have results of that precision"
)]
fn of_floats(engine: &mut Engine) {
    for name in ["floor", "ceiling", "round", "int"] {
        engine.register_fn(name, |number: INT| number);
    }
    engine.register_fn("fraction", |_: INT| 0.0);
    for name in ["is_nan", "is_infinite"] {
        engine.register_fn(name, |_: INT| false);
    }
    engine.register_fn("is_finite", |_: INT| true);
    let of_one: [(&str, OfOne); 16] = [
        ("sqrt", f64::sqrt),
        ("exp", f64::exp),
        ("ln", f64::ln),
        ("log", f64::log10),
        ("sin", f64::sin),
        ("cos", f64::cos),
        ("tan", f64::tan),
        ("sinh", f64::sinh),
        ("cosh", f64::cosh),
        ("tanh", f64::tanh),
        ("asin", f64::asin),
        ("acos", f64::acos),
        ("atan", f64::atan),
        ("asinh", f64::asinh),
        ("acosh", f64::acosh),
        ("atanh", f64::atanh),
    ];
    for (name, function) in of_one {
        engine.register_fn(name, move |number: INT| function(number as FLOAT));
    }
    let of_two: [(&str, OfTwo); 3] = [
        ("atan", f64::atan2),
        ("hypot", f64::hypot),
        ("log", f64::log),
    ];
    for (name, function) in of_two {
        engine.register_fn(name, move |a: INT, b: INT| function(a as FLOAT, b as FLOAT));
        engine.register_fn(name, move |a: INT, b: FLOAT| function(a as FLOAT, b));
        engine.register_fn(name, move |a: FLOAT, b: INT| function(a, b as FLOAT));
    }
}

/// Maximum number of digits after the decimal point, as in JavaScript.
const MAX_DIGITS: usize = 100;
/// Number of further digits that are examined to decide whether a number is exactly halfway between two results: a
/// float has 53 bits.
const BEYOND: usize = 60;

/// Formats a float with `digits` digits after the decimal point. A number exactly halfway between two results is
/// rounded away from zero, as in JavaScript.
fn fixed(number: FLOAT, digits: usize) -> String {
    let exact = format!("{number:.*}", digits + BEYOND);
    let beyond = exact.get(exact.len() - BEYOND..).unwrap_or_default();
    let is_between = beyond.starts_with('5')
        && beyond.trim_start_matches('5').trim_matches('0').is_empty()
        && beyond.chars().filter(|digit| *digit == '5').count() == 1;
    match is_between {
        true => format!("{:.digits$}", away_from_zero(number)),
        false => format!("{number:.digits$}"),
    }
}

/// Returns the next float that is farther from zero.
fn away_from_zero(number: FLOAT) -> FLOAT {
    match number.is_sign_negative() {
        true => number.next_down(),
        false => number.next_up(),
    }
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Returns the number as a string with `digits` digits after the decimal point.
    ///
    /// ```rhai
    /// print(`${(2.0 / 3).to_fixed(2)} seconds`);
    /// ```
    #[rhai_fn(name = "to_fixed", pure, return_raw)]
    pub(crate) fn to_fixed(
        number: &mut FLOAT,
        digits: INT,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        match usize::try_from(digits) {
            Ok(digits) if digits <= MAX_DIGITS => {
                produce(digits + BEYOND)?;
                Ok(fixed(*number, digits).into())
            }
            _ => Err(format!("`to_fixed` takes 0 to {MAX_DIGITS} digits, and got {digits}").into()),
        }
    }

    /// Returns the integer as a string with `digits` zeros after the decimal point.
    ///
    /// ```rhai
    /// print(3.to_fixed(2));
    /// ```
    #[rhai_fn(name = "to_fixed", pure, return_raw)]
    pub(crate) fn whole_to_fixed(
        number: &mut INT,
        digits: INT,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        match usize::try_from(digits) {
            Ok(0) => Ok(number.to_string().into()),
            Ok(digits) if digits <= MAX_DIGITS => {
                Ok(format!("{number}.{}", "0".repeat(digits)).into())
            }
            _ => Err(format!("`to_fixed` takes 0 to {MAX_DIGITS} digits, and got {digits}").into()),
        }
    }

    /// Limits a number to the range from `low` to `high`. Returns `low` if the number is smaller, `high` if it is
    /// larger, and otherwise the number itself.
    ///
    /// ```rhai
    /// socket.on("move", |x| { socket.data.x = clamp(x, 0, 100); });
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn clamp(
        number: Dynamic,
        low: Dynamic,
        high: Dynamic,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        for value in [&number, &low, &high] {
            if super::number(value).is_none() {
                let got = type_word(value.type_name());
                return Err(format!("`clamp` takes numbers, and got {got}").into());
            }
        }
        if compare(&low, &high)?.is_gt() {
            return Err("the lower limit of `clamp` is above the upper one".into());
        }
        Ok(match (compare(&number, &low)?, compare(&number, &high)?) {
            (std::cmp::Ordering::Less, _) => low,
            (_, std::cmp::Ordering::Greater) => high,
            _ => number,
        })
    }
}
