//! Session ids that clients receive: secrets between one client and the host.
//!
//! A request with the id of a polling session acts as its client. The ids that socketioxide creates cannot serve for
//! that: they are the ids of its sockets too, which scripts show to everybody. So each client receives another id, and
//! only this module and the [`Endpoint`](super::endpoint::Endpoint) know both.

use rand::distr::{Alphanumeric, SampleString};

/// Length of an id, in letters and digits: 142 random bits.
const LENGTH: usize = 24;

/// Key of the id in the first packet of a session.
const SID: &[u8] = b"\"sid\":\"";

/// Creates an id.
pub(super) fn new() -> String {
    random(LENGTH)
}

fn random(length: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), length)
}

/// Replaces the id in the first packet of a session by one that leads nowhere. The packet may stand in a frame, and
/// keeps its length.
pub(super) fn hide(packet: &[u8]) -> Vec<u8> {
    let mut hidden = packet.to_vec();
    let key = packet.windows(SID.len()).position(|bytes| bytes == SID);
    if let Some(key) = key {
        let id = hidden.iter_mut().skip(key + SID.len());
        let id: Vec<_> = id.take_while(|byte| **byte != b'"').collect();
        let other = random(id.len());
        id.into_iter()
            .zip(other.bytes())
            .for_each(|(byte, other)| *byte = other);
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hidden_id_has_the_same_length_and_everything_else_stays() {
        let packet = b"\x81\x3c0{\"sid\":\"AAAAAAAAAAAAAAAA\",\"upgrades\":[],\"pingInterval\":9}";
        let hidden = hide(packet);
        assert_eq!(hidden.len(), packet.len());
        let text = String::from_utf8_lossy(&hidden[2..]).into_owned();
        assert!(
            text.starts_with("0{\"sid\":\"")
                && text.ends_with("\",\"upgrades\":[],\"pingInterval\":9}")
        );
        assert!(!text.contains("AAAAAAAA"), "{text}");
    }

    #[test]
    fn ids_differ_and_are_letters_and_digits() {
        let (one, other) = (new(), new());
        assert_ne!(one, other);
        assert!(one.len() == 24 && one.bytes().all(|b| b.is_ascii_alphanumeric()));
    }
}
