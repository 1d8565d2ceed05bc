//! Restart in place (SIGUSR2): the process goes on with the program file that is there now, and with its listening
//! sockets, so that clients which connect meanwhile wait.

use std::{
    env,
    ffi::OsString,
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::{Path, PathBuf, absolute},
    process::{self, Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use command_fds::{CommandFdExt, FdMapping};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
    time::timeout,
};

use super::inherited::{ADMIN, CLIENTS};
use patchcord::{
    diagnostic::{Severity, Style, render},
    host::Host,
    server::{self, Config, Listeners},
};

/// Maximum time for a new program to check the options and the scripts.
const CHECK_TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum number of bytes of the output of a new program that a warning shows.
const MAX_OUTPUT: u64 = 4_096;
/// First file descriptor of passed sockets.
const FIRST_DESCRIPTOR: i32 = 3;
/// Flag with which a program only checks the options and the scripts.
const CHECK: &str = "--check-start";
/// Variables of the service manager that a check must not see.
const SERVICE_VARIABLES: [&str; 4] = [
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "NOTIFY_SOCKET",
];

/// Program of this process, as it was started.
#[derive(Debug)]
pub(super) struct Program {
    /// Path of the file, which may be another file after an upgrade.
    path: PathBuf,
    /// Name by which the program was called.
    name: OsString,
    arguments: Vec<OsString>,
}

impl Program {
    /// Returns the program of this process. Call this function at the start, while the file is still the same.
    pub(super) fn of_this_process() -> Self {
        let mut arguments = env::args_os();
        let name = arguments.next().unwrap_or_default();
        Self {
            path: path(Path::new(&name)),
            name,
            arguments: arguments.collect(),
        }
    }

    /// Runs the program as it is now, to check the options and the scripts.
    ///
    /// # Errors
    /// Returns the reason why a restart would fail.
    pub(super) async fn check(&self) -> anyhow::Result<()> {
        let mut exits = signal(SignalKind::child()).context("signals cannot be received")?;
        let mut command = Command::new(&self.path);
        let place = usize::from(self.arguments.first().is_some_and(|first| first == "serve"));
        let (before, after) = self.arguments.split_at(place);
        command.args(before).arg(CHECK).args(after);
        for name in SERVICE_VARIABLES {
            command.env_remove(name);
        }
        let (stdout, stderr) = (Stdio::null(), Stdio::piped());
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let shown = self.path.display();
        let child = command.spawn();
        let mut check = Check(child.with_context(|| format!("`{shown}` does not run"))?);
        let errors = check.0.stderr.take();
        let output = spawn_blocking(move || {
            let mut text = Vec::new();
            let read = errors.map(|errors| errors.take(MAX_OUTPUT).read_to_end(&mut text));
            // A part of the output is better than none.
            drop(read);
            String::from_utf8_lossy(&text).into_owned()
        });
        let ended = timeout(CHECK_TIMEOUT, async {
            loop {
                if let Some(status) = check.0.try_wait()? {
                    return std::io::Result::Ok(status);
                }
                exits.recv().await;
            }
        });
        let Ok(status) = ended.await else {
            let seconds = CHECK_TIMEOUT.as_secs();
            bail!("`{shown}` has not checked the scripts within {seconds} seconds");
        };
        let status = status?;
        if status.success() {
            return Ok(());
        }
        let output = output.await.unwrap_or_default();
        bail!("`{shown}` ends with {status}:\n{}", output.trim());
    }

    /// Replaces the program of this process, which goes on with these sockets. Returns only if this fails.
    pub(super) fn replace(&self, listeners: Listeners) -> anyhow::Error {
        let sockets = [(CLIENTS, listeners.clients), (ADMIN, listeners.admin)];
        let named = |(name, socket): (_, Option<TcpListener>)| Some((name, socket?));
        let (names, sockets): (Vec<_>, Vec<_>) = sockets.into_iter().filter_map(named).unzip();
        let mappings = (FIRST_DESCRIPTOR..).zip(sockets);
        let mappings = mappings.map(|(child_fd, socket)| FdMapping {
            parent_fd: socket.into(),
            child_fd,
        });
        let mut command = Command::new(&self.path);
        command
            .arg0(&self.name)
            .args(&self.arguments)
            .env("LISTEN_FDS", names.len().to_string())
            .env("LISTEN_FDNAMES", names.join(":"))
            .env("LISTEN_PID", process::id().to_string())
            .env_remove("LISTEN_FDS_FIRST_FD");
        let failed = format!("`{}` cannot be started", self.path.display());
        match command.fd_mappings(mappings.collect()) {
            Ok(command) => anyhow!(command.exec()).context(failed),
            Err(error) => anyhow!(error).context(failed),
        }
    }
}

/// Process that ends with this value.
struct Check(Child);

impl Drop for Check {
    fn drop(&mut self) {
        // Both fail if the process has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the path of this program's file, as it was given: symbolic links stay in it, so that it leads to a new
/// program if a link is changed.
fn path(name: &Path) -> PathBuf {
    let own = env::current_exe();
    let given = match name.components().count() {
        1 => {
            let folders = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&folders)
                .map(|folder| folder.join(name))
                .find(|path| path.is_file())
        }
        _ => absolute(name).ok(),
    };
    match (given, own) {
        (Some(given), Ok(own)) if is_same(&given, &own) => given,
        (_, Ok(own)) => own,
        (given, Err(_)) => given.unwrap_or_else(|| name.to_owned()),
    }
}

/// Returns `true` if two paths lead to the same file.
fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path| fs::metadata(path).map(|about| (about.dev(), about.ino()));
    matches!((id(one), id(other)), (Ok(one), Ok(other)) if one == other)
}

/// Checks the scripts of a host and the files of a server, without serving: this is what a restart runs first. Writes
/// the problems to standard error.
///
/// # Errors
/// Fails if the scripts cannot be read, or the server would not start.
pub(super) fn check_start(host: &Host, config: &Config) -> anyhow::Result<bool> {
    let mut is_good = true;
    for problem in host.check()? {
        if problem.severity == Severity::Error {
            is_good = false;
            let text = render(&problem, Style::Plain);
            // Without a terminal the exit code says it, too.
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }
    server::check(host, config)?;
    Ok(is_good)
}
