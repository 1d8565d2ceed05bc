//! Tests of the total of all queues, and of the choice of clients that are disconnected for it.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::{collection, prelude::*};

use super::*;

/// Returns a text frame of a server with a payload of `length` bytes, below 64 KiB.
fn text(length: u16) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    let mut frame = vec![0x81, 126, high, low];
    frame.resize(4 + usize::from(length), b'x');
    frame
}

/// Client whose queue shrinks only when a test requests it.
struct Client {
    queues: Arc<StalledQueues>,
    state: Mutex<State>,
    /// Number of disconnects.
    disconnects: AtomicUsize,
    /// Callback of each disconnect.
    on_disconnect: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    queue: SendQueue,
    ticket: Option<Ticket>,
}

impl Client {
    fn new(queues: &Arc<StalledQueues>) -> Arc<Self> {
        Self::with_on_disconnect(queues, || {})
    }

    fn with_on_disconnect(
        queues: &Arc<StalledQueues>,
        on_disconnect: impl Fn() + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            queues: queues.clone(),
            state: Mutex::default(),
            disconnects: AtomicUsize::new(0),
            on_disconnect: Box::new(on_disconnect),
        })
    }

    fn push(self: &Arc<Self>, frames: &Frames) {
        if self.push_only(frames) {
            self.queues.relieve();
        }
    }

    /// Sends frames without disconnecting any client. Returns `true` if the total exceeds the limit.
    fn push_only(self: &Arc<Self>, frames: &Frames) -> bool {
        let client: Arc<dyn SlowClient> = self.clone();
        let state = &mut *self.state.lock();
        state.queue.push(frames.clone());
        let ticket = &mut state.ticket;
        let ticket = ticket.get_or_insert_with(|| self.queues.enter(Arc::downgrade(&client)));
        ticket.report(&state.queue)
    }

    fn advance(&self, bytes: usize) {
        let state = &mut *self.state.lock();
        state.queue.advance(bytes);
        if state.queue.is_empty() {
            state.ticket = None;
        } else if let Some(ticket) = &mut state.ticket {
            // A queue that shrinks disconnects no client.
            let _ = ticket.report(&state.queue);
        }
    }

    fn waiting(&self) -> usize {
        self.state.lock().queue.amount().bytes
    }

    fn owned(&self) -> usize {
        self.state.lock().queue.owned()
    }

    fn disconnects(&self) -> usize {
        self.disconnects.load(Ordering::SeqCst)
    }
}

impl SlowClient for Client {
    fn disconnect_slow(&self) {
        {
            let state = &mut *self.state.lock();
            state.queue.clear();
            state.ticket = None;
        }
        self.disconnects.fetch_add(1, Ordering::SeqCst);
        (self.on_disconnect)();
    }
}

fn disconnects(clients: &[Arc<Client>]) -> Vec<usize> {
    clients.iter().map(|client| client.disconnects()).collect()
}

/// Returns frames that count for the queue that holds them.
fn owned(length: u16) -> Frames {
    Bytes::from(text(length)).into()
}

#[test]
fn the_largest_queue_is_disconnected_first() {
    let queues = StalledQueues::new(30_000);
    let clients: Vec<_> = (0..4).map(|_| Client::new(&queues)).collect();
    for (client, length) in clients.iter().zip([2_000, 9_000, 8_000, 3_000]) {
        client.push(&owned(length));
    }
    assert_eq!(disconnects(&clients), [0, 0, 0, 0]);
    clients[0].push(&owned(15_000));
    assert_eq!(disconnects(&clients), [1, 0, 0, 0], "the one that pushes");
    clients[3].push(&owned(11_000));
    assert_eq!(disconnects(&clients), [1, 0, 0, 1]);
    clients[3].push(&owned(7_000));
    clients[0].push(&owned(7_000));
    assert_eq!(disconnects(&clients), [1, 1, 0, 1], "another one");
    clients.iter().for_each(|client| client.advance(usize::MAX));
    assert_eq!(queues.total(), 0);
}

