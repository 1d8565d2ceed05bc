//! Send queue: frames that wait for one client, in order, for both transports.
//!
//! In: whole WebSocket frames, from the host or from socketioxide. Out: slices for a vectored write, or whole packets
//! for the answer to a poll. A queue always knows its size, in packets and in bytes.
//!
//! Small frames are joined into one buffer, so that one write sends many packets. A buffer of [`SHARED_FROM`] bytes or
//! more is not copied: the queues of all clients of a broadcast hold the same one. An empty queue has no memory on the
//! heap, and a queue of one packet or of several small ones has only their buffer. Only a queue that holds more, or
//! that the network has partly accepted, has a list of segments.

mod frames;
mod segments;
#[cfg(test)]
mod tests;

use std::{cell::Cell, io::IoSlice, mem};

use tokio_tungstenite::tungstenite::protocol::frame::coding::OpCode;

pub(in crate::host) use self::frames::Frames;
pub(super) use self::frames::SHARED_FROM;
use self::segments::{CHUNK, Segment, Segments, append, fits};
use super::server_frames;

/// Maximum number of slices of one vectored write. Each slice holds many small frames, or at least [`SHARED_FROM`]
/// bytes, so a write of all slices is never small.
pub(super) const MAX_SLICES: usize = 16;

thread_local! {
    /// Buffer for the next queue that joins small frames, so that an idle queue needs no memory for one.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Amount that waits, or the maximum that may wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    /// Number of packets. A packet that is partly sent does not count, and an attachment is part of its packet.
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

/// Frames that wait for a client, in order.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    content: Content,
    /// Number of text frames of which nothing has been sent.
    packets: usize,
}

/// Frames of a queue. Only those of [`Content::Several`] can be partly sent.
#[derive(Debug, Default)]
enum Content {
    #[default]
    Empty,
    /// Frames of one push. Other queues may hold the same buffer.
    One(Frames),
    /// Frames that were copied into one buffer.
    Joined(Vec<u8>),
    /// Several buffers, or the rest of a buffer that is partly sent.
    Several(Box<Segments>),
}

impl Content {
    fn into_segments(self) -> Box<Segments> {
        match self {
            Self::Empty => Box::default(),
            Self::One(frames) => Box::new(Segments::new(Segment::Pushed(frames))),
            Self::Joined(frames) => Box::new(Segments::new(Segment::Copied(frames))),
            Self::Several(segments) => segments,
        }
    }
}

impl SendQueue {
    /// Appends the frames of one packet. Control frames count only in bytes, and not as packets. A buffer of
    /// [`SHARED_FROM`] bytes or more is not copied.
    pub(super) fn push(&mut self, frames: impl Into<Frames>) {
        let frames = frames.into();
        let bytes = frames.bytes();
        if bytes.is_empty() {
            return;
        }
        debug_assert!(count_texts(bytes) <= 1, "the frames of one packet");
        self.packets += usize::from(server_frames::begins_with_text(bytes));
        match self.content {
            Content::Empty => self.content = Content::One(frames),
            _ if bytes.len() < SHARED_FROM => self.join(bytes),
            _ => self.change_segments(|segments| segments.push(Segment::Pushed(frames))),
        }
    }

    /// Appends frames of any number of packets, and copies them.
    pub(super) fn push_slice(&mut self, frames: &[u8]) {
        if !frames.is_empty() {
            self.packets += count_texts(frames);
            self.join(frames);
        }
    }

    /// Returns `true` if nothing waits.
    pub(super) const fn is_empty(&self) -> bool {
        matches!(self.content, Content::Empty)
    }

    /// Returns the amount that waits: the packets of which nothing has been sent, and all bytes.
    pub(super) fn amount(&self) -> Amount {
        let bytes = match &self.content {
            Content::Empty => 0,
            Content::One(frames) => frames.bytes().len(),
            Content::Joined(frames) => frames.len(),
            Content::Several(segments) => segments.bytes(),
        };
        Amount {
            packets: self.packets,
            bytes,
        }
    }

    /// Returns the memory that this queue holds, in bytes, without the buffers that are counted elsewhere
    /// ([`Frames::Shared`]).
    pub(super) fn owned(&self) -> usize {
        match &self.content {
            Content::Empty => 0,
            Content::One(frames) => frames.owned(),
            Content::Joined(frames) => frames.capacity(),
            Content::Several(segments) => segments.owned(),
        }
    }

