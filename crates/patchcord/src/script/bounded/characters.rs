//! Functions on single characters of a string. Rhai's own functions rebuild the string one character at a time, which
//! takes many times longer than copying it.

use std::ops::{Range, RangeInclusive};

use rhai::{Engine, INT, ImmutableString};

use super::Fallible;
use crate::script::budget;

pub(super) fn register(engine: &mut Engine) {
    engine.register_fn("set", set);
    engine.register_fn("crop", crop);
    engine.register_fn("crop", |text: &mut ImmutableString, start: INT| {
        crop(text, start, INT::MAX)
    });
    engine.register_fn("crop", |text: &mut ImmutableString, range: Range<INT>| {
        let start = range.start.max(0);
        crop(text, start, range.end.max(start) - start)
    });
    engine.register_fn(
        "crop",
        |text: &mut ImmutableString, range: RangeInclusive<INT>| {
            let start = (*range.start()).max(0);
            let last = (*range.end()).max(start).min(INT::MAX - 1);
            crop(text, start, (last - start).saturating_add(1))
        },
    );
}

/// Returns the byte offset of a character, or of the end if there is no such character. A negative index counts from
/// the end. Returns `None` for an index before the start.
fn place(text: &str, place: INT) -> Option<usize> {
    let place = match usize::try_from(place) {
        Ok(place) => place,
        Err(_) => {
            let back = usize::try_from(place.unsigned_abs()).ok()?;
            text.chars().count().checked_sub(back)?
        }
    };
    Some(after(text, place))
}

/// Returns the length in bytes of the first `characters` characters, or of the whole string if it is shorter.
fn after(text: &str, characters: usize) -> usize {
    let place = text.char_indices().nth(characters);
    place.map_or(text.len(), |(place, _)| place)
}

/// Keeps only a part of the string. Also returns the changed string.
fn crop(text: &mut ImmutableString, start: INT, len: INT) -> Fallible<ImmutableString> {
    let begin = place(text, start).unwrap_or_default();
    let rest = text.get(begin..).unwrap_or_default();
    let kept = rest
        .get(..after(rest, usize::try_from(len).unwrap_or_default()))
        .unwrap_or_default();
    budget::produce(kept.len())?;
    *text = kept.into();
    Ok(text.clone())
}

fn set(text: &mut ImmutableString, at: INT, character: char) -> Fallible {
    let Some((before, rest)) = place(text, at).and_then(|begin| text.split_at_checked(begin))
    else {
        return Ok(());
    };
    let mut rest = rest.chars();
    if rest.next().is_some() {
        budget::produce(text.len())?;
        *text = format!("{before}{character}{}", rest.as_str()).into();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rhai::{Engine, INT};

    #[test]
    fn they_do_what_rhais_own_do() {
        let theirs = Engine::new();
        let mut ours = Engine::new();
        super::register(&mut ours);
        let places = [INT::MIN, -9, -5, -4, -1, 0, 1, 3, 4, 5, 9, INT::MAX];
        let calls = places.into_iter().flat_map(|a| {
            let two = places.into_iter().flat_map(move |b| {
                [
                    format!("crop({a}, {b})"),
                    format!("crop({a}..{b})"),
                    format!("crop({a}..={b})"),
                ]
            });
            two.chain([format!("crop({a})"), format!("set({a}, 'ü')")])
        });
        for call in calls {
            for text in ["", "añ€😀z"] {
                let script = format!("let text = `{text}`; text.{call}; text");
                let results = [&theirs, &ours].map(|engine| engine.eval::<String>(&script));
                assert_eq!(
                    results[0].as_ref().ok(),
                    results[1].as_ref().ok(),
                    "{script}"
                );
            }
        }
    }
}
