//! Connections to other services: names are resolved, and their addresses checked, at each connection. So a name that
//! resolves to another address later (DNS rebinding) reaches nothing that is not allowed.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::{net::TcpStream, time::timeout};
use tower::Service;

use super::request::Target;
use crate::host::{address::is_public, options::NetRule};

/// Maximum time for a connection to one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connector of the client.
pub(super) type Connector = HttpsConnector<Dialer>;

/// Creates the connector, with these settings of TLS.
pub(super) fn connector(rules: Arc<[NetRule]>, config: ClientConfig) -> Connector {
    let builder = HttpsConnectorBuilder::new().with_tls_config(config);
    let builder = builder.https_or_http().enable_http1();
    builder.wrap_connector(Dialer(rules))
}

/// Opens TCP connections to addresses that scripts may reach.
#[derive(Debug, Clone)]
pub(super) struct Dialer(Arc<[NetRule]>);

type Connecting = Pin<Box<dyn Future<Output = io::Result<TokioIo<TcpStream>>> + Send>>;

impl Service<Uri> for Dialer {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Connecting {
        let rules = self.0.clone();
        Box::pin(async move {
            let target = Target::of_uri(uri).map_err(io::Error::other)?;
            connect(allowed(&rules, &target).await?)
                .await
                .map(TokioIo::new)
        })
    }
}

/// Connects to the first of some addresses that accepts.
async fn connect(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the name has no address");
    for address in addresses {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => {
                last = io::Error::other(format!("`{address}` does not accept the connection"));
            }
        }
    }
    Err(last)
}

/// Returns those addresses of a target that scripts may reach.
async fn allowed(rules: &[NetRule], target: &Target) -> io::Result<Vec<SocketAddr>> {
    let to = target.destination();
    let found = tokio::net::lookup_host((to.host, to.port)).await;
    let found = found.map_err(|_| io::Error::other("the name has no address"))?;
    let is_allowed = |address: IpAddr| {
        is_public(address) || rules.iter().any(|rule| rule.allows_address(to, address))
    };
    let (allowed, refused): (Vec<_>, Vec<_>) = found.partition(|one| is_allowed(one.ip()));
    match (allowed.is_empty(), refused.first()) {
        (true, Some(refused)) => Err(io::Error::other(format!(
            "its address {0} is not public: allow it with `--allow-net {0}`",
            refused.ip()
        ))),
        _ => Ok(allowed),
    }
}