    /// Fills `into` for one vectored write, and returns the filled part.
    pub(super) fn slices<'a, 'b>(
        &'a self,
        into: &'b mut [IoSlice<'a>; MAX_SLICES],
    ) -> &'b [IoSlice<'a>] {
        let mut filled = 0;
        for (slice, part) in into.iter_mut().zip(self.parts()) {
            *slice = IoSlice::new(part);
            filled += 1;
        }
        into.get(..filled).unwrap_or_default()
    }

    /// Returns everything that waits, if it is in one buffer.
    pub(super) fn only(&self) -> Option<&[u8]> {
        match &self.content {
            Content::One(frames) => Some(frames.bytes()),
            Content::Joined(frames) => Some(frames),
            Content::Empty | Content::Several(_) => None,
        }
    }

    /// Removes bytes that have been sent. A packet counts as waiting until its first byte has been sent.
    pub(super) fn advance(&mut self, bytes: usize) {
        if bytes >= self.amount().bytes {
            self.clear();
        } else if bytes > 0 {
            let mut begun = 0;
            self.change_segments(|segments| begun = segments.advance(bytes));
            self.packets = self.packets.saturating_sub(begun);
        }
    }

    /// Removes whole packets for the answer to a poll, and calls `each` with the opcode and the payload of each frame,
    /// in order. Removes the first packet, and further packets while the frames of all fit in `limit` bytes. Does not
    /// separate a text frame from its attachments. Removes nothing while a frame is partly sent, because only a write
    /// can continue it.
    pub(super) fn take_packets(&mut self, limit: usize, mut each: impl FnMut(OpCode, &[u8])) {
        if matches!(&self.content, Content::Several(segments) if segments.is_within_frame()) {
            return;
        }
        let taken = self.whole_packets(limit);
        let mut rest = taken;
        let mut frames = self.frames();
        while rest > 0
            && let Some(frame) = frames.next()
        {
            if let Some((kind, payload)) = server_frames::read(frame) {
                each(kind, payload);
            }
            rest -= frame.len();
        }
        drop(frames);
        self.advance(taken);
    }

    /// Removes everything.
    pub(super) fn clear(&mut self) {
        self.packets = 0;
        if let Content::Joined(mut buffer) = mem::take(&mut self.content)
            && buffer.capacity() <= CHUNK
        {
            buffer.clear();
            SPARE.set(buffer);
        }
    }

    /// Copies frames to the end of the last buffer if it has room for them, and otherwise to a new one.
    fn join(&mut self, frames: &[u8]) {
        match &mut self.content {
            Content::Empty => self.content = Content::Joined(joined(&[], frames)),
            Content::One(first) if first.bytes().len() < SHARED_FROM => {
                self.content = Content::Joined(joined(first.bytes(), frames));
            }
            Content::Joined(buffer) if fits(buffer, frames) => append(buffer, frames),
            _ => self.change_segments(|segments| segments.join(frames)),
        }
    }

    fn change_segments(&mut self, change: impl FnOnce(&mut Segments)) {
        let mut segments = mem::take(&mut self.content).into_segments();
        change(&mut segments);
        self.content = Content::Several(segments);
    }

    /// Returns the size in bytes of the packets that fit in `limit` bytes, or of the first packet if none fits.
    fn whole_packets(&self, limit: usize) -> usize {
        let (mut whole, mut end) = (0, 0);
        for frame in self.frames() {
            if !server_frames::begins_with_binary(frame) {
                whole = end;
            }
            end += frame.len();
            if end > limit && whole > 0 {
                return whole;
            }
        }
        end
    }

    /// Returns the waiting bytes in parts of whole frames. Only the first frame may be incomplete, because it is partly
    /// sent.
    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let (one, several): (Option<&[u8]>, _) = match &self.content {
            Content::Empty => (None, None),
            Content::One(frames) => (Some(frames.bytes()), None),
            Content::Joined(frames) => (Some(frames), None),
            Content::Several(segments) => (None, Some(segments)),
        };
        let several = several.into_iter().flat_map(|segments| segments.parts());
        one.into_iter().chain(several)
    }

    fn frames(&self) -> impl Iterator<Item = &[u8]> {
        self.parts().flat_map(server_frames::all)
    }
}

/// Returns a buffer with these frames: the spare one, unless the frames are larger than [`CHUNK`].
fn joined(first: &[u8], second: &[u8]) -> Vec<u8> {
    if first.len() + second.len() > CHUNK {
        return [first, second].concat();
    }
    let mut buffer = SPARE.take();
    append(&mut buffer, first);
    append(&mut buffer, second);
    buffer
}

fn count_texts(frames: &[u8]) -> usize {
    server_frames::all(frames)
        .filter(|frame| server_frames::begins_with_text(frame))
        .count()
}
