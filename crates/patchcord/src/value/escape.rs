//! Check for strings that JSON can represent without escapes.

/// Word with the value 1 in each byte.
const EACH: u64 = 0x0101_0101_0101_0101;
/// Word with the highest bit of each byte set.
const HIGH: u64 = 0x80 * EACH;

/// Returns `true` if a string needs escapes in JSON, because it has a quote, a backslash or a control character.
pub(super) fn needs_escape(string: &str) -> bool {
    let bytes = string.as_bytes();
    match bytes.last_chunk::<8>() {
        // The last word overlaps the one before it.
        Some(last) => bytes.as_chunks::<8>().0.iter().any(word_does) || word_does(last),
        None => bytes.iter().any(|byte| byte_does(*byte)),
    }
}

fn byte_does(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Returns `true` if one of eight bytes needs an escape.
fn word_does(bytes: &[u8; 8]) -> bool {
    let word = u64::from_ne_bytes(*bytes);
    let equals = |byte: u8| {
        let zeros = word ^ (u64::from(byte) * EACH);
        zeros.wrapping_sub(EACH) & !zeros
    };
    let is_control = word.wrapping_sub(0x20 * EACH) & !word;
    (is_control | equals(b'"') | equals(b'\\')) & HIGH != 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_string_needs_it_just_where_json_says_so(string in r#"[\x00-\x7fä\u{2028}€😀"\\]{0,40}"#) {
            let written = serde_json::to_string(&string).unwrap();
            prop_assert_eq!(needs_escape(&string), written != format!("\"{string}\""));
        }
    }

    #[test]
    fn one_letter_is_found_wherever_it_stands() {
        for code in 0..0x80 {
            for (before, after) in (0..20).flat_map(|n| [(n, 0), (n, 9), (0, n)]) {
                let letter = char::from(code);
                let string = format!("{}{letter}{}", "é".repeat(before), "z".repeat(after));
                let written = serde_json::to_string(&string).unwrap();
                assert_eq!(
                    needs_escape(&string),
                    written != format!("\"{string}\""),
                    "{string:?}"
                );
            }
        }
    }
}
