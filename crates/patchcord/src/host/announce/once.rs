//! Remembers which names from outside were announced, so that each is announced only once.

use std::collections::HashSet;

use parking_lot::Mutex;

/// Maximum number of announced names. They come from outside, and must not fill the memory.
const MAX_ANNOUNCED: usize = 1000;
/// Maximum length of an announced name, in characters.
const MAX_LENGTH: usize = 300;

/// Names that were already announced.
#[derive(Debug, Default)]
pub(in crate::host) struct Once(Mutex<HashSet<String>>);

impl Once {
    /// Returns `true` if a name was not announced before, and is to be announced now. Remembers the name.
    pub(in crate::host) fn is_new(&self, name: &str) -> bool {
        let mut announced = self.0.lock();
        announced.len() < MAX_ANNOUNCED && announced.insert(name.to_owned())
    }
}

/// Returns a name from outside in a form that is safe to announce: of limited length, and without control characters,
/// which could change a terminal.
pub(in crate::host) fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let harmless = |c: char| match c.is_control() {
        true => char::REPLACEMENT_CHARACTER,
        false => c,
    };
    text.chars().take(MAX_LENGTH).map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_new_once_and_the_number_of_names_is_bounded() {
        let once = Once::default();
        assert!(once.is_new("a") && !once.is_new("a"));
        for n in 0..MAX_ANNOUNCED {
            once.is_new(&n.to_string());
        }
        assert!(!once.is_new("late"));
    }

    #[test]
    fn a_name_is_shown_without_control_characters_and_not_at_any_length() {
        assert_eq!(shown(b"a\x1b[2J\tb"), "a\u{fffd}[2J\u{fffd}b");
        assert_eq!(shown(&[b'a'; 1000]).len(), MAX_LENGTH);
    }
}
