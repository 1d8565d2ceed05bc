//! WebSocket frames of a server, which have no mask.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

use super::protocol::{
    CONNECT, CONNECT_ERROR, DISCONNECT, MESSAGE, NAMESPACE_END, OPEN, PING, ROOT,
};

/// Bits of the opcode in the first byte of a frame.
const OPCODE: u8 = 0x0f;

/// Kind of a frame that socketioxide writes, as far as the host distinguishes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// First packet of a session.
    Open,
    /// Answer to a CONNECT that is accepted.
    Connected,
    /// Rejection of a CONNECT to this namespace.
    Refused(&'a str),
    /// End of a socket.
    Disconnected,
    /// Ping of Engine.IO.
    Ping,
    /// Close frame of the WebSocket.
    Close,
    /// Ping or pong of the WebSocket itself.
    Control,
    /// Any other frame.
    Other,
}

/// Returns the kind of a frame.
pub(super) fn classify(frame: &[u8]) -> Frame<'_> {
    match read(frame) {
        Some((OpCode::Control(Control::Close), _)) => Frame::Close,
        Some((OpCode::Control(_), _)) => Frame::Control,
        Some((OpCode::Data(Data::Text), payload)) => match payload {
            [OPEN, ..] => Frame::Open,
            [MESSAGE, CONNECT, ..] => Frame::Connected,
            [MESSAGE, CONNECT_ERROR, rest @ ..] => Frame::Refused(namespace(rest)),
            [MESSAGE, DISCONNECT, ..] => Frame::Disconnected,
            [PING] => Frame::Ping,
            _ => Frame::Other,
        },
        _ => Frame::Other,
    }
}

/// Returns the namespace at the start of a packet, after its type.
fn namespace(packet: &[u8]) -> &str {
    let name = match packet.starts_with(ROOT.as_bytes()) {
        true => packet.split(|byte| *byte == NAMESPACE_END).next(),
        false => None,
    };
    name.and_then(|name| std::str::from_utf8(name).ok())
        .unwrap_or(ROOT)
}

/// Splits bytes into frames. An incomplete frame at the end counts as one.
pub(super) fn all(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let length = header(bytes).map_or(bytes.len(), |(_, start, payload)| start + payload);
        let (frame, rest) = bytes.split_at(length.min(bytes.len()));
        bytes = rest;
        Some(frame)
    })
}

/// Returns the opcode and the payload of a whole frame.
pub(super) fn read(frame: &[u8]) -> Option<(OpCode, &[u8])> {
    let (opcode, start, _) = header(frame)?;
    Some((opcode, frame.get(start..)?))
}

/// Returns `true` if the first of these frames is a text frame.
pub(super) fn begins_with_text(frames: &[u8]) -> bool {
    opcode(frames) == Some(OpCode::Data(Data::Text))
}

/// Returns `true` if the first of these frames is a binary frame.
pub(super) fn begins_with_binary(frames: &[u8]) -> bool {
    opcode(frames) == Some(OpCode::Data(Data::Binary))
}

/// Returns the opcode of a frame, for which its first byte is enough.
fn opcode(frame: &[u8]) -> Option<OpCode> {
    frame.first().map(|first| OpCode::from(first & OPCODE))
}

/// Parses the header at the start of these bytes. Returns the opcode, the length of the header, and that of the
/// payload.
fn header(bytes: &[u8]) -> Option<(OpCode, usize, usize)> {
    let mut cursor = Cursor::new(bytes);
    let (header, payload) = FrameHeader::parse(&mut cursor).ok()??;
    let start = usize::try_from(cursor.position()).ok()?;
    Some((header.opcode, start, usize::try_from(payload).ok()?))
}

/// Close frame of a WebSocket, without a code, as Node sends it.
pub(super) const CLOSE: [u8; 2] = [0x88, 0];

/// Appends the header of a frame that is a whole message.
pub(super) fn push_header(frames: &mut Vec<u8>, opcode: OpCode, length: usize) {
    let header = FrameHeader {
        opcode,
        ..FrameHeader::default()
    };
    // `format` fails only if writing fails, and writing to memory does not fail.
    let _ = header.format(length as u64, frames);
}

/// Appends a frame.
pub(super) fn push(frames: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    push_header(frames, opcode, payload.len());
    frames.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: OpCode = OpCode::Data(Data::Text);

    #[test]
    fn the_close_of_a_websocket_is_a_frame() {
        let mut close = Vec::new();
        push(&mut close, OpCode::Control(Control::Close), &[]);
        assert_eq!(close, CLOSE);
    }

    #[test]
    fn frames_are_told_apart() {
        let of = |opcode, payload: &[u8]| {
            let mut frame = Vec::new();
            push(&mut frame, opcode, payload);
            format!("{:?}", classify(&frame))
        };
        assert_eq!(of(TEXT, b"0{\"sid\":\"x\"}"), "Open");
        assert_eq!(of(TEXT, b"40{\"sid\":\"x\"}"), "Connected");
        assert_eq!(of(TEXT, b"41/chat,"), "Disconnected");
        assert_eq!(of(TEXT, b"44/chat,{}"), "Refused(\"/chat\")");
        assert_eq!(of(TEXT, b"44{}"), "Refused(\"/\")");
        assert_eq!(of(TEXT, b"2"), "Ping");
        assert_eq!(of(TEXT, b"42[\"x\"]"), "Other");
        assert_eq!(of(OpCode::Data(Data::Binary), b"0"), "Other");
        assert_eq!(of(OpCode::Control(Control::Close), b""), "Close");
        assert_eq!(of(OpCode::Control(Control::Pong), b""), "Control");
    }

    #[test]
    fn frames_of_any_length_are_split() {
        let payloads = [0, 1, 125, 126, 0xffff, 0x1_0000].map(|length| vec![b'x'; length]);
        let mut bytes = Vec::new();
        for payload in &payloads {
            push(&mut bytes, TEXT, payload);
        }
        let frames: Vec<_> = all(&bytes).map(read).collect();
        let expected: Vec<_> = payloads.iter().map(|one| Some((TEXT, &**one))).collect();
        assert!(frames == expected);
    }
}
