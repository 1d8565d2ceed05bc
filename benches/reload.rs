//! Cost of a save: the time until it is live on every connection, and how long events of other clients wait meanwhile.
//!
//! `cargo build --release && cargo bench --bench reload -- [--connections N] [--rounds N] [--peers]`
//!
//! The server is the program itself, with a file that is saved while it serves. There are three kinds of saves: of a
//! listener, of `on_connection` itself, which runs drafts, and of a listener with an `on_reload` that sends an event to
//! every connection. The first two are live when the server reports it; the third is live when the last connection has
//! received the event. The watcher's 50 ms of quiet are subtracted. Eight more connections send one event after another
//! all the time. `--peers` makes the same edit on `node --watch` and `bun --hot`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    missing_debug_implementations,
    unreachable_pub,
    reason = "a benchmark, which ends at the first thing that is wrong"
)]

use std::{
    env, fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

/// Time without changes that the watcher waits for before it looks at the files.
const QUIET: Duration = Duration::from_millis(50);
const BUSY: usize = 8;
const TIMEOUT: Duration = Duration::from_secs(60);
/// Maximum time for a peer to follow an edit; a server that takes longer does not follow edits.
const EDIT_TIMEOUT: Duration = Duration::from_secs(3);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn main() {
    let options = Options::read();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for edit in [Edit::Listener, Edit::Connection, Edit::Told] {
            patchcord(&options, edit).await;
        }
        if options.peers {
            peer("node --watch", "node", &["--watch"], 1).await;
            peer("bun --hot", "bun", &["--hot"], 2).await;
        }
    });
}

struct Options {
    connections: usize,
    rounds: u64,
    peers: bool,
}

impl Options {
    fn read() -> Self {
        let arguments: Vec<_> = env::args().collect();
        let number = |name: &str| {
            let at = arguments.iter().position(|argument| argument == name)?;
            arguments.get(at + 1)?.parse::<u64>().ok()
        };
        Self {
            connections: number("--connections").map_or(1_000, |n| n as usize),
            rounds: number("--rounds").unwrap_or(20),
            peers: arguments.iter().any(|argument| argument == "--peers"),
        }
    }
}

/// Part of the script that a save changes.
#[derive(Clone, Copy, PartialEq)]
enum Edit {
    Listener,
    /// The function `on_connection` itself.
    Connection,
    /// A listener, and `on_reload` sends an event to every connection.
    Told,
}

impl Edit {
    const fn name(self) -> &'static str {
        match self {
            Self::Listener => "a listener",
            Self::Connection => "`on_connection`, with drafts",
            Self::Told => "a listener, told by `on_reload`",
        }
    }
}

