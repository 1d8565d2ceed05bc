//! Offsets: the texts by which a client names the last event that it has received.

use rand::distr::{Distribution, Uniform};

/// Digits of an offset.
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// Number of the random digits with which every offset of a log begins.
const EPOCH: usize = 4;

/// Beginning of all offsets of one log. It tells them apart from those of an earlier log, which a client sends if it has
/// received no event since then.
#[derive(Debug)]
pub(super) struct Epoch(String);

/// Meaning of a text that a client sends as its offset.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offset {
    /// The number of an event of this log.
    Number(u64),
    /// An offset of another log.
    Foreign,
    /// No offset.
    Invalid,
}

impl Epoch {
    pub(super) fn new() -> Self {
        let digits = Uniform::new(0, DIGITS.len()).ok();
        let random = digits
            .into_iter()
            .flat_map(|all| all.sample_iter(rand::rng()));
        let digits = random.take(EPOCH).map(digit);
        Self(digits.collect())
    }

    /// Returns the beginning of an earlier process's log.
    pub(super) const fn of(text: String) -> Self {
        Self(text)
    }

    /// Returns the text of the beginning.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// Returns the offset of an event.
    pub(super) fn offset(&self, mut number: u64) -> String {
        let mut reversed = Vec::with_capacity(13);
        while number > 0 || reversed.is_empty() {
            reversed.push(digit((number % 36) as usize));
            number /= 36;
        }
        let mut offset = String::with_capacity(EPOCH + reversed.len());
        offset.push_str(&self.0);
        offset.extend(reversed.iter().rev());
        offset
    }

    /// Parses the offset of a client.
    pub(super) fn parse(&self, text: &str) -> Offset {
        let is_digit = |byte: u8| DIGITS.contains(&byte);
        if !text.bytes().all(is_digit) {
            return Offset::Invalid;
        }
        let Some((epoch, number)) = text.split_at_checked(EPOCH) else {
            return Offset::Invalid;
        };
        match u64::from_str_radix(number, 36) {
            Ok(number) if epoch == self.0 => Offset::Number(number),
            Ok(_) => Offset::Foreign,
            Err(_) => Offset::Invalid,
        }
    }
}

/// Returns a digit of an offset.
fn digit(value: usize) -> char {
    DIGITS.get(value).copied().map_or('0', char::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_as_they_were_written() {
        let epoch = Epoch::new();
        for number in [0, 1, 35, 36, 1_000_000, u64::MAX] {
            let offset = epoch.offset(number);
            assert_eq!(epoch.parse(&offset), Offset::Number(number), "{offset}");
        }
        assert!(epoch.offset(1_000_000).len() <= 8);
    }

    #[test]
    fn texts_of_scripts_and_other_logs_are_told_apart() {
        let epoch = Epoch(String::from("abcd"));
        assert_eq!(epoch.parse("abce1"), Offset::Foreign);
        for text in [
            "",
            "abcd",
            "Hello",
            "abcd-1",
            "abcd 1",
            "äbcd1",
            "abcdzzzzzzzzzzzzzzz",
        ] {
            assert_eq!(epoch.parse(text), Offset::Invalid, "{text}");
        }
    }
}
