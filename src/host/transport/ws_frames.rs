//! Finds the end of each CONNECT in the frames that a client sends, however they are cut into reads.

/// Frames of a client are at most this long before their payload: two bytes, eight of length, four of mask.
const MAX_HEADER: usize = 14;

/// A text frame that begins like this is a CONNECT: Engine.IO message, Socket.IO connect.
const CONNECT: [u8; 2] = *b"40";

/// Longer names of namespaces are not looked at.
const MAX_NAMESPACE: usize = 256;

/// A text frame that is this and nothing else ends an upgrade: a WebSocket takes over from polling.
const UPGRADE: &[u8] = b"5";

/// An event that the crate is handed and that is never sent: what it was handed before has left when it writes this.
pub(in crate::host) const MARK: &str = "\0mark";
/// As it is written, behind the type of the packet and the namespace.
const MARK_WRITTEN: &[u8] = br#"["\u0000mark"]"#;

const TEXT: u8 = 0x01;
const BINARY: u8 = 0x02;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// Where the scan stands between two reads.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    header: Vec<u8>,
    /// Payload bytes of the frame still to come.
    payload: u64,
    /// The first bytes of the payload, as they are unmasked.
    start: Vec<u8>,
    in_payload: bool,
    /// Binary frames since the last text.
    attachments: usize,
    /// The namespace of the CONNECT that the last scan ended at.
    connect: Option<String>,
    /// The end of an upgrade has passed.
    upgraded: bool,
}

impl Scanner {
    /// How many of these bytes may pass: all of them, or those up to the end of the first CONNECT.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        self.connect = None;
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = if self.in_payload {
                self.skip_payload(rest)
            } else {
                self.read_header(rest)
            };
            if self.in_payload && self.payload == 0 {
                self.connect = self.end_frame();
                if self.connect.is_some() {
                    break;
                }
            }
        }
        bytes.len() - rest.len()
    }

    /// The namespace of the CONNECT that the last scan ended at, if it did.
    pub(super) fn connect(&self) -> Option<&str> {
        self.connect.as_deref()
    }

    /// Whether the end of an upgrade has passed since this was asked last.
    pub(super) const fn has_upgraded(&mut self) -> bool {
        std::mem::replace(&mut self.upgraded, false)
    }

    /// Whether the last frame was read to its end.
    pub(super) const fn is_between_frames(&self) -> bool {
        self.header.is_empty()
    }

    /// Attachments since the last packet that is a text.
    pub(super) const fn attachments(&self) -> usize {
        self.attachments
    }

    fn read_header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        if self.header.capacity() == 0 {
            self.header.reserve_exact(MAX_HEADER);
        }
        let whole = self
            .header
            .get(1)
            .map_or(2, |second| header_length(*second));
        let (here, rest) = bytes.split_at(bytes.len().min(whole - self.header.len()));
        self.header.extend_from_slice(here);
        if let Some(payload) = payload_length(&self.header) {
            self.payload = payload;
            self.in_payload = true;
            match self.header.first().map(|first| first & OPCODE) {
                Some(TEXT) => self.attachments = 0,
                Some(BINARY) => self.attachments += 1,
                _ => {}
            }
        }
        rest
    }

    fn skip_payload<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let here = usize::try_from(self.payload)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let (payload, rest) = bytes.split_at(here);
        for byte in payload {
            if !self.wants_more() {
                break;
            }
            let unmasked = byte ^ self.mask(self.start.len());
            self.start.push(unmasked);
        }
        self.payload -= here as u64;
        rest
    }

    fn mask(&self, place: usize) -> u8 {
        let masked = self.header.get(1).is_some_and(|b| b & MASKED != 0);
        let start = self.header.len().saturating_sub(4);
        match masked {
            true => self
                .header
                .get(start + place % 4)
                .copied()
                .unwrap_or_default(),
            false => 0,
        }
    }

    /// Whether more of the payload is needed to know a CONNECT and its namespace.
    fn wants_more(&self) -> bool {
        match self.start.strip_prefix(&CONNECT) {
            Some(rest) => rest.len() < MAX_NAMESPACE && !rest.contains(&b','),
            None => self.start.len() < CONNECT.len(),
        }
    }

    /// Ends a frame, and gives the namespace if it was a CONNECT.
    fn end_frame(&mut self) -> Option<String> {
        let text = self.header.first().is_some_and(|b| b & OPCODE == TEXT);
        let connect = if text { connect(&self.start) } else { None };
        self.upgraded |= text && self.start == UPGRADE;
        self.header.clear();
        self.start.clear();
        self.in_payload = false;
        connect
    }
}

/// The namespace of a CONNECT, as the Socket.IO crate will read it; `None` for any other packet.
pub(super) fn connect(packet: &[u8]) -> Option<String> {
    let rest = packet.strip_prefix(&CONNECT)?;
    let name = match rest.first() {
        Some(b'/') => rest.split(|byte| *byte == b',').next().unwrap_or_default(),
        _ => b"/",
    };
    Some(String::from_utf8_lossy(name).into_owned())
}

/// The frames that a server writes, which have no mask. What is no whole frame at the end is one.
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

/// Whether a frame of the crate is part of what a script is to be told in order: the answer to a CONNECT, an event, an
/// attachment.
pub(super) fn is_owed(frame: &[u8]) -> bool {
    let payload = payload_of_server(frame).and_then(|(start, _)| frame.get(start..));
    match frame.first().map(|first| first & OPCODE) {
        Some(TEXT) => matches!(payload, Some([b'4', b'0' | b'2' | b'5', ..])),
        Some(BINARY) => true,
        _ => false,
    }
}

/// Whether a frame of the crate is [`MARK`].
pub(super) fn is_mark(frame: &[u8]) -> bool {
    frame.first().is_some_and(|first| first & OPCODE == TEXT) && frame.ends_with(MARK_WRITTEN)
}

/// Where the payload of a frame without a mask begins, and its length.
fn payload_of_server(frame: &[u8]) -> Option<(usize, usize)> {
    let header = match frame.get(1)? & LENGTH {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let length = payload_length(frame.get(..header)?)?;
    Some((header, usize::try_from(length).ok()?))
}

/// Whether the first of these frames is a text.
pub(super) fn begins_with_text(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first & OPCODE == TEXT)
}

/// How long a header is, by its second byte.
const fn header_length(second: u8) -> usize {
    let mask = if second & MASKED != 0 { 4 } else { 0 };
    2 + extended_length(second) + mask
}

/// How many bytes say a length that the second byte of a header does not.
const fn extended_length(second: u8) -> usize {
    match second & LENGTH {
        126 => 2,
        127 => 8,
        _ => 0,
    }
}

/// The length of the payload, once the header is complete.
fn payload_length(header: &[u8]) -> Option<u64> {
    let second = *header.get(1)?;
    if header.len() < header_length(second) {
        return None;
    }
    match extended_length(second) {
        0 => Some(u64::from(second & LENGTH)),
        extended => Some(
            header
                .get(2..2 + extended)?
                .iter()
                .fold(0, |length, b| (length << 8) | u64::from(*b)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Vec<u8> {
        let mask = [7, 11, 13, 17];
        let mut frame = vec![0x81];
        match text.len() {
            n @ 0..126 => frame.push(0x80 | n as u8),
            n => {
                frame.push(0x80 | 126);
                frame.extend((n as u16).to_be_bytes());
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
}
