//! Events and acks as the WebSocket frames that carry them, for clients that the host writes to itself.

use bytes::Bytes;

use crate::value::Packet;

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

/// The frames of an event.
pub(in crate::host) fn event(namespace: &str, packet: &Packet) -> Bytes {
    let kind = match packet.attachments.is_empty() {
        true => "2",
        false => "5",
    };
    frames(kind, namespace, None, packet)
}

/// The frames of an ack.
pub(in crate::host) fn ack(namespace: &str, id: i64, packet: &Packet) -> Bytes {
    let kind = match packet.attachments.is_empty() {
        true => "3",
        false => "6",
    };
    frames(kind, namespace, Some(id), packet)
}

fn frames(kind: &str, namespace: &str, id: Option<i64>, packet: &Packet) -> Bytes {
    let attachments = match packet.attachments.len() {
        0 => String::new(),
        count => format!("{count}-"),
    };
    let (namespace, comma) = match namespace {
        "/" => ("", ""),
        other => (other, ","),
    };
    // Engine.IO's message, Socket.IO's type, and what belongs to it.
    let text = [
        "4",
        kind,
        &attachments,
        namespace,
        comma,
        &id.map_or_else(String::new, |id| id.to_string()),
        &packet.text,
    ];
    let text = text.map(str::as_bytes);
    let size = size(&text) + packet.attachments.iter().map(|a| size(&[a])).sum::<usize>();
    // Without room to spare it becomes `Bytes` as it is.
    let mut frames = Vec::with_capacity(size);
    frame(&mut frames, TEXT, &text);
    for attachment in &packet.attachments {
        frame(&mut frames, BINARY, &[attachment]);
    }
    frames.into()
}

/// Bytes of a frame.
fn size(payload: &[&[u8]]) -> usize {
    let length = length(payload);
    let head = match length {
        0..126 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    head + length
}

fn length(payload: &[&[u8]]) -> usize {
    payload.iter().map(|part| part.len()).sum()
}

/// A frame of a server, which has no mask.
fn frame(frames: &mut Vec<u8>, kind: u8, payload: &[&[u8]]) {
    frames.push(kind);
    let length = length(payload);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..126), _) => frames.push(short),
        (_, Ok(medium)) => {
            frames.push(126);
            frames.extend(medium.to_be_bytes());
        }
        _ => {
            frames.push(127);
            frames.extend((length as u64).to_be_bytes());
        }
    }
    for part in payload {
        frames.extend_from_slice(part);
    }
}
