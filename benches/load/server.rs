//! Servers that are measured: how each is started, and the cost of its process.

use std::{
    env, fs,
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The program, with scripts.
    Patchcord,
    /// A Rust handler on socketioxide, as its documentation writes it.
    Stock,
    /// Node with `socket.io`, which uses `ws`.
    Node,
    /// Bun with `socket.io` on `@socket.io/bun-engine`.
    Bun,
    /// No Socket.IO at all: a read and a write for each event.
    Bare,
}

impl Peer {
    pub(crate) const ALL: [Self; 5] = [
        Self::Patchcord,
        Self::Stock,
        Self::Node,
        Self::Bun,
        Self::Bare,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Patchcord => "patchcord",
            Self::Stock => "socketioxide",
            Self::Node => "Node",
            Self::Bun => "Bun",
            Self::Bare => "read+write",
        }
    }

    /// Returns why the server cannot be measured on this machine, if it cannot.
    pub(crate) fn missing(self) -> Option<&'static str> {
        let there = match self {
            Self::Node => peers("node_modules/socket.io").exists() && runs("node"),
            Self::Bun => runs(peers("node_modules/.bin/bun")),
            _ => true,
        };
        (!there).then_some("not installed: `npm ci` in benches/peers")
    }

    fn command(self, scripts: &Path, watch: bool) -> io::Result<Command> {
        let mut command = match self {
            Self::Patchcord => {
                let program = env::var_os("PATCHCORD")
                    .map_or_else(|| root("target/release/patchcord"), PathBuf::from);
                let mut command = Command::new(program);
                command.arg("serve").arg(scripts).args(["--port", "0"]);
                if !watch {
                    command.arg("--no-watch");
                }
                command
            }
            Self::Stock | Self::Bare => {
                let mut command = Command::new(env::current_exe()?);
                command.args(["serve", self.name()]);
                command
            }
            Self::Node => {
                let mut command = Command::new("node");
                command.arg(peers("node.js"));
                command
            }
            Self::Bun => {
                let mut command = Command::new(peers("node_modules/.bin/bun"));
                command.arg(peers("bun.js"));
                command
            }
        };
        command.env("NODE_ENV", "production");
        Ok(command)
    }
}

fn runs(program: impl AsRef<std::ffi::OsStr>) -> bool {
    let version = Command::new(program).arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Returns the path of a file in `benches/peers`.
pub(crate) fn peers(path: &str) -> PathBuf {
    root("benches/peers").join(path)
}

/// Running server, which is killed when this value is dropped.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: SocketAddr,
    /// Time from the start of the process until it reported that it listens.
    pub(crate) started_in: Duration,
}

impl Server {
    pub(crate) fn start(peer: Peer) -> io::Result<Self> {
        // Without the watch, because files that other programs write beside the scripts must not cost the server
        // anything.
        Self::spawn(peer.command(&peers("scripts"), false)?)
    }

    /// Starts patchcord with the scripts of a folder that will be edited.
    pub(crate) fn edited(scripts: &Path) -> io::Result<Self> {
        Self::spawn(Peer::Patchcord.command(scripts, true)?)
    }

    /// Starts a server that prints its address in the first line of its output.
    pub(crate) fn spawn(mut command: Command) -> io::Result<Self> {
        let began = Instant::now();
        let mut process = command
            .stdout(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        if let Some(output) = process.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let started_in = began.elapsed();
        let address = line
            .trim()
            .strip_prefix("listening on http://")
            .and_then(|address| address.parse().ok())
            .ok_or_else(|| io::Error::other(format!("{command:?} said `{line}`")))?;
        Ok(Self {
            process,
            address,
            started_in,
        })
    }

    /// Returns the CPU time that the process has used.
    pub(crate) fn cpu(&self) -> io::Result<Duration> {
        cpu(self.process.id())
    }

    /// Returns the resident memory of the process, in bytes.
    pub(crate) fn memory(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.map(|kib| kib * 1024)
            .ok_or_else(|| io::Error::other("no VmRSS"))
    }

    /// Asks the process to end, and waits for that.
    pub(crate) fn end(mut self) -> io::Result<()> {
        Command::new("kill")
            .arg(self.process.id().to_string())
            .status()?;
        self.process.wait().map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the CPU time of a process: the sum of its threads, in nanoseconds, as the scheduler counts it.
pub(crate) fn cpu(process: u32) -> io::Result<Duration> {
    let mut nanoseconds = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // A thread may end after the folder is read.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else {
            continue;
        };
        let first = text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok());
        nanoseconds += first.unwrap_or_default();
    }
    Ok(Duration::from_nanos(nanoseconds))
}