/// Returns a script with as much state and as many handlers as a small chat.
fn script(version: u64, edit: Edit) -> String {
    let on_reload = match edit {
        Edit::Told => "fn on_reload",
        _ => "fn not_called",
    };
    let color = match edit {
        Edit::Connection => version,
        _ => 1,
    };
    format!(
        "{on_reload}(socket) {{ socket.emit(\"live\", {version}); }}
        fn on_connection(socket) {{
            let name = \"anonymous\";
            let count = 0;
            let rooms = [];
            socket.data.color = \"blue {color}\";
            socket.join(\"hall\");
            socket.on(\"v\", || {version});
            socket.on(\"name\", |new_name| {{ name = new_name; }});
            socket.on(\"say\", |text| {{ count += 1; io.to(\"hall\").emit(\"say\", name, text, count); }});
            socket.on(\"join\", |room| {{ rooms.push(room); socket.join(room); }});
            socket.on(\"disconnect\", |reason| {{ io.emit(\"left\", name, rooms); }});
        }}"
    )
}

async fn patchcord(options: &Options, edit: Edit) {
    let tells = edit == Edit::Told;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("main.rhai");
    fs::write(&file, script(1, edit)).unwrap();
    let binary = env::var("PATCHCORD").unwrap_or_else(|_| "target/release/patchcord".to_owned());
    let server = Server::start(
        Command::new(&binary)
            .arg(folder.path())
            .args(["--port", "0"]),
    );
    let address = server.address.clone();
    let (told, mut live) = mpsc::unbounded_channel();
    for _ in 0..options.connections {
        tokio::spawn(listen(connect(&address).await.unwrap(), told.clone()));
    }
    let waits = Arc::new(Waits::default());
    let (stop, stopped) = watch::channel(false);
    let mut busy = Vec::new();
    for _ in 0..BUSY {
        let socket = connect(&address).await.unwrap();
        busy.push(tokio::spawn(ask_on(socket, waits.clone(), stopped.clone())));
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let calm = waits.take();
    let (mut first, mut last, mut during) = (Vec::new(), Vec::new(), Vec::new());
    server.said();
    for version in 2..options.rounds + 2 {
        waits.take();
        let saved = Instant::now();
        fs::write(&file, script(version, edit)).unwrap();
        if !tells {
            server.wait_until_said(version - 1).await;
        }
        for nth in 0..options.connections * usize::from(tells) {
            let heard = timeout(TIMEOUT, live.recv())
                .await
                .expect("a connection is not told");
            assert_eq!(heard, Some(version));
            if nth == 0 {
                first.push(saved.elapsed().saturating_sub(QUIET));
            }
        }
        if tells {
            last.push(saved.elapsed().saturating_sub(QUIET));
        }
        during.push(waits.take());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    stop.send(true).unwrap();
    for client in busy {
        timeout(TIMEOUT, client).await.unwrap().unwrap();
    }
    let connections = options.connections;
    println!(
        "{}, {connections} connections, {} saves, beyond 50 ms of quiet:",
        edit.name(),
        options.rounds
    );
    println!("  loading and re-binding  {}", spread(&mut server.said()));
    if tells {
        println!("  first connection told   {}", spread(&mut first));
        println!("  last connection told    {}", spread(&mut last));
    }
    println!("  longest wait of an event of {BUSY} busy connections, each with one in flight:");
    println!("    without a save        {}", milliseconds(calm));
    println!("    during a save         {}", spread(&mut during));
}

/// Returns the median and the maximum as text.
fn spread(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    format!(
        "{} median, {} worst",
        milliseconds(median),
        milliseconds(worst)
    )
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// Longest wait since it was last taken.
#[derive(Default)]
struct Waits(AtomicU64);

impl Waits {
    fn add(&self, wait: Duration) {
        self.0.fetch_max(wait.as_micros() as u64, Ordering::AcqRel);
    }

    fn take(&self) -> Duration {
        Duration::from_micros(self.0.swap(0, Ordering::AcqRel))
    }
}

/// Reports each version that `on_reload` sends to this connection.
async fn listen(mut socket: Socket, told: mpsc::UnboundedSender<u64>) {
    while let Some(packet) = next(&mut socket).await {
        let version = packet
            .strip_prefix("42[\"live\",")
            .and_then(|rest| rest.strip_suffix(']'));
        if let Some(version) = version.and_then(|version| version.parse().ok()) {
            told.send(version).unwrap();
        }
    }
}

/// Sends one event after another, and records the time of each answer.
async fn ask_on(mut socket: Socket, waits: Arc<Waits>, stopped: watch::Receiver<bool>) {
    let mut number = 0;
    while !*stopped.borrow() {
        let asked = Instant::now();
        ask(&mut socket, number)
            .await
            .expect("the connection is closed");
        waits.add(asked.elapsed());
        number += 1;
        // The pause is necessary, because connections that never rest would measure the machine and not the save.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Returns the version that answers an event; `None` when the connection is closed.
async fn ask(socket: &mut Socket, number: u64) -> Option<u64> {
    socket
        .send(Message::text(format!("42{number}[\"v\"]")))
        .await
        .ok()?;
    let prefix = format!("43{number}[");
    loop {
        let packet = next(socket).await?;
        if let Some(rest) = packet.strip_prefix(&prefix) {
            return rest.strip_suffix(']')?.parse().ok();
        }
    }
}

async fn connect(address: &str) -> Option<Socket> {
    let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
    let (mut socket, _) = connect_async(url).await.ok()?;
    next(&mut socket).await?;
    socket.send(Message::text("40")).await.ok()?;
    while !next(&mut socket).await?.starts_with("40") {}
    Some(socket)
}

/// Returns the next packet except pings, which it answers; `None` when the connection is closed.
async fn next(socket: &mut Socket) -> Option<String> {
    loop {
        match socket.next().await?.ok()? {
            Message::Text(text) if text == "2" => socket.send(Message::text("3")).await.ok()?,
            Message::Text(text) => return Some(text.to_string()),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

/// Makes the same edit on a peer, and prints the time until the new code answers a client, and whether its connection
/// was kept.
async fn peer(name: &str, program: &str, flags: &[&str], first: u64) {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
    let program = match peers.join("node_modules/.bin").join(program) {
        local if local.exists() => local,
        _ => PathBuf::from(program),
    };
    let installed = Command::new(&program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if installed.is_err() || !peers.join("node_modules/socket.io").exists() {
        println!("{name}: not installed");
        return;
    }
    let folder = tempfile::tempdir_in(&peers).unwrap();
    let file = folder.path().join("server.mjs");
    let port = 20_000
        + u16::try_from(std::process::id() % 20_000).unwrap() * 2
        + u16::try_from(first).unwrap();
    fs::write(&file, peer_script(1, port)).unwrap();
    let server = Server::quiet(Command::new(&program).args(flags).arg(&file), port);
    let (mut kept, mut dropped) = (Vec::new(), Vec::new());
    for version in 2..7 {
        let mut socket = patient(&server.address).await;
        ask(&mut socket, 0).await.expect("the peer does not answer");
        let saved = Instant::now();
        fs::write(&file, peer_script(version, port)).unwrap();
        let followed = async {
            for number in 1.. {
                match ask(&mut socket, number).await {
                    Some(answered) if answered == version => return true,
                    Some(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                    None => return false,
                }
            }
            false
        };
        match timeout(EDIT_TIMEOUT, followed).await {
            Ok(true) => kept.push(saved.elapsed()),
            Ok(false) => {
                while ask(&mut patient(&server.address).await, 0).await != Some(version) {}
                dropped.push(saved.elapsed());
            }
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let what = match (kept.is_empty(), dropped.is_empty()) {
        (true, true) => {
            "connections stay, with the old handlers for as long as they last".to_owned()
        }
        (false, _) => format!("connections stay, new code after {}", spread(&mut kept)),
        (_, false) => format!(
            "every connection is closed and its state gone; one that asks all the time is back after {}",
            spread(&mut dropped)
        ),
    };
    println!("{name}: {what}");
}

/// Tries to connect until it succeeds.
async fn patient(address: &str) -> Socket {
    let began = Instant::now();
    loop {
        if let Some(socket) = connect(address).await {
            return socket;
        }
        assert!(began.elapsed() < TIMEOUT, "{address} takes nobody");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn peer_script(version: u64, port: u16) -> String {
    format!(
        "import {{ createServer }} from 'node:http';
        import {{ Server }} from 'socket.io';
        if (!globalThis.io) {{
            const http = createServer();
            globalThis.io = new Server(http);
            http.listen({port}, '127.0.0.1');
        }}
        globalThis.io.removeAllListeners('connection');
        globalThis.io.on('connection', (socket) => {{ socket.on('v', (ack) => ack({version})); }});"
    )
}

/// Server process, which is killed when this value is dropped.
struct Server {
    process: Child,
    address: String,
    /// Durations of reloads, as the server reports them.
    said: Arc<Mutex<Vec<Duration>>>,
}

impl Server {
    /// Starts a server that prints its address.
    fn start(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command
            .spawn()
            .expect("build the server first: cargo build --release");
        let mut line = String::new();
        let out = process.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        let address = line
            .trim()
            .strip_prefix("listening on http://")
            .expect("no address")
            .to_owned();
        let log = BufReader::new(process.stderr.take().unwrap());
        let said = Arc::<Mutex<Vec<Duration>>>::default();
        let hears = said.clone();
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                let took = line
                    .split_once(" connections, ")
                    .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
                hears
                    .lock()
                    .unwrap()
                    .extend(took.map(Duration::from_millis));
            }
        });
        Self {
            process,
            address,
            said,
        }
    }

    /// Waits until the server has reported this many durations.
    async fn wait_until_said(&self, times: u64) {
        let said = async {
            while (self.said.lock().unwrap().len() as u64) < times {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(TIMEOUT, said).await.expect("a save has no effect");
    }

    /// Returns the durations that were reported since the last call.
    fn said(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.said.lock().unwrap())
    }

    /// Starts a server that listens on a given port.
    fn quiet(command: &mut Command, port: u16) -> Self {
        let process = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            process,
            address: format!("127.0.0.1:{port}"),
            said: Arc::default(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
