//! Functions on arrays. Elements are values: an array that a function returns contains copies of them.

use std::{cmp::Ordering, collections::BTreeMap};

use rhai::{
    Array, Dynamic, EvalAltResult, FnPtr, INT, ImmutableString, Map, Module, NativeCallContext,
    combine_with_exported_module, plugin::export_module,
};

use super::{
    Fallible,
    order::{compare, number, sorted},
    part,
};
use crate::{
    diagnostic::type_word,
    script::{bounded::equal, budget::produce, limit},
    value::weight,
};

pub(super) fn register(module: &mut Module) {
    combine_with_exported_module!(module, "lists", functions);
}

/// Returns `true` if `a` comes after `b`. The closure returns either a number, which is greater than 0 in this case, or
/// a boolean, which is `true` if `a` comes first.
fn comes_after(
    context: &NativeCallContext<'_>,
    order: &FnPtr,
    a: &Dynamic,
    b: &Dynamic,
) -> Fallible<bool> {
    let order = order.call_raw(context, None, [a.clone(), b.clone()])?;
    if let Some(number) = number(&order) {
        return Ok(number > 0.0);
    }
    order
        .as_bool()
        .map(|comes_first| !comes_first)
        .map_err(|got| {
            let got = type_word(got);
            format!(
                "a closure that sorts returns a number or a boolean, and this one returned {got}"
            )
            .into()
        })
}

/// Sorts the values with a closure.
fn by(context: &NativeCallContext<'_>, list: Array, order: &FnPtr) -> Fallible<Array> {
    sorted(list, &mut |a, b| comes_after(context, order, a, b))
}

/// Sorts the values, in ascending order if `last` is `Greater`, in descending order if it is `Less`.
fn in_order(list: Array, last: Ordering) -> Fallible<Array> {
    sorted(list, &mut |a, b| Ok(compare(a, b)? == last))
}

/// Copies an array, and charges the call for the copy.
fn copy(list: &Array) -> Fallible<Array> {
    produce(list.iter().map(weight).sum())?;
    Ok(list.clone())
}

/// Calls a closure with an element. Returns `true` only if the closure returned the boolean `true`.
fn holds(context: &NativeCallContext<'_>, test: &FnPtr, element: &Dynamic) -> Fallible<bool> {
    let answer = test.call_raw(context, None, [element.clone()])?;
    Ok(answer.as_bool().unwrap_or(false))
}

/// Flattens nested arrays up to `depth` levels deep.
fn flat(list: &Array, depth: INT) -> Fallible<Array> {
    let mut found = Array::new();
    for element in list {
        match element.as_array_ref() {
            Ok(inner) if depth > 0 => found.extend(flat(&inner, depth - 1)?),
            _ => {
                produce(weight(element))?;
                found.push(element.clone());
            }
        }
        let max = limit(|limits| limits.array_size);
        if found.len() > max {
            return Err(format!("an array has at most {max} elements").into());
        }
    }
    Ok(found)
}

