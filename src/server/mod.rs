//! The stand-alone server: a listener, the pages, and a host.
//!
//! [`Server::bind`] returns when the address is bound and clients are taken; [`Server::join`] runs until it fails;
//! [`Server::shutdown`] ends it in order.

mod accept;
mod descriptors;
mod head;
mod metrics;
mod pages;
mod stream;
mod tcp_limit;

use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

#[cfg(feature = "cli")]
pub(crate) use descriptors::raise_limit;

use crate::{
    host::{AttachError, Host},
    watch::WatchError,
};

/// Where and what a server serves beside the scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The name or address to listen at.
    pub host: String,
    /// The port; 0 picks a free one.
    pub port: u16,
    /// A folder of static files in place of the built-in page.
    pub public: Option<PathBuf>,
    /// The folder of the official client's bundle, served under the Socket.IO path.
    pub client_dist: Option<PathBuf>,
    /// Whether `GET /metrics` answers with what the host counts, in Prometheus' text format.
    pub metrics: bool,
    /// Time limit for a client to send the head of a request, be it the first one of its connection or a later one.
    pub header_timeout: Duration,
    /// Maximum number of open TCP connections; further ones are closed. `None` means as many as the file descriptors of
    /// the process allow, with a tenth of these, 32 to 1,024, left for files and the watcher.
    pub max_tcp_connections: Option<usize>,
    /// Maximum number of open TCP connections of one address; further ones are closed. IPv6 addresses count by their
    /// first 64 bits. Loopback addresses have no limit, and with [`Options::trust_proxy`](crate::Options::trust_proxy) no
    /// address has one, because all connections are those of the proxy. `None` means three quarters of the maximum of all
    /// addresses.
    pub max_tcp_connections_per_address: Option<usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 3000,
            public: None,
            client_dist: None,
            metrics: false,
            header_timeout: Duration::from_secs(10),
            max_tcp_connections: None,
            max_tcp_connections_per_address: None,
        }
    }
}

/// Why a server does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The scripts cannot be watched.
    #[error("the scripts cannot be watched")]
    Watch(#[from] WatchError),
    /// The server has ended by itself, which it does not do unless something in it panics.
    #[error("the server has ended")]
    Ended(#[from] tokio::task::JoinError),
    /// The host serves another app already.
    #[error("the host cannot serve")]
    Attach(#[from] AttachError),
    /// The address cannot be listened at.
    #[error("cannot listen at {address}: {reason}")]
    Bind {
        /// The address.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// A folder that was to be served is none.
    #[error("`{0}` is not a folder")]
    NoFolder(PathBuf),
}

/// Loads the scripts of a host, watches them, and serves them alone, with no app around them, until the listener fails. A
/// program that has an app of its own takes [`Host::service`].
///
/// ```no_run
/// # async fn run() -> Result<(), patchcord::server::ServerError> {
/// use patchcord::{Host, server::{Config, serve}};
///
/// serve(Host::builder().scripts("scripts").build(), &Config::default()).await
/// # }
/// ```
///
/// # Errors
/// When the scripts cannot be watched, the address not be listened at, or the host serves already.
pub async fn serve(host: Host, config: &Config) -> Result<(), ServerError> {
    host.load().await;
    let _watching = host.watch()?;
    Server::bind(host, config).await?.join().await
}

/// A server that takes clients.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), patchcord::server::ServerError> {
/// use patchcord::{Host, script::Memory, server::{Config, Server}};
///
/// let scripts = Memory::from([("main.rhai", "fn on_connection(socket) { }")]);
/// let host = Host::builder().loader(scripts).build();
/// host.load().await;
/// let mut config = Config::default();
/// config.port = 0; // any that is free
/// let server = Server::bind(host, &config).await?;
/// println!("http://{}", server.address());
/// server.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    host: Host,
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl Server {
    /// Binds the address and takes clients from now on.
    ///
    /// # Errors
    /// When the address cannot be bound, a folder to serve is none, or the host serves already.
    pub async fn bind(host: Host, config: &Config) -> Result<Self, ServerError> {
        let mut app = pages::router(config, &host.options().path)?;
        if config.metrics {
            app = app.merge(metrics::router(host.clone()));
        }
        let listener = listen(config).await?;
        let address = listener.local_addr().map_err(|e| bind_error(config, &e))?;
        let app = host.service(app)?;
        let (stop, stopped) = oneshot::channel();
        let serving = accept::serve(host.clone(), listener, app, config.clone(), stopped);
        let serving = tokio::spawn(serving);
        Ok(Self {
            host,
            address,
            stop,
            serving,
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the server ends by itself, which it does not.
    ///
    /// # Errors
    /// What ended it.
    pub async fn join(&mut self) -> Result<(), ServerError> {
        Ok((&mut self.serving).await?)
    }

    /// Takes no more clients, tells the scripts, and returns when everything has ended.
    pub async fn shutdown(self) {
        let Self {
            host,
            stop,
            serving,
            ..
        } = self;
        // The receiver is gone when the server has ended already.
        let _ = stop.send(());
        host.close().await;
        let _ = tokio::time::timeout(host.options().drain_timeout, serving).await;
    }
}

async fn listen(config: &Config) -> Result<TcpListener, ServerError> {
    TcpListener::bind((config.host.as_str(), config.port))
        .await
        .map_err(|e| bind_error(config, &e))
}

fn bind_error(config: &Config, error: &io::Error) -> ServerError {
    let address = format!("{}:{}", config.host, config.port);
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
        _ => error.to_string(),
    };
    ServerError::Bind { address, reason }
}
