//! Listening sockets of a server: its own, and those that were opened before it.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket, lookup_host};

use super::error::ServerError;

/// Maximum number of connections that wait until they are accepted: after a restart, all clients connect at once. The
/// system may allow fewer (`net.core.somaxconn`).
const BACKLOG: u32 = 4_096;

/// Listening sockets that were opened before the server, such as by a service manager.
///
/// ```
/// use std::net::TcpListener;
/// use patchcord::server::Listeners;
///
/// let listeners = Listeners::from(TcpListener::bind("127.0.0.1:0")?);
/// assert!(listeners.admin.is_none());
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Listeners {
    /// Socket for clients, in place of [`Config::host`](super::Config::host) and [`Config::port`](super::Config::port).
    pub clients: Option<std::net::TcpListener>,
    /// Socket of the second listener, in place of the address in
    /// [`Config::admin_listen`](super::Config::admin_listen); used only if that is set.
    pub admin: Option<std::net::TcpListener>,
}

impl From<std::net::TcpListener> for Listeners {
    fn from(clients: std::net::TcpListener) -> Self {
        Self {
            clients: Some(clients),
            admin: None,
        }
    }
}

/// Returns the socket that was passed, or else one that listens on a host name and a port.
pub(super) async fn listen(
    passed: Option<std::net::TcpListener>,
    host: &str,
    port: u16,
) -> Result<(TcpListener, SocketAddr), ServerError> {
    if let Some(passed) = passed {
        return adopt(passed).map_err(|error| ServerError::Listener(error.to_string()));
    }
    let bound = bind(host, port).await;
    bound.map_err(|error| bind_error(host, port, &error))
}

/// Prepares a socket that was opened by something else.
fn adopt(listener: std::net::TcpListener) -> io::Result<(TcpListener, SocketAddr)> {
    #[cfg(target_os = "linux")]
    if !socket2::SockRef::from(&listener).is_listener()? {
        let reason = "it does not listen; a socket of systemd needs `Accept=no`";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, address))
}

/// Listens on the first address of a host name that is possible.
async fn bind(host: &str, port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let mut failure = None;
    for address in lookup_host((host, port)).await? {
        match bind_at(address) {
            Ok(listener) => {
                let address = listener.local_addr()?;
                return Ok((listener, address));
            }
            Err(error) => failure = Some(error),
        }
    }
    let none = || io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    Err(failure.unwrap_or_else(none))
}

fn bind_at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A server that starts again must not wait for the connections of the one before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn bind_error(host: &str, port: u16, error: &io::Error) -> ServerError {
    let address = format!("{host}:{port}");
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
        _ => error.to_string(),
    };
    ServerError::Bind { address, reason }
}
