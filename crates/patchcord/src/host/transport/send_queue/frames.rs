//! Frames of one packet, on their way into a send queue.

use bytes::Bytes;

/// Minimum size of a buffer that queues share, in bytes. A smaller buffer is copied, because the copy costs less than
/// an entry in the queue and a slice in a write.
pub(in crate::host::transport) const SHARED_FROM: usize = 1024;

/// Frames of one packet: a text frame, and a binary frame for each attachment; or a control frame.
#[derive(Debug, Clone)]
pub(in crate::host) enum Frames {
    /// Buffer whose memory counts for each queue that holds it.
    Owned(Bytes),
    /// Buffer of at least [`SHARED_FROM`] bytes, whose memory is counted elsewhere, once for all queues that hold it.
    Shared(Bytes),
}

impl Frames {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Owned(frames) | Self::Shared(frames) => frames,
        }
    }

    /// Returns the memory that counts for the queue that holds the frames, in bytes.
    pub(super) const fn owned(&self) -> usize {
        match self {
            Self::Owned(frames) => frames.len(),
            Self::Shared(_) => 0,
        }
    }
}

impl From<Bytes> for Frames {
    fn from(frames: Bytes) -> Self {
        Self::Owned(frames)
    }
}
