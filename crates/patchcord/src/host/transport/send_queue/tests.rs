//! Tests of the content, the counts and the memory of a send queue.

use std::{collections::VecDeque, io::IoSlice};

use bytes::Bytes;
use proptest::{collection, prelude::*, sample};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

use super::{Amount, CHUNK, Content, Frames, MAX_SLICES, SHARED_FROM, SendQueue};

const TEXT: OpCode = OpCode::Data(Data::Text);
const BINARY: OpCode = OpCode::Data(Data::Binary);
const PING: OpCode = OpCode::Control(Control::Ping);

/// Returns a frame of a server with a payload of `length` bytes, whose content depends on `seed`.
fn frame(opcode: OpCode, length: usize, seed: u8) -> Vec<u8> {
    let mut frame = Vec::new();
    let header = FrameHeader {
        opcode,
        ..FrameHeader::default()
    };
    header.format(length as u64, &mut frame).unwrap();
    frame.extend((0..length).map(|n| seed.wrapping_add((n % 251) as u8)));
    frame
}

fn text(length: usize) -> Vec<u8> {
    frame(TEXT, length, 0)
}

fn push(queue: &mut SendQueue, frames: Vec<u8>) {
    queue.push(Bytes::from(frames));
}

fn amount(queue: &SendQueue) -> (usize, usize) {
    let Amount { packets, bytes } = queue.amount();
    (packets, bytes)
}

/// Returns the bytes of the next write.
fn next(queue: &SendQueue) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let slices = queue.slices(&mut slices);
    slices.iter().flat_map(|slice| slice.to_vec()).collect()
}

fn count_slices(queue: &SendQueue) -> usize {
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    queue.slices(&mut slices).len()
}

/// Returns the kind and the payload of each frame that a poll takes.
fn take_payloads(queue: &mut SendQueue, limit: usize) -> Vec<(OpCode, Vec<u8>)> {
    let mut taken = Vec::new();
    queue.take_packets(limit, |kind, payload| taken.push((kind, payload.to_vec())));
    taken
}

/// Returns the kind and the length of each frame that a poll takes.
fn take(queue: &mut SendQueue, limit: usize) -> Vec<(OpCode, usize)> {
    let taken = take_payloads(queue, limit).into_iter();
    taken.map(|(kind, payload)| (kind, payload.len())).collect()
}

#[test]
fn packets_count_until_they_begin_to_leave() {
    let mut queue = SendQueue::default();
    for length in [3, 5, 7] {
        push(&mut queue, text(length));
    }
    assert_eq!(amount(&queue), (3, 21));
    queue.advance(0);
    assert_eq!(amount(&queue), (3, 21));
    queue.advance(1);
    assert_eq!(amount(&queue), (2, 20));
    queue.advance(4);
    assert_eq!(amount(&queue), (2, 16));
    queue.advance(8);
    assert_eq!(amount(&queue), (0, 8));
    push(&mut queue, text(1));
    assert_eq!(amount(&queue), (1, 11));
    queue.advance(11);
    assert_eq!(amount(&queue), (0, 0));
    assert!(queue.is_empty());
}

#[test]
fn attachments_are_part_of_their_packet_and_control_frames_are_no_packets() {
    let mut queue = SendQueue::default();
    let attachment = frame(BINARY, 2, 0);
    push(
        &mut queue,
        [&text(3)[..], &attachment, &attachment].concat(),
    );
    push(&mut queue, frame(PING, 0, 0));
    queue.push_slice(&[&text(1)[..], &attachment, &text(1)].concat());
    assert_eq!(amount(&queue), (3, 25));
    queue.advance(6);
    assert_eq!(amount(&queue), (2, 19));
    queue.advance(9);
    assert_eq!(amount(&queue), (2, 10));
    queue.advance(1);
    assert_eq!(amount(&queue), (1, 9));
}

#[test]
fn a_large_buffer_is_shared_and_a_small_one_is_joined() {
    let large = Bytes::from(text(SHARED_FROM));
    let small = Bytes::from(text(SHARED_FROM / 2));
    let mut queue = SendQueue::default();
    for frames in [&small, &small, &large, &small, &small] {
        queue.push(frames.clone());
    }
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let slices = queue.slices(&mut slices);
    let lengths: Vec<_> = slices.iter().map(|slice| slice.len()).collect();
    assert_eq!(lengths, [2 * small.len(), large.len(), 2 * small.len()]);
    assert_eq!(slices[1].as_ptr(), large.as_ptr(), "the same buffer");
    assert!(small.is_unique(), "copies do not hold the buffer");
    queue.clear();
    assert!(large.is_unique());
}

#[test]
fn one_packet_in_an_empty_queue_is_not_copied() {
    let small = Bytes::from(text(5));
    let mut queue = SendQueue::default();
    queue.push(small.clone());
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    assert_eq!(queue.slices(&mut slices)[0].as_ptr(), small.as_ptr());
}

