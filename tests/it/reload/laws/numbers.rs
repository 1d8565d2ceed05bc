//! Numbers in texts.

/// Returns a text with some numbers replaced by others.
pub(crate) fn replace_numbers(text: &str, replace: impl Fn(i64) -> Option<i64>) -> String {
    let mut result = String::new();
    for (part, number) in parts(text) {
        match number.and_then(&replace) {
            Some(other) => result += &other.to_string(),
            None => result += part,
        }
    }
    result
}

pub(crate) fn has_number(text: &str, number: i64) -> bool {
    parts(text).any(|(_, n)| n == Some(number))
}

/// Splits a text into numbers and the parts between them.
fn parts(text: &str) -> impl Iterator<Item = (&str, Option<i64>)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let is_digit = rest.chars().next()?.is_ascii_digit();
        let end = rest
            .find(|c: char| c.is_ascii_digit() != is_digit)
            .unwrap_or(rest.len());
        let (part, after) = rest.split_at(end);
        rest = after;
        Some((part, part.parse().ok()))
    })
}
