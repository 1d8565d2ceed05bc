//! Stand-alone server: a listener, the pages, and a host.
//!
//! [`Server::bind`] returns when the address is bound and clients can connect. [`Server::join`] waits until the server
//! fails. [`Server::shutdown`] shuts the server down gracefully. [`Server::bind_to`] serves on a socket that was opened
//! before.

mod accept;
mod admin;
mod api;
mod config;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod control;
#[cfg(not(feature = "internals"))]
mod control;
mod descriptors;
mod error;
mod folder;
mod head;
mod listeners;
mod metrics;
mod pages;
mod stream;
mod tcp_limit;

use std::{
    future::pending,
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::timeout;

pub use api::{ApiKey, ApiKeys, BadApiKey, Operation};
pub use config::{Config, ControlPlace};
pub use error::ServerError;
pub use listeners::Listeners;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub use {descriptors::raise_limit, pages::CLIENT_SCRIPT};

use crate::host::{Host, HostCheck};
use accept::Accepting;
use admin::Admin;
use control::Control;
use listeners::listen;

/// Loads the scripts of a host, watches them, and serves them without an axum app, until the server fails. An
/// application that has its own app uses [`Host::service`].
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
/// Returns [`ServerError`] if the scripts cannot be watched, the address cannot be bound, or the host already serves.
pub async fn serve(host: Host, config: &Config) -> Result<(), ServerError> {
    // A script that does not load is announced; all others serve.
    let _ = host.load().await;
    let _watching = host.watch()?;
    Server::bind(host, config).await?.join().await
}

/// Server that accepts clients.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), patchcord::server::ServerError> {
/// use patchcord::{Host, script::Memory, server::{Config, Server}};
///
/// let scripts = Memory::from([("main.rhai", "fn on_connection(socket) { }")]);
/// let host = Host::builder().loader(scripts).build();
/// host.load().await.unwrap();
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
    admin: Option<Admin>,
    control: Control,
    accepting: Accepting,
    /// `true` from the beginning of the shutdown on: `/readyz` answers 503.
    draining: Arc<AtomicBool>,
    drain_delay: Duration,
}

impl Server {
    /// Binds the address, and accepts clients from now on.
    ///
    /// # Errors
    /// Returns [`ServerError`] if an address cannot be bound, the control channel cannot be opened, a folder of files
    /// to serve does not exist, or the host already serves.
    pub async fn bind(host: Host, config: &Config) -> Result<Self, ServerError> {
        Self::bind_to(host, config, Listeners::default()).await
    }

    /// Does the same as [`Server::bind`], but uses sockets that already listen, such as those of a service manager. The
    /// configuration determines only the addresses of those that are missing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::net::TcpListener;
    /// use patchcord::{Host, server::{Config, Server}};
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let host = Host::builder().build();
    /// let server = Server::bind_to(host, &Config::default(), listener).await?;
    /// assert_eq!(server.address(), address);
    /// server.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`ServerError`] as [`Server::bind`] does, and if a socket does not listen.
    pub async fn bind_to(
        host: Host,
        config: &Config,
        listeners: impl Into<Listeners>,
    ) -> Result<Self, ServerError> {
        let Listeners {
            clients: passed,
            admin: passed_admin,
        } = listeners.into();
        let app = router(&host, config)?;
        let (listener, address) = listen(passed, &config.host, config.port).await?;
        let draining = Arc::default();
        let admin = match &config.admin_listen {
            Some(place) => Some(admin_at(&host, config, place, passed_admin, &draining).await?),
            None => None,
        };
        let (place, tcp) = (config.control.as_ref(), config.control_tcp.as_deref());
        let control = Control::open(&host, address.port(), place, tcp).await?;
        let app = host.service_for(app, hosts(&host, &config.host, address))?;
        let accepting = Accepting::start(&host, listener, app, config);
        Ok(Self {
            host,
            address,
            admin,
            control,
            accepting,
            draining,
            drain_delay: config.drain_delay,
        })
    }

