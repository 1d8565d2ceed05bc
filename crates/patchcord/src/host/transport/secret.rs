//! Random ids that cannot be guessed.

use rand::distr::{Alphanumeric, SampleString};

/// Length of an id, in letters and digits: 119 random bits.
pub(super) const LENGTH: usize = 20;

/// Creates an id: of a session, which is a secret between one client and the host, or of a socket, which is public.
pub(in crate::host) fn new() -> String {
    Alphanumeric.sample_string(&mut rand::rng(), LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_are_letters_and_digits() {
        let (one, other) = (new(), new());
        assert_ne!(one, other);
        assert!(one.len() == LENGTH && one.bytes().all(|b| b.is_ascii_alphanumeric()));
    }
}
