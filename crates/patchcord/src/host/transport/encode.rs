//! Encodes events and acks as the WebSocket frames that carry them.

use bytes::Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Data, OpCode},
};

use super::{
    protocol::{
        ACK, ATTACHMENTS_END, BINARY_ACK, BINARY_EVENT, EVENT, MESSAGE, NAMESPACE_END, ROOT,
    },
    server_frames,
};
use crate::value::Packet;

/// Returns the frames of an event, with an id if the event asks for an ack.
pub(in crate::host) fn event(namespace: &str, id: Option<i64>, packet: &Packet) -> Bytes {
    let kind = match packet.attachments.is_empty() {
        true => EVENT,
        false => BINARY_EVENT,
    };
    frames(kind, namespace, id, packet)
}

/// Returns the frames of an ack.
pub(in crate::host) fn ack(namespace: &str, id: i64, packet: &Packet) -> Bytes {
    let kind = match packet.attachments.is_empty() {
        true => ACK,
        false => BINARY_ACK,
    };
    frames(kind, namespace, Some(id), packet)
}

/// Returns the frames of an event whose last argument is an offset, with which a client that comes back tells which
/// event it has received last.
pub(in crate::host) fn event_with_offset(namespace: &str, packet: &Packet, offset: &str) -> Bytes {
    let text = packet.text.strip_suffix(']').unwrap_or(&packet.text);
    let with_offset = Packet::new(format!("{text},\"{offset}\"]"), packet.attachments.clone());
    event(namespace, None, &with_offset)
}

fn frames(kind: u8, namespace: &str, id: Option<i64>, packet: &Packet) -> Bytes {
    let attachments = match packet.attachments.len() {
        0 => String::new(),
        count => format!("{count}{ATTACHMENTS_END}"),
    };
    let (namespace, end): (&str, &[u8]) = match namespace {
        ROOT => ("", &[]),
        other => (other, &[NAMESPACE_END]),
    };
    let id = id.map_or_else(String::new, |id| id.to_string());
    let text: [&[u8]; 6] = [
        &[MESSAGE, kind],
        attachments.as_bytes(),
        namespace.as_bytes(),
        end,
        id.as_bytes(),
        packet.text.as_bytes(),
    ];
    let binary = packet.attachments.iter();
    let size = size(&text) + binary.map(|bytes| size(&[bytes])).sum::<usize>();
    // A vector without spare capacity becomes `Bytes` without a copy.
    let mut frames = Vec::with_capacity(size);
    frame(&mut frames, Data::Text, &text);
    for attachment in &packet.attachments {
        frame(&mut frames, Data::Binary, &[attachment]);
    }
    frames.into()
}

/// Returns the size of a frame in bytes.
fn size(payload: &[&[u8]]) -> usize {
    let length = length(payload);
    FrameHeader::default().len(length as u64) + length
}

fn length(payload: &[&[u8]]) -> usize {
    payload.iter().map(|part| part.len()).sum()
}

fn frame(frames: &mut Vec<u8>, kind: Data, payload: &[&[u8]]) {
    server_frames::push_header(frames, OpCode::Data(kind), length(payload));
    for part in payload {
        frames.extend_from_slice(part);
    }
}