#[test]
fn many_small_packets_leave_with_one_write() {
    let mut queue = SendQueue::default();
    let packets: Vec<_> = (0..=255).map(|seed| frame(TEXT, 50, seed)).collect();
    for packet in &packets {
        push(&mut queue, packet.clone());
    }
    assert_eq!(count_slices(&queue), 1);
    assert_eq!(next(&queue), packets.concat());
    for _ in 0..10 * CHUNK / 52 {
        push(&mut queue, text(50));
    }
    assert!(count_slices(&queue) <= 11, "each buffer is full");
}

#[test]
fn a_shared_buffer_of_many_queues_is_not_owned_by_any() {
    let broadcasts = [(); 14].map(|()| Frames::Shared(text(950_000).into()));
    let mut queues: Vec<_> = (0..60).map(|_| SendQueue::default()).collect();
    for queue in &mut queues {
        for frames in &broadcasts {
            queue.push(frames.clone());
        }
        queue.advance(100_000);
    }
    let owned: usize = queues.iter().map(SendQueue::owned).sum();
    assert!(owned < 60 * 1024, "{owned}");
    assert_eq!(queues[0].amount().bytes, 14 * 950_010 - 100_000);
}

#[test]
fn an_empty_queue_is_small_and_holds_no_memory() {
    assert!(size_of::<SendQueue>() <= 48);
    let mut queue = SendQueue::default();
    for size in [10, 10, SHARED_FROM, 2 * CHUNK, 10] {
        push(&mut queue, text(size));
    }
    queue.advance(5);
    assert!(queue.owned() > 0);
    queue.advance(queue.amount().bytes);
    assert!(matches!(queue.content, Content::Empty));
    assert_eq!(queue.owned(), 0);
}

#[test]
fn memory_is_given_back_while_a_burst_leaves() {
    let mut queue = SendQueue::default();
    while queue.amount().bytes < 1 << 20 {
        push(&mut queue, text(100));
    }
    let waiting = queue.amount().bytes;
    assert!(queue.owned() < waiting + 2 * CHUNK, "{}", queue.owned());
    queue.advance(waiting - CHUNK);
    assert!(queue.owned() < 4 * CHUNK, "{}", queue.owned());
}

#[test]
fn packets_leave_in_small_parts() {
    let mut queue = SendQueue::default();
    let mut sent = Vec::new();
    for n in 0..16_384 {
        let packet = frame(TEXT, n % 60, n as u8);
        sent.extend_from_slice(&packet);
        push(&mut queue, packet);
    }
    assert_eq!(amount(&queue), (16_384, sent.len()));
    for part in sent.chunks(13) {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        assert!(queue.slices(&mut slices)[0].starts_with(&part[..1]));
        queue.advance(part.len());
    }
    assert_eq!(amount(&queue), (0, 0));
}

#[test]
fn a_poll_takes_whole_packets() {
    let mut queue = SendQueue::default();
    let with_attachments = [text(3), frame(BINARY, 200, 0), frame(BINARY, 5, 0)].concat();
    push(&mut queue, with_attachments.clone());
    push(&mut queue, text(4));
    push(&mut queue, text(5));
    let packet = [(TEXT, 3), (BINARY, 200), (BINARY, 5)];
    assert_eq!(take(&mut queue, 0), packet, "at least one");
    assert_eq!(amount(&queue), (2, 13));
    push(&mut queue, with_attachments);
    assert_eq!(take(&mut queue, 13 + 100), [(TEXT, 4), (TEXT, 5)]);
    assert_eq!(take(&mut queue, usize::MAX), packet);
    assert!(queue.is_empty());
    assert_eq!(take(&mut queue, usize::MAX), []);
}

#[test]
fn a_poll_takes_nothing_of_a_frame_that_has_left_in_part() {
    let mut queue = SendQueue::default();
    push(&mut queue, text(10));
    push(&mut queue, text(20));
    queue.advance(3);
    assert_eq!(take(&mut queue, usize::MAX), []);
    queue.advance(9);
    assert_eq!(take(&mut queue, usize::MAX), [(TEXT, 20)]);
}

#[test]
fn incomplete_frames_do_no_harm() {
    for bytes in [&[0x81][..], &[0x81, 126, 0], &[0x82, 9, 1], &[0xff; 3]] {
        let mut queue = SendQueue::default();
        queue.push_slice(bytes);
        queue.push(Bytes::copy_from_slice(bytes));
        push(&mut queue, text(SHARED_FROM));
        queue.advance(1);
        take(&mut queue, 0);
        queue.advance(2 * bytes.len() - 1);
        take(&mut queue, 0);
        queue.advance(usize::MAX);
        assert_eq!(amount(&queue), (0, 0));
    }
}

/// Frame of the model.
#[derive(Debug, Clone)]
struct Waiting {
    kind: OpCode,
    bytes: Vec<u8>,
    /// Number of bytes that have been sent.
    left: usize,
}

/// Simplest possible queue, with which a send queue is compared.
#[derive(Debug, Default)]
struct Model(VecDeque<Waiting>);

