//! Segments of a send queue that holds more than one buffer, or the rest of one.

use std::collections::VecDeque;

use super::frames::Frames;
use crate::host::transport::server_frames;

/// Maximum size of a buffer in which small frames are joined, in bytes. Its memory is freed when all of it has been
/// sent.
pub(super) const CHUNK: usize = 16 * 1024;

/// Frames in order, of which the first may be partly sent.
#[derive(Debug, Default)]
pub(super) struct Segments {
    segments: VecDeque<Segment>,
    /// Number of bytes that wait.
    bytes: usize,
    /// Memory that counts for this queue, in bytes.
    owned: usize,
    /// Number of bytes of the first segment that have been sent.
    left: usize,
    /// Number of remaining bytes of the frame that is partly sent.
    frame_remaining: usize,
}

/// Buffer of whole frames.
#[derive(Debug)]
pub(super) enum Segment {
    /// Frames of one push. Other queues may hold the same buffer.
    Pushed(Frames),
    /// Frames that were copied.
    Copied(Vec<u8>),
}

impl Segment {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Pushed(frames) => frames.bytes(),
            Self::Copied(frames) => frames,
        }
    }

    /// Returns the memory that counts for this segment, in bytes: its entry in the queue, and its buffer unless that is
    /// counted elsewhere.
    fn owned(&self) -> usize {
        let buffer = match self {
            Self::Pushed(frames) => frames.owned(),
            Self::Copied(frames) => frames.capacity(),
        };
        size_of::<Self>() + buffer
    }
}

impl Segments {
    pub(super) fn new(first: Segment) -> Self {
        let mut segments = Self::default();
        segments.push(first);
        segments
    }

    /// Appends a segment.
    pub(super) fn push(&mut self, segment: Segment) {
        self.bytes += segment.bytes().len();
        self.owned += segment.owned();
        self.segments.push_back(segment);
    }

    /// Copies frames to the end of the last buffer, or into a new one if the last one is shared or full.
    pub(super) fn join(&mut self, frames: &[u8]) {
        let capacity = match self.segments.back_mut() {
            Some(Segment::Copied(buffer)) if fits(buffer, frames) => {
                self.owned -= buffer.capacity();
                append(buffer, frames);
                self.owned += buffer.capacity();
                self.bytes += frames.len();
                return;
            }
            // The next buffer will probably become full as well, so it gets its full capacity at once.
            Some(Segment::Copied(full)) if full.capacity() == CHUNK => CHUNK,
            _ => 0,
        };
        let mut buffer = Vec::with_capacity(capacity.max(frames.len()));
        buffer.extend_from_slice(frames);
        self.push(Segment::Copied(buffer));
    }

    /// Returns the number of bytes that wait.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the memory of the segments in bytes, without the buffers that are counted elsewhere. A buffer counts
    /// until all of it has been sent.
    pub(super) const fn owned(&self) -> usize {
        self.owned
    }

    /// Returns `true` if a frame is partly sent.
    pub(super) const fn is_within_frame(&self) -> bool {
        self.frame_remaining > 0
    }

    /// Returns the waiting bytes of each segment.
    pub(super) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let mut left = self.left;
        self.segments.iter().map(move |segment| {
            let start = std::mem::take(&mut left);
            segment.bytes().get(start..).unwrap_or_default()
        })
    }

    /// Removes bytes that have been sent. Returns the number of text frames whose first bytes are among them.
    pub(super) fn advance(&mut self, bytes: usize) -> usize {
        let (mut rest, mut texts) = (bytes, 0);
        while rest > 0
            && let Some(first) = self.segments.front()
        {
            let waiting = first.bytes().get(self.left..).unwrap_or_default();
            if self.frame_remaining == 0 {
                let frame = server_frames::all(waiting).next().unwrap_or_default();
                self.frame_remaining = frame.len();
                texts += usize::from(server_frames::begins_with_text(frame));
            }
            let now = rest.min(self.frame_remaining);
            rest -= now;
            self.frame_remaining -= now;
            self.bytes -= now;
            self.left += now;
            if now == waiting.len() {
                self.owned -= first.owned();
                self.segments.pop_front();
                self.left = 0;
            }
        }
        texts
    }
}

/// Returns `true` if a buffer has room for frames.
pub(super) const fn fits(buffer: &[u8], frames: &[u8]) -> bool {
    buffer.len() + frames.len() <= CHUNK
}

/// Appends frames that fit. The buffer grows in powers of two, up to [`CHUNK`] exactly.
pub(super) fn append(buffer: &mut Vec<u8>, frames: &[u8]) {
    let needed = buffer.len() + frames.len();
    if needed > buffer.capacity() {
        let capacity = needed.next_power_of_two();
        buffer.reserve_exact(capacity - buffer.len());
    }
    buffer.extend_from_slice(frames);
}
