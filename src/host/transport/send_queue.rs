//! Queue of what waits for one client, in order, counted in packets and in bytes.

use std::{cell::Cell, collections::VecDeque};

use bytes::{Buf, Bytes, BytesMut};

use super::ws_frames;

/// Maximum capacity of a buffer that is kept for reuse, in bytes.
const SPARE: usize = 16 * 1024;

thread_local! {
    /// Buffer for the next connection that sends several packets, so that an idle connection needs no memory for one.
    static BUFFER: Cell<Option<BytesMut>> = const { Cell::new(None) };
}

/// Amount that waits, or the maximum that may wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    /// Number of packets. A packet that has left in part does not count, and an attachment is part of its packet.
    pub(crate) packets: usize,
    /// Number of bytes.
    pub(crate) bytes: usize,
}

impl Amount {
    /// Returns `true` if the amount is within a limit.
    pub(super) const fn is_within(self, most: Self) -> bool {
        self.packets <= most.packets && self.bytes <= most.bytes
    }
}

/// Data that can be written now.
#[derive(Debug)]
enum Next {
    /// One packet, whose bytes may be shared with other clients.
    One(Bytes),
    /// Several packets, or the rest of them.
    Many(BytesMut),
}

impl Default for Next {
    fn default() -> Self {
        Self::One(Bytes::new())
    }
}

impl Next {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::One(bytes) => bytes,
            Self::Many(bytes) => bytes,
        }
    }

    fn extend(&mut self, more: &[u8]) {
        match self {
            Self::One(one) => {
                let mut many = BUFFER.take().unwrap_or_default();
                many.reserve(one.len() + more.len());
                many.extend_from_slice(one);
                many.extend_from_slice(more);
                *self = Self::Many(many);
            }
            Self::Many(many) => many.extend_from_slice(more),
        }
    }

    fn advance(&mut self, bytes: usize) {
        match self {
            Self::One(one) => one.advance(bytes),
            Self::Many(many) => many.advance(bytes),
        }
    }

    /// Removes all data after it has left.
    fn clear(&mut self) {
        if let Self::Many(mut buffer) = std::mem::take(self)
            && buffer.capacity() <= SPARE
        {
            buffer.clear();
            BUFFER.set(Some(buffer));
        }
    }
}

/// Frames that the network has not accepted yet.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    next: Next,
    packets: usize,
    /// Remaining bytes of the frame that has left in part.
    begun: usize,
    /// Number of frames that socketioxide received, and number of those that it has written.
    handed: u64,
    written: u64,
    /// `true` while socketioxide has [`ws_frames::MARK`], and has not written this barrier. Until then, what it writes
    /// does not count as owed.
    until_mark: bool,
    /// Packets of the host behind those frames. Each may pass when socketioxide has written the given number of frames.
    behind: VecDeque<(u64, BytesMut)>,
    waiting_behind: Amount,
}

impl Backlog {
    /// Records that socketioxide receives `frames` frames, which precede what is pushed from now on.
    pub(super) const fn owes(&mut self, frames: usize) {
        self.handed += frames as u64;
    }

    /// Starts or stops the wait for the barrier. It starts just before socketioxide receives the barrier: nothing of
    /// the host passes until socketioxide has written it. It stops if socketioxide did not accept the barrier.
    pub(super) const fn waits_for_mark(&mut self, waits: bool) {
        self.until_mark = waits;
        self.handed = self.written + waits as u64;
    }

    /// Returns `true` if socketioxide has not yet written everything that it received.
    pub(super) const fn is_owed(&self) -> bool {
        self.written < self.handed
    }

    /// Returns the data that can be written now.
    pub(super) fn next(&self) -> &[u8] {
        self.next.bytes()
    }

    pub(super) fn amount(&self) -> Amount {
        Amount {
            packets: self.packets + self.waiting_behind.packets,
            bytes: self.next().len() + self.waiting_behind.bytes,
        }
    }

    /// Appends a packet of the host, behind the frames that socketioxide owes.
    pub(super) fn push(&mut self, frames: Bytes) {
        if !self.is_owed() {
            match self.next().is_empty() {
                true => self.next = Next::One(frames),
                false => self.next.extend(&frames),
            }
            self.packets += 1;
            return;
        }
        self.waiting_behind.packets += 1;
        self.waiting_behind.bytes += frames.len();
        match self.behind.back_mut() {
            Some((handed, waiting)) if *handed == self.handed => {
                waiting.extend_from_slice(&frames);
            }
            _ => self.behind.push_back((self.handed, (&*frames).into())),
        }
    }