/// Returns a value as a string, as `${value}` does.
fn text(context: &NativeCallContext<'_>, value: &Dynamic) -> Fallible<ImmutableString> {
    if let Ok(text) = value.as_immutable_string_ref() {
        return Ok(text.clone());
    }
    let mut value = value.clone();
    let shown = context.call_native_fn_raw("to_string", true, &mut [&mut value])?;
    Ok(shown.into_immutable_string().unwrap_or_default())
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Sorts the array in place, in ascending order. The elements may be numbers (integers and floats), strings,
    /// characters or booleans. Returns nothing; `sorted` returns a sorted copy. Node sorts numbers as strings by
    /// default; here they are sorted as numbers.
    ///
    /// ```rhai
    /// let scores = [30, 4.5, 100]; scores.sort();
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn sort(list: &mut Array) -> Result<(), Box<EvalAltResult>> {
        *list = in_order(std::mem::take(list), Ordering::Greater)?;
        Ok(())
    }

    /// Sorts the array in place with a closure. The closure compares two elements: it must return a number greater than
    /// 0, or `false`, if the first element comes after the second. `sort` itself returns nothing; `sorted` returns a
    /// sorted copy.
    ///
    /// ```rhai
    /// let players = [#{ score: 3 }, #{ score: 7.5 }];
    /// players.sort(|a, b| b.score - a.score);
    /// ```
    #[rhai_fn(name = "sort", name = "sort_by", return_raw)]
    pub(crate) fn sort_by(
        context: NativeCallContext<'_>,
        list: &mut Array,
        order: FnPtr,
    ) -> Result<(), Box<EvalAltResult>> {
        *list = by(&context, std::mem::take(list), &order)?;
        Ok(())
    }

    /// Sorts the array in place, in descending order. Returns nothing.
    ///
    /// ```rhai
    /// let scores = [30, 4.5, 100]; scores.sort_desc();
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn sort_desc(list: &mut Array) -> Result<(), Box<EvalAltResult>> {
        *list = in_order(std::mem::take(list), Ordering::Less)?;
        Ok(())
    }

    /// Returns the element at an index, or `()` if there is none. A negative index counts from the end. The equivalent
    /// in Node is `at`.
    ///
    /// ```rhai
    /// let last = ["Ada", "Bob"].get(-1);
    /// ```
    #[rhai_fn(pure)]
    pub(crate) fn get(list: &mut Array, place: INT) -> Dynamic {
        let place = match usize::try_from(place) {
            Ok(place) => Some(place),
            Err(_) => {
                let back = usize::try_from(place.unsigned_abs()).ok();
                back.and_then(|back| list.len().checked_sub(back))
            }
        };
        place
            .and_then(|place| list.get(place).cloned())
            .unwrap_or_default()
    }

    /// Returns a copy of the array, sorted in ascending order. The elements may be numbers (integers and floats),
    /// strings, characters or booleans. The equivalent in Node is `toSorted`.
    ///
    /// ```rhai
    /// let names = ["Bob", "Ada"].sorted();
    /// ```
    #[rhai_fn(name = "sorted", name = "order", pure, return_raw)]
    pub(crate) fn sorted_copy(list: &mut Array) -> Result<Array, Box<EvalAltResult>> {
        in_order(copy(list)?, Ordering::Greater)
    }

    /// Returns a copy of the array, sorted with a closure as in `sort`.
    ///
    /// ```rhai
    /// let best = [#{ score: 3 }, #{ score: 7.5 }].sorted(|a, b| b.score - a.score)[0];
    /// ```
    #[rhai_fn(name = "sorted", name = "order", name = "order_by", pure, return_raw)]
    pub(crate) fn sorted_by(
        context: NativeCallContext<'_>,
        list: &mut Array,
        order: FnPtr,
    ) -> Result<Array, Box<EvalAltResult>> {
        by(&context, copy(list)?, &order)
    }

    /// Returns a copy of the array, sorted in descending order.
    ///
    /// ```rhai
    /// print([1, 2.5, 3].order_desc());
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn order_desc(list: &mut Array) -> Result<Array, Box<EvalAltResult>> {
        in_order(copy(list)?, Ordering::Less)
    }

    /// Returns a copy of the array in reverse order. `reverse` reverses the array in place. The equivalent in Node is
    /// `toReversed`.
    ///
    /// ```rhai
    /// for text in io.data.get("history", []).reversed() { print(text); }
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn reversed(list: &mut Array) -> Result<Array, Box<EvalAltResult>> {
        let mut reversed = copy(list)?;
        reversed.reverse();
        Ok(reversed)
    }

    /// Joins the elements into one string, with `separator` between them.
    ///
    /// ```rhai
    /// socket.emit("online", ["Ada", "Bob"].join(", "));
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn join(
        context: NativeCallContext<'_>,
        list: &mut Array,
        separator: &str,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        let max = limit(|limits| limits.string_size);
        let mut joined = String::new();
        for (place, element) in list.iter().enumerate() {
            if place > 0 {
                joined.push_str(separator);
            }
            joined.push_str(&text(&context, element)?);
            if joined.len() > max {
                return Err(format!("a string has at most {max} bytes").into());
            }
        }
        produce(joined.len())?;
        Ok(joined.into())
    }

    /// Joins the elements into one string, with commas between them.
    ///
    /// ```rhai
    /// print([1, 2, 3].join());
    /// ```
    #[rhai_fn(name = "join", pure, return_raw)]
    pub(crate) fn join_by_commas(
        context: NativeCallContext<'_>,
        list: &mut Array,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        join(context, list, ",")
    }

    /// Returns the elements from index `start` to the end. A negative index counts from the end.
    ///
    /// ```rhai
    /// let last = io.data.get("history", []).slice(-10);
    /// ```
    #[rhai_fn(name = "slice", pure, return_raw)]
    pub(crate) fn slice_from(list: &mut Array, start: INT) -> Result<Array, Box<EvalAltResult>> {
        slice_of(list, start, INT::MAX)
    }

    /// Returns the elements from index `start` up to, but not including, index `end`. A negative index counts from the
    /// end.
    ///
    /// ```rhai
    /// print(["a", "b", "c", "d"].slice(1, 3));
    /// ```
    #[rhai_fn(name = "slice", pure, return_raw)]
    pub(crate) fn slice_of(
        list: &mut Array,
        start: INT,
        end: INT,
    ) -> Result<Array, Box<EvalAltResult>> {
        let range = part(list.len(), start, end);
        copy(&list.get(range).unwrap_or_default().to_vec())
    }

    /// Returns a copy of the array in which each nested array is replaced with its elements, one level deep.
    ///
    /// ```rhai
    /// print([1, [2, 3], [[4]]].flat());
    /// ```
    #[rhai_fn(name = "flat", pure, return_raw)]
    pub(crate) fn flat_once(list: &mut Array) -> Result<Array, Box<EvalAltResult>> {
        flat(list, 1)
    }

    /// Returns a copy of the array in which nested arrays are replaced with their elements, up to `depth` levels deep.
    ///
    /// ```rhai
    /// print([1, [2, [3, [4]]]].flat(2));
    /// ```
    #[rhai_fn(name = "flat", pure, return_raw)]
    pub(crate) fn flat_to(list: &mut Array, depth: INT) -> Result<Array, Box<EvalAltResult>> {
        flat(list, depth)
    }

    /// Returns `true` if an element is equal to `value`, as `contains` and `value in list` do.
    ///
    /// ```rhai
    /// if !["red", "blue"].includes(socket.handshake.query.team) { socket.disconnect(); }
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn includes(
        context: NativeCallContext<'_>,
        list: &mut Array,
        value: Dynamic,
    ) -> Result<bool, Box<EvalAltResult>> {
        for element in list.iter() {
            if equal(&context, element, &value, 0)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the index of the first element for which a closure returns `true`, or -1 if there is none.
    ///
    /// ```rhai
    /// let place = [#{ id: 1 }, #{ id: 2 }].find_index(|item| item.id == 2);
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn find_index(
        context: NativeCallContext<'_>,
        list: &mut Array,
        test: FnPtr,
    ) -> Result<INT, Box<EvalAltResult>> {
        for (place, element) in list.iter().enumerate() {
            if holds(&context, &test, element)? {
                return Ok(INT::try_from(place).unwrap_or(INT::MAX));
            }
        }
        Ok(-1)
    }

    /// Returns `true` if a closure returns `true` for every element, as `all` does.
    ///
    /// ```rhai
    /// let is_ready = [#{ ready: true }, #{ ready: true }].every(|player| player.ready);
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn every(
        context: NativeCallContext<'_>,
        list: &mut Array,
        test: FnPtr,
    ) -> Result<bool, Box<EvalAltResult>> {
        for element in list.iter() {
            if !holds(&context, &test, element)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns a copy of the array without the elements that are equal to an earlier one. `dedup` removes only adjacent
    /// equal elements, and changes the array in place.
    ///
    /// ```rhai
    /// print(["a", "b", "a"].unique());
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn unique(
        context: NativeCallContext<'_>,
        list: &mut Array,
    ) -> Result<Array, Box<EvalAltResult>> {
        let mut found = Array::new();
        for element in list.iter() {
            produce(size_of::<Dynamic>() * (found.len() + 1))?;
            let mut is_known = false;
            for known in &found {
                is_known |= equal(&context, known, element, 0)?;
            }
            if !is_known {
                found.push(element.clone());
            }
        }
        Ok(found)
    }

    /// Returns the sum of the numbers, or 0 for an empty array. The sum is an integer if all elements are integers,
    /// unless it is too large for an integer: then it is a float.
    ///
    /// ```rhai
    /// let average = [3, 4.5].sum() / 2.0;
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn sum(list: &mut Array) -> Result<Dynamic, Box<EvalAltResult>> {
        let ints: Option<Vec<INT>> = list.iter().map(|value| value.as_int().ok()).collect();
        let whole = ints.and_then(|ints| ints.into_iter().try_fold(0, INT::checked_add));
        if let Some(whole) = whole {
            return Ok(whole.into());
        }
        let mut sum = 0.0;
        for value in list.iter() {
            let Some(number) = number(value) else {
                let got = type_word(value.type_name());
                return Err(format!("`sum` adds numbers, and got {got}").into());
            };
            sum += number;
        }
        Ok(sum.into())
    }

    /// Groups the elements by the key that a closure returns for each element. Returns a map from each key, as a
    /// string, to an array of elements. The equivalent in Node is `Object.groupBy`.
    ///
    /// ```rhai
    /// let teams = [#{ name: "Ada", team: "red" }, #{ name: "Bob", team: "blue" }].group_by(|player| player.team);
    /// print(teams.red[0].name);
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn group_by(
        context: NativeCallContext<'_>,
        list: &mut Array,
        key: FnPtr,
    ) -> Result<Map, Box<EvalAltResult>> {
        let mut groups = BTreeMap::<ImmutableString, Array>::new();
        for element in list.iter() {
            let group = key.call_raw(&context, None, [element.clone()])?;
            produce(weight(element))?;
            let group = groups.entry(text(&context, &group)?).or_default();
            group.push(element.clone());
        }
        let groups = groups.into_iter();
        Ok(groups
            .map(|(key, list)| (key.as_str().into(), list.into()))
            .collect())
    }
}