impl Model {
    fn amount(&self) -> (usize, usize) {
        let is_packet = |frame: &&Waiting| frame.kind == TEXT && frame.left == 0;
        let packets = self.0.iter().filter(is_packet).count();
        (packets, self.parts().map(<[u8]>::len).sum())
    }

    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|frame| &frame.bytes[frame.left..])
    }

    /// Returns `true` if these bytes wait at the front.
    fn starts_with(&self, mut bytes: &[u8]) -> bool {
        let mut parts = self.parts();
        while !bytes.is_empty() {
            let part = parts.next().unwrap_or_default();
            let (now, rest) = bytes.split_at(bytes.len().min(part.len()));
            if now.is_empty() || !part.starts_with(now) {
                return false;
            }
            bytes = rest;
        }
        true
    }

    fn advance(&mut self, bytes: usize) {
        let mut rest = bytes;
        while rest > 0 {
            let first = &mut self.0[0];
            let now = rest.min(first.bytes.len() - first.left);
            first.left += now;
            rest -= now;
            self.0.pop_front_if(|frame| frame.left == frame.bytes.len());
        }
    }

    fn take(&mut self, limit: usize) -> Vec<(OpCode, Vec<u8>)> {
        let mut taken = Vec::new();
        let mut size = 0;
        while self.0.front().is_some_and(|frame| frame.left == 0) {
            let behind = self.0.iter().skip(1);
            let attachments = behind.take_while(|frame| frame.kind == BINARY).count();
            let packet = self.0.iter().take(1 + attachments);
            size += packet.map(|frame| frame.bytes.len()).sum::<usize>();
            if size > limit && !taken.is_empty() {
                break;
            }
            let packet = self.0.drain(..=attachments);
            taken.extend(packet.map(|frame| (frame.kind, frame.payload())));
        }
        taken
    }
}

impl Waiting {
    fn payload(&self) -> Vec<u8> {
        let header = match self.bytes[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        self.bytes[header..].to_vec()
    }
}

#[derive(Debug, Clone)]
enum Step {
    Push(Vec<Waiting>),
    PushSlice(Vec<Waiting>),
    /// Bytes that are sent, in thousandths of the next write.
    Advance(usize),
    Take(usize),
    Clear,
}

fn waiting(kind: impl Strategy<Value = OpCode>) -> impl Strategy<Value = Waiting> {
    let length = prop_oneof![
        4 => 0..130_usize,
        2 => SHARED_FROM - 8..SHARED_FROM + 8,
        1 => CHUNK - 8..CHUNK + 8,
        1 => 0xfff0..0x1_0010_usize,
    ];
    (kind, length, any::<u8>()).prop_map(|(kind, length, seed)| Waiting {
        kind,
        bytes: frame(kind, length, seed),
        left: 0,
    })
}

fn step() -> impl Strategy<Value = Step> {
    let attachments = collection::vec(waiting(Just(BINARY)), 0..3);
    let packet = (waiting(Just(TEXT)), attachments).prop_map(|(text, mut frames)| {
        frames.insert(0, text);
        frames
    });
    let any = sample::select(vec![TEXT, TEXT, BINARY, PING]);
    prop_oneof![
        8 => packet.prop_map(Step::Push),
        1 => waiting(Just(PING)).prop_map(|frame| Step::Push(vec![frame])),
        4 => collection::vec(waiting(any), 0..8).prop_map(Step::PushSlice),
        4 => (0..=1000_usize).prop_map(Step::Advance),
        2 => Just(Step::Advance(1000)),
        2 => prop_oneof![0..200_usize, Just(SHARED_FROM), Just(100_000)].prop_map(Step::Take),
        1 => Just(Step::Clear),
    ]
}

fn bytes(frames: &[Waiting]) -> Vec<u8> {
    let parts = frames.iter().map(|frame| &frame.bytes[..]);
    parts.collect::<Vec<_>>().concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_queue_is_what_was_pushed_without_what_has_left(steps in collection::vec(step(), 0..60)) {
        let (mut queue, mut model) = (SendQueue::default(), Model::default());
        for step in steps {
            match step {
                Step::Push(frames) => {
                    push(&mut queue, bytes(&frames));
                    model.0.extend(frames);
                }
                Step::PushSlice(frames) => {
                    queue.push_slice(&bytes(&frames));
                    model.0.extend(frames);
                }
                Step::Advance(thousandths) => {
                    let bytes = next(&queue).len() * thousandths / 1000;
                    queue.advance(bytes);
                    model.advance(bytes);
                }
                Step::Take(limit) => {
                    prop_assert!(take_payloads(&mut queue, limit) == model.take(limit));
                }
                Step::Clear => {
                    queue.clear();
                    model.0.clear();
                }
            }
            prop_assert_eq!(amount(&queue), model.amount());
            prop_assert_eq!(queue.is_empty(), model.0.is_empty());
            let next = next(&queue);
            prop_assert!(model.starts_with(&next), "in order");
            prop_assert_eq!(next.is_empty(), model.0.is_empty());
        }
        while !queue.is_empty() {
            let next = next(&queue);
            prop_assert!(model.starts_with(&next), "in order");
            queue.advance(next.len());
            model.advance(next.len());
        }
        prop_assert_eq!((amount(&queue), model.amount()), ((0, 0), (0, 0)));
        prop_assert_eq!(queue.owned(), 0);
    }
}
