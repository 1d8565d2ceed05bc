//! Strings: functions that build and split them, and the conversion of values to strings.

use std::fmt::Write;

use rhai::{Array, Dynamic, Engine, FLOAT, INT, ImmutableString, Map, NativeCallContext};

use super::{ARRAY, ELEMENT, Fallible, STRING, too_large};
use crate::{
    script::{Limits, budget},
    value::MAX_DEPTH,
};

pub(super) fn register(engine: &mut Engine, limits: &Limits) {
    sleeping(engine);
    building(engine, limits.string_size);
    splitting(engine, limits.array_size);
    for word in ["to_string", "to_debug"] {
        let max = limits.string_size;
        engine.register_fn(
            word,
            move |context: NativeCallContext<'_>, list: &mut Array| {
                Shown::new(&context, max).text(|shown| shown.array(list, 0))
            },
        );
        engine.register_fn(
            word,
            move |context: NativeCallContext<'_>, map: &mut Map| {
                Shown::new(&context, max).text(|shown| shown.map(map, 0))
            },
        );
    }
}

fn sleeping(engine: &mut Engine) {
    engine.register_fn("sleep", |_: INT| -> Fallible {
        Err("a script cannot sleep".into())
    });
    engine.register_fn("sleep", |_: FLOAT| -> Fallible {
        Err("a script cannot sleep".into())
    });
}

fn building(engine: &mut Engine, max: usize) {
    type Text = ImmutableString;
    engine.register_fn("replace", move |text: &mut Text, find: &str, with: &str| {
        replace(text, find, with, max)
    });
    engine.register_fn("replace", move |text: &mut Text, find: char, with: char| {
        replace(text, &find.to_string(), &with.to_string(), max)
    });
    engine.register_fn("replace", move |text: &mut Text, find: &str, with: char| {
        replace(text, find, &with.to_string(), max)
    });
    engine.register_fn("replace", move |text: &mut Text, find: char, with: &str| {
        replace(text, &find.to_string(), with, max)
    });
    engine.register_fn("pad", move |text: &mut Text, len: INT, with: char| {
        pad(text, len, &with.to_string(), max)
    });
    engine.register_fn("pad", move |text: &mut Text, len: INT, with: &str| {
        pad(text, len, with, max)
    });
}

/// Replaces every occurrence of `find` in a string. Also returns the changed string.
fn replace(
    text: &mut ImmutableString,
    find: &str,
    with: &str,
    max: usize,
) -> Fallible<ImmutableString> {
    let matches = text.matches(find).count();
    let size = text
        .len()
        .saturating_sub(matches.saturating_mul(find.len()))
        .saturating_add(matches.saturating_mul(with.len()));
    if size > max {
        return too_large(STRING);
    }
    budget::produce(size)?;
    *text = text.replace(find, with).into();
    Ok(text.clone())
}

/// Pads a string to a length of `len` characters. Also returns it. Rejects an empty `with`, with which Rhai's own
/// function would never end.
fn pad(text: &mut ImmutableString, len: INT, with: &str, max: usize) -> Fallible<ImmutableString> {
    let len = usize::try_from(len).unwrap_or_default();
    let missing = len.saturating_sub(text.chars().count());
    if missing == 0 {
        return Ok(text.clone());
    }
    let Some(each) = with.chars().count().checked_sub(1).map(|n| n + 1) else {
        return Err("`pad` needs something to pad with, and got an empty string".into());
    };
    let whole = missing / each;
    let end: usize = with.chars().take(missing % each).map(char::len_utf8).sum();
    let more = whole.saturating_mul(with.len()).saturating_add(end);
    if text.len().saturating_add(more) > max {
        return too_large(STRING);
    }
    budget::produce(text.len() + more)?;
    let padded = text.make_mut();
    (0..whole).for_each(|_| padded.push_str(with));
    padded.push_str(with.get(..end).unwrap_or_default());
    Ok(text.clone())
}

