//! Connections to other services: names are resolved, and their addresses checked, at each connection. So a name that
//! resolves to another address later (DNS rebinding) reaches nothing that is not allowed.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
    vec::IntoIter,
};

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{HttpConnector, dns::Name};
use rustls::{ClientConfig, RootCertStore, crypto::ring::default_provider};
use tower::Service;

use crate::host::{address::is_public, options::NetRule};

/// Maximum time for a connection to one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connector of the client.
pub(super) type Connector = HttpsConnector<HttpConnector<Resolver>>;

/// Creates the connector, with the certificates of authorities that the operating system trusts. It reads files.
pub(super) fn connector(rules: Arc<[NetRule]>) -> Result<Connector, String> {
    let mut roots = RootCertStore::empty();
    // Certificates that cannot be parsed are left out.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut http = HttpConnector::new_with_resolver(Resolver(rules));
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let builder = HttpsConnectorBuilder::new().with_tls_config(config);
    Ok(builder.https_or_http().enable_http1().wrap_connector(http))
}

/// Resolver that returns only addresses which scripts may reach.
#[derive(Debug, Clone)]
pub(super) struct Resolver(Arc<[NetRule]>);

impl Service<Name> for Resolver {
    type Response = IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<IntoIter<SocketAddr>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let rules = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            let found = found.map_err(|_| io::Error::other("the name has no address"))?;
            allowed(&rules, name.as_str(), found.collect())
        })
    }
}

/// Returns those addresses of a name that scripts may reach.
fn allowed(
    rules: &[NetRule],
    name: &str,
    found: Vec<SocketAddr>,
) -> io::Result<IntoIter<SocketAddr>> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let is_allowed = |address: &SocketAddr| {
        let address = address.ip();
        is_public(address) || rules.iter().any(|rule| rule.allows_address(&name, address))
    };
    let refused = found.iter().find(|address| !is_allowed(address)).copied();
    let allowed: Vec<_> = found.into_iter().filter(is_allowed).collect();
    match (allowed.is_empty(), refused) {
        (true, Some(refused)) => Err(io::Error::other(format!(
            "its address {0} is not public: allow it with `--allow-net {0}`",
            refused.ip()
        ))),
        _ => Ok(allowed.into_iter()),
    }
}
