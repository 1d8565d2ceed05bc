//! Remembers names from outside that were announced already, so that each is announced once.

use std::collections::HashSet;

use parking_lot::Mutex;

/// Maximum names that are announced; they come from outside and must not fill the memory.
const MAX_ANNOUNCED: usize = 1000;
/// Maximum length of a name, in characters.
const MAX_LENGTH: usize = 300;

/// Names that were announced already.
#[derive(Debug, Default)]
pub(in crate::host) struct Once(Mutex<HashSet<String>>);

impl Once {
    /// Returns whether a name is announced now.
    pub(in crate::host) fn is_new(&self, name: &str) -> bool {
        let mut announced = self.0.lock();
        announced.len() < MAX_ANNOUNCED && announced.insert(name.to_owned())
    }
}

/// Returns a name from outside as it may be announced: of limited length, and without characters that could change a
/// terminal.
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