fn splitting(engine: &mut Engine, max: usize) {
    engine.register_fn("to_chars", move |text: &str| {
        pieces(text, text.chars().map(Dynamic::from), max)
    });
    engine.register_fn("split", move |text: &str| {
        strings(text, text.split_whitespace(), max)
    });
    engine.register_fn("split", move |text: &str, at: &str| {
        strings(text, text.split(at), max)
    });
    engine.register_fn("split", move |text: &str, at: char| {
        strings(text, text.split(at), max)
    });
    engine.register_fn("split", move |text: &str, at: &str, most: INT| {
        strings(text, text.splitn(count(most), at), max)
    });
    engine.register_fn("split", move |text: &str, at: char, most: INT| {
        strings(text, text.splitn(count(most), at), max)
    });
    engine.register_fn("split_rev", move |text: &str, at: &str| {
        strings(text, text.rsplit(at), max)
    });
    engine.register_fn("split_rev", move |text: &str, at: char| {
        strings(text, text.rsplit(at), max)
    });
    engine.register_fn("split_rev", move |text: &str, at: &str, most: INT| {
        strings(text, text.rsplitn(count(most), at), max)
    });
    engine.register_fn("split_rev", move |text: &str, at: char, most: INT| {
        strings(text, text.rsplitn(count(most), at), max)
    });
}

/// Converts a maximum number of pieces, which is at least 1.
fn count(most: INT) -> usize {
    usize::try_from(most).unwrap_or_default().max(1)
}

fn strings<'a>(text: &str, found: impl Iterator<Item = &'a str>, max: usize) -> Fallible<Array> {
    pieces(text, found.map(|piece| piece.to_owned().into()), max)
}

fn pieces(text: &str, mut found: impl Iterator<Item = Dynamic>, max: usize) -> Fallible<Array> {
    let pieces: Array = found.by_ref().take(max).collect();
    if found.next().is_some() {
        return too_large(ARRAY);
    }
    budget::produce(text.len() + pieces.len() * ELEMENT)?;
    Ok(pieces)
}

/// Array or map as text, in Rhai's format. Parts that are nested too deeply, or that exceed the maximum size, are shown
/// as `...`. If this returned an error instead, Rhai would fall back to its own function, which has no limit.
struct Shown<'a, 'c> {
    context: &'a NativeCallContext<'c>,
    text: String,
    max: usize,
}

impl<'a, 'c> Shown<'a, 'c> {
    const fn new(context: &'a NativeCallContext<'c>, max: usize) -> Self {
        Self {
            context,
            text: String::new(),
            max,
        }
    }

    fn text(mut self, show: impl FnOnce(&mut Self)) -> ImmutableString {
        show(&mut self);
        // If the call has used up its budget, the next operation ends it.
        let _ = budget::produce(self.text.len());
        self.text.into()
    }

    fn array(&mut self, list: &mut Array, depth: usize) {
        self.text.push('[');
        for (place, value) in list.iter_mut().enumerate() {
            if !self.goes_on(place, depth) {
                break;
            }
            self.value(value, depth + 1);
        }
        self.text.push(']');
    }

    fn map(&mut self, map: &mut Map, depth: usize) {
        self.text.push_str("#{");
        for (place, (key, value)) in map.iter_mut().enumerate() {
            if !self.goes_on(place, depth) {
                break;
            }
            // Writing into a string cannot fail.
            let _ = write!(self.text, "{key:?}: ");
            self.value(value, depth + 1);
        }
        self.text.push('}');
    }

    /// Writes the separator and returns `true` if one more element may follow. Otherwise writes `...` and returns
    /// `false`.
    fn goes_on(&mut self, place: usize, depth: usize) -> bool {
        if place > 0 {
            self.text.push_str(", ");
        }
        let goes_on = depth < MAX_DEPTH && self.text.len() <= self.max;
        if !goes_on {
            self.text.push_str("...");
        }
        goes_on
    }

    fn value(&mut self, value: &mut Dynamic, depth: usize) {
        if let Ok(mut list) = value.as_array_mut() {
            return self.array(&mut list, depth);
        }
        if let Ok(mut map) = value.as_map_mut() {
            return self.map(&mut map, depth);
        }
        let shown = self
            .context
            .call_native_fn_raw("to_debug", true, &mut [value]);
        match shown.map(Dynamic::into_immutable_string) {
            Ok(Ok(text)) => self.text.push_str(&text),
            _ => self.text.push_str("..."),
        }
    }
}
