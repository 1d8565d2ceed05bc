//! Events and acks as the WebSocket frames that carry them, for clients that the host writes to itself.

use rhai::Dynamic;

use crate::{
    connection::SendError,
    value::{EncodeError, Packet, to_packet},
};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
/// What stands before a payload takes at most so much, without the namespace.
const MAX_HEAD: usize = 48;

/// The frames of an event.
pub(super) fn event(namespace: &str, event: &str, args: &[Dynamic]) -> Result<Vec<u8>, SendError> {
    let packet = to_packet(Some(event), args).map_err(|error| refused(&error))?;
    let kind = if packet.attachments.is_empty() {
        '2'
    } else {
        '5'
    };
    Ok(frames(kind, namespace, None, &packet))
}

/// The frames of an ack.
pub(super) fn ack(namespace: &str, id: i64, args: &[Dynamic]) -> Result<Vec<u8>, SendError> {
    let packet = to_packet(None, args).map_err(|error| refused(&error))?;
    let kind = if packet.attachments.is_empty() {
        '3'
    } else {
        '6'
    };
    Ok(frames(kind, namespace, Some(id), &packet))
}

/// How many frames an event has.
pub(super) fn count(event: &str, args: &[Dynamic]) -> Result<usize, SendError> {
    let packet = to_packet(Some(event), args).map_err(|error| refused(&error))?;
    Ok(1 + packet.attachments.len())
}

fn refused(error: &EncodeError) -> SendError {
    SendError::Value(error.to_string())
}

fn frames(kind: char, namespace: &str, id: Option<i64>, packet: &Packet) -> Vec<u8> {
    let mut head = String::with_capacity(MAX_HEAD + namespace.len());
    // Engine.IO's message, and Socket.IO's type.
    head.push('4');
    head.push(kind);
    if !packet.attachments.is_empty() {
        head.push_str(&format!("{}-", packet.attachments.len()));
    }
    if namespace != "/" {
        head.push_str(namespace);
        head.push(',');
    }
    if let Some(id) = id {
        head.push_str(&id.to_string());
    }
    let mut frames = Vec::with_capacity(10 + head.len() + packet.text.len());
    frame(
        &mut frames,
        TEXT,
        &[head.as_bytes(), packet.text.as_bytes()],
    );
    for attachment in &packet.attachments {
        frame(&mut frames, BINARY, &[attachment]);
    }
    frames
}

/// A frame of a server, which has no mask.
fn frame(frames: &mut Vec<u8>, kind: u8, payload: &[&[u8]]) {
    frames.push(kind);
    let length: usize = payload.iter().map(|part| part.len()).sum();
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