#[test]
fn as_many_are_disconnected_as_it_takes() {
    let queues = StalledQueues::new(18_500);
    let clients: Vec<_> = (0..10).map(|_| Client::new(&queues)).collect();
    for client in &clients[..9] {
        client.push(&owned(2_000));
    }
    assert!(clients[0].push_only(&owned(3_000)));
    assert!(clients[9].push_only(&owned(3_000)));
    queues.relieve();
    // After the first disconnect the total is still about 19,000 bytes.
    assert_eq!(disconnects(&clients), [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
}

#[test]
fn a_buffer_of_many_clients_counts_once() {
    const BROADCASTS: usize = 14;
    let broadcast = [
        &[0x81, 127, 0, 0, 0, 0, 0, 14, 0x7e, 0xf0][..],
        &[b'x'; 950_000],
    ]
    .concat();
    let queues = StalledQueues::new(32 << 20);
    let clients: Vec<_> = (0..60).map(|_| Client::new(&queues)).collect();
    for _ in 0..BROADCASTS {
        let frames = queues.share(broadcast.clone().into());
        clients.iter().for_each(|client| client.push(&frames));
    }
    assert_eq!(disconnects(&clients).iter().sum::<usize>(), 0);
    assert_eq!(clients[0].waiting(), BROADCASTS * broadcast.len());
    let beside = queues.total() - BROADCASTS * broadcast.len();
    assert!(beside < 60 * 1024, "{beside}");
    clients.iter().for_each(|client| client.advance(usize::MAX));
    assert_eq!(queues.total(), 0);
}

#[test]
fn clients_that_share_a_buffer_are_disconnected_until_it_is_free() {
    let queues = StalledQueues::new(30_000);
    let clients: Vec<_> = (0..5).map(|_| Client::new(&queues)).collect();
    let shared = queues.share(text(20_000).into());
    clients.iter().for_each(|client| client.push(&shared));
    drop(shared);
    let other = Client::new(&queues);
    for _ in 0..4 {
        other.push(&owned(9_000));
        other.advance(usize::MAX);
    }
    assert_eq!(disconnects(&clients).iter().sum::<usize>(), 0);
    other.push(&owned(11_000));
    for n in 1..=5 {
        assert_eq!(disconnects(&clients).iter().sum::<usize>(), n);
        other.push(&owned(1));
    }
    assert_eq!(other.disconnects(), 0);
    assert!(queues.total() < 12_000, "{}", queues.total());
}

#[test]
fn a_buffer_in_the_hands_of_the_sender_disconnects_only_who_has_it() {
    let queues = StalledQueues::new(30_000);
    let clients: Vec<_> = (0..2).map(|_| Client::new(&queues)).collect();
    clients[0].push(&owned(10_000));
    let shared = queues.share(text(25_000).into());
    clients[1].push(&shared);
    assert!(queues.total() > 30_000, "the sender still has it");
    assert_eq!(disconnects(&clients), [0, 1]);
}

#[test]
fn small_frames_count_for_each_queue() {
    let queues = StalledQueues::new(1 << 20);
    let small = queues.share(text(100).into());
    assert_eq!(queues.total(), 0, "nobody has it yet");
    let clients: Vec<_> = (0..10).map(|_| Client::new(&queues)).collect();
    for client in &clients {
        client.push(&small);
        client.push(&small);
    }
    assert!(queues.total() >= 10 * 2 * 104);
    drop(clients);
    assert_eq!(queues.total(), 0, "clients that are gone count no more");
}

#[test]
fn nobody_is_disconnected_for_what_others_hold() {
    let queues = StalledQueues::new(1_000);
    let held = queues.share(text(2_000).into());
    queues.relieve();
    let client = Client::new(&queues);
    let mut ticket = {
        let client: Arc<dyn SlowClient> = client.clone();
        queues.enter(Arc::downgrade(&client))
    };
    assert!(ticket.report(&SendQueue::default()));
    queues.relieve();
    assert_eq!(client.disconnects(), 0, "its queue is empty");
    drop(held);
    assert!(!ticket.report(&SendQueue::default()));
}

#[test]
fn a_disconnect_may_send_to_others_which_then_are_disconnected_as_well() {
    let queues = StalledQueues::new(10_000);
    let other = Client::new(&queues);
    let to = other.clone();
    let announces = move || to.push(&owned(20_000));
    let first = Client::with_on_disconnect(&queues, announces);
    first.push(&owned(11_000));
    assert_eq!((first.disconnects(), other.disconnects()), (1, 1));
    assert_eq!(queues.total(), 0);
}

#[test]
fn a_panic_during_a_disconnect_does_not_end_the_bound() {
    let queues = StalledQueues::new(1_000);
    let broken = Client::with_on_disconnect(&queues, || panic!("on purpose"));
    let pushes = std::panic::AssertUnwindSafe(|| broken.push(&owned(2_000)));
    assert!(std::panic::catch_unwind(pushes).is_err());
    let client = Client::new(&queues);
    client.push(&owned(2_000));
    assert_eq!(client.disconnects(), 1);
}

#[test]
fn threads_that_push_and_disconnect_each_other_keep_the_total_right() {
    let queues = StalledQueues::new(100_000);
    let clients: Vec<_> = (0..16).map(|_| Client::new(&queues)).collect();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (queues, clients) = (&queues, &clients);
            scope.spawn(move || {
                for n in 0..2_000_usize {
                    let frames = queues.share(text((n * 37 % 4_000) as u16).into());
                    for client in clients.iter().skip(n % 7).step_by(5) {
                        client.push(&frames);
                    }
                    clients[(n * 5 + thread) % 16].advance(n * 91 % 9_000);
                }
            });
        }
    });
    assert!(disconnects(&clients).iter().sum::<usize>() > 0);
    assert!(queues.total() <= 100_000, "{}", queues.total());
    for client in &clients {
        client.advance(usize::MAX);
    }
    assert_eq!(queues.total(), 0);
    assert!(queues.members.lock().all.is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    /// Sends this many bytes to each client whose bit is set, in a buffer that counts once if `true`.
    Send(u16, u8, bool),
    Advance(usize, usize),
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![0..900_u16, 900..1_100_u16, 0..20_000_u16];
    let client = 0..8_usize;
    prop_oneof![
        6 => (length, any::<u8>(), any::<bool>()).prop_map(|(length, to, once)| Step::Send(length, to, once)),
        2 => (client.clone(), 0..20_000_usize).prop_map(|(client, bytes)| Step::Advance(client, bytes)),
        1 => client.prop_map(Step::Leave),
    ]
}

