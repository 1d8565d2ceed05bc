//! Scanner that finds the end of each CONNECT in the frames that a client sends, however they are cut into reads.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::{
    self,
    protocol::frame::{
        FrameHeader,
        coding::{Data, OpCode},
    },
};

use super::protocol::{
    BINARY_EVENT, CONNECT, CONNECT_START, EVENT, MAX_NAMESPACE, MESSAGE, NAMESPACE_END, UPGRADE,
    connect,
};

/// Maximum length of a client frame before its payload, in bytes: two, plus eight of length and four of mask.
const MAX_HEADER: usize = 14;

/// Event that serves as a barrier: socketioxide receives it, and it is never sent to the client. When socketioxide
/// writes it, everything that socketioxide received before has left.
pub(in crate::host) const MARK: &str = "\0mark";
/// The barrier as socketioxide writes it, behind the type of the packet and the namespace.
const MARK_WRITTEN: &[u8] = br#"["\u0000mark"]"#;

const TEXT: OpCode = OpCode::Data(Data::Text);
const BINARY: OpCode = OpCode::Data(Data::Binary);
/// Bits of the opcode in the first byte of a frame.
const OPCODE: u8 = 0x0f;

/// State of the scan between two reads.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// Header of the next frame, as far as it has come.
    header: Vec<u8>,
    /// Frame whose header was read.
    frame: Option<Frame>,
    /// First bytes of its payload, unmasked.
    start: Vec<u8>,
    /// Number of binary frames since the last text.
    attachments: usize,
    /// Namespace of the CONNECT that the last scan ended at.
    connect: Option<String>,
    /// `true` after the end of an upgrade has passed.
    upgraded: bool,
    /// `true` after an invalid header has come. socketioxide ends the connection when it reads that header, whatever
    /// comes behind.
    is_broken: bool,
}

/// Frame whose end has not come yet.
#[derive(Debug)]
struct Frame {
    opcode: OpCode,
    mask: [u8; 4],
    /// Remaining bytes of its payload.
    rest: u64,
}

impl Scanner {
    /// Returns how many of these bytes may pass: all of them, or those up to the end of the first CONNECT.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        self.connect = None;
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_broken {
            rest = match &mut self.frame {
                Some(frame) => frame.skip_payload(rest, &mut self.start),
                None => self.read_header(rest),
            };
            if let Some(frame) = self.frame.take_if(|frame| frame.rest == 0) {
                self.connect = self.end_frame(frame.opcode);
                if self.connect.is_some() {
                    return bytes.len() - rest.len();
                }
            }
        }
        bytes.len()
    }

    /// Returns the namespace of the CONNECT that the last scan ended at, if there was one.
    pub(super) fn connect(&self) -> Option<&str> {
        self.connect.as_deref()
    }

    /// Returns `true` if the end of an upgrade has passed since the last call.
    pub(super) const fn has_upgraded(&mut self) -> bool {
        std::mem::replace(&mut self.upgraded, false)
    }

    /// Returns `true` if the last frame was read to its end.
    pub(super) const fn is_between_frames(&self) -> bool {
        self.header.is_empty() && self.frame.is_none()
    }

    /// Returns the number of attachments since the last text packet.
    pub(super) const fn attachments(&self) -> usize {
        self.attachments
    }

    fn read_header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if self.header.capacity() == 0 {
            self.header.reserve_exact(MAX_HEADER);
        }
        let known = self.header.len();
        let (here, _) = bytes.split_at(bytes.len().min(MAX_HEADER - known));
        self.header.extend_from_slice(here);
        match parse(&self.header) {
            Ok(Some((header, length, payload))) => {
                match header.opcode {
                    TEXT => self.attachments = 0,
                    BINARY => self.attachments += 1,
                    _ => {}
                }
                self.frame = Some(Frame {
                    opcode: header.opcode,
                    mask: header.mask.unwrap_or_default(),
                    rest: payload,
                });
                self.header.clear();
                bytes.get(length - known..).unwrap_or_default()
            }
            Ok(None) => &[],
            Err(_) => {
                self.is_broken = true;
                &[]
            }
        }
    }

    /// Ends a frame, and returns the namespace if the frame was a CONNECT.
    fn end_frame(&mut self, opcode: OpCode) -> Option<String> {
        let is_text = opcode == TEXT;
        let connect = if is_text { connect(&self.start) } else { None };
        self.upgraded |= is_text && self.start == UPGRADE.as_bytes();
        self.start.clear();
        connect
    }
}

impl Frame {
    /// Skips the frame's payload, and keeps the start of it.
    fn skip_payload<'a>(&mut self, bytes: &'a [u8], start: &mut Vec<u8>) -> &'a [u8] {
        let rest = usize::try_from(self.rest).unwrap_or(usize::MAX);
        let (payload, behind) = bytes.split_at(rest.min(bytes.len()));
        let mask = self.mask.iter().cycle().skip(start.len() % 4);
        for (byte, mask) in payload.iter().zip(mask) {
            if !wants_more(start) {
                break;
            }
            start.push(byte ^ mask);
        }
        self.rest -= payload.len() as u64;
        behind
    }
}

