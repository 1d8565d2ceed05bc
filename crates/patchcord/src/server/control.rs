//! Control channel of a server: requests from the same machine, as lines of JSON, and their answers.
//!
//! In: a Unix socket that only the user that runs the server may use, and optionally a loopback TCP port that requires
//! a token. Out: calls of the host by the [`commands`]. Invariant: bad input ends only its own connection.

#![allow(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    reason = "public for the program `patchcord` only"
)]

pub mod arguments;
pub mod commands;
mod history;
mod place;
mod preview;
mod protocol;
mod saves;
mod serve;
mod sockets;
mod staging;
mod table;
mod token;
mod unix;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::net::TcpListener;

#[cfg(feature = "internals")]
pub use place::running;
pub use place::runtime_folder;
#[cfg(feature = "internals")]
pub use protocol::Request;
pub use token::token_file;

use self::{serve::Listeners, token::Token, unix::UnixSocket};
use super::{config::ControlPlace, error::ServerError};
use crate::host::Host;

/// Control channel, while it is open.
#[derive(Debug)]
pub(super) struct Control {
    listeners: Arc<Listeners>,
    /// Path of the Unix socket.
    pub(super) path: Option<PathBuf>,
    /// Address of the TCP port, and the file of its token.
    pub(super) tcp: Option<(SocketAddr, PathBuf)>,
    /// Reason why there is no Unix socket at the default location.
    pub(super) problem: Option<String>,
    _token: Option<Token>,
}

impl Control {
    /// Opens the channel of a server that listens on `port`.
    ///
    /// # Errors
    /// Returns [`ServerError`] if a socket at a path that the operator chose, or the TCP port, cannot be opened.
    pub(super) async fn open(
        host: &Host,
        port: u16,
        place: Option<&ControlPlace>,
        tcp: Option<&str>,
    ) -> Result<Self, ServerError> {
        let mut this = Self {
            listeners: Listeners::new(host.clone()),
            path: None,
            tcp: None,
            problem: None,
            _token: None,
        };
        let opened = match place {
            None => None,
            Some(ControlPlace::Default) => {
                let opened = place::private(&runtime_folder()).and_then(|folder| {
                    unix::remove_stale(&folder);
                    UnixSocket::bind(&folder.join(format!("{port}.sock")))
                });
                opened.map_err(|reason| this.problem = Some(reason)).ok()
            }
            Some(ControlPlace::At(path)) => {
                place::make_parent(path).map_err(|reason| failed(path, reason))?;
                Some(UnixSocket::bind(path).map_err(|reason| failed(path, reason))?)
            }
        };
        if let Some(socket) = opened {
            this.path = Some(socket.path().to_owned());
            this.listeners.clone().serve_unix(socket);
        }
        if let Some(address) = tcp {
            let (listener, address) = loopback(address).await?;
            let path = token_file(address.port());
            let token = Token::write(&path).map_err(|reason| failed(&path, reason))?;
            this.listeners.clone().serve_tcp(listener, token.text());
            this.tcp = Some((address, path));
            this._token = Some(token);
        }
        Ok(this)
    }

    /// Stops accepting requests, and returns when the running ones have ended, or after `timeout`.
    pub(super) async fn shutdown(self, timeout: Duration) {
        self.listeners.shutdown(timeout).await;
    }
}

fn failed(path: &Path, reason: String) -> ServerError {
    ServerError::Control {
        place: path.display().to_string(),
        reason,
    }
}

/// Binds an address that only programs on this machine can reach.
async fn loopback(address: &str) -> Result<(TcpListener, SocketAddr), ServerError> {
    let failed = |reason: String| ServerError::Control {
        place: address.to_owned(),
        reason,
    };
    let found = tokio::net::lookup_host(address).await;
    let found: Vec<_> = found.map_err(|e| failed(e.to_string()))?.collect();
    if found.is_empty() || !found.iter().all(|address| address.ip().is_loopback()) {
        return Err(failed(
            "it is no loopback address, such as `127.0.0.1:3001`".to_owned(),
        ));
    }
    let bound = TcpListener::bind(&*found).await;
    let listener = bound.map_err(|e| failed(e.to_string()))?;
    let address = listener.local_addr().map_err(|e| failed(e.to_string()))?;
    Ok((listener, address))
}
