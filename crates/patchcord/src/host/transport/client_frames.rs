//! WebSocket frames of a client, which are read and unmasked in place, in the buffer that contains them.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Data, OpCode},
};

/// First frame in a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum First<'a> {
    /// More bytes must arrive before the frame is complete.
    Incomplete,
    /// Data frame, with its unmasked payload and the length of the whole frame in bytes.
    Data(Part, &'a mut [u8], usize),
    /// A ping, a pong or a close, with the length of the whole frame in bytes.
    Control(usize),
    /// Frame whose payload is larger than the limit.
    TooLarge,
    /// Frame that a client must not send.
    Broken,
}

/// Place of a data frame in its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Content of the message that the frame begins; `None` for a frame that continues a message.
    pub(super) begins: Option<Content>,
    /// `true` if the message ends with this frame.
    pub(super) is_last: bool,
}

/// Content of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Text,
    Binary,
}

/// Reads the first frame of a buffer, and unmasks its payload. `limit` is the maximum size of the payload in bytes.
pub(super) fn first(bytes: &mut [u8], limit: usize) -> First<'_> {
    let mut cursor = Cursor::new(&*bytes);
    let (header, payload) = match FrameHeader::parse(&mut cursor) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return First::Incomplete,
        Err(_) => return First::Broken,
    };
    let start = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
    let has_extension = header.rsv1 || header.rsv2 || header.rsv3;
    let Some(mask) = header.mask.filter(|_| !has_extension) else {
        return First::Broken;
    };
    let Some(length) = usize::try_from(payload).ok().filter(|size| *size <= limit) else {
        return First::TooLarge;
    };
    let whole = start + length;
    let Some(payload) = bytes.get_mut(start..whole) else {
        return First::Incomplete;
    };
    let begins = match header.opcode {
        OpCode::Data(Data::Text) => Some(Content::Text),
        OpCode::Data(Data::Binary) => Some(Content::Binary),
        OpCode::Data(Data::Continue) => None,
        OpCode::Control(_) if length <= 125 && header.is_final => return First::Control(whole),
        _ => return First::Broken,
    };
    unmask(payload, mask);
    let is_last = header.is_final;
    First::Data(Part { begins, is_last }, payload, whole)
}

/// Removes the mask from a payload, four bytes at a time.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let word = u32::from_ne_bytes(mask);
    let (words, rest) = payload.as_chunks_mut::<4>();
    for bytes in words {
        *bytes = (u32::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// Appends a frame of a client with a mask of zeros, for socketioxide to read.
pub(super) fn push(bytes: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    let header = FrameHeader {
        opcode,
        mask: Some([0; 4]),
        ..FrameHeader::default()
    };
    // `format` fails only if writing fails, and writing to memory does not fail.
    let _ = header.format(payload.len() as u64, bytes);
    bytes.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [7, 11, 13, 17];
        let mut frame = vec![first];
        match payload.len() {
            length @ 0..126 => frame.push(0x80 | length as u8),
            length @ 126..=0xffff => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            length => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(
            payload
                .iter()
                .enumerate()
                .map(|(i, byte)| byte ^ mask[i % 4]),
        );
        frame
    }

    const WHOLE: Part = Part {
        begins: Some(Content::Text),
        is_last: true,
    };

    #[test]
    fn a_frame_of_any_length_is_read_once_it_is_complete() {
        for length in (0..70).chain([125, 126, 127, 0xffff, 0x1_0000]) {
            let mut payload: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let mut frame = masked(0x81, &payload);
            let whole = frame.len();
            for cut in [0, 1, 2, 5, whole - 1]
                .into_iter()
                .filter(|cut| *cut < whole)
            {
                assert_eq!(
                    first(&mut frame[..cut], LIMIT),
                    First::Incomplete,
                    "{length}"
                );
            }
            frame.extend(masked(0x81, b"more"));
            assert_eq!(
                first(&mut frame, LIMIT),
                First::Data(WHOLE, &mut payload, whole),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn parts_of_a_message_and_control_frames_are_told_apart() {
        let of = |first_byte| match first(&mut masked(first_byte, b"x"), LIMIT) {
            First::Data(part, ..) => Some((part.begins, part.is_last)),
            _ => None,
        };
        assert_eq!(of(0x01), Some((Some(Content::Text), false)));
        assert_eq!(of(0x82), Some((Some(Content::Binary), true)));
        assert_eq!(of(0x00), Some((None, false)));
        assert_eq!(of(0x80), Some((None, true)));
        for control in [0x88, 0x89, 0x8a] {
            let mut frame = masked(control, b"x");
            let whole = frame.len();
            assert_eq!(first(&mut frame, LIMIT), First::Control(whole));
        }
    }

    #[test]
    fn what_a_client_may_not_send_is_broken() {
        let mut unmasked = vec![0x81, 1, b'x'];
        assert_eq!(first(&mut unmasked, LIMIT), First::Broken);
        for first_byte in [0xc1, 0xa1, 0x91, 0x83, 0x8b, 0x09] {
            let mut frame = masked(first_byte, b"x");
            assert_eq!(first(&mut frame, LIMIT), First::Broken, "{first_byte:x}");
        }
        assert_eq!(first(&mut masked(0x89, &[b'x'; 126]), LIMIT), First::Broken);
        assert_eq!(first(&mut masked(0x81, b"xx"), 1), First::TooLarge);
    }
}