/// Relieves the queues, and checks that the clients with the largest ones are disconnected, and only as many as would
/// free the excess.
fn relieve(clients: &[Arc<Client>], queues: &StalledQueues) -> Result<(), TestCaseError> {
    let before: Vec<_> = clients.iter().map(|client| client.waiting()).collect();
    let excess = queues.total().saturating_sub(queues.limit);
    queues.relieve();
    let sized = std::iter::zip(clients, before).filter(|(_, before)| *before > 0);
    let (stay, gone): (Vec<_>, Vec<_>) = sized.partition(|(client, _)| client.waiting() > 0);
    let largest = stay.iter().map(|(_, before)| *before).max();
    let smallest = gone.iter().map(|(_, before)| *before).min();
    let freed: usize = gone.iter().map(|(_, before)| before).sum();
    prop_assert!(smallest.is_none() || largest <= smallest);
    prop_assert!(freed >= excess || stay.is_empty());
    prop_assert!(freed - smallest.unwrap_or(0) < excess.max(1));
    Ok(())
}

proptest! {
    #[test]
    fn the_total_is_the_sum_of_what_is_held(steps in collection::vec(step(), 0..80)) {
        let queues = StalledQueues::new(60_000);
        let mut clients: Vec<_> = (0..8).map(|_| Client::new(&queues)).collect();
        let mut shared: Vec<Bytes> = Vec::new();
        for step in steps {
            match step {
                Step::Send(length, to, is_broadcast) => {
                    let frames = Bytes::from(text(length));
                    let sent = match is_broadcast {
                        true => queues.share(frames.clone()),
                        false => owned(length),
                    };
                    let mut is_exceeded = false;
                    for (_, client) in clients.iter().enumerate().filter(|(n, _)| to >> n & 1 == 1) {
                        is_exceeded |= client.push_only(&sent);
                    }
                    drop(sent);
                    shared.push(frames);
                    if is_exceeded {
                        relieve(&clients, &queues)?;
                    }
                }
                Step::Advance(client, bytes) => clients[client].advance(bytes),
                Step::Leave(client) => clients[client] = Client::new(&queues),
            }
            // A buffer that is no longer shared has only this handle.
            shared.retain(|frames| frames.len() >= SHARED_FROM && !frames.is_unique());
            let owned: usize = clients.iter().map(|client| client.owned()).sum();
            let once: usize = shared.iter().map(Bytes::len).sum();
            prop_assert_eq!(queues.total(), owned + once);
        }
        drop(clients);
        prop_assert_eq!(queues.total(), 0);
    }
}
