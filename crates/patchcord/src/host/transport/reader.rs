//! Reads the WebSocket of a client, in its own task, so that events bypass socketioxide.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use tokio::{io::ReadBuf, task::yield_now};

use super::{
    TIME_IN_A_ROW,
    client_frames::{self, Content, First},
    wire::{State, Wire},
};

/// Maximum size of one read from the network, in bytes.
const READ_SIZE_BYTES: usize = 16 * 1024;
/// Threshold in bytes: once this many have been handled, the answers to them are sent. The answers are sent sooner if
/// no more data has been read.
const MAX_EVENTS_PER_FLUSH: usize = 1024;

thread_local! {
    /// Buffer for the current read.
    static READ: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Time for which the reader has handled packets without waiting.
#[derive(Clone, Copy)]
enum Busy {
    /// The reader has just waited.
    No,
    /// The reader has handled one packet since it last waited, and has not read the clock yet.
    Once,
    /// The reader has not waited since this time.
    Since(Instant),
}

/// Reader of one WebSocket.
pub(super) struct Reader {
    wire: Arc<Wire>,
    /// Bytes from the network that wait: for the rest of a frame, for a CONNECT, or for socketioxide to handle what
    /// came before them.
    received: Vec<u8>,
    /// `true` if `received` is only a part of a frame.
    is_incomplete: bool,
    /// Message of which only a part has arrived.
    message: Option<Box<(Content, Vec<u8>)>>,
    busy: Busy,
}

impl Reader {
    /// Starts the task that reads the WebSocket of `wire`. `received` contains the bytes that were already read.
    pub(super) fn start(wire: Arc<Wire>, received: Vec<u8>) {
        let mut reader = Self {
            wire,
            received,
            is_incomplete: false,
            message: None,
            busy: Busy::No,
        };
        tokio::spawn(async move { reader.read().await });
    }

    /// Reads until the session or the network connection has ended.
    async fn read(&mut self) {
        loop {
            self.wire.write_waiting();
            if self.is_due() {
                self.busy = Busy::No;
                yield_now().await;
            }
            if self.received.is_empty() || self.is_incomplete {
                if poll_fn(|context| self.poll_network(context)).await.is_err() {
                    break;
                }
                continue;
            }
            // Boxed, because the wait is rare, and its memory would be part of the task for as long as the connection
            // lives.
            Box::pin(self.wire.handled(State::poll_free)).await;
            if self.wire.lock().is_over() {
                break;
            }
            self.handle_received();
        }
    }

    /// Reads the available bytes, and handles the packets in them. Returns an error if no more bytes can arrive.
    fn poll_network(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut bytes = READ.take();
        bytes.resize(READ_SIZE_BYTES, 0);
        let mut read = ReadBuf::new(&mut bytes);
        let polled = self.wire.lock().poll_network(context, &mut read);
        let has_read = !read.filled().is_empty();
        // Bytes that follow those in `received` are handled together with them.
        let done = match self.received.is_empty() {
            true => self.handle(read.filled_mut()),
            false => 0,
        };
        let rest = read.filled().get(done..).unwrap_or_default();
        self.is_incomplete &= !has_read;
        self.received.extend_from_slice(rest);
        READ.set(bytes);
        match polled {
            Poll::Pending => {
                self.busy = Busy::No;
                Poll::Pending
            }
            Poll::Ready(Ok(())) if has_read => Poll::Ready(Ok(())),
            _ => {
                let is_complete = self.received.is_empty() && self.message.is_none();
                self.wire.network_ended(is_complete);
                Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
            }
        }
    }

    /// Handles the frames in `received`.
    fn handle_received(&mut self) {
        let mut received = std::mem::take(&mut self.received);
        let done = self.handle(&mut received);
        if done < received.len() {
            received.drain(..done);
            self.received = received;
        }
    }

    /// Handles frames until one of them must wait. Returns the number of bytes that were handled.
    fn handle(&mut self, bytes: &mut [u8]) -> usize {
        let limit = self.wire.options().transport.max_payload;
        let (mut done, mut unanswered) = (0, 0);
        while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
            if !self.wire.lock().is_free() {
                break;
            }
            let length = match client_frames::first(rest, limit) {
                First::Incomplete => {
                    self.is_incomplete = true;
                    break;
                }
                First::Data(part, payload, length) => {
                    let (begins, is_last) = (part.begins, part.is_last);
                    self.data(begins, is_last, payload, limit);
                    length
                }
                First::Control(length) => {
                    let frame = rest.get(..length).unwrap_or_default();
                    self.wire.receive_control(frame);
                    length
                }
                First::TooLarge => {
                    self.wire.too_large();
                    break;
                }
                First::Broken => {
                    self.wire.broken_frame();
                    break;
                }
            };
            done += length;
            unanswered += length;
            if unanswered >= MAX_EVENTS_PER_FLUSH {
                self.wire.write_waiting();
                unanswered = 0;
            }
            if done < bytes.len() && self.is_due() {
                break;
            }
        }
        done
    }

    /// Returns `true` if other tasks on this thread should get their turn. Reads the clock only from the second packet
    /// in a row on, because reading it is not worth the cost for a single packet.
    fn is_due(&mut self) -> bool {
        match self.busy {
            Busy::No => self.busy = Busy::Once,
            Busy::Once => self.busy = Busy::Since(Instant::now()),
            Busy::Since(since) => return since.elapsed() > TIME_IN_A_ROW,
        }
        false
    }

    /// Handles a data frame.
    fn data(&mut self, begins: Option<Content>, is_last: bool, payload: &[u8], limit: usize) {
        match (begins, &mut self.message) {
            (Some(content), None) if is_last => self.receive(content, payload),
            (Some(content), None) => self.message = Some(Box::new((content, payload.to_vec()))),
            (None, Some(parts)) if parts.1.len() + payload.len() > limit => {
                self.wire.too_large();
            }
            (None, Some(parts)) => {
                self.wire.count_frame();
                parts.1.extend_from_slice(payload);
                if is_last && let Some(parts) = self.message.take() {
                    self.receive(parts.0, &parts.1);
                }
            }
            (Some(_), Some(_)) | (None, None) => self.wire.broken_frame(),
        }
    }

    fn receive(&self, content: Content, message: &[u8]) {
        match content {
            Content::Text => self.wire.receive_text(message),
            Content::Binary => self.wire.receive_binary(Bytes::copy_from_slice(message)),
        }
    }
}
