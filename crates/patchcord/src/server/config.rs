//! Configuration of a server.

use std::{path::PathBuf, time::Duration};

use super::api::ApiKeys;

/// Addresses of a server, and what it serves in addition to the scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Host name or address of the listener.
    pub host: String,
    /// Port of the listener; 0 picks a free one.
    pub port: u16,
    /// Address of a second listener for the operator, such as `127.0.0.1:9100`: `/metrics`, `/healthz` and `/readyz`.
    pub admin_listen: Option<String>,
    /// Keys of the HTTP API for backends, which is served at the address of the second listener: `POST /api/emit` and
    /// others, as `GET /api/openapi.json` describes them. `None` serves no API.
    pub api_keys: Option<ApiKeys>,
    /// Unix socket of the control channel, through which `patchcord ctl` controls the server. Only the user that runs
    /// the server may use the socket.
    pub control: Option<ControlPlace>,
    /// Loopback address of a TCP port of the control channel, such as `127.0.0.1:3001`. Each request needs a token,
    /// which the server writes to a file that only its user can read.
    pub control_tcp: Option<String>,
    /// Folder of static files that replace the built-in pages. Its regular files are public, except scripts, files and
    /// folders whose names begin with a dot, files that are [`private`](Self::private), and links to files outside the
    /// folder.
    pub public: Option<PathBuf>,
    /// Files that are never served, wherever they are, such as the file of options.
    pub private: Vec<PathBuf>,
    /// Folder of the official client's bundle, served under the Socket.IO path to every page that may connect.
    pub client_dist: Option<PathBuf>,
    /// `true` serves metrics to everybody: `GET /metrics` returns the counters of the host to clients too, in
    /// Prometheus' text format.
    pub metrics: bool,
    /// Maximum time for a client to send the head of a request, both the first one of its connection and later ones.
    pub header_timeout: Duration,
    /// Maximum number of open TCP connections; further connections are closed. `None` means as many as the file
    /// descriptors of the process allow. A tenth of the descriptors, but at least 32 and at most 1,024, are reserved
    /// for files and the watcher.
    pub max_tcp_connections: Option<usize>,
    /// Maximum number of open TCP connections of one address; further connections are closed. IPv6 addresses with the
    /// same first 64 bits count as one address. Loopback addresses have no limit, and with
    /// [`ClientOptions::trust_proxy`](crate::host::ClientOptions::trust_proxy) no address has one, because all
    /// connections are those of the proxy. `None` means three quarters of the maximum for all addresses together.
    pub max_tcp_connections_per_address: Option<usize>,
    /// Time for which a server that shuts down still accepts and serves clients, while `/readyz` already answers 503,
    /// so that a load balancer stops sending clients. Zero begins to close at once.
    pub drain_delay: Duration,
}

/// Location of the control socket.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlPlace {
    /// `PORT.sock` in `$XDG_RUNTIME_DIR/patchcord`, or in `/tmp/patchcord-UID` if that variable is not set to an
    /// absolute path. If this location cannot be used, the server serves without a control socket.
    Default,
    /// This path. If it cannot be used, the server does not start.
    At(PathBuf),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 3000,
            admin_listen: None,
            api_keys: None,
            control: None,
            control_tcp: None,
            public: None,
            private: Vec::new(),
            client_dist: None,
            metrics: false,
            header_timeout: Duration::from_secs(10),
            max_tcp_connections: None,
            max_tcp_connections_per_address: None,
            drain_delay: Duration::ZERO,
        }
    }
}