/// Returns `true` if more of a payload is needed to recognize a CONNECT and its namespace.
fn wants_more(start: &[u8]) -> bool {
    match start.strip_prefix(&CONNECT_START) {
        Some(rest) => rest.len() < MAX_NAMESPACE && !rest.contains(&NAMESPACE_END),
        None => start.len() < CONNECT_START.len(),
    }
}

/// Parses the header at the start of these bytes. Returns the header, its length, and the length of the payload; `None`
/// if the end of the header has not come.
fn parse(bytes: &[u8]) -> tungstenite::Result<Option<(FrameHeader, usize, u64)>> {
    let mut cursor = Cursor::new(bytes);
    let parsed = FrameHeader::parse(&mut cursor)?;
    // The parser has not gone beyond the bytes.
    Ok(parsed.map(|(header, payload)| (header, cursor.position() as usize, payload)))
}

/// Splits the bytes that a server writes into frames, which have no mask. An incomplete frame at the end counts as one.
pub(super) fn of_server(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let (start, length) = payload_of_server(bytes).unwrap_or((bytes.len(), 0));
        let (frame, rest) = bytes.split_at(start.saturating_add(length).min(bytes.len()));
        bytes = rest;
        Some(frame)
    })
}

/// Returns `true` if a frame of socketioxide is part of what a script sends in order: the answer to a CONNECT, an
/// event, an attachment.
pub(super) fn is_owed(frame: &[u8]) -> bool {
    let payload = payload_of_server(frame).and_then(|(start, _)| frame.get(start..));
    match opcode(frame) {
        Some(TEXT) => matches!(payload, Some([MESSAGE, CONNECT | EVENT | BINARY_EVENT, ..])),
        Some(BINARY) => true,
        _ => false,
    }
}

/// Returns `true` if a frame of socketioxide is the barrier, [`MARK`].
pub(super) fn is_mark(frame: &[u8]) -> bool {
    begins_with_text(frame) && frame.ends_with(MARK_WRITTEN)
}

/// Returns the position of a frame's payload, and its length.
fn payload_of_server(frame: &[u8]) -> Option<(usize, usize)> {
    let (_, length, payload) = parse(frame).ok()??;
    Some((length, usize::try_from(payload).ok()?))
}

/// Returns `true` if the first of these frames is a text.
pub(super) fn begins_with_text(bytes: &[u8]) -> bool {
    opcode(bytes) == Some(TEXT)
}

/// Returns the opcode of a frame, of which perhaps only one byte has come.
fn opcode(frame: &[u8]) -> Option<OpCode> {
    frame.first().map(|first| OpCode::from(first & OPCODE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Vec<u8> {
        let mask = [7, 11, 13, 17];
        let mut frame = vec![0x81];
        let length = text.len();
        match length {
            0..126 => frame.push(0x80 | length as u8),
            126..=0xffff => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(text.bytes().enumerate().map(|(i, b)| b ^ mask[i % 4]));
        frame
    }

    fn stops(stream: &[u8], read: usize) -> Vec<usize> {
        let mut scanner = Scanner::default();
        let (mut stops, mut at) = (Vec::new(), 0);
        while at < stream.len() {
            let end = (at + read).min(stream.len());
            at += scanner.pass(&stream[at..end]);
            if scanner.connect().is_some() {
                stops.push(at);
            }
        }
        stops
    }

    #[test]
    fn stops_at_the_end_of_each_connect_however_the_stream_is_cut() {
        let long = format!("42[\"x\",\"{}\"]", "40".repeat(200));
        let parts = [
            frame("40/chat,{}"),
            frame(&long),
            frame("2"),
            frame(""),
            frame("40"),
            frame("42[\"y\"]"),
        ];
        let ends = [parts[0].len(), parts[..5].concat().len()];
        let stream = parts.concat();
        for read in 1..stream.len() {
            assert_eq!(stops(&stream, read), ends, "reads of {read} bytes");
        }
    }

    #[test]
    fn a_binary_frame_is_no_connect() {
        let mut stream = frame("40");
        stream[0] = 0x82;
        assert!(stops(&stream, 1).is_empty());
    }

    #[test]
    fn a_frame_of_any_length_is_passed_over() {
        for length in [0, 125, 126, 0xffff, 0x1_0000] {
            let long = frame(&"x".repeat(length));
            let stream = [long, frame("40/chat,")].concat();
            for read in [1, 13, 4096, stream.len()] {
                let context = format!("{length} bytes, reads of {read}");
                assert_eq!(stops(&stream, read), [stream.len()], "{context}");
            }
        }
    }

    #[test]
    fn what_is_no_frame_passes_with_all_that_follows() {
        for first in [0x83, 0x8b, 0xff] {
            let mut stream = [frame("x"), frame("40"), frame("40")].concat();
            let broken = frame("x").len();
            stream[broken] = first;
            for read in 1..stream.len() {
                let mut scanner = Scanner::default();
                for bytes in stream.chunks(read) {
                    assert_eq!(scanner.pass(bytes), bytes.len());
                }
            }
        }
    }
}
