//! Listening sockets that the process was started with, by the protocol of systemd: the variable `LISTEN_FDS` has their
//! number, `LISTEN_FDNAMES` their names.

use std::{env, net::TcpListener, process};

use anyhow::{Context, bail};
use listenfd::ListenFd;

use patchcord::server::Listeners;

/// Maximum number of sockets.
const MAX_SOCKETS: usize = 64;
/// Name of the socket for the operator. The first other TCP socket is that for clients.
pub(super) const ADMIN: &str = "admin";
/// Name of the socket for clients, at a restart in place.
pub(super) const CLIENTS: &str = "http";

/// Returns the sockets that this process was started with. Removes their variables from the environment, so it must run
/// before the process has other threads.
pub(super) fn listeners() -> anyhow::Result<Listeners> {
    let count = count();
    let mut sockets = ListenFd::from_env();
    let count = count?;
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut listeners = Listeners::default();
    let mut problems = Vec::new();
    for index in 0..count {
        let name = names.next().unwrap_or_default();
        match sockets.take_tcp_listener(index) {
            Ok(listener) => place(&mut listeners, name, listener),
            Err(problem) => problems.push(problem.to_string()),
        }
    }
    if count > 0 && listeners.clients.is_none() && listeners.admin.is_none() {
        let problems = problems.join(", ");
        bail!("`LISTEN_FDS={count}`: there is no TCP socket to listen on: {problems}");
    }
    Ok(listeners)
}

/// Keeps a socket if it is the first of its kind, and closes it otherwise.
fn place(listeners: &mut Listeners, name: &str, listener: Option<TcpListener>) {
    let place = match name {
        ADMIN => &mut listeners.admin,
        _ => &mut listeners.clients,
    };
    if place.is_none() {
        *place = listener;
    }
}

/// Returns the number of sockets that are meant for this process.
fn count() -> anyhow::Result<usize> {
    let Some(count) = env::var_os("LISTEN_FDS") else {
        return Ok(0);
    };
    let process = env::var("LISTEN_PID").unwrap_or_default();
    if !process.is_empty() {
        let id: u32 = process
            .parse()
            .with_context(|| format!("`LISTEN_PID={process}` is not the id of a process"))?;
        // Variables that a parent process has left behind.
        if id != process::id() {
            return Ok(0);
        }
    }
    let number = count.to_str().and_then(|count| count.parse().ok());
    number
        .filter(|count| *count <= MAX_SOCKETS)
        .with_context(|| {
            let count = count.display();
            format!("`LISTEN_FDS={count}` is not a number of sockets, at most {MAX_SOCKETS}")
        })
}
