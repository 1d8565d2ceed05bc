//! Body of a request or a response of the polling transport: packets, one behind the other.

use bytes::Bytes;

use super::protocol::{
    ACK, BINARY_ACK, BINARY_EVENT, CONNECT_START, EVENT, MESSAGE, SEPARATOR, connect,
};

/// Returns the packets of a payload.
pub(super) fn packets(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    payload.split(|byte| *byte == SEPARATOR)
}

/// Cuts a payload behind each CONNECT.
pub(super) fn parts(payload: &Bytes) -> Vec<Bytes> {
    let mut parts = Vec::new();
    let (mut start, mut packet) = (0, 0);
    for (end, _) in payload
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == SEPARATOR)
    {
        if payload.slice(packet..end).starts_with(&CONNECT_START) {
            parts.push(payload.slice(start..end));
            start = end + 1;
        }
        packet = end + 1;
    }
    parts.push(payload.slice(start..));
    parts
}

/// Returns the namespace of the CONNECT at the end of a part, if the part ends with one.
pub(super) fn connect_at_end(part: &[u8]) -> Option<String> {
    part.rsplit(|byte| *byte == SEPARATOR)
        .next()
        .and_then(connect)
}

/// Counts the events and acks in a payload.
pub(super) fn events_and_acks(payload: &[u8]) -> usize {
    let is_one = |packet: &&[u8]| match packet {
        [MESSAGE, kind, ..] => matches!(*kind, EVENT | ACK | BINARY_EVENT | BINARY_ACK),
        _ => false,
    };
    packets(payload).filter(is_one).count()
}