    /// Returns further handles of the listening sockets. While they are open, clients that connect wait until another
    /// server, to which they are passed, accepts them, even if this one has ended.
    ///
    /// # Errors
    /// Fails if the process has no file descriptor left.
    pub fn listeners(&self) -> io::Result<Listeners> {
        let admin = self.admin.as_ref();
        Ok(Listeners {
            clients: Some(self.accepting.listener()?),
            admin: admin.map(|admin| admin.accepting.listener()).transpose()?,
        })
    }

    /// Returns the address on which the server listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the address of the second listener, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|admin| admin.address)
    }

    /// Returns the path of the control channel's Unix socket, if there is one.
    pub fn control_path(&self) -> Option<&Path> {
        self.control.path.as_deref()
    }

    /// Returns the TCP address of the control channel, if there is one, and the file with its token.
    pub fn control_address(&self) -> Option<(SocketAddr, &Path)> {
        let tcp = self.control.tcp.as_ref();
        tcp.map(|(address, token)| (*address, token.as_path()))
    }

    /// Returns the reason why there is no control socket at the default location.
    #[cfg(feature = "internals")]
    #[doc(hidden)]
    pub fn control_problem(&self) -> Option<&str> {
        self.control.problem.as_deref()
    }

    /// Waits until the server task ends, which happens only if it panics.
    ///
    /// # Errors
    /// Returns [`ServerError`] if the server task panicked.
    pub async fn join(&mut self) -> Result<(), ServerError> {
        Ok(self.accepting.join().await?)
    }

    /// Shuts the server down: `/readyz` answers 503 at once, and after [`Config::drain_delay`] the server stops
    /// accepting clients, and disconnects the connected ones, which scripts can observe. Returns when everything has
    /// ended, or after the drain timeouts.
    pub async fn shutdown(self) {
        let Self {
            host,
            admin,
            control,
            accepting,
            draining,
            drain_delay,
            address: _,
        } = self;
        draining.store(true, Ordering::Relaxed);
        if !drain_delay.is_zero() {
            let _ = timeout(drain_delay, pending::<()>()).await;
        }
        let drain_timeout = host.options().transport.drain_timeout;
        let serving = accepting.stop().await;
        control.shutdown(drain_timeout).await;
        host.close().await;
        let _ = timeout(drain_timeout, serving).await;
        // The operator can observe the shutdown until everything else has ended.
        if let Some(admin) = admin {
            admin.shutdown(drain_timeout).await;
        }
    }
}

/// Checks a configuration as far as that is possible without binding an address.
///
/// # Errors
/// Returns [`ServerError`] as [`Server::bind`] does.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub fn check(host: &Host, config: &Config) -> Result<(), ServerError> {
    router(host, config).map(drop)
}

/// Returns the app of everything except the Socket.IO path.
fn router(host: &Host, config: &Config) -> Result<axum::Router, ServerError> {
    if config.api_keys.is_some() && config.admin_listen.is_none() {
        return Err(ServerError::ApiWithoutAdmin);
    }
    let app = pages::router(config, host)?;
    Ok(match config.metrics {
        true => app.merge(metrics::router(host.clone())),
        false => app,
    })
}

async fn admin_at(
    host: &Host,
    config: &Config,
    place: &str,
    passed: Option<std::net::TcpListener>,
    draining: &Arc<AtomicBool>,
) -> Result<Admin, ServerError> {
    let no_address = || ServerError::Bind {
        address: place.to_owned(),
        reason: "expected an address and a port, such as `127.0.0.1:9100`".to_owned(),
    };
    let (name, port) = place.rsplit_once(':').ok_or_else(no_address)?;
    let port = port.parse().map_err(|_| no_address())?;
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let (listener, address) = listen(passed, name, port).await?;
    let hosts = hosts(host, name, address);
    Ok(Admin::serve(
        host, listener, address, hosts, config, draining,
    ))
}

/// Returns the check of the host names by which clients may address a server that listens on `address`. A loopback
/// address always has a check, because pages of other sites, in browsers on this machine, can reach it too.
fn hosts(host: &Host, name: &str, address: SocketAddr) -> Option<Arc<HostCheck>> {
    let default = || {
        let own = name.parse().ok();
        address
            .ip()
            .is_loopback()
            .then(|| own.into_iter().collect())
    };
    let allowed = host.options().clients.allowed_hosts.clone();
    allowed
        .or_else(default)
        .map(|allowed| host.host_check(allowed))
}
