//! TLS to other services: the authorities whose certificates are trusted, the handshake, and why one has failed.
//!
//! In: a TCP connection and the name of the server. Out: an encrypted connection to a server that has proved its name.
//! Certificates are read from files, so they are read on threads for blocking work.

use std::{error::Error, io, path::PathBuf, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring::default_provider},
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{net::TcpStream, task::spawn_blocking};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Authorities whose certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Authorities {
    /// Those of the operating system, or of the file that `SSL_CERT_FILE` names.
    System,
    /// Those in a file in the format PEM.
    #[cfg_attr(not(feature = "sql"), allow(dead_code, reason = "for databases"))]
    File(PathBuf),
}

impl Authorities {
    /// Reads the certificates.
    pub(super) async fn load(&self) -> Result<RootCertStore, String> {
        let authorities = self.clone();
        let loaded = spawn_blocking(move || authorities.read()).await;
        loaded.map_err(|error| error.to_string())?
    }

    fn read(self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        match self {
            Self::System => {
                // Certificates that cannot be parsed are left out.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Self::File(file) => {
                let wrong = |error| format!("cannot read `{}`: {error}", file.display());
                let certificates = CertificateDer::pem_file_iter(&file)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(|error| wrong(error.to_string()))?;
                if certificates.is_empty() {
                    return Err(wrong("it contains no certificate in the format PEM".into()));
                }
                for certificate in certificates {
                    roots
                        .add(certificate)
                        .map_err(|error| wrong(error.to_string()))?;
                }
            }
        }
        Ok(roots)
    }
}

/// Returns the implementation of the algorithms.
pub(super) fn provider() -> Arc<CryptoProvider> {
    default_provider().into()
}

/// Returns the settings of a client that trusts these authorities, and checks the name of the server.
pub(super) fn client(roots: RootCertStore) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(provider());
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// Encrypts a connection to a server with this name or address.
pub(super) async fn connect(
    config: Arc<ClientConfig>,
    host: &str,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| io::Error::other("a certificate cannot have this host name"))?;
    TlsConnector::from(config).connect(name, stream).await
}

/// Encrypts a connection to a server whose certificate an authority of the system has signed. The error is a text.
#[cfg(all(feature = "http", feature = "internals"))]
pub async fn encrypt(host: &str, stream: TcpStream) -> Result<TlsStream<TcpStream>, String> {
    let config = client(Authorities::System.load().await?)?;
    let connected = connect(config.into(), host, stream).await;
    connected.map_err(|error| reason(&error).unwrap_or_else(|| error.to_string()))
}

/// Returns the reason why a handshake has failed, without names and times of the certificate; `None` if the error has
/// another cause.
pub(super) fn reason(error: &(dyn Error + 'static)) -> Option<String> {
    use CertificateError as E;

    let certificate = match of_tls(error)? {
        rustls::Error::InvalidCertificate(error) => error,
        rustls::Error::InvalidMessage(_) => {
            return Some("the server does not speak TLS".to_owned());
        }
        other => return Some(format!("the TLS handshake has failed: {other}")),
    };
    let problem = match certificate {
        E::UnknownIssuer => "is from an unknown authority",
        // An authority with the name of a known one and another key, or a server without the key of its certificate.
        E::BadSignature => "has a wrong signature",
        E::Expired | E::ExpiredContext { .. } => "has expired",
        E::NotValidYet | E::NotValidYetContext { .. } => "is not valid yet",
        E::NotValidForName | E::NotValidForNameContext { .. } => "is for another host name",
        other => {
            return Some(format!(
                "the certificate of the server cannot be used: {other}"
            ));
        }
    };
    Some(format!("the certificate of the server {problem}"))
}

/// Returns the error of TLS that has caused an error.
fn of_tls<'a>(mut error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    loop {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        error = match inner {
            Some(inner) => inner,
            None => error.source()?,
        };
    }
}
