//! Many clients of one server, and their work.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinSet};

use super::{client::Client, server::Server};

/// Maximum number of clients that connect at the same time.
const AT_A_TIME: usize = 20;
/// Time for which the work runs before it is measured.
const WARM_UP: Duration = Duration::from_millis(200);

/// Maximum time until everything is answered.
const DRAIN: Duration = Duration::from_secs(2);

/// Work of a fleet: a closed loop, in which each answer is followed by the next request.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) namespace: &'static str,
    pub(crate) clients: usize,
    /// Number of clients that send; the others only listen.
    pub(crate) senders: usize,
    pub(crate) in_flight: usize,
    /// JSON of the event, after an ack id if it asks for an ack.
    pub(crate) event: String,
}

/// Cost of one round of work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Number of events that clients have received.
    pub(crate) events: u64,
    pub(crate) time: Duration,
    /// CPU time of the server's process.
    pub(crate) server: Duration,
    /// CPU time of this process, which runs the clients.
    pub(crate) clients: Duration,
}

impl Cost {
    /// Returns the microseconds of the server's CPU time per event.
    pub(crate) fn per_event(&self) -> f64 {
        self.server.as_secs_f64() * 1e6 / self.events.max(1) as f64
    }
}

/// Connected clients that work on command.
pub(crate) struct Fleet {
    shared: Arc<Shared>,
    start: watch::Sender<u64>,
    tasks: JoinSet<io::Result<()>>,
}

#[derive(Default)]
struct Shared {
    running: AtomicBool,
    received: AtomicU64,
    sent: AtomicU64,
    answered: AtomicU64,
}

impl Fleet {
    /// Connects all clients of some work.
    pub(crate) async fn connect(address: SocketAddr, work: &Work) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let (start, started) = watch::channel(0);
        let mut tasks = JoinSet::new();
        let clients = connect(address, work.namespace, work.clients).await?;
        for (at, client) in clients.into_iter().enumerate() {
            let in_flight = if at < work.senders { work.in_flight } else { 0 };
            let request = client.event(&work.event);
            tasks.spawn(run(
                client,
                request,
                in_flight,
                shared.clone(),
                started.clone(),
            ));
        }
        Ok(Self {
            shared,
            start,
            tasks,
        })
    }

    /// Works for a time, and returns when everything is answered.
    pub(crate) async fn round(&mut self, server: &Server, time: Duration) -> io::Result<Cost> {
        self.shared.running.store(true, Ordering::Relaxed);
        self.start.send_modify(|round| *round += 1);
        self.pass(WARM_UP).await?;
        let (events, cpu, own, began) = (
            self.shared.received.load(Ordering::Relaxed),
            server.cpu()?,
            own_cpu()?,
            Instant::now(),
        );
        self.pass(time).await?;
        let cost = Cost {
            events: self.shared.received.load(Ordering::Relaxed) - events,
            time: began.elapsed(),
            server: server.cpu()?.saturating_sub(cpu),
            clients: own_cpu()?.saturating_sub(own),
        };
        self.shared.running.store(false, Ordering::Relaxed);
        self.drain().await?;
        Ok(cost)
    }

    /// Waits for the answers that are still to come. An event whose call failed, because the machine was too busy to
    /// run it in time, has no answer.
    async fn drain(&mut self) -> io::Result<()> {
        let until = Instant::now() + DRAIN;
        let open = |shared: &Shared| {
            shared.answered.load(Ordering::Relaxed) < shared.sent.load(Ordering::Relaxed)
        };
        while open(&self.shared) && Instant::now() < until {
            self.pass(Duration::from_millis(1)).await?;
        }
        let sent = self.shared.sent.load(Ordering::Relaxed);
        self.shared.answered.store(sent, Ordering::Relaxed);
        Ok(())
    }

    /// Works until `count` events have been received.
    pub(crate) async fn events(&mut self, count: u64) -> io::Result<()> {
        let end = self.shared.received.load(Ordering::Relaxed) + count;
        self.shared.running.store(true, Ordering::Relaxed);
        self.start.send_modify(|round| *round += 1);
        while self.shared.received.load(Ordering::Relaxed) < end {
            self.pass(Duration::from_millis(1)).await?;
        }
        self.shared.running.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Lets time pass; fails if a client ends meanwhile.
    async fn pass(&mut self, time: Duration) -> io::Result<()> {
        match tokio::time::timeout(time, self.tasks.join_next()).await {
            Ok(Some(Ok(Err(error)))) => Err(error),
            Ok(Some(Err(panic))) => Err(io::Error::other(panic)),
            _ => Ok(()),
        }
    }
}

/// Connects clients, several at a time.
pub(crate) async fn connect(
    address: SocketAddr,
    namespace: &'static str,
    count: usize,
) -> io::Result<Vec<Client>> {
    let mut connecting = JoinSet::new();
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        if connecting.len() == AT_A_TIME
            && let Some(client) = connecting.join_next().await
        {
            clients.push(client.map_err(io::Error::other)??);
        }
        connecting.spawn(Client::connect(address, namespace));
    }
    while let Some(client) = connecting.join_next().await {
        clients.push(client.map_err(io::Error::other)??);
    }
    Ok(clients)
}

async fn run(
    mut client: Client,
    request: Vec<u8>,
    in_flight: usize,
    shared: Arc<Shared>,
    mut started: watch::Receiver<u64>,
) -> io::Result<()> {
    loop {
        let mut received = 0;
        let mut send = 0;
        tokio::select! {
            // Safe to cancel, because it takes nothing from the socket before it handles it.
            done = client.receive(|packet| received += u64::from(packet.starts_with(b"4"))) => {
                done?;
                shared.received.fetch_add(received, Ordering::Relaxed);
                if in_flight > 0 {
                    shared.answered.fetch_add(received, Ordering::Relaxed);
                    if shared.running.load(Ordering::Relaxed) {
                        send = received;
                    }
                }
            }
            Ok(()) = started.changed() => send = in_flight as u64,
        }
        // Sends one by one, as independent clients do.
        for _ in 0..send {
            client.send(&request).await?;
        }
        shared.sent.fetch_add(send, Ordering::Relaxed);
    }
}

fn own_cpu() -> io::Result<Duration> {
    super::server::cpu(std::process::id())
}