    /// Appends frames of socketioxide, and behind each frame the packets that wait for it.
    pub(super) fn push_of_crate(&mut self, bytes: &[u8]) {
        for frame in ws_frames::of_server(bytes) {
            if self.until_mark && ws_frames::is_mark(frame) {
                self.until_mark = false;
                self.written += 1;
            } else {
                self.append(frame);
                let is_owed = !self.until_mark && self.is_owed() && ws_frames::is_owed(frame);
                self.written += u64::from(is_owed);
            }
            while let Some((_, waiting)) = self
                .behind
                .pop_front_if(|(after, _)| *after <= self.written)
            {
                let before = self.packets;
                ws_frames::of_server(&waiting).for_each(|frame| self.append(frame));
                self.waiting_behind.packets -= self.packets - before;
                self.waiting_behind.bytes -= waiting.len();
            }
        }
    }

    fn append(&mut self, frame: &[u8]) {
        self.next.extend(frame);
        self.packets += usize::from(ws_frames::begins_with_text(frame));
    }

    /// Removes bytes that have left.
    pub(super) fn advance(&mut self, bytes: usize) {
        if bytes >= self.next().len() {
            self.next.clear();
            (self.packets, self.begun) = (0, 0);
            return;
        }
        let mut rest = bytes;
        while rest > 0 {
            if self.begun == 0 {
                self.begun = ws_frames::of_server(self.next.bytes())
                    .next()
                    .map_or(0, <[u8]>::len);
                let text = ws_frames::begins_with_text(self.next.bytes());
                self.packets = self.packets.saturating_sub(text.into());
            }
            let now = rest.min(self.begun);
            self.next.advance(now);
            self.begun -= now;
            rest -= now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a frame of a server with a text of `length` bytes.
    fn text(length: u8) -> Vec<u8> {
        [&[0x81, length][..], &vec![b'x'; length.into()]].concat()
    }

    fn amount(backlog: &Backlog) -> (usize, usize) {
        let Amount { packets, bytes } = backlog.amount();
        (packets, bytes)
    }

    #[test]
    fn packets_count_until_they_begin_to_leave() {
        let mut backlog = Backlog::default();
        for length in [3, 5, 7] {
            backlog.push(text(length).into());
        }
        assert_eq!(amount(&backlog), (3, 21));
        backlog.advance(1);
        assert_eq!(amount(&backlog), (2, 20));
        backlog.advance(4);
        assert_eq!(amount(&backlog), (2, 16));
        backlog.advance(8);
        assert_eq!(amount(&backlog), (0, 8));
        backlog.push(text(1).into());
        assert_eq!(amount(&backlog), (1, 11));
        backlog.advance(11);
        assert_eq!(amount(&backlog), (0, 0));
    }

    #[test]
    fn attachments_are_part_of_their_packet() {
        let mut backlog = Backlog::default();
        let attachment = [0x82, 2, 1, 2];
        backlog.push([&text(3)[..], &attachment, &attachment].concat().into());
        backlog.push_of_crate(&[&text(1)[..], &attachment].concat());
        assert_eq!(amount(&backlog), (2, 20));
        backlog.advance(6);
        assert_eq!(amount(&backlog), (1, 14));
        backlog.advance(8);
        assert_eq!(amount(&backlog), (0, 6));
    }

    #[test]
    fn what_waits_behind_the_crate_counts() {
        let mut backlog = Backlog::default();
        backlog.owes(1);
        backlog.push(text(3).into());
        backlog.push(text(4).into());
        assert_eq!(amount(&backlog), (2, 11));
        assert!(backlog.next().is_empty());
        let answer = [0x81, 3, b'4', b'0', b'{'];
        backlog.push_of_crate(&answer);
        assert_eq!(amount(&backlog), (3, 16));
        assert_eq!(
            backlog.next(),
            [&answer[..], &text(3), &text(4)].concat(),
            "in order"
        );
        assert!(!backlog.is_owed());
    }

    #[test]
    fn nothing_of_the_host_passes_before_the_mark_which_is_not_sent() {
        let mut backlog = Backlog::default();
        backlog.waits_for_mark(true);
        backlog.push(text(3).into());
        let event = [0x81, 5, b'4', b'2', b'[', b'1', b']'];
        backlog.push_of_crate(&event);
        assert_eq!(backlog.next(), event);
        let packet = format!("42/chat,{}", serde_json::json!([ws_frames::MARK]));
        let mark = [&[0x81, packet.len() as u8], packet.as_bytes()].concat();
        backlog.push_of_crate(&[&event[..], &mark].concat());
        assert_eq!(backlog.next(), [&event[..], &event, &text(3)].concat());
        assert!(!backlog.is_owed());
    }
}
